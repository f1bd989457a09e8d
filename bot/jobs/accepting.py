"""Accepting a job: check, write, charge and submit it, then answer.

The same for commands, controls, forms and reactions; only the first answer differs: an
interaction's response, or a message in the channel.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import discord
from discord import ui

from bot.answers import DISCORD_ERRORS, Interaction
from bot.gate.gate import Gate
from bot.gate.origin import Origin
from bot.jobs.following import Following
from bot.ordering.orders import Order
from bot.posts.delivery import Delivery
from bot.posts.live import LiveEvent, shown_pictures
from bot.store import Job, Store
from core.errors import PenultimateError
from core.events import Queued, Started
from core.notes import Note
from core.serving.queue import GpuQueue
from core.serving.ticket import Ticket
from core.work import Work

log = logging.getLogger(__name__)

# Seconds after which the interaction is deferred, for Discord wants a response within 3 s. Usually
# the job is written sooner and the response is its post, or an ephemeral error.
SECONDS_TO_DEFER: Final = 1.5


@dataclass(eq=False)
class Accepting:
    """Accepts jobs. When an error is raised, nothing was queued."""

    _store: Store
    _queue: GpuQueue
    _gate: Gate
    _delivery: Delivery
    _following: Following
    # By owner, the jobs that are being accepted: their start images may take a while.
    _coming: Counter[str] = field(default_factory=Counter, init=False)

    async def from_interaction(
        self,
        interaction: Interaction,
        origin: Origin,
        ordering: Callable[[], Awaitable[Order]],
        parent: Job | None,
        ephemeral: Callable[[], bool],
        *,
        in_place: bool = False,
    ) -> None:
        """Accept, with the live post as the response, deferred if accepting takes long.

        ``ephemeral`` says whether a response deferred now is. With ``in_place`` the live post is
        the message that the control is under, if the job may have that.
        """
        accepting = asyncio.ensure_future(self._accept(origin, ordering, parent, in_place=in_place))
        done, _ = await asyncio.wait({accepting}, timeout=SECONDS_TO_DEFER)
        if not done and not interaction.response.is_done():
            with _without_answer():
                await interaction.response.defer(thinking=not in_place, ephemeral=ephemeral())
        answer = partial(_answer, interaction)
        await self._begin(await accepting, answer, origin.filesize_limit, interaction.message)

    async def from_reaction(
        self, origin: Origin, ordering: Callable[[], Awaitable[Order]], parent: Job | None
    ) -> None:
        """Accept, with the live post as a message in the channel; a private job has none."""

        async def answer(job: Job, view: Callable[[], ui.LayoutView]) -> int | None:
            return None if job.private else (await self._delivery.announce(job, view())).id

        await self._begin(await self._accept(origin, ordering, parent), answer)

    async def write(
        self, origin: Origin, order: Order, parent: Job | None, *, in_place: bool = False
    ) -> Job:
        """Write an order as a job; with ``in_place``, in its parent's message if it may."""
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
            # The channel must not see more than the member wants.
            in_place=in_place and not order.private,
            spoiler=server.hides,
            sheet=order.sheet,
        )

    async def posted(self, job: Job, message_id: int | None) -> Job:
        """Store the job's message, if it has one."""
        if message_id is None or job.channel_id is None:
            return job
        await self._store.jobs.set_message(job.id, job.channel_id, message_id)
        return replace(job, message_id=message_id)

    async def _accept(
        self,
        origin: Origin,
        ordering: Callable[[], Awaitable[Order]],
        parent: Job | None,
        *,
        in_place: bool = False,
    ) -> tuple[Job, Ticket, tuple[Note, ...]]:
        owner = str(origin.who.user_id)
        await self._gate.admit(origin)
        self._queue.check_room(owner, self._coming)
        self._coming[owner] += 1
        try:
            return await self._ordered(origin, await ordering(), parent, in_place)
        finally:
            self._coming[owner] -= 1
            self._coming += Counter()

    async def _ordered(
        self, origin: Origin, order: Order, parent: Job | None, in_place: bool
    ) -> tuple[Job, Ticket, tuple[Note, ...]]:
        await self._gate.check(origin, [item.request for item in order.items])
        job = await self.write(origin, order, parent, in_place=in_place)
        work = Work(job.id, str(job.user_id), self._gate.with_named(origin.guild_id, order.items))
        try:
            await self._gate.charge(origin, job, work)
            return job, self._queue.submit(work), order.notes
        except PenultimateError:
            await self._store.jobs.delete(job.id)
            raise

    async def _begin(
        self,
        accepted: tuple[Job, Ticket, tuple[Note, ...]],
        answer: Callable[[Job, Callable[[], ui.LayoutView]], Awaitable[int | None]],
        limit: int | None = None,
        pressed: discord.Message | None = None,
    ) -> None:
        """Send the first answer, then follow the job, even if the answer fails."""
        job, ticket, notes = accepted
        # Only one that takes its parent's place has a message already.
        before = shown_pictures(pressed) if job.message_id is not None else ()
        post, event = self._following.live_post(job, before), self._event(job)
        post.mark_shown(event)
        with _without_answer():
            job = await self.posted(job, await answer(job, partial(post.view, event)))
        self._following.begin(job.id, self._following.follow(job, ticket, post, notes, limit))

    def _event(self, job: Job) -> LiveEvent:
        """The job's present position in the queue."""
        waiting = [place for place in self._queue.snapshot() if place.position is not None]
        for place in waiting:
            if place.job_id == job.id and place.position is not None:
                return Queued(job.id, place.position, len(waiting), place.eta)
        return Started(job.id)


async def _answer(
    interaction: Interaction, job: Job, view: Callable[[], ui.LayoutView]
) -> int | None:
    """Respond with the live post, and return its id."""
    response, in_place = interaction.response, job.message_id is not None
    if not response.is_done():
        try:
            if in_place:
                await response.edit_message(view=view())
                return job.message_id
            sent = await response.send_message(view=view(), ephemeral=job.private)
            return sent.message_id
        except DISCORD_ERRORS as error:
            # If only Discord's reply was lost, there is a response to edit.
            log.info("job %d: its first answer failed: %s", job.id, error)
    elif not in_place and response.type is discord.InteractionResponseType.deferred_message_update:
        # The original response is the message of the control.
        message = await interaction.followup.send(view=view(), ephemeral=job.private, wait=True)
        return message.id
    return (await interaction.edit_original_response(view=view())).id


@contextmanager
def _without_answer() -> Iterator[None]:
    """Continue when Discord refuses an answer: the result has other routes."""
    try:
        yield
    except (sqlite3.Error, *DISCORD_ERRORS) as error:
        # Where its message could not be written, the result finds it.
        log.warning("an accepted job could not be answered: %s", error)
