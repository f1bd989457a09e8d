"""Creating, resuming, cancelling and deleting jobs, for commands, controls, forms and reactions.

A job is accepted (:mod:`bot.jobs.accepting`), then followed (:mod:`bot.jobs.following`) to exactly
one post, also across restarts of the bot and the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.answers import Interaction
from bot.exceptions import Gone
from bot.gate.gate import Gate
from bot.gate.origin import Origin, of_interaction
from bot.jobs.accepting import Accepting
from bot.jobs.following import Following
from bot.ordering.axes import Axes, check_change
from bot.ordering.enlarging import foreign_order
from bot.ordering.orders import NO_START, Order, Start, new_order, order_of
from bot.posts.delivery import Delivery
from bot.settings import Limits
from bot.store import Job, Store
from bot.store.inputs import is_removed
from core.errors import PenultimateError
from core.events import Image
from core.models.catalogue import Catalogue
from core.notes import Note
from core.prompt.variants import draw_choices
from core.request import Enlarge, GenerationRequest
from core.serving.queue import GpuQueue
from core.sheets.sheet import Sheet
from core.work import Work


@dataclass(eq=False)
class Jobs:
    """Creates jobs and starts following each. ``limits`` are the bot's own.

    When creating a job raises an error, nothing was queued.
    """

    _store: Store
    _queue: GpuQueue
    _catalogue: Catalogue
    _limits: Limits
    _gate: Gate
    _delivery: Delivery
    _following: Following
    _accepting: Accepting

    async def imagine(
        self,
        interaction: Interaction,
        prompt: str,
        options: Mapping[str, Any],
        preset: str | None = None,
        style: str | None = None,
        start: Start = NO_START,
        axes: Axes | None = None,
    ) -> None:
        """Create a job from a prompt and options; with ``axes`` a sheet, whose pictures differ in
        one or two options."""
        origin = of_interaction(interaction)

        async def ordering() -> Order:
            limits, catalogue = self._gate.limits(origin.guild_id), self._catalogue
            layers = await self._gate.layers(origin, options, preset)
            around = await self._store.styles.get(origin.guild_id, style) if style else None
            return await new_order(
                prompt, layers, catalogue, limits, style=around, start=start, axes=axes
            )

        def ephemeral() -> bool:
            # The member's preset may say "private", and is not read yet.
            return options.get("private") is not False

        await self._accepting.from_interaction(interaction, origin, ordering, None, ephemeral)

    async def vary(self, source: Interaction | Origin, parent: Job, **changes: Any) -> None:
        """Create a job from that of ``parent`` with some values changed, for who asked."""
        check_change(parent, changes, self._catalogue)
        await self.derive(source, parent, replace(parent.request, **changes), parent.sheet)

    async def derive(
        self,
        source: Interaction | Origin,
        parent: Job,
        request: GenerationRequest,
        sheet: Sheet | None = None,
        notes: tuple[Note, ...] = (),
    ) -> None:
        """Create a job derived from ``parent``, with a link to it.

        ``source`` is the interaction to answer, or the origin of a reaction. Where the server wants
        it, the result takes the parent's place. Raises :class:`~bot.exceptions.Gone` where the
        image that it would be made from was removed.
        """
        if is_removed(request.inputs.init_image) or is_removed(request.inputs.finished):
            raise Gone("made_from")
        origin = source if isinstance(source, Origin) else of_interaction(source)
        private = asyncio.ensure_future(self._private_of(parent, origin))

        async def ordering() -> Order:
            alone = await private
            base, unread = draw_choices(request, parent.request)
            limits, found = self._gate.limits(origin.guild_id), notes + unread
            return order_of(base, sheet, self._catalogue, limits, private=alone, notes=found)

        def ephemeral() -> bool:
            return not private.done() or private.result()

        if isinstance(source, Origin):
            await self._accepting.from_reaction(origin, ordering, parent)
        else:
            await self._accepting.from_interaction(
                source,
                origin,
                ordering,
                parent,
                ephemeral,
                in_place=sheet is None and self._in_place(source, parent),
            )

    async def enlarge(
        self, interaction: Interaction, read: Callable[[], Awaitable[bytes]], enlarge: Enlarge
    ) -> None:
        """Create a job that enlarges the image in a file, of which no job is known."""
        origin = of_interaction(interaction)
        private = await self._gate.keeps_private(origin)
        limits = self._gate.limits(origin.guild_id)

        async def ordering() -> Order:
            return await foreign_order(read(), enlarge, self._catalogue, limits, private=private)

        await self._accepting.from_interaction(interaction, origin, ordering, None, lambda: private)

    async def open_one(self, interaction: Interaction, parent: Job, position: int) -> None:
        """Create a job of one picture of several, or one cell, without drawing it again."""
        image = await self.picture(parent, position)
        if parent.sheet is not None and position == 0:
            # The sheet as a whole.
            raise Gone("picture")
        if parent.sheet is not None:
            request = parent.sheet.request(parent.request, position)
        else:
            request = parent.request.alone(position)
        origin = of_interaction(interaction)
        private = await self._private_of(parent, origin)
        await self._gate.check(origin, [request], drawn=True)
        answer = None
        if not interaction.response.is_done():
            answer = await interaction.response.defer(thinking=True, ephemeral=private)
        job = await self._accepting.write(origin, Order(request, private, ()), parent)
        job = await self._accepting.posted(job, answer.message_id if answer else None)
        notes = tuple(note for note in parent.notes if note.key != "one_picture_a_cell")
        await self._following.finished(job, [image], notes, origin.filesize_limit)

    async def picture(self, job: Job, position: int) -> Image:
        """Return one of a job's pictures. Raises :class:`~bot.exceptions.Gone`."""
        pictures = await self._store.pictures.of_job(job.id)
        if position >= len(pictures):
            raise Gone("picture")
        try:
            return await pictures[position].image()
        except FileNotFoundError:
            raise Gone("picture") from None

    async def cancel(self, job_id: int) -> bool:
        """Cancel a job, in its row before in the queue; False when it has ended already."""
        cancelled = await self._store.jobs.set_state(job_id, "cancelled")
        if cancelled:
            self._queue.cancel(job_id)
        return cancelled

    async def stop(self, job_ids: Iterable[int]) -> None:
        """Cancel and stop following these jobs; after this returns nothing more is sent of them."""
        job_ids = list(job_ids)
        for job_id in job_ids:
            self._queue.cancel(job_id)
        await self._following.stop(job_ids)

    async def delete(self, job: Job) -> bool:
        """Stop a job, delete its posts, then its row and pictures.

        False if one of its posts cannot be deleted.
        """
        await self.stop([job.id])
        # The job may have another post since the row was read.
        deleted = await self._delivery.delete_posts(await self._store.jobs.get(job.id) or job)
        await self._store.jobs.delete(job.id)
        return deleted

    async def resume(self) -> None:
        """After a start, deliver the jobs that are finished and run the others again."""
        following, jobs = self._following, self._store.jobs
        await jobs.erase_expired_tokens()
        for job in (*await jobs.undelivered(), *await jobs.untold()):
            following.begin_sending(job, again=True)
        for job in await jobs.unfinished():
            try:
                order = order_of(
                    job.request, job.sheet, self._catalogue, self._limits, private=job.private
                )
            except PenultimateError as error:
                following.begin(job.id, following.ended(job, error))
                continue
            items = self._gate.with_named(job.guild_id, order.items)
            work = Work(job.id, str(job.user_id), items)
            ticket = self._queue.submit(work, resumed=True)
            following.begin(job.id, following.follow_again(job, ticket))

    def reconnected(self) -> None:
        """Send at once what waits for Discord to be back."""
        self._following.reconnected()

    async def close(self) -> None:
        """Stop following. Jobs that are not delivered are resumed by the next start."""
        await self._following.stop()

    def _in_place(self, interaction: Interaction, parent: Job) -> bool:
        """Whether a member used a control right under their own result, where a server wants such
        results replaced: not one of a sheet, nor a private one, which only they see."""
        message, guild = interaction.message, interaction.guild
        if message is None or message.id != parent.message_id or guild is None:
            return False
        # Where the bot is no member it could not change it back after 15 minutes.
        known = guild.get_channel_or_thread(message.channel.id) is not None
        own = parent.user_id == interaction.user.id and not parent.private and parent.sheet is None
        return own and known and self._gate.server(guild.id).in_place

    async def _private_of(self, parent: Job, origin: Origin) -> bool:
        """Whether a job derived from ``parent`` is private: if that is, or who asks wants it."""
        return parent.private or await self._gate.keeps_private(origin)
