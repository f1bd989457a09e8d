"""The forms of /config: what each asks, and what was typed into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import discord
from discord import Locale, ui

from bot.posts.controls import standing_id
from bot.posts.forms import build_form, text_field
from bot.rules.server import BOUNDS, MAX_WORD, MOST, Server
from bot.rules.words import read_words
from bot.translate import t

MAX_NUMBER: Final = 6
MAX_SEARCH: Final = 100
# What a field of a form holds, and what we ask to be typed at once.
MAX_TEXT: Final = 4000


def limits_form(server: Server, names: Iterable[str], locale: Locale) -> ui.Modal:
    """Ask for some of the bounds, filled in as they are; an empty one is the bot's own."""
    fields = [
        _number_field(name, name, getattr(server, name), "config.form.empty_bot", locale)
        for name in names
    ]
    return _form("limits", "config_limits_set", locale, *fields)


def read_limits(fields: dict[str, str]) -> dict[str, int | None]:
    """Read the bounds that were typed. Raises :class:`~core.errors.InvalidRequest`."""
    return {name: _number(name, text) for name, text in fields.items() if name in BOUNDS}


def quota_form(server: Server, role: int, locale: Locale) -> ui.Modal:
    """Ask for pictures a day, for a role or (``role`` 0) for everybody; empty is no limit."""
    value = server.role_quotas.get(role) if role else server.quota
    setting = "role_quotas" if role else "quota"
    field = _number_field("quota", setting, value, "config.form.empty_none", locale)
    return _form("quota", "config_quota_set", locale, field, number=role)


def read_quota(fields: dict[str, str]) -> int | None:
    """Read the number that was typed. Raises :class:`~core.errors.InvalidRequest`."""
    return _number("quota", fields.get("quota", ""))


def words_form(server: Server, locale: Locale) -> ui.Modal:
    """Ask for the blocked words, filled in as they are, one a line."""
    label, hint = t("config.form.words_label", locale), t("config.form.words_hint", locale)
    words, long = "\n".join(server.words)[:MAX_TEXT], discord.TextStyle.paragraph
    field = text_field("words", label, MAX_TEXT, words, hint, required=False, style=long)
    return _form("words", "config_words_set", locale, field)


def typed_words(fields: dict[str, str]) -> tuple[str, ...] | None:
    """Read the words that were typed; None when they are too many or one is too long.

    All of them fit into one form, so that the next one shows them all.
    """
    words = read_words(fields.get("words", ""))
    fits = len(words) <= MOST["words"] and len("\n".join(words)) <= MAX_TEXT
    return words if fits and all(len(word) <= MAX_WORD for word in words) else None


def find_form(locale: Locale) -> ui.Modal:
    """Ask for a part of a model's name."""
    field = text_field("name", t("config.form.find_label", locale), MAX_SEARCH)
    return _form("find", "config_found", locale, field)


def _form(
    name: str, action: str, locale: Locale, *fields: ui.Label[ui.Modal], number: int | None = None
) -> ui.Modal:
    return build_form(t(f"config.form.{name}", locale), standing_id(action, number), *fields)


def _number_field(
    name: str, setting: str, value: int | None, hint: str, locale: Locale
) -> ui.Label[ui.Modal]:
    low, high = f"{BOUNDS[name].low:g}", f"{BOUNDS[name].high:.12g}"
    label, hint = t(f"config.setting.{setting}", locale), t(hint, locale, low=low, high=high)
    shown = "" if value is None else str(value)
    return text_field(name, label, MAX_NUMBER, shown, hint, required=False)


def _number(name: str, text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    number = int(BOUNDS[name].read(name, text))
    BOUNDS[name].check(name, number)
    return number
