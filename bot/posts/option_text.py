"""The values of options as text, written alike wherever a member reads or copies them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from discord import Locale

from bot.answers import excerpt
from bot.ordering.layers import LAYERED
from bot.translate import t

VALUE_LENGTH: Final = 200


def typed_text(value: Any) -> str:
    """Return a value as it can be typed into a command."""
    return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())


def value_text(value: Any, locale: Locale | str, length: int = VALUE_LENGTH) -> str:
    """Return a value in the reader's language, its markdown escaped, ``length`` long at most."""
    if isinstance(value, bool):
        return t("word.yes" if value else "word.no", locale)
    return excerpt(typed_text(value), length) or "—"


def option_texts(
    values: Mapping[str, Any], locale: Locale | str, length: int = VALUE_LENGTH
) -> list[str]:
    """Return ``clip skip 2`` for each value, in the order of the options."""
    return [
        f"{t(f'option.{name}', locale)} {value_text(values[name], locale, length)}"
        for name in LAYERED
        if name in values
    ]


def option_list(
    title: str, values: Mapping[str, Any], locale: Locale | str, length: int = VALUE_LENGTH
) -> str:
    """Return the title and a line for each value."""
    return "\n".join([title, *(f"- {item}" for item in option_texts(values, locale, length))])
