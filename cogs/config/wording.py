"""The values of a server's settings as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from discord import Locale

from bot.posts.option_text import option_texts, value_text
from bot.rules.server import SETTINGS, By, Each, Kind, Server
from bot.translate import t
from core.options import Range

# One post holds 4,000 characters; some twenty settings, some of them lists, must fit.
LIST_LENGTH: Final = 170
ENTRY_LENGTH: Final = 60
NAME_LENGTH: Final = 40
VALUE_LENGTH: Final = 80

# Each language by its own name, which is the same in every language.
LANGUAGES: Final = {"en": "English", "ja": "日本語", "zh-CN": "简体中文", "zh-TW": "繁體中文"}

# As Discord shows what has such an id.
MENTIONS: Final = {"channel": "<#{}>", "role": "<@&{}>", "member": "<@{}>"}


def setting_text(server: Server, name: str, locale: Locale) -> str:
    """Return one setting's value; where it is unset, what that means."""
    kind, value = SETTINGS[name].kind, getattr(server, name)
    if isinstance(kind, tuple):
        return t(f"config.{name}.{value}", locale)
    if value in (None, (), {}):
        return t(f"config.default.{name}", locale)
    if isinstance(kind, Range):
        return f"{value:,}".replace(",", "\N{THIN SPACE}")
    if kind == "values":
        return joined(option_texts(value, locale, VALUE_LENGTH), locale, "list.between_lists")
    return _text(kind, value, locale, LIST_LENGTH)


def _text(kind: Kind, value: Any, locale: Locale, limit: int = ENTRY_LENGTH) -> str:
    match kind:
        case Each(of):
            return joined((_text(of, item, locale) for item in value), locale, limit=limit)
        case By(key, of):
            entries = (
                f"{_text(key, name, locale)} {_text(of, item, locale)}"
                for name, item in value.items()
            )
            return joined(entries, locale, "list.between_lists", limit)
        case "values":
            return joined(option_texts(value, locale, VALUE_LENGTH), locale, limit=limit)
        case "channel" | "role" | "member":
            return MENTIONS[kind].format(value)
        case "language":
            return LANGUAGES.get(value) or str(value)
        case _:
            return value_text(value, locale, NAME_LENGTH)


def joined(
    items: Iterable[str], locale: Locale, key: str = "list.between", limit: int = LIST_LENGTH
) -> str:
    """Join the first items, as many as fit within ``limit``, and the number of the others.

    The first is there whatever its length.
    """
    items, between = list(items), t(key, locale)
    text = items[0] if items else ""
    for place, item in enumerate(items[1:], 1):
        if len(text) + len(between) + len(item) > limit:
            return f"{text} … +{len(items) - place}"
        text += between + item
    return text


def lines_of(server: Server, names: Iterable[str], locale: Locale) -> str:
    """Return a line for each of these settings: its name and its value."""
    return "\n".join(
        t(
            "config.line",
            locale,
            name=t(f"config.setting.{name}", locale),
            value=setting_text(server, name, locale),
        )
        for name in names
    )
