"""A server's settings as JSON: how they are kept, exported and imported.

Each value of a file is read by itself, so that one that cannot be used costs nothing but itself.
Of what is kept, nothing that forbids is ever left out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from bot.exceptions import UnreadableSettings
from bot.rules.policy import BOUNDS, DEFAULTS, MAX_ROLES, MAX_WORD, MOST, NSFW, Server
from bot.rules.values import check_kind, is_text, sendable
from bot.rules.words import read_words
from bot.translate import catalogues
from core.errors import InvalidRequest
from core.models.catalogue import MAX_NAME
from core.request import MAX_PROMPT

log = logging.getLogger(__name__)

# Raised when a setting's meaning changes, so that an older bot does not misread it.
VERSION: Final = 1
MAX_BYTES: Final = 256 * 1024
MAX_ID: Final = 2**63 - 1

# What forbids nothing: without it the bot still does what the server's owner wants.
CONVENIENCES: Final = {"defaults", "channel_defaults", "reactions", "language", "log_channel"}

# A remark on one setting: the end of a key below ``config.import``, and its places.
Remark = tuple[str, dict[str, str]]


def to_json(server: Server) -> str:
    """Every setting, the unset ones too."""
    values = {field.name: _plain(getattr(server, field.name)) for field in fields(server)}
    return json.dumps({"version": VERSION, **values}, indent=2, ensure_ascii=False)


def from_json(text: str) -> Server:
    """What :func:`to_json` wrote. Lists are as long as they are: cut, they could allow more.

    An unusable default, and other conveniences, are left out, and logged. Raises
    :class:`~bot.exceptions.UnreadableSettings` where anything else cannot be used.
    """
    data = _loaded(text)
    for name, sift in SIFTS.items():
        if isinstance(data.get(name), dict):
            data[name] = sift(data[name])
    changes, remarks = _read(data)
    for _, said in remarks:
        log.warning("a setting in the database cannot be used: %s", said["name"])
        if said["name"] in READERS and said["name"] not in CONVENIENCES:
            raise UnreadableSettings("not_settings")
    return replace(Server(), **changes)


def read(text: str) -> tuple[dict[str, Any], list[Remark]]:
    """The settings that a file holds, by field, and remarks on what was left out.

    Raises :class:`~bot.exceptions.UnreadableSettings` for what is no such file, or a newer one's.
    """
    changes, remarks = _read(_loaded(text))
    for name, most in MOST.items():
        if len(changes.get(name, ())) > most:
            del changes[name]
            remarks.append(("too_many", {"name": name, "limit": str(most)}))
    if any(len(ids) > MAX_ROLES for ids in changes.get("model_roles", {}).values()):
        del changes["model_roles"]
        remarks.append(("too_many", {"name": "model_roles", "limit": str(MAX_ROLES)}))
    return changes, remarks


def _loaded(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableSettings("not_json") from None
    if not isinstance(data, dict) or not isinstance(data.get("version"), int):
        raise UnreadableSettings("not_settings")
    if data.pop("version") > VERSION:
        raise UnreadableSettings("newer")
    return data


def _read(data: dict[str, Any]) -> tuple[dict[str, Any], list[Remark]]:
    changes: dict[str, Any] = {}
    remarks: list[Remark] = []
    for name, value in data.items():
        if name not in READERS:
            remarks.append(("unknown", {"name": sendable(name[:MAX_NAME])}))
            continue
        try:
            changes[name] = READERS[name](value)
        except (ValueError, TypeError, AttributeError, OverflowError, InvalidRequest):
            remarks.append(("unusable", {"name": name}))
    return changes, remarks


def _plain(value: Any) -> Any:
    """In JSON's types. Ids are text: many programs cut whole numbers after 15 digits."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, int) and value > 2**32 else value


def _id(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 19:
        raise ValueError(value)
    number = int(value)
    if not 0 < number <= MAX_ID:
        raise ValueError(value)
    return number


def _maybe_id(value: Any) -> int | None:
    return None if value is None else _id(value)


def _ids(value: Any) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_id(item) for item in _list(value)))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(value)
    return value


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(value)
    return value


def _name(value: Any) -> str:
    if not is_text(value) or not 0 < len(value) <= MAX_NAME:
        raise ValueError(value)
    return value


def _bounded(name: str) -> Callable[[Any], int | None]:
    def parse(value: Any) -> int | None:
        return None if value is None else _number(name, value)

    return parse


def _number(name: str, value: Any) -> int:
    BOUNDS[name].check(name, value)
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _one_of(allowed: tuple[str, ...]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in allowed:
            raise ValueError(value)
        return str(value)

    return parse


def _language(value: Any) -> str | None:
    return None if value is None else _one_of(tuple(catalogues()))(value)


def _models(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_name(item) for item in _list(value)))


def _model_roles(value: Any) -> dict[str, tuple[int, ...]]:
    return {_name(name): _ids(ids) for name, ids in _dict(value).items() if ids}


def _role_quotas(value: Any) -> dict[int, int]:
    return {_id(role): _number("quota", count) for role, count in _dict(value).items()}


def _defaults(value: Any) -> dict[str, Any]:
    """Only kinds are looked at here; whether a model is there is the catalogue's to say."""
    for name, item in _dict(value).items():
        _check_default(name, item)
    return dict(value)


def _check_default(name: str, value: Any) -> None:
    check_kind(name, value)
    if name not in DEFAULTS or len(str(value)) > MAX_PROMPT:
        raise ValueError(name)


def _channel_defaults(value: Any) -> dict[int, dict[str, Any]]:
    entries = _dict(value).items()
    return {_id(channel): _defaults(values) for channel, values in entries if values}


def _sifted(values: dict[str, Any]) -> dict[str, Any]:
    """Defaults without the single ones that cannot be used."""
    sound = dict(values)
    for name, value in values.items():
        try:
            _check_default(name, value)
        except (ValueError, InvalidRequest):
            log.warning("a default in the database cannot be used: %s", name)
            del sound[name]
    return sound


def _sifted_channels(values: dict[str, Any]) -> dict[str, Any]:
    return {channel: _sifted(item) for channel, item in values.items() if isinstance(item, dict)}


def _words(value: Any) -> tuple[str, ...]:
    words = [item for item in _list(value) if is_text(item) and len(item) <= MAX_WORD]
    if len(words) < len(value):
        raise ValueError(value)
    text = "\n".join(words)
    # All of them stand in one form.
    if len(text) > MAX_PROMPT:
        raise ValueError(value)
    return read_words(text)


READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "channels": _ids,
    "roles": _ids,
    "models": _models,
    "model_roles": _model_roles,
    "max_steps": _bounded("max_steps"),
    "max_size": _bounded("max_size"),
    "max_count": _bounded("max_count"),
    "max_cells": _bounded("max_cells"),
    "queue_per_member": _bounded("queue_per_member"),
    "queue_total": _bounded("queue_total"),
    "quota": _bounded("quota"),
    "role_quotas": _role_quotas,
    "defaults": _defaults,
    "channel_defaults": _channel_defaults,
    "words": _words,
    "nsfw": _one_of(NSFW),
    "spoiler": _flag,
    "reactions": _flag,
    "language": _language,
    "log_channel": _maybe_id,
    "banned": _ids,
}

SIFTS: Final = {"defaults": _sifted, "channel_defaults": _sifted_channels}
