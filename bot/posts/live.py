"""The post while its job waits and runs: position in the queue, progress with a preview, Cancel.

A failed edit is only logged, for the result is delivered without it.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

import discord
from discord import Locale, ui

from bot.answers import DISCORD_ERRORS, excerpt
from bot.errors import sentence
from bot.posts.controls import button, layout, row
from bot.store import Job
from bot.translate import t
from core.errors import PenultimateError
from core.events import Progress, Queued, Restarting, Started

log = logging.getLogger(__name__)

# Discord allows about 5 edits in 5 s in a channel, for all jobs together.
SECONDS_BETWEEN_EDITS: Final = 2.5
# When a job starts, the positions of all queued jobs change.
SECONDS_BETWEEN_PLACES: Final = 10.0
PROMPT_LENGTH: Final = 200
BAR: Final = 12

LiveEvent = Queued | Started | Progress | Restarting
EngineState = Literal["starting", "ready", "restarting", "stopped"]
# Without files, those that the post has are kept.
Edit = Callable[[ui.LayoutView, list[discord.File] | None], Awaitable[None]]


class LivePost:
    """Edits one post: an event of another kind at once, else at intervals.

    Without a timer, for an event that is skipped is followed by a newer one. ``clock`` gives
    seconds; ``late`` says whether the post can be edited for a few more minutes only. ``before``
    are the pictures that the post shows until there are new ones, in place of a preview.
    """

    def __init__(
        self,
        job: Job,
        edit: Edit,
        engine_state: Callable[[], EngineState],
        clock: Callable[[], float] = time.perf_counter,
        late: Callable[[], bool] = lambda: False,
        before: Sequence[discord.MediaGalleryItem] = (),
    ) -> None:
        self._job = job
        self._edit = edit
        self._engine_state = engine_state
        self._clock = clock
        self._late = late
        self._before = before
        self._shown: type[LiveEvent] | None = None
        self._edited_at = 0.0
        self._lost = False

    def mark_shown(self, event: LiveEvent) -> None:
        """Note that the post shows ``event``."""
        self._shown, self._edited_at = type(event), self._clock()

    async def show(self, event: LiveEvent) -> None:
        """Show ``event``, or skip it if the last edit was too recent."""
        if self._lost or not self._due(event):
            return
        self.mark_shown(event)
        try:
            await self._edit(self.view(event), self._files(event))
        except DISCORD_ERRORS as error:
            # The token is invalid or the post deleted; the result has other routes.
            self._lost = isinstance(error, discord.HTTPException) and error.status < 500
            log.info("job %d: its progress was not shown: %s", self._job.id, error)

    def view(self, event: LiveEvent) -> ui.LayoutView:
        """The post that shows ``event``."""
        state, late = self._engine_state(), self._late()
        return live_view(self._job, event, state, late=late, before=self._before)

    def _files(self, event: LiveEvent) -> list[discord.File] | None:
        preview = event.preview if isinstance(event, Progress) else None
        if self._before:
            return None
        if not preview or self._job.spoiler:
            # It has not been checked for NSFW content.
            return []
        return [discord.File(io.BytesIO(preview), "preview.png")]

    def _due(self, event: LiveEvent) -> bool:
        # The first progress follows "started" at once, so that is shown only after a pause.
        at_once = type(event) is not self._shown and not isinstance(event, Started)
        pause = SECONDS_BETWEEN_PLACES if isinstance(event, Queued) else SECONDS_BETWEEN_EDITS
        return at_once or self._clock() - self._edited_at >= pause


def live_view(
    job: Job,
    event: LiveEvent,
    engine_state: EngineState,
    *,
    late: bool = False,
    before: Sequence[discord.MediaGalleryItem] = (),
) -> ui.LayoutView:
    """The post that shows ``event``; a preview is the attached file ``preview.png``.

    ``before`` are pictures to show in its place. ``late`` adds that the post may not be updated
    further, and where the picture will be sent.
    """
    items: list[ui.Item[ui.LayoutView]] = []
    if before:
        items.append(ui.MediaGallery(*before))
    elif isinstance(event, Progress) and event.preview and not job.spoiler:
        items.append(ui.MediaGallery(discord.MediaGalleryItem("attachment://preview.png")))
    text = f"{_status(job, event, engine_state)}\n-# {excerpt(job.request.prompt, PROMPT_LENGTH)}"
    if late:
        text += f"\n-# {t('live.late', job.locale)}"
    cancel = button(t("control.cancel", job.locale), "cancel", job.id)
    return layout(*items, ui.TextDisplay(text), row(cancel))


def shown_pictures(message: discord.Message | None) -> tuple[discord.MediaGalleryItem, ...]:
    """The pictures that a message shows, by their addresses, for another view of it."""
    return tuple(
        discord.MediaGalleryItem(item.media.url, description=item.description, spoiler=item.spoiler)
        for part in (message.components if message is not None else ())
        if isinstance(part, discord.MediaGalleryComponent)
        for item in part.items
    )


def ended_view(
    job: Job, error: PenultimateError | None, locale: Locale | str, *, mention: bool = False
) -> ui.LayoutView:
    """The post of a job that ended without a picture: the error, and buttons to retry."""
    why = sentence(error, locale) if error else t("live.cancelled", locale)
    name = f"<@{job.user_id}> " if mention else ""
    text = f"{name}{why}\n-# {excerpt(job.request.prompt, PROMPT_LENGTH)}"
    again = button(t("control.again", locale), "again", job.id)
    edit = button(t("control.edit", locale), "edit", job.id)
    # What is only enlarged has no prompt to edit.
    buttons = (again,) if job.request.only_enlarges else (again, edit)
    return layout(ui.TextDisplay(text), row(*buttons))


def _status(job: Job, event: LiveEvent, engine_state: EngineState) -> str:
    match event:
        case Progress(step=step, steps=steps):
            done = round(BAR * step / steps) if steps else 0
            bar = "▰" * done + "▱" * (BAR - done)
            return t("live.progress", job.locale, bar=bar, step=step, steps=steps)
        case Started():
            return t("live.started", job.locale)
        case Restarting():
            return t("live.restarting", job.locale)
        case Queued(position=position, total=total, eta=eta):
            return _place(job, position, total, eta, engine_state)


def _place(
    job: Job, position: int, total: int, eta: float | None, engine_state: EngineState
) -> str:
    if engine_state == "restarting":
        return t("live.restarting", job.locale)
    if engine_state == "starting" and position == 1:
        return t("live.warming_up", job.locale)
    if position == 1:
        place = t("live.next", job.locale)
    else:
        place = t("live.place", job.locale, position=position, total=total)
    if engine_state == "starting":
        return f"{place} · {t('live.warming', job.locale)}"
    if eta is None:
        return place
    return f"{place} · {eta_text(eta, job.locale)}"


def eta_text(seconds: float, locale: Locale | str) -> str:
    """When a job is likely to be done; Discord's client counts it down without an edit."""
    when = int(discord.utils.utcnow().timestamp() + seconds)
    return t("live.eta", locale, when=f"<t:{when}:R>")
