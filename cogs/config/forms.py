"""The forms of /config: what each asks, and what was typed into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import discord
from discord import Locale, ui

from bot.posts.controls import standing_id
from bot.rules import policy
from bot.rules.policy import BOUNDS, Server
from bot.rules.words import read_words
from bot.translate import t

MAX_NUMBER: Final = 6
MAX_SEARCH: Final = 100
# What a field of a form holds, and what we ask to be typed at once.
MAX_TEXT: Final = 4000


def limits_form(server: Server, names: Iterable[str], locale: Locale) -> ui.Modal:
    """Some of the bounds, as they are now; an empty one is the bot's own."""
    form = _form("limits", "config_limits_set", locale)
    for name in names:
        value = getattr(server, name)
        hint = _hint("config.form.empty_bot", name, locale)
        _ask(form, name, t(f"config.setting.{name}", locale), hint, _shown(value))
    return form


def read_limits(fields: dict[str, str]) -> dict[str, int | None]:
    """The bounds that were typed. Raises :class:`~core.errors.InvalidRequest`."""
    return {name: _number(name, text) for name, text in fields.items() if name in BOUNDS}


def quota_form(number: int | None, role_id: int, label: str, locale: Locale) -> ui.Modal:
    """Pictures a day, for a role or (``role_id`` 0) for everybody; empty is no number."""
    form = _form("quota", "config_quota_set", locale, role_id)
    hint = _hint("config.form.empty_none", "quota", locale)
    _ask(form, "quota", label, hint, _shown(number))
    return form


def read_quota(fields: dict[str, str]) -> int | None:
    """The number that was typed. Raises :class:`~core.errors.InvalidRequest`."""
    return _number("quota", fields.get("quota", ""))


def words_form(server: Server, locale: Locale) -> ui.Modal:
    """The blocked words as they are now, one a line."""
    form = _form("words", "config_words_set", locale)
    field: ui.TextInput[ui.Modal] = ui.TextInput(
        custom_id="words",
        style=discord.TextStyle.paragraph,
        default="\n".join(server.words)[:MAX_TEXT],
        required=False,
        max_length=MAX_TEXT,
    )
    hint = t("config.form.words_hint", locale)
    label = t("config.form.words_label", locale)
    return form.add_item(ui.Label(text=label, description=hint, component=field))


def typed_words(fields: dict[str, str]) -> tuple[str, ...] | None:
    """The words that were typed; None when they are too many or one is too long.

    All of them fit into one form, so that the next one shows them all.
    """
    words = read_words(fields.get("words", ""))
    fits = len(words) <= policy.MAX_WORDS and len("\n".join(words)) <= MAX_TEXT
    return words if fits and all(len(word) <= policy.MAX_WORD for word in words) else None


def find_form(locale: Locale) -> ui.Modal:
    """Asks for a part of a model's name."""
    form = _form("find", "config_found", locale)
    field: ui.TextInput[ui.Modal] = ui.TextInput(custom_id="name", max_length=MAX_SEARCH)
    return form.add_item(ui.Label(text=t("config.form.find_label", locale), component=field))


def _form(name: str, action: str, locale: Locale, number: int | None = None) -> ui.Modal:
    title = t(f"config.form.{name}", locale)
    form = ui.Modal(title=title, custom_id=standing_id(action, number))
    # Not kept in memory: its submit is recognised by its custom_id.
    form.stop()
    return form


def _ask(form: ui.Modal, name: str, label: str, hint: str, value: str) -> None:
    field: ui.TextInput[ui.Modal] = ui.TextInput(
        custom_id=name, default=value, required=False, max_length=MAX_NUMBER
    )
    form.add_item(ui.Label(text=label, description=hint, component=field))


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


def _hint(key: str, name: str, locale: Locale) -> str:
    bounds = BOUNDS[name]
    return t(key, locale, low=f"{bounds.low:g}", high=f"{bounds.high:.12g}")


def _number(name: str, text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        raise BOUNDS[name].invalid(name, text) from None
    BOUNDS[name].check(name, number)
    return number
