"""A server's settings as JSON: how they are kept, exported and imported.

Each value is read by itself, so that one that cannot be used costs nothing but itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from bot.server import rules
from bot.server.rules import BOUNDS, DEFAULTS, NSFW, Server
from bot.server.words import read_words
from bot.translate import catalogues
from bot.trouble import UnreadableSettings
from core.catalogue import MAX_NAME
from core.request import MAX_PROMPT

# Raised when a setting's meaning changes, so that an older bot does not misread it.
VERSION: Final = 1
MAX_BYTES: Final = 256 * 1024
MAX_ID: Final = 2**63 - 1

# A remark on one setting: the end of a key below ``config.import``, and its places.
Remark = tuple[str, dict[str, str]]


def to_json(server: Server) -> str:
    """Every setting, the unset ones too."""
    values = {field.name: _plain(getattr(server, field.name)) for field in fields(server)}
    return json.dumps({"version": VERSION, **values}, indent=2, ensure_ascii=False)


def from_json(text: str) -> Server:
    """What :func:`to_json` wrote; what cannot be used has its default."""
    changes, _ = read(text)
    return replace(Server(), **changes)


def read(text: str) -> tuple[dict[str, Any], list[Remark]]:
    """The settings that a file holds, by field, and remarks on what was left out.

    Raises :class:`~bot.trouble.UnreadableSettings` for what is no such file, or a newer one's.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableSettings("not_json") from None
    if not isinstance(data, dict) or not isinstance(data.get("version"), int):
        raise UnreadableSettings("not_settings")
    if data.pop("version") > VERSION:
        raise UnreadableSettings("newer")
    changes: dict[str, Any] = {}
    remarks: list[Remark] = []
    for name, value in data.items():
        if name not in READERS:
            remarks.append(("unknown", {"name": name[:MAX_NAME]}))
            continue
        try:
            changes[name] = READERS[name](value)
        except (ValueError, TypeError, AttributeError, OverflowError):
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


def _ids(limit: int) -> Callable[[Any], tuple[int, ...]]:
    return lambda value: tuple(dict.fromkeys(_id(item) for item in _list(value, limit)))


def _list(value: Any, limit: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > limit:
        raise ValueError(value)
    return value


def _dict(value: Any, limit: int) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > limit:
        raise ValueError(value)
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        raise ValueError(value)
    return value


def _bounded(name: str) -> Callable[[Any], int | None]:
    def parse(value: Any) -> int | None:
        return None if value is None else _number(name, value)

    return parse


def _number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(value)
    if not BOUNDS[name].low <= value <= BOUNDS[name].high:
        raise ValueError(value)
    return value


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
    return tuple(dict.fromkeys(_name(item) for item in _list(value, rules.MAX_MODELS)))


def _model_roles(value: Any) -> dict[str, tuple[int, ...]]:
    roles = _ids(rules.MAX_ROLES)
    return {_name(k): roles(v) for k, v in _dict(value, rules.MAX_MODELS).items() if v}


def _role_quotas(value: Any) -> dict[int, int]:
    entries = _dict(value, rules.MAX_ROLES).items()
    return {_id(role): _number("quota", count) for role, count in entries}


def _defaults(value: Any) -> dict[str, Any]:
    """Only shapes are looked at here; whether a model is there is the catalogue's to say."""
    values = _dict(value, len(DEFAULTS))
    for name, item in values.items():
        known = name in DEFAULTS and isinstance(item, str | int | float)
        if not known or isinstance(item, bool) or len(str(item)) > MAX_PROMPT:
            raise ValueError(name)
    return dict(values)


def _channel_defaults(value: Any) -> dict[int, dict[str, Any]]:
    entries = _dict(value, rules.MAX_CHANNEL_DEFAULTS).items()
    return {_id(channel): _defaults(values) for channel, values in entries if values}


def _words(value: Any) -> tuple[str, ...]:
    words = [item for item in _list(value, rules.MAX_WORDS) if len(item) <= rules.MAX_WORD]
    if len(words) < len(value):
        raise ValueError(value)
    text = "\n".join(words)
    # All of them stand in one form.
    if len(text) > MAX_PROMPT:
        raise ValueError(value)
    return read_words(text)


READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "channels": _ids(rules.MAX_CHANNELS),
    "roles": _ids(rules.MAX_ROLES),
    "models": _models,
    "model_roles": _model_roles,
    "max_steps": _bounded("max_steps"),
    "max_size": _bounded("max_size"),
    "max_count": _bounded("max_count"),
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
    "banned": _ids(rules.MAX_BANNED),
}
