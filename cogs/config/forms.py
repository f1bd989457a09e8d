"""The forms of /config: what each asks, and what was typed into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.exceptions import TooManyWords
from bot.posts.controls import standing_id
from bot.posts.forms import build_form, read_all, text_field
from bot.rules.server import BOUNDS, MAX_WORD, MOST, SETTINGS, FileKind, Server
from bot.rules.words import read_words
from bot.translate import t
from cogs.config.file_actions import FILE_ACTIONS

MAX_NUMBER: Final = 6
MAX_SEARCH: Final = 100
# What a field of a form holds: all blocked words, so that the form always shows every word.
MAX_FIELD: Final = 4000


def settings_form(server: Server, names: Sequence[str], locale: Locale, role: int = 0) -> ui.Modal:
    """Ask for settings of one panel, with their values filled in; with ``role``, for its quota."""
    panel = SETTINGS[names[0]].panel
    number = role if panel == "quota" else None
    fields = (_field(server, name, locale, role) for name in names)
    title = t(f"config.form.{panel}", locale)
    return build_form(title, standing_id(f"config_{panel}_set", number), *fields)


def _field(server: Server, name: str, locale: Locale, role: int) -> ui.Label[ui.Modal]:
    if name == "words":
        label, hint = t("config.form.words_label", locale), t("config.form.words_hint", locale)
        text, long = "\n".join(server.words)[:MAX_FIELD], discord.TextStyle.paragraph
        return text_field(name, label, MAX_FIELD, text, hint, required=False, style=long)
    value = server.role_quotas.get(role) if role else getattr(server, name)
    label = t(f"config.setting.{'role_quotas' if role else name}", locale)
    low, high = f"{BOUNDS[name].low:g}", f"{BOUNDS[name].high:.12g}"
    empty = "config.form.empty_none" if name == "quota" else "config.form.empty_bot"
    hint, text = t(empty, locale, low=low, high=high), "" if value is None else str(value)
    return text_field(name, label, MAX_NUMBER, text, hint, required=False)


def read(fields: Mapping[str, str]) -> dict[str, Any]:
    """Read the settings that were typed; a number left empty is None.

    Raises as :func:`~bot.posts.forms.read_all`.
    """
    readers = dict.fromkeys(BOUNDS, _number) | {"words": _words}
    typed = {name: text for name, text in fields.items() if name in readers}
    return read_all(lambda name, text: readers[name](name, text), typed)


def _number(name: str, text: str) -> int | None:
    if not text:
        return None
    number = int(BOUNDS[name].read(name, text))
    BOUNDS[name].check(name, number)
    return number


def _words(_: str, text: str) -> tuple[str, ...]:
    words = read_words(text)
    too_long = any(len(word) > MAX_WORD for word in words)
    if too_long or len(words) > MOST["words"] or len("\n".join(words)) > MAX_FIELD:
        raise TooManyWords(MOST["words"], MAX_WORD)
    return words


def find_form(kind: FileKind, locale: Locale) -> ui.Modal:
    """Ask for a part of a file's name."""
    field = text_field("name", t("config.form.find_label", locale), MAX_SEARCH)
    title = t(f"config.find.{kind}", locale)
    return build_form(title, standing_id(FILE_ACTIONS[kind].found), field)
