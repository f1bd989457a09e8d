"""Delivery of a job's post: its layout, its files within the size limit, the message's ids.

:mod:`bot.posts.sender` chooses the route. A job that no route delivers stays ``finished`` and is
tried again later.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import discord
from discord import ui

from bot.answers import DISCORD_ERRORS
from bot.exceptions import Gone, Unreachable
from bot.ordering.choices import vae_names
from bot.posts.farewells import Farewells
from bot.posts.live import ended_view
from bot.posts.packing import Packed, pack
from bot.posts.result import Post, alt_text, lora_names, result_view, usual_values
from bot.posts.sender import Build, Outgoing, Sender, too_large
from bot.store import Job, MessagePlace, Store
from bot.store.written import until_written
from bot.translate import t
from core.errors import PenultimateError
from core.models.catalogue import Catalogue
from core.pictures.networks_in_text import used_embeddings

log = logging.getLogger(__name__)

# In bytes; below this no picture is legible.
SMALLEST_LIMIT: Final = 10_000


@dataclass(eq=False)
class Delivery:
    """Sends posts and stores their ids. Every method may be repeated after a failure."""

    _sender: Sender
    _store: Store
    _catalogue: Catalogue
    _farewells: Farewells

    async def edit(
        self, job_id: int, view: ui.LayoutView, files: list[discord.File] | None
    ) -> None:
        """Show progress in the job's post, while its interaction's token is valid; without
        ``files``, those that it has are kept.

        Raises :class:`discord.HTTPException`.
        """
        job = await self._store.jobs.get(job_id)
        if job is not None:
            await self._sender.edit(Outgoing(job, lambda _: (view, files)))

    async def found(self, job: Job) -> Job:
        """The job with its post as it is now, also where the first answer was sent and its id not
        stored.

        Raises :class:`discord.HTTPException` or :class:`OSError` when Discord fails.
        """
        stored = await self._store.jobs.get(job.id)
        if stored is not None:
            # It may have been sent elsewhere by an attempt before.
            job = replace(job, channel_id=stored.channel_id, message_id=stored.message_id)
        if job.message_id is not None or job.channel_id is None:
            return job
        message_id = await self._sender.first_answer(job)
        # A press that was only acknowledged counts as answered by the message it was under.
        if message_id is None or await self._store.posts.job_id(message_id) is not None:
            message = await self._sender.sent_before(job, "cancel")
            if message is None:
                return job
            message_id = message.id
        await self._store.jobs.set_message(job.id, job.channel_id, message_id)
        return replace(job, message_id=message_id)

    async def deliver(self, job: Job, limit: int | None = None, *, again: bool = False) -> bool:
        """Send a finished job's result and make the job ``delivered``; False if no route worked.

        ``limit`` is the largest file in bytes at the destination, if known. With ``again`` it may
        have been sent before, and is not sent twice. Raises
        :class:`FileNotFoundError` when a picture's file is missing, and
        :class:`discord.HTTPException` or :class:`OSError` when Discord fails.
        """
        job, parent = await self.found(job), await self._parent(job)

        def send(packed: Packed) -> Awaitable[discord.Message | None]:
            return self._sender.send(Outgoing(job, self._result(job, packed, parent), parent))

        message = await self._sender.sent_before(job, "more") if again else None
        message = message or await self._fitting(job, limit, send)
        if message is not None:
            await self._delivered(job, message, parent)
        return message is not None

    async def copy(
        self, job: Job, send: Callable[..., Awaitable[discord.Message]], limit: int | None = None
    ) -> bool:
        """Send a copy of a finished job by ``send(view=…, files=…)``; False if it is too large.

        The copy's controls and reactions work as the first post's. ``limit`` and errors are as for
        :meth:`deliver`.
        """
        number = t("delivery.number", job.locale, job_id=job.id)

        def sending(packed: Packed) -> Awaitable[discord.Message]:
            view, files = self._result(job, packed, None, number)(False)
            return send(view=view, files=files)

        message = await self._fitting(job, limit, sending)
        # An ephemeral copy makes the job visible to nobody else.
        if message is not None and not message.flags.ephemeral:
            await self._store.posts.add(job.id, MessagePlace(message.channel.id, message.id))
        return message is not None

    async def copy_to(self, user_id: int, job: Job) -> None:
        """Send a copy by direct message.

        Raises :class:`~bot.exceptions.Unreachable`, and :class:`~bot.exceptions.Gone` where the
        pictures are missing.
        """
        limit = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
        try:
            channel = await self._sender.direct(user_id)
            if await self.copy(job, channel.send, limit):
                return
        except discord.Forbidden:
            raise Unreachable from None
        except FileNotFoundError:
            pass
        raise Gone("picture")

    async def tell_ended(
        self, job: Job, error: PenultimateError | None, *, again: bool = False
    ) -> bool:
        """Say that a job ended without a picture: ``error``, or None when it was cancelled.

        One that was to replace another's result gives its post back; an error is then told in a
        message of its own. ``again`` and what is returned are as for :meth:`deliver`. Raises
        :class:`discord.HTTPException` or :class:`OSError` when Discord fails.
        """
        job, parent, above = await self.found(job), await self._parent(job), None
        if parent is not None and job.takes_place_of(parent):
            remarks = [] if error else [t("live.cancelled", job.locale)]
            if not await self._restore(job, parent, *remarks):
                # What it showed is gone, or the post is.
                await self._give_up(parent)
            elif error is None:
                await self._give_up(job)
                return True
            else:
                job, above = replace(job, message_id=None), parent

        def build(mention: bool) -> tuple[ui.LayoutView, list[discord.File]]:
            return ended_view(job, error, job.locale, mention=mention), []

        message = await self._sender.sent_before(job, "again") if again else None
        message = message or await self._sender.send(Outgoing(job, build, above))
        if message is not None:
            await self._replace_post(job, message)
        return message is not None

    async def delete_posts(self, job: Job) -> bool:
        """Delete the job's post and every copy of it; False if one cannot be, and goes later."""
        try:
            job = await self.found(job)
        except DISCORD_ERRORS as error:
            log.info("job %d: its post was not found: %s", job.id, error)
        stay = []
        if not await self._sender.delete(job) and job.channel_id and job.message_id:
            stay.append(MessagePlace(job.channel_id, job.message_id))
        for place in await self._store.posts.copies(job.id):
            if not await self._sender.delete_message(place):
                stay.append(place)
        if stay:
            await until_written(lambda: self._store.posts.delete_later(stay))
            self._farewells.wake()
        return not stay

    async def announce(self, job: Job, view: ui.LayoutView) -> discord.Message:
        """Send the first post of a job that no interaction asked for to its channel.

        Raises :class:`discord.HTTPException` or :class:`OSError`.
        """
        parent = await self._parent(job)
        return await self._sender.announce(Outgoing(job, lambda _: (view, []), parent))

    async def _fitting(
        self,
        job: Job,
        limit: int | None,
        send: Callable[[Packed], Awaitable[discord.Message | None]],
    ) -> discord.Message | None:
        """Send the job's pictures, at half the size limit each time Discord refuses them."""
        pictures = await self._store.pictures.of_job(job.id)
        embeddings = tuple(dict.fromkeys(chain(*(used_embeddings(p.infotext) for p in pictures))))
        if job.sheet is not None:
            # The whole sheet; a cell is opened on request.
            pictures = pictures[:1]
        limit = limit or self._sender.filesize_limit(job.guild_id)
        while limit >= SMALLEST_LIMIT:
            packed = replace(await pack(pictures, limit), embeddings=embeddings)
            try:
                return await send(packed)
            except discord.HTTPException as error:
                if not too_large(error):
                    raise
                # The destination's limit is lower than Discord said.
                limit = min(limit, packed.largest) // 2
        return None

    def _result(self, job: Job, packed: Packed, parent: Job | None, *remarks: str) -> Build:
        catalogue = self._catalogue
        model = catalogue.find(job.request.model)
        loras = lora_names(job.request, catalogue, model)
        if packed.shrunk:
            remarks = (*remarks, t("delivery.shrunk", job.locale))
        parent_url = None
        if parent and parent.message_id is not None and not job.takes_place_of(parent):
            parent_url = post_url(parent, job.guild_id)

        def build(mention: bool) -> tuple[ui.LayoutView, list[discord.File]]:
            post = Post(
                job,
                tuple(name for name, _ in packed.files),
                usual=usual_values(catalogue, model),
                vaes=vae_names(catalogue, model),
                clip_skip_works=model is None or model.uses_clip_skip,
                parent_url=parent_url,
                parent_id=parent.id if parent else None,
                mention=mention,
                remarks=remarks,
                loras=loras,
                embeddings=packed.embeddings,
            )
            return result_view(post), packed.to_discord(alt_text(job))

        return build

    async def _parent(self, job: Job) -> Job | None:
        """The job it was made from, if everybody who sees this post can see that one."""
        parent = await self._store.jobs.get(job.parent_id) if job.parent_id else None
        if parent is None or parent.channel_id != job.channel_id:
            return None
        return None if parent.private and not job.private else parent

    async def _restore(self, job: Job, parent: Job, *remarks: str) -> bool:
        """Show in the post what it showed before the job was to take its place; False if it cannot
        be. Raises as :meth:`tell_ended`."""
        above = await self._parent(parent)

        def send(packed: Packed) -> Awaitable[discord.Message | None]:
            build = self._result(parent, packed, above, *remarks)
            return self._sender.restore(Outgoing(job, build))

        try:
            message = await self._fitting(parent, None, send)
        except FileNotFoundError:
            return False
        if message is not None:
            await self._store.pictures.set_attachments(parent.id, _attachments(message))
        return message is not None

    async def _give_up(self, job: Job) -> None:
        """Store that the post is another job's alone."""
        assert job.channel_id is not None
        await self._store.jobs.set_message(job.id, job.channel_id, None)

    async def _delivered(self, job: Job, message: discord.Message, parent: Job | None) -> None:
        files = _attachments(message)
        await until_written(lambda: self._store.pictures.set_attachments(job.id, files))
        if parent is not None and job.takes_place_of(parent):
            if message.channel.id == job.channel_id:
                await until_written(lambda: self._give_up(parent))
            else:
                # It came by direct message.
                await self._restore(job, parent)
                job = replace(job, message_id=None)
        await self._replace_post(job, message)
        await until_written(lambda: self._store.jobs.set_state(job.id, "delivered"))

    async def _replace_post(self, job: Job, message: discord.Message) -> None:
        """Store the message as the job's post, and delete the one before."""
        if message.id != job.message_id:
            channel_id = message.channel.id
            await until_written(
                lambda: self._store.jobs.set_message(job.id, channel_id, message.id)
            )
            if job.message_id is None or job.channel_id is None:
                return
            if await self._sender.delete(job):
                place = MessagePlace(job.channel_id, job.message_id)
                await until_written(lambda: self._store.posts.gone(place))
            else:
                self._farewells.wake()


def _attachments(message: discord.Message) -> list[int]:
    return [file.id for file in message.attachments]


def post_url(job: Job, guild_id: int | None) -> str:
    """The link to a job's post in a server or, without one, in direct messages, where a server's
    job may have been delivered."""
    place = f"{guild_id or '@me'}/{job.channel_id}/{job.message_id}"
    return f"https://discord.com/channels/{place}"
