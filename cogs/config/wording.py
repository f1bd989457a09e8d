"""A server's settings in words: what each is set to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from discord import Locale

from bot.answers import excerpt
from bot.rules.server import DEFAULTS, SETTINGS, By, Each, Kind, Server
from bot.translate import t
from core.options import Range

# One post holds 4,000 characters; some twenty settings, some of them lists, must fit.
LIST_LENGTH: Final = 170
ENTRY_LENGTH: Final = 60
NAME_LENGTH: Final = 40
VALUE_LENGTH: Final = 80

# Each language by its own name, which is the same in every language.
LANGUAGES: Final = {"en": "English", "ja": "日本語", "zh-CN": "简体中文"}

# As Discord shows what has such an id.
MENTIONS: Final = {"channel": "<#{}>", "role": "<@&{}>", "member": "<@{}>"}


def value_text(server: Server, name: str, locale: Locale) -> str:
    """One setting's value in words; its default says what that means."""
    kind, value = SETTINGS[name].kind, getattr(server, name)
    if isinstance(kind, tuple):
        return t(f"config.{name}.{value}", locale)
    if value in (None, (), {}):
        return t(f"config.default.{name}", locale)
    if isinstance(kind, Range):
        return f"{value:,}".replace(",", "\N{THIN SPACE}")
    if kind == "values":
        return joined(values_said(value, locale), locale, "list.between_lists")
    return _said(kind, value, locale, LIST_LENGTH)


def _said(kind: Kind, value: Any, locale: Locale, limit: int = ENTRY_LENGTH) -> str:
    match kind:
        case Each(of):
            return joined((_said(of, item, locale) for item in value), locale, limit=limit)
        case By(key, of):
            entries = (
                f"{_said(key, name, locale)} {_said(of, item, locale)}"
                for name, item in value.items()
            )
            return joined(entries, locale, "list.between_lists", limit)
        case "values":
            return joined(values_said(value, locale), locale, limit=limit)
        case "flag":
            return t("word.yes" if value else "word.no", locale)
        case "channel" | "role" | "member":
            return MENTIONS[kind].format(value)
        case "language":
            return LANGUAGES.get(value) or str(value)
        case _:
            return excerpt(str(value), NAME_LENGTH)


def values_said(values: Mapping[str, Any], locale: Locale) -> list[str]:
    """``steps 30`` for each value, in the order of the options."""
    return [
        f"{t(f'option.{name}', locale)} {excerpt(_plain(values[name]), VALUE_LENGTH) or '—'}"
        for name in DEFAULTS
        if name in values
    ]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def joined(
    items: Iterable[str], locale: Locale, key: str = "list.between", limit: int = LIST_LENGTH
) -> str:
    """As many as fit, whole; the rest is a number. The first always fits."""
    items, between = list(items), t(key, locale)
    text = items[0] if items else ""
    for place, item in enumerate(items[1:], 1):
        if len(text) + len(between) + len(item) > limit:
            return f"{text} … +{len(items) - place}"
        text += between + item
    return text


def lines_of(server: Server, names: Iterable[str], locale: Locale) -> str:
    """A line for each of these settings: its name and its value."""
    return "\n".join(_line(server, name, locale) for name in names)


def _line(server: Server, name: str, locale: Locale) -> str:
    label, value = t(f"config.setting.{name}", locale), value_text(server, name, locale)
    return t("config.line", locale, name=label, value=value)
