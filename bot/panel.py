"""The ephemeral panel behind "More…", and what opens from it. Pure layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import discord
from discord import ui

from bot.answers import excerpt
from bot.controls import Control, button, layout, row, select
from bot.store import Job
from bot.translate import t

PROMPT_LENGTH: Final = 200
# A post holds 4,000 characters; the rest of the sentence and the fence stand around the text.
MAX_CODE: Final = 3800


@dataclass(frozen=True, slots=True)
class Offers:
    """What one can do with a picture here: ``explore`` where clip skip does something,
    ``compare`` where there is another VAE, ``delete`` for whom it is theirs."""

    explore: bool = True
    compare: bool = True
    delete: bool = True


def panel_view(
    job: Job, locale: discord.Locale, offers: Offers, position: int = 0
) -> ui.LayoutView:
    """Everything further one can do with a result: with all of a sheet, or with one picture."""
    title = t("panel.title", locale, prompt=excerpt(job.request.prompt, PROMPT_LENGTH) or "—")
    items: list[ui.Item[ui.LayoutView]] = [ui.TextDisplay(title)]
    if job.request.count > 1:
        items.append(row(_which(job, locale, position)))
    groups = [] if job.sheet else [*_makers(job, locale, offers, position)]
    groups.append(_keepers(job, locale, offers, position))
    return layout(*items, *(row(*group) for group in groups if group))


def _which(job: Job, locale: discord.Locale, position: int) -> Control:
    options = [
        discord.SelectOption(
            label=t("control.which_option", locale, number=index + 1),
            value=str(index),
            default=index == position,
        )
        for index in range(job.request.count)
    ]
    return select(t("control.which", locale), "which", job.id, options)


def _makers(
    job: Job, locale: discord.Locale, offers: Offers, position: int
) -> Iterator[list[Control]]:
    """Buttons that draw something new from the picture, a line for each kind."""

    def make(name: str, emoji: str) -> Control:
        return button(t(f"control.{name}", locale), name, job.id, position or None, emoji=emoji)

    explore = [make("explore", "🔬")] if offers.explore else []
    compare = [make("compare", "🆎")] if offers.compare else []
    yield explore + compare
    # A picture is enlarged once; the enlarged one can still be a start image.
    yield [] if job.request.hires else [make("upscale", "🔍"), make("upscale_twice", "🔎")]
    yield [make("vary_subtly", "🌱"), make("vary_strongly", "🌳"), make("start", "🖼️")]


def _keepers(job: Job, locale: discord.Locale, offers: Offers, position: int) -> list[Control]:
    """What one does with the picture that is there."""
    controls = [
        button(t("control.save_preset", locale), "preset", job.id, emoji="💾"),
        button(t("control.parameters", locale), "parameters", job.id, position or None, emoji="📋"),
        button(t("control.take_seed", locale), "take_seed", job.id, position or None, emoji="📌"),
        button(t("control.dm", locale), "dm", job.id, emoji="✉️"),
    ]
    if offers.delete:
        danger = discord.ButtonStyle.danger
        controls.append(
            button(t("control.delete", locale), "delete", job.id, emoji="🗑️", style=danger)
        )
    return controls


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
