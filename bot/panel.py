"""The ephemeral panel behind "More…", and what opens from it. Pure layout."""

from __future__ import annotations

from typing import Final

import discord
from discord import ui

from bot.answers import excerpt
from bot.controls import button, layout, row
from bot.store import Job
from bot.translate import t

PROMPT_LENGTH: Final = 200
# A post holds 4,000 characters; the rest of the sentence and the fence stand around the text.
MAX_CODE: Final = 3800


def panel_view(job: Job, locale: discord.Locale, *, may_delete: bool) -> ui.LayoutView:
    """Everything further one can do with a result."""
    controls = [
        button(t("control.save_preset", locale), "preset", job.id, emoji="💾"),
        button(t("control.parameters", locale), "parameters", job.id, emoji="📋"),
        button(t("control.take_seed", locale), "take_seed", job.id, emoji="📌"),
    ]
    if may_delete:
        danger = discord.ButtonStyle.danger
        controls.append(
            button(t("control.delete", locale), "delete", job.id, emoji="🗑️", style=danger)
        )
    title = t("panel.title", locale, prompt=excerpt(job.request.prompt, PROMPT_LENGTH) or "—")
    return layout(ui.TextDisplay(title), row(*controls))


def confirm_view(job: Job, locale: discord.Locale) -> ui.LayoutView:
    """Asks before a picture goes for good."""
    return layout(
        ui.TextDisplay(t("panel.confirm", locale)),
        row(
            button(
                t("control.delete", locale),
                "delete_now",
                job.id,
                style=discord.ButtonStyle.danger,
            ),
            button(t("control.keep", locale), "keep", job.id),
        ),
    )


def seed_view(job: Job, seed: int, locale: discord.Locale) -> ui.LayoutView:
    """Says that a seed was taken, and how to let it go."""
    return layout(
        ui.TextDisplay(t("panel.seed_taken", locale, seed=seed)),
        row(button(t("control.free_seed", locale), "free_seed", job.id)),
    )


def text_view(text: str) -> ui.LayoutView:
    """One sentence in place of a panel."""
    return layout(ui.TextDisplay(text))


def code_view(text: str, locale: discord.Locale) -> ui.LayoutView | None:
    """Parameters to be copied; None where they do not fit and go into a file instead."""
    if len(text) > MAX_CODE or "```" in text:
        return None
    return layout(ui.TextDisplay(f"{t('panel.parameters', locale)}\n```\n{text}\n```"))


def file_view(name: str, locale: discord.Locale) -> ui.LayoutView:
    """The same with the file ``name`` sent along."""
    return layout(ui.TextDisplay(t("panel.parameters", locale)), ui.File(f"attachment://{name}"))
