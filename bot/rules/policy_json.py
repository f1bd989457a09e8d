"""A server's settings as JSON: how they are stored, exported and imported.

Each value of an imported file is read on its own, and left out if it is invalid. Of stored settings
no restriction is ever left out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from bot.exceptions import UnreadableSettings
from bot.rules.server import DEFAULTS, MAX_WORD, SETTINGS, By, Each, Kind, Server
from bot.rules.values import check_kind, is_text, sendable
from bot.rules.words import read_words
from bot.translate import catalogues
from core.errors import InvalidRequest
from core.models.names import MAX_NAME
from core.options import MAX_PROMPT, Range

log = logging.getLogger(__name__)

# Increased when a setting's meaning changes, so that an older bot does not misread it.
VERSION: Final = 1
MAX_BYTES: Final = 256 * 1024
MAX_ID: Final = 2**63 - 1

# A remark on one setting: the end of a key below ``config.import``, and its placeholders.
Remark = tuple[str, dict[str, str]]


def to_json(server: Server) -> str:
    """Write every setting, the unset ones too."""
    values = {name: _plain(getattr(server, name)) for name in SETTINGS}
    return json.dumps({"version": VERSION, **values}, indent=2, ensure_ascii=False)


def from_json(text: str) -> Server:
    """Read what :func:`to_json` wrote. Lists are not shortened, which could allow more.

    Invalid defaults and other conveniences are left out, and logged. Raises
    :class:`~bot.exceptions.UnreadableSettings` where any other setting is invalid.
    """
    changes, remarks = _read(text, kept=True)
    for _, said in remarks:
        log.warning("a setting in the database cannot be used: %s", said["name"])
        if said["name"] in SETTINGS and not SETTINGS[said["name"]].convenience:
            raise UnreadableSettings("not_settings")
    return replace(Server(), **changes)


def read(text: str) -> tuple[dict[str, Any], list[Remark]]:
    """Read the settings of a file, by field, and remarks on those that were left out.

    Raises :class:`~bot.exceptions.UnreadableSettings` for another kind of file, or a newer version.
    """
    changes, remarks = _read(text)
    for name, setting in SETTINGS.items():
        if name in changes and (limit := _exceeded(setting.kind, changes[name])):
            del changes[name]
            remarks.append(("too_many", {"name": name, "limit": str(limit)}))
    return changes, remarks


def _exceeded(kind: Kind, value: Any) -> int | None:
    """The limit of a list that is too long, also inside a mapping; None without one."""
    if isinstance(kind, Each | By) and len(value) > kind.most:
        return kind.most
    if not isinstance(kind, By):
        return None
    return next(filter(None, (_exceeded(kind.of, item) for item in value.values())), None)


def _read(text: str, *, kept: bool = False) -> tuple[dict[str, Any], list[Remark]]:
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
    unset = Server()
    for name, value in data.items():
        if name not in SETTINGS:
            remarks.append(("unknown", {"name": sendable(name[:MAX_NAME])}))
            continue
        try:
            absent = value is None and getattr(unset, name) is None
            changes[name] = None if absent else _value(SETTINGS[name].kind, value, kept=kept)
        except (ValueError, TypeError, AttributeError, OverflowError, InvalidRequest):
            remarks.append(("unusable", {"name": name}))
    return changes, remarks


def _plain(value: Any) -> Any:
    """Convert to JSON's types. Ids become text: many programs round integers to 15 digits."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, int) and value > 2**32 else value


def _value(kind: Kind, value: Any, *, kept: bool) -> Any:
    """Read one value. Of ``kept`` defaults, which the bot stored, invalid ones are left out."""
    match kind:
        case Range():
            # The error's text is not used: the remark names the setting.
            kind.check("settings", value)
            return value
        case Each("word") if isinstance(value, list):
            return _words(value)
        case Each(of) if isinstance(value, list):
            return tuple(dict.fromkeys(_value(of, item, kept=kept) for item in value))
        case By() if isinstance(value, dict):
            return _entries(kind, value, kept=kept)
        case "values" if isinstance(value, dict):
            return _defaults(value, kept=kept)
        case "flag" if isinstance(value, bool):
            return value
        case "model" | "lora" | "embedding" if is_text(value) and 0 < len(value) <= MAX_NAME:
            return value
        case "language" if value in tuple(catalogues()):
            return value
        case tuple() if value in kind:
            return value
        case "channel" | "role" | "member" if _is_id(value):
            return int(value)
    raise ValueError(value)


def _is_id(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 19:
        return False
    return 0 < int(value) <= MAX_ID


def _words(value: list[Any]) -> tuple[str, ...]:
    words = [item for item in value if is_text(item) and len(item) <= MAX_WORD]
    text = "\n".join(words)
    # All words are edited in one text input.
    if len(words) < len(value) or len(text) > MAX_PROMPT:
        raise ValueError(value)
    return read_words(text)


def _entries(kind: By, value: dict[str, Any], *, kept: bool) -> dict[Any, Any]:
    entries = {}
    for key, item in value.items():
        # Empty lists and defaults are no entries, nor are stored defaults of another type.
        none = not item and not isinstance(kind.of, Range)
        if none or (kept and kind.of == "values" and not isinstance(item, dict)):
            continue
        if made := _value(kind.of, item, kept=kept):
            entries[_value(kind.key, key, kept=kept)] = made
    return entries


def _defaults(value: dict[str, Any], *, kept: bool) -> dict[str, Any]:
    """Check types and ranges only: whether a model exists depends on the catalogue."""
    usable = {}
    for name, item in value.items():
        try:
            if name not in DEFAULTS or len(str(item)) > MAX_PROMPT:
                raise ValueError(name)
            check_kind(name, item)
        except (ValueError, InvalidRequest):
            if not kept:
                raise
            log.warning("a default in the database cannot be used: %s", name)
        else:
            usable[name] = item
    return usable
