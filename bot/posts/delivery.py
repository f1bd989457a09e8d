"""Delivers a job's post: builds it, makes its files small enough, notes where it stands.

How it gets there is the carrier's (:mod:`bot.posts.carrier`). What arrives nowhere stays
``finished`` and is tried again later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import discord
from discord import ui

from bot.exceptions import Gone, Unreachable
from bot.ordering.choices import vae_names
from bot.posts.carrier import Build, Carrier, Parcel, too_large
from bot.posts.live import ended_view
from bot.posts.packing import Packed, pack
from bot.posts.result import Post, alt_text, result_view, usual_values
from bot.store import Job, MessagePlace, Store
from bot.translate import t
from core.errors import PenultimateError, UnknownName
from core.models.catalogue import Catalogue, Model

# Below this no picture is worth sending.
SMALLEST_LIMIT: Final = 10_000


@dataclass(eq=False)
class Delivery:
    """Every method may be called again: a job arrives once as far as we know."""

    _carrier: Carrier
    _store: Store
    _catalogue: Catalogue

    async def edit(self, job: Job, view: ui.LayoutView, files: list[discord.File]) -> None:
        """Show progress in the job's post; nothing once its token's 15 minutes are over.

        Raises :class:`discord.HTTPException`.
        """
        await self._carrier.edit(Parcel(job, lambda _: (view, files)))

    async def deliver(self, job: Job, limit: int | None = None) -> bool:
        """Send a finished job's result and make the job ``delivered``; False if it arrived nowhere.

        ``limit`` is how many bytes a file may have where it goes, if that is known. Raises
        :class:`FileNotFoundError` when a picture's file is gone, and
        :class:`discord.HTTPException` or :class:`OSError` when Discord itself is in trouble.
        """
        parent = await self._parent(job)

        def carry(packed: Packed) -> Awaitable[discord.Message | None]:
            return self._carrier.carry(Parcel(job, self._result(job, packed, parent), parent))

        message = await self._fitting(job, limit, carry)
        if message is not None:
            await self._delivered(job, message)
        return message is not None

    async def copy(
        self, job: Job, send: Callable[..., Awaitable[discord.Message]], limit: int | None = None
    ) -> bool:
        """Post a finished job once more, by ``send(view=…, files=…)``; False if it found no way.

        The copy's controls and reactions work as the first post's. ``limit`` and what is raised
        are as for :meth:`deliver`.
        """
        number = t("delivery.number", job.locale, job_id=job.id)

        def sending(packed: Packed) -> Awaitable[discord.Message]:
            view, files = self._result(job, packed, None, number)(False)
            return send(view=view, files=files)

        message = await self._fitting(job, limit, sending)
        # One that its member alone sees stands nowhere, as far as others are concerned.
        if message is not None and not message.flags.ephemeral:
            await self._store.posts.add(job.id, MessagePlace(message.channel.id, message.id))
        return message is not None

    async def copy_to(self, user_id: int, job: Job) -> None:
        """The same by direct message.

        Raises :class:`~bot.exceptions.Unreachable`, and :class:`~bot.exceptions.Gone` where there
        is nothing to send.
        """
        limit = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
        try:
            channel = await self._carrier.direct(user_id)
            if await self.copy(job, channel.send, limit):
                return
        except discord.Forbidden:
            raise Unreachable from None
        except FileNotFoundError:
            pass
        raise Gone("picture")

    async def tell_ended(self, job: Job, error: PenultimateError | None) -> None:
        """Say that a job ended without a picture: ``error``, or None when it was cancelled."""

        def build(mention: bool) -> tuple[ui.LayoutView, list[discord.File]]:
            return ended_view(job, error, job.locale, mention=mention), []

        message = await self._carrier.carry(Parcel(job, build))
        if message is not None:
            await self._moved(job, message)

    async def delete_posts(self, job: Job) -> bool:
        """Take away the job's post and every copy of it; False if one is out of reach."""
        gone = [await self._carrier.delete(job)]
        for place in await self._store.posts.copies(job.id):
            gone.append(await self._carrier.delete_message(place))
        return all(gone)

    async def announce(self, job: Job, view: ui.LayoutView) -> discord.Message:
        """Put the post of a job that no interaction asked for into its channel.

        Raises :class:`discord.HTTPException` or :class:`OSError`.
        """
        parcel = Parcel(job, lambda _: (view, []), await self._parent(job))
        return await self._carrier.announce(parcel)

    async def _fitting(
        self,
        job: Job,
        limit: int | None,
        send: Callable[[Packed], Awaitable[discord.Message | None]],
    ) -> discord.Message | None:
        """Send the job's pictures, smaller and smaller until Discord takes them."""
        pictures = await self._store.pictures.of_job(job.id)
        if job.sheet is not None:
            # The sheet itself; its cells are for those who ask for them.
            pictures = pictures[:1]
        limit = limit or self._carrier.filesize_limit(job.guild_id)
        while limit >= SMALLEST_LIMIT:
            packed = await pack(pictures, limit)
            try:
                return await send(packed)
            except discord.HTTPException as error:
                if not too_large(error):
                    raise
                # What Discord takes here is less than it said.
                limit = min(limit, packed.largest) // 2
        return None

    def _result(self, job: Job, packed: Packed, parent: Job | None, *remarks: str) -> Build:
        catalogue = self._catalogue
        model: Model | None
        try:
            model = catalogue.model(job.request.model)
        except UnknownName:
            model = None
        if packed.shrunk:
            remarks = (*remarks, t("delivery.shrunk", job.locale))

        def build(mention: bool) -> tuple[ui.LayoutView, list[discord.File]]:
            post = Post(
                job,
                packed.names,
                usual=usual_values(catalogue, model),
                vaes=vae_names(catalogue, model),
                clip_skip_works=model is None or model.family != "sd2",
                parent_url=_url(parent, job.guild_id) if parent else None,
                mention=mention,
                remarks=remarks,
            )
            return result_view(post), packed.to_discord(alt_text(job))

        return build

    async def _parent(self, job: Job) -> Job | None:
        """The job it came from, where whoever sees this post can see that one's too."""
        parent = await self._store.jobs.get(job.parent_id) if job.parent_id else None
        if parent is None or parent.message_id is None or parent.channel_id != job.channel_id:
            return None
        return None if parent.private and not job.private else parent

    async def _delivered(self, job: Job, message: discord.Message) -> None:
        attachments = [file.id for file in message.attachments]
        await self._store.pictures.set_attachments(job.id, attachments)
        await self._moved(job, message)
        await self._store.jobs.set_state(job.id, "delivered")

    async def _moved(self, job: Job, message: discord.Message) -> None:
        """Note where the post is now; the one with the progress, if that was another, goes."""
        if message.id != job.message_id:
            await self._store.jobs.set_message(job.id, message.channel.id, message.id)
            await self._carrier.delete(job)


def _url(job: Job, guild_id: int | None) -> str:
    # A server's job may have been delivered by direct message: where it came from says nothing.
    place = f"{guild_id or '@me'}/{job.channel_id}/{job.message_id}"
    return f"https://discord.com/channels/{place}"
