"""The one door for making or replaying a job: resolve → write → submit.

Commands, buttons and modals all come here. Accepted means written; from then on the job is followed
(:mod:`bot.jobs.following`) and ends in exactly one post, whatever dies in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import discord

from bot.answers import TROUBLE, Interaction
from bot.exceptions import Gone
from bot.gate.gate import asker, asker_of
from bot.jobs.following import Following
from bot.ordering.axes import check_change
from bot.ordering.orders import (
    NO_START,
    Axes,
    Order,
    Start,
    base_of_sheet,
    order_of,
    remade,
    started,
)
from bot.ordering.resolve import BOT, Layers, layers_of, resolve
from bot.ordering.variations import one_of
from bot.posts.live import LivePost, News, live_view
from bot.rules.policy import Asker
from bot.store import Job, Picture
from bot.store.styles import Style
from core.errors import PenultimateError
from core.events import Image, Queued, Started
from core.notes import Note
from core.prompt.variants import drawn
from core.request import GenerationRequest
from core.serving.queue import Ticket
from core.sheets.sheet import Sheet
from core.work import Work

if TYPE_CHECKING:
    from bot.client import Penultimate

log = logging.getLogger(__name__)

# Discord wants an answer within 3 s. Nearly always the job is written long before that, and the
# first answer is the post itself, or an ephemeral sentence; else it is "thinking" in the meantime.
PATIENCE: Final = 1.5
# A picture that could not be delivered for so long is not news any more.
GIVE_UP_AFTER: Final = 7 * 86_400.0


class Jobs:
    """Makes jobs, and has each followed to its end."""

    def __init__(self, bot: Penultimate) -> None:
        self._bot = bot
        self._following = Following(bot)

    # What commands, buttons and modals ask for. Each raises what ``bot.errors`` has words for,
    # and then nothing was queued.

    async def imagine(
        self,
        interaction: Interaction,
        prompt: str,
        options: Mapping[str, Any],
        preset: str | None = None,
        style: str | None = None,
        start: Start = NO_START,
    ) -> None:
        """A new picture from a prompt and the options that were given."""

        async def ordering() -> Order:
            layers, around = await self._layers(interaction, options, preset, style)
            limits = self._bot.gate.limits(interaction.guild_id)
            resolved = resolve(prompt, layers, self._bot.catalogue, limits, style=around)
            return order_of(await started(resolved, start, limits))

        await self._start(interaction, ordering(), unseen=lambda: _unseen(options))

    async def explore(
        self,
        interaction: Interaction,
        prompt: str,
        axes: Axes,
        options: Mapping[str, Any],
        preset: str | None = None,
        style: str | None = None,
        start: Start = NO_START,
    ) -> None:
        """A sheet: one job, whose pictures differ in one or two things."""

        async def ordering() -> Order:
            catalogue, limits = self._bot.catalogue, self._bot.gate.limits(interaction.guild_id)
            layers, around = await self._layers(interaction, options, preset, style)
            resolved, sheet = base_of_sheet(prompt, axes, layers, catalogue, limits, around)
            resolved = await started(resolved, start, limits)
            request, notes = resolved.request, resolved.notes
            private = resolved.private
            return remade(request, sheet, catalogue, limits, private=private, notes=notes)

        await self._start(interaction, ordering(), unseen=lambda: _unseen(options))

    async def vary(self, interaction: Interaction, parent: Job, **changes: Any) -> None:
        """The picture of ``parent`` again with some values changed; it belongs to who asked."""
        check_change(parent, changes, self._bot.catalogue)
        request = replace(parent.request, **changes)
        await self.remake(interaction, parent, request, parent.sheet)

    async def remake(
        self,
        interaction: Interaction,
        parent: Job,
        request: GenerationRequest,
        sheet: Sheet | None = None,
        notes: tuple[Note, ...] = (),
    ) -> None:
        """Something new made from a picture of ``parent``, which is linked to."""
        who = asker_of(interaction)
        private = asyncio.ensure_future(self._private_of(parent, who, interaction.guild_id))

        async def ordering() -> Order:
            alone = await private
            base, unread = drawn(request, parent.request)
            catalogue, limits = self._bot.catalogue, self._bot.gate.limits(interaction.guild_id)
            said = notes + unread
            return remade(base, sheet, catalogue, limits, private=alone, notes=said)

        def unseen() -> bool:
            return not private.done() or private.result()

        await self._start(interaction, ordering(), unseen=unseen, parent_id=parent.id)

    async def vary_by(
        self,
        user: discord.abc.Snowflake,
        channel: discord.abc.Snowflake,
        parent: Job,
        *,
        guild_id: int | None,
        locale: str,
        **changes: Any,
    ) -> None:
        """The same for a reaction, where there is no interaction: its post is a message.

        ``user`` is a :class:`discord.Member` where there is a server.
        """
        check_change(parent, changes, self._bot.catalogue)
        gate, who = self._bot.gate, asker(user, channel)
        request, limits = replace(parent.request, **changes), gate.limits(guild_id)
        private = await self._private_of(parent, who, guild_id)
        order = remade(request, parent.sheet, self._bot.catalogue, limits, private=private)
        await gate.check(who, guild_id, order.requests)
        job = await self._bot.store.jobs.create(
            request,
            user_id=user.id,
            application_id=parent.application_id,
            guild_id=guild_id,
            channel_id=channel.id,
            private=private,
            locale=gate.locale(guild_id, locale),
            parent_id=parent.id,
            spoiler=gate.server(guild_id).hides,
            sheet=order.sheet,
        )
        ticket = await self._submit(job, who, order)
        post = self._following.live_post(job)
        if not job.private:
            event = self._standing(job)
            view = live_view(job, event, self._bot.engine.status.state)
            post.noted(event)
            with _nobody_there():
                job = await self._posted(job, (await self._bot.delivery.announce(job, view)).id)
        self._following.begin(job, self._following.follow(job, ticket, post, order.notes))

    async def open_one(self, interaction: Interaction, parent: Job, position: int) -> None:
        """One picture of several, or one cell, as its own result, without drawing it again."""
        picture, png = await self.picture(parent, position)
        if parent.sheet is not None and position == 0:
            # The sheet as a whole.
            raise Gone("picture")
        if parent.sheet is not None:
            request = parent.sheet.request(parent.request, position)
        else:
            request = one_of(parent.request, position)
        who = asker_of(interaction)
        private = await self._private_of(parent, who, interaction.guild_id)
        await self._bot.gate.check(who, interaction.guild_id, [request], drawn=True)
        answer = await interaction.response.defer(thinking=True, ephemeral=private)
        order = Order(request, private, ())
        job = await self._write(interaction, order, parent.id)
        job = await self._posted(job, answer.message_id if answer else None)
        image = Image(png, picture.seed, picture.width, picture.height, picture.infotext)
        notes = tuple(note for note in parent.notes if note.key != "one_picture_a_cell")
        await self._following.finished(job, [image], notes, interaction.filesize_limit)

    async def picture(self, job: Job, position: int) -> tuple[Picture, bytes]:
        """One of a job's pictures and its PNG. Raises :class:`~bot.exceptions.Gone`."""
        pictures = await self._bot.store.pictures.of_job(job.id)
        if position >= len(pictures):
            raise Gone("picture")
        try:
            return pictures[position], await pictures[position].read()
        except FileNotFoundError:
            raise Gone("picture") from None

    async def keeps_private(self, who: Asker, guild_id: int | None) -> bool:
        """Whether this member's pictures are private by themselves: their own word, the
        channel's, the server's."""
        layers = replace(await layers_of(self._bot.store, who.user_id, {}), bot=BOT)
        return bool(self._bot.gate.layered(who, guild_id, layers).first("private")[0])

    def cancel(self, job_id: int) -> bool:
        """Take a job back; False when it is over already."""
        return self._bot.queue.cancel(job_id)

    async def drop(self, job_ids: Iterable[int]) -> None:
        """Stop these jobs wherever they are: when this returns, nothing of them is sent."""
        job_ids = list(job_ids)
        for job_id in job_ids:
            self.cancel(job_id)
        await self._following.stop(job_ids)

    async def resume(self) -> None:
        """After a start: deliver what was finished, run again what was not."""
        store = self._bot.store
        await store.jobs.erase_expired_tokens()
        for job in await store.jobs.undelivered():
            if self._bot.clock() - (job.finished_at or job.created_at) < GIVE_UP_AFTER:
                self._following.begin(job, self._following.deliver(job))
        for job in await store.jobs.unfinished():
            try:
                catalogue, limits = self._bot.catalogue, self._bot.settings.limits
                order = remade(job.request, job.sheet, catalogue, limits, private=job.private)
            except PenultimateError as error:
                self._following.begin(job, self._following.ended(job, error))
                continue
            ticket = self._bot.queue.submit(_work(job, order), resumed=True)
            post = self._following.live_post(job)
            self._following.begin(job, self._following.follow(job, ticket, post, ()))

    async def close(self) -> None:
        """Stop following. What is not delivered is resumed by the next start."""
        await self._following.stop()

    # Accepting.

    async def _start(
        self,
        interaction: Interaction,
        ordering: Awaitable[Order],
        *,
        unseen: Callable[[], bool],
        parent_id: int | None = None,
    ) -> None:
        """``unseen`` says whether an answer that must come now is for the member alone."""
        accepting = asyncio.ensure_future(self._accept(interaction, ordering, parent_id))
        done, _ = await asyncio.wait({accepting}, timeout=PATIENCE)
        if not done and not interaction.response.is_done():
            with _nobody_there():
                await interaction.response.defer(thinking=True, ephemeral=unseen())
        job, ticket, notes = await accepting
        post = self._following.live_post(job)
        with _nobody_there():
            job = await self._answer(interaction, job, post)
        limit = interaction.filesize_limit
        self._following.begin(job, self._following.follow(job, ticket, post, notes, limit))

    async def _accept(
        self, interaction: Interaction, ordering: Awaitable[Order], parent_id: int | None
    ) -> tuple[Job, Ticket, tuple[Note, ...]]:
        order = await ordering
        who = asker_of(interaction)
        await self._bot.gate.check(who, interaction.guild_id, order.requests)
        job = await self._write(interaction, order, parent_id)
        return job, await self._submit(job, who, order), order.notes

    async def _submit(self, job: Job, who: Asker, order: Order) -> Ticket:
        work = _work(job, order)
        try:
            await self._bot.gate.charge(who, job, work)
            return self._bot.queue.submit(work)
        except PenultimateError:
            await self._bot.store.jobs.delete(job.id)
            raise

    async def _private_of(self, parent: Job, who: Asker, guild_id: int | None) -> bool:
        """Whether what is made from ``parent`` is private: if that is, or if who asks wants it."""
        return parent.private or await self.keeps_private(who, guild_id)

    async def _layers(
        self,
        interaction: Interaction,
        options: Mapping[str, Any],
        preset: str | None,
        style: str | None,
    ) -> tuple[Layers, Style | None]:
        """Everybody's values for a command, and the style around its prompt."""
        store, guild_id = self._bot.store, interaction.guild_id
        layers = await layers_of(store, interaction.user.id, options, preset)
        around = await store.styles.get(guild_id, style) if style else None
        return self._bot.gate.layered(asker_of(interaction), guild_id, layers), around

    async def _write(self, interaction: Interaction, order: Order, parent_id: int | None) -> Job:
        return await self._bot.store.jobs.create(
            order.request,
            user_id=interaction.user.id,
            application_id=interaction.application_id,
            guild_id=interaction.guild_id,
            channel_id=interaction.channel_id,
            interaction_token=interaction.token,
            private=order.private,
            locale=self._bot.gate.locale(interaction.guild_id, interaction.locale.value),
            parent_id=parent_id,
            spoiler=self._bot.gate.server(interaction.guild_id).hides,
            sheet=order.sheet,
        )

    async def _answer(self, interaction: Interaction, job: Job, post: LivePost) -> Job:
        """Send the live post as the interaction's answer, or in place of its "thinking"."""
        event = self._standing(job)
        state = self._bot.engine.status.state
        post.noted(event)
        if not interaction.response.is_done():
            view = live_view(job, event, state)
            try:
                answer = await interaction.response.send_message(view=view, ephemeral=job.private)
                return await self._posted(job, answer.message_id)
            except TROUBLE as error:
                # Discord may have taken it and only its reply was lost: then there is a post.
                log.info("job %d: its first answer had trouble: %s", job.id, error)
        edited = await interaction.edit_original_response(view=live_view(job, event, state))
        return await self._posted(job, edited.id)

    async def _posted(self, job: Job, message_id: int | None) -> Job:
        if message_id is None or job.channel_id is None:
            return job
        await self._bot.store.jobs.set_message(job.id, job.channel_id, message_id)
        return replace(job, message_id=message_id)

    def _standing(self, job: Job) -> News:
        """Where the job stands in the line right now."""
        places = self._bot.queue.snapshot()
        waiting = [place for place in places if place.position is not None]
        for place in waiting:
            if place.job_id == job.id and place.position is not None:
                return Queued(job.id, place.position, len(waiting), place.eta)
        return Started(job.id)


@contextmanager
def _nobody_there() -> Iterator[None]:
    """Go on when the interaction is gone: an accepted job finds its way without it."""
    try:
        yield
    except TROUBLE as error:
        log.warning("an interaction could not be answered: %s", error)


def _work(job: Job, order: Order) -> Work:
    return Work(job.id, str(job.user_id), order.items)


def _unseen(options: Mapping[str, Any]) -> bool:
    """Whether an answer that must come at once is for the member alone.

    Whether a preset of the member's says "private" is not known before it is read.
    """
    return options.get("private") is not False
