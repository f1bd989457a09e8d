"""The posts about presets: the one that shares a preset, an import, an exported file."""

from __future__ import annotations

from typing import Final

import discord
from discord import Locale, ui

from bot.answers import excerpt
from bot.errors import sentence
from bot.posts.controls import layout, row, standing_button
from bot.posts.option_text import option_list
from bot.posts.panel import text_view
from bot.store.names import MAX_NAME
from bot.store.shares import Share
from bot.translate import t
from cogs.preset.preset_json import Imported

# Escaping can double a name.
NAME_LENGTH: Final = 2 * MAX_NAME
# How many of the values that an import left out are named.
MAX_LEFT_OUT: Final = 5
KEY_LENGTH: Final = 40


def share_view(share: Share, locale: Locale | str) -> ui.LayoutView:
    """The public post: who shares what, a button to take a copy, and one to stop sharing."""
    member, name = f"<@{share.user_id}>", excerpt(share.name, NAME_LENGTH)
    title = t("preset.shared", locale, member=member, name=name)
    look = {"emoji": "📥", "style": discord.ButtonStyle.primary}
    buttons = row(
        standing_button(t("control.import_preset", locale), "import", share.id, **look),
        standing_button(t("control.unshare", locale), "unshare", share.id),
    )
    return layout(ui.TextDisplay(option_list(title, share.values, locale)), buttons)


def imported_view(title: str, imported: Imported, locale: Locale | str) -> ui.LayoutView:
    """What was imported, then what was left out and why."""
    lines = [option_list(title, imported.values, locale)]
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
    return text_view("\n".join(lines))


def file_view(name: str, file: str, locale: Locale | str) -> ui.LayoutView:
    """A preset exported as the attached ``file``."""
    title = t("preset.exported", locale, name=excerpt(name, NAME_LENGTH))
    return layout(ui.TextDisplay(title), ui.File(f"attachment://{file}"))
