"""Accepting: what was asked for is checked, written, charged and submitted, then answered.

Accepted means written. The same for a command, a control, a form and a reaction; only the first
answer differs: an interaction's own, or a message in the channel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

from discord import ui

from bot.answers import DISCORD_ERRORS, Interaction
from bot.gate.gate import Gate
from bot.gate.origin import Origin
from bot.jobs.following import Following
from bot.ordering.orders import Order
from bot.posts.delivery import Delivery
from bot.posts.live import News, live_view
from bot.store import Job, Store
from core.errors import PenultimateError
from core.events import Queued, Started
from core.notes import Note
from core.serving.queue import GpuQueue
from core.serving.ticket import Ticket
from core.work import Work

log = logging.getLogger(__name__)

# Discord wants an answer within 3 s. Nearly always the job is written long before that, and the
# first answer is the post itself, or an ephemeral sentence; else it is "thinking" in the meantime.
PATIENCE: Final = 1.5


class Accepted(NamedTuple):
    """A job in the queue."""

    job: Job
    ticket: Ticket
    notes: tuple[Note, ...]


@dataclass(eq=False)
class Accepting:
    """Takes jobs in. Raises what ``bot.errors`` has words for, and then nothing was queued."""

    _store: Store
    _queue: GpuQueue
    _gate: Gate
    _delivery: Delivery
    _following: Following

    async def from_interaction(
        self,
        interaction: Interaction,
        origin: Origin,
        ordering: Awaitable[Order],
        parent: Job | None,
        unseen: Callable[[], bool],
    ) -> None:
        """Accept, with the live post as the answer, or in place of "thinking".

        ``unseen`` says whether an answer that must come now is for the member alone.
        """
        accepting = asyncio.ensure_future(self._accept(origin, ordering, parent))
        done, _ = await asyncio.wait({accepting}, timeout=PATIENCE)
        if not done and not interaction.response.is_done():
            with _nobody_there():
                await interaction.response.defer(thinking=True, ephemeral=unseen())

        async def answer(job: Job, view: Callable[[], ui.LayoutView]) -> int | None:
            if not interaction.response.is_done():
                try:
                    sent = await interaction.response.send_message(
                        view=view(), ephemeral=job.private
                    )
                    return sent.message_id
                except DISCORD_ERRORS as error:
                    # Discord may have taken it and only its reply was lost: then there is a post.
                    log.info("job %d: its first answer failed: %s", job.id, error)
            return (await interaction.edit_original_response(view=view())).id

        await self._begin(await accepting, answer, origin.filesize_limit)

    async def from_reaction(
        self, origin: Origin, ordering: Awaitable[Order], parent: Job | None
    ) -> None:
        """Accept, with the live post as a message in the channel; nobody sees a private one."""

        async def answer(job: Job, view: Callable[[], ui.LayoutView]) -> int | None:
            return None if job.private else (await self._delivery.announce(job, view())).id

        await self._begin(await self._accept(origin, ordering, parent), answer)

    async def write(self, origin: Origin, order: Order, parent: Job | None) -> Job:
        """Write the job of an order."""
        server = self._gate.server(origin.guild_id)
        return await self._store.jobs.create(
            order.request,
            user_id=origin.who.user_id,
            application_id=origin.application_id,
            guild_id=origin.guild_id,
            channel_id=origin.channel_id,
            interaction_token=origin.token,
            private=order.private,
            locale=self._gate.locale(origin.guild_id, origin.locale),
            parent_id=parent.id if parent else None,
            spoiler=server.hides,
            sheet=order.sheet,
        )

    async def posted(self, job: Job, message_id: int | None) -> Job:
        """Note the job's post, where there is one."""
        if message_id is None or job.channel_id is None:
            return job
        await self._store.jobs.set_message(job.id, job.channel_id, message_id)
        return replace(job, message_id=message_id)

    async def _accept(
        self, origin: Origin, ordering: Awaitable[Order], parent: Job | None
    ) -> Accepted:
        order = await ordering
        await self._gate.check(origin, order.requests)
        job = await self.write(origin, order, parent)
        work = work_of(job, order)
        try:
            await self._gate.charge(origin, job, work)
            return Accepted(job, self._queue.submit(work), order.notes)
        except PenultimateError:
            await self._store.jobs.delete(job.id)
            raise

    async def _begin(
        self,
        accepted: Accepted,
        answer: Callable[[Job, Callable[[], ui.LayoutView]], Awaitable[int | None]],
        limit: int | None = None,
    ) -> None:
        """Answer for the first time, then follow the job; an answer that fails is let go."""
        job, ticket, notes = accepted
        post, news = self._following.live_post(job), self._news(job)
        view = partial(live_view, job, news, self._following.engine_state())
        post.noted(news)
        with _nobody_there():
            job = await self.posted(job, await answer(job, view))
        self._following.begin(job, self._following.follow(job, ticket, post, notes, limit))

    def _news(self, job: Job) -> News:
        """Where the job stands in the line right now."""
        waiting = [place for place in self._queue.snapshot() if place.position is not None]
        for place in waiting:
            if place.job_id == job.id and place.position is not None:
                return Queued(job.id, place.position, len(waiting), place.eta)
        return Started(job.id)


def work_of(job: Job, order: Order) -> Work:
    """What the queue is given of a job."""
    return Work(job.id, str(job.user_id), order.items)


@contextmanager
def _nobody_there() -> Iterator[None]:
    """Go on when an answer does not get through: an accepted job finds its way without it."""
    try:
        yield
    except DISCORD_ERRORS as error:
        log.warning("an accepted job could not be answered: %s", error)
