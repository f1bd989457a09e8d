"""Translated sentences, by key, from ``data/locales/<language>.json``.

A key missing in a language falls back to English; one missing in English is a bug and raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from discord import Locale, app_commands

from bot.settings import SHIPPED_DATA

ENGLISH: Final = "en"
# Discord's limit for the title of a form and the label of a field, in characters.
MAX_FORM_LABEL: Final = 45
_FOLDER: Final = SHIPPED_DATA / "locales"


@cache
def catalogues() -> dict[str, dict[str, str]]:
    """All catalogues, language → key → sentence, read from disk once."""
    return {
        path.stem: _flatten(json.loads(path.read_text("utf-8")))
        for path in sorted(_FOLDER.glob("*.json"))
    }


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in tree.items():
        key = prefix + name
        flat |= _flatten(value, key + ".") if isinstance(value, dict) else {key: value}
    return flat


def language_of(locale: Locale | str | None) -> str:
    """The catalogue for a Discord locale: its own, its language's, or English.

    A catalogue with a region in its name is for that locale alone: Traditional Chinese (``zh-TW``)
    has other words than ``zh-CN``.
    """
    name = str(locale or ENGLISH)
    for candidate in (name, name.partition("-")[0]):
        if candidate in catalogues():
            return candidate
    return ENGLISH


def speaks(locale: Locale | str) -> bool:
    """Whether there is a catalogue for this locale, without falling back to English."""
    return language_of(locale) != ENGLISH or str(locale).partition("-")[0] == ENGLISH


def t(key: str, locale: Locale | str | None = None, /, **values: object) -> str:
    """The sentence ``key`` in the member's language, its placeholders filled from ``values``.

    Raises :class:`KeyError` for an unknown key, or a placeholder without a value.
    """
    known = catalogues()
    sentence = known[language_of(locale)].get(key) or known[ENGLISH][key]
    return sentence.format(**values) if values else sentence


def listed(items: Iterable[str], locale: Locale | str | None, most: int | None = None) -> str:
    """Join items as the member's language does; past ``most``, the number of the rest follows."""
    items = list(items)
    rest = len(items) - len(items[:most])
    return t("list.between", locale).join(items[:most]) + (f" +{rest}" if rest else "")


def option_names(names: Iterable[str], locale: Locale | str | None = None) -> str:
    """The names of options, joined as :func:`listed` does."""
    return listed((t(f"option.{name}", locale) for name in names), locale)


def option_label(names: Iterable[str], locale: Locale | str | None = None) -> str:
    """The names of options as a label, or the title of a form: ``Steps, CFG scale``."""
    said = option_names(names, locale)
    return (said[:1].upper() + said[1:])[:MAX_FORM_LABEL]


def text(key: str) -> app_commands.locale_str:
    """The translatable description of a command or an option, for the decorators of a cog."""
    return app_commands.locale_str(t(key), key=key)


class CatalogueTranslator(app_commands.Translator):
    """Translates the descriptions made by :func:`text`."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: Locale,
        context: app_commands.TranslationContextTypes,
    ) -> str | None:
        """The text in ``locale``, or None where Discord is to show the English one."""
        key = string.extras.get("key")
        language = language_of(locale)
        if key is None or language == ENGLISH:
            return None
        return catalogues()[language].get(key)
