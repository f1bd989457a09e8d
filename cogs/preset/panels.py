"""How presets look: their values in words, and the post that shares one. Pure layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.answers import excerpt
from bot.errors import sentence
from bot.ordering.layers import LAYERED
from bot.posts.controls import layout, row, standing_button
from bot.store.names import MAX_NAME
from bot.store.shares import Share
from bot.translate import t
from cogs.preset.preset_json import Imported

# Escaping can double a name.
NAME_LENGTH: Final = 2 * MAX_NAME
VALUE_LENGTH: Final = 200
# What was left out of an import is said at most so often.
MAX_LEFT_OUT: Final = 5
KEY_LENGTH: Final = 40


def said(values: Mapping[str, Any], locale: Locale | str) -> list[str]:
    """``clip skip 2`` for each value, in the order of the options."""
    return [
        f"{t(f'option.{name}', locale)} {value_text(values[name], locale)}"
        for name in LAYERED
        if name in values
    ]


def value_text(value: Any, locale: Locale | str) -> str:
    """One value as it is shown."""
    if isinstance(value, bool):
        return t("word.yes" if value else "word.no", locale)
    if isinstance(value, float):
        return f"{value:g}"
    return excerpt(str(value), VALUE_LENGTH) or "—"


def values_view(title: str, values: Mapping[str, Any], locale: Locale | str) -> ui.LayoutView:
    """A sentence and a line for each value."""
    lines = [title, *(f"- {item}" for item in said(values, locale))]
    return layout(ui.TextDisplay("\n".join(lines)))


def share_view(share: Share, locale: Locale | str) -> ui.LayoutView:
    """The public post: who shares what, and a button to take a copy."""
    title = t(
        "preset.shared",
        locale,
        member=f"<@{share.user_id}>",
        name=excerpt(share.name, NAME_LENGTH),
    )
    lines = [title, *(f"- {item}" for item in said(share.values, locale))]
    return layout(
        ui.TextDisplay("\n".join(lines)),
        row(
            standing_button(
                t("control.import_preset", locale),
                "import",
                share.id,
                emoji="📥",
                style=discord.ButtonStyle.primary,
            ),
            standing_button(t("control.unshare", locale), "unshare", share.id),
        ),
    )


def imported_view(title: str, imported: Imported, locale: Locale | str) -> ui.LayoutView:
    """What was imported, then what was not and why."""
    lines = [title, *(f"- {item}" for item in said(imported.values, locale))]
    if imported.newer:
        lines.append(t("preset.newer", locale))
    for name, error in imported.left_out[:MAX_LEFT_OUT]:
        if error is None:
            shown = excerpt(name, KEY_LENGTH)
            lines.append(t("preset.unknown_value", locale, name=shown))
        else:
            lines.append(t("preset.left_out", locale, reason=sentence(error, locale)))
    more = len(imported.left_out) - MAX_LEFT_OUT
    if more > 0:
        lines.append(t("preset.left_out_more", locale, count=more))
    return layout(ui.TextDisplay("\n".join(lines)))


def file_view(name: str, file: str, locale: Locale | str) -> ui.LayoutView:
    """An exported preset, sent along as ``file``."""
    title = t("preset.exported", locale, name=excerpt(name, NAME_LENGTH))
    return layout(ui.TextDisplay(title), ui.File(f"attachment://{file}"))
