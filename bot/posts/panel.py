"""The layout of the ephemeral panel behind "More…", and of the views it opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import discord
from discord import ui

from bot.answers import excerpt
from bot.ordering.attachments import Readable
from bot.ordering.enlarging import SCALES
from bot.posts.controls import (
    MAX_LABEL,
    MAX_OPTIONS,
    Control,
    button,
    layout,
    row,
    select,
    select_options,
    standing_button,
    standing_select,
)
from bot.store import Job
from bot.translate import t

PROMPT_LENGTH: Final = 200
# A gallery holds 10 pictures.
MAX_PICTURES: Final = 10
# The panel's actions on all of a job's pictures; each other is on one.
OF_ALL: Final = ("preset", "dm", "delete")


@dataclass(frozen=True, slots=True)
class Offers:
    """Which actions the panel offers: ``explore`` where clip skip has an effect, ``compare`` where
    there is another VAE, ``delete`` to who may delete the job."""

    explore: bool = True
    compare: bool = True
    delete: bool = True


def panel_view(
    job: Job, locale: discord.Locale, offers: Offers, position: int = 0
) -> ui.LayoutView:
    """The panel: the further actions on a sheet, or on one picture of the job."""
    title = t("panel.title", locale, prompt=excerpt(job.request.prompt, PROMPT_LENGTH) or "—")
    items: list[ui.Item[ui.LayoutView]] = [ui.TextDisplay(title)]
    if job.request.count > 1:
        items.append(row(which_select(job, locale, position)))
    for line in filter(None, _lines(job, offers)):
        items.append(row(*(_button(*each, job, locale, position) for each in line)))
    return layout(*items)


def which_select(job: Job, locale: discord.Locale, position: int, action: str = "which") -> Control:
    """A select over the pictures of a job."""
    count = job.request.count
    labels = {str(i): t("control.which_option", locale, number=i + 1) for i in range(count)}
    options = select_options(labels, str(position))
    return select(t("control.which", locale), action, job.id, options)


def _lines(job: Job, offers: Offers) -> Iterator[list[tuple[str, str]]]:
    """Actions and emojis, a row for each kind: those that make a new job, those that keep something
    of a picture, those that copy or delete the whole."""
    if job.request.only_enlarges:
        yield [("start", "🖼️"), ("parameters", "📋")]
        yield [("dm", "✉️")] + [("delete", "🗑️")] * offers.delete
        return
    if job.sheet is None:
        yield [("explore", "🔬")] * offers.explore + [("compare", "🆎")] * offers.compare
        # An upscaled picture is not upscaled again, but may be a start image.
        redrawn = [] if job.request.hires else [("upscale", "🔍"), ("upscale_twice", "🔎")]
        yield [] if job.request.enlarge else [*redrawn, ("enlarge", "⏫")]
        yield [("vary_subtly", "🌱"), ("vary_strongly", "🌳"), ("start", "🖼️")]
    one_seed = job.sheet is None or not job.sheet.varies("seed")
    yield [("preset", "💾"), ("parameters", "📋")] + [("take_seed", "📌")] * one_seed
    yield [("dm", "✉️")] + [("delete", "🗑️")] * offers.delete


def _button(action: str, emoji: str, job: Job, locale: discord.Locale, position: int) -> Control:
    label = t("control.save_preset" if action == "preset" else f"control.{action}", locale)
    styles = discord.ButtonStyle
    style = styles.danger if action == "delete" else styles.secondary
    place = None if action in OF_ALL else position or None
    return button(label, action, job.id, place, emoji=emoji, style=style)


def which_start_view(
    job: Job, pictures: Sequence[Readable], locale: discord.Locale, action: str = "start"
) -> ui.LayoutView:
    """The question which of a job's pictures the ``action`` is for, to start from it or enlarge it;
    ``pictures`` are those of its post."""
    pick = [
        button(str(index + 1), action, job.id, index or None, emoji="🖼️")
        for index in range(job.request.count)
    ]
    return _asked(pictures, pick, locale, hidden=job.spoiler)


def which_foreign_view(
    pictures: Sequence[Readable], locale: discord.Locale, action: str = "start_from"
) -> ui.LayoutView:
    """The same question for a message of no job; ``action`` is what follows. Its choices are the
    pictures it shows itself, so that nothing is kept in memory."""
    pictures = pictures[:MAX_PICTURES]
    pick = [
        standing_button(str(index + 1), action, index, emoji="🖼️") for index in range(len(pictures))
    ]
    hidden = any(isinstance(each, discord.Attachment) and each.is_spoiler() for each in pictures)
    return _asked(pictures, pick, locale, hidden=hidden)


def _asked(
    pictures: Sequence[Readable], pick: Sequence[Control], locale: discord.Locale, *, hidden: bool
) -> ui.LayoutView:
    media = [
        discord.MediaGalleryItem(
            picture.url,
            description=t("control.which_option", locale, number=index + 1),
            spoiler=hidden,
        )
        for index, picture in enumerate(pictures)
    ]
    said = ui.TextDisplay[ui.LayoutView](t("control.which", locale))
    gallery = [ui.MediaGallery[ui.LayoutView](*media)] if media else []
    rows = [row(*pick[start : start + 5]) for start in range(0, len(pick), 5)]
    return layout(said, *gallery, *rows)


def enlarge_view(
    job: Job, upscalers: Sequence[str], locale: discord.Locale, position: int | None = None
) -> ui.LayoutView:
    """The choice of a scale and an upscaler, a select a scale: nothing is kept in memory."""
    options = _upscaler_options(upscalers)
    said = ui.TextDisplay[ui.LayoutView](t("panel.enlarge", locale))
    selects = (
        select(_scale(scale, locale), action, job.id, options, position)
        for action, scale in SCALES.items()
    )
    return layout(said, *map(row, selects))


def enlarge_foreign_view(
    picture: Readable, upscalers: Sequence[str], locale: discord.Locale
) -> ui.LayoutView:
    """The same for an image of no job, which the view shows."""
    said = ui.TextDisplay[ui.LayoutView](t("panel.enlarge", locale))
    spoiler = isinstance(picture, discord.Attachment) and picture.is_spoiler()
    gallery = ui.MediaGallery[ui.LayoutView](discord.MediaGalleryItem(picture.url, spoiler=spoiler))
    selects = (
        standing_select(_scale(scale, locale), action, options=_upscaler_options(upscalers))
        for action, scale in SCALES.items()
    )
    return layout(said, gallery, *map(row, selects))


def _upscaler_options(names: Sequence[str]) -> list[discord.SelectOption]:
    shown = [name for name in names if len(name) <= MAX_LABEL]
    # The last is Lanczos, which is there in any case.
    return select_options({name: name for name in (*shown[: MAX_OPTIONS - 1], shown[-1])})


def _scale(scale: float, locale: discord.Locale) -> str:
    return t("control.enlarge_by", locale, scale=f"{scale:g}")


def confirm_view(job: Job, locale: discord.Locale) -> ui.LayoutView:
    """The confirmation of a deletion."""
    danger = discord.ButtonStyle.danger
    delete = button(t("control.delete", locale), "delete_now", job.id, style=danger)
    keep = button(t("control.keep", locale), "keep", job.id)
    return layout(ui.TextDisplay(t("panel.confirm", locale)), row(delete, keep))


def seed_view(job: Job, seed: int, locale: discord.Locale) -> ui.LayoutView:
    """The message that a seed is saved, with a button that removes it."""
    free = button(t("control.free_seed", locale), "free_seed", job.id)
    return layout(ui.TextDisplay(t("panel.seed_taken", locale, seed=seed)), row(free))


def text_view(text: str) -> ui.LayoutView:
    """A view of one sentence, to replace a panel."""
    return layout(ui.TextDisplay(text))
