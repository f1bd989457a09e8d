"""Carries a job's post to Discord, whatever the interaction's age, the files' size, the place.

The ways, tried in order: edit the post through the interaction's token; a new message in the
channel that mentions the member; a follow-up through the token; a direct message. A private job
is never put into the channel. What arrives nowhere stays ``finished`` and is tried again later.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import discord
from discord import ui

from bot.answers import TROUBLE
from bot.ordering.choices import vae_names
from bot.posts.live import ended_view
from bot.posts.packing import Packed, pack
from bot.posts.result import Post, alt_text, result_view, usual_values
from bot.store import Job, Place
from bot.translate import t
from core.errors import PenultimateError, UnknownName
from core.models.catalogue import Model

if TYPE_CHECKING:
    from bot.client import Penultimate

log = logging.getLogger(__name__)

# An edit never pings: who has waited longer than this is called by a new message.
SECONDS_TO_NOTICE: Final = 60.0
# Below this no picture is worth sending.
SMALLEST_LIMIT: Final = 10_000

REQUEST_ENTITY_TOO_LARGE: Final = 40005
UNKNOWN_CHANNEL: Final = 10003
UNKNOWN_MESSAGE: Final = 10008

# A fresh view and fresh files for each try; the argument is whether the member is mentioned.
Build = Callable[[bool], tuple[ui.LayoutView, list[discord.File]]]


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is carried: a job's post, and the post of the job it is an answer to."""

    job: Job
    build: Build
    parent: Job | None = None


Way = Callable[[Parcel], Awaitable[discord.Message]]


class Delivery:
    """Sends for one bot. Every method may be called again: a job arrives once as far as we know."""

    def __init__(self, bot: Penultimate) -> None:
        self._bot = bot

    async def edit(self, job: Job, view: ui.LayoutView, files: list[discord.File]) -> None:
        """Show progress in the job's post; nothing once its token's 15 minutes are over.

        Raises :class:`discord.HTTPException`.
        """
        if self._token_lives(job) and job.message_id is not None:
            await self._edit_post(Parcel(job, lambda _: (view, files)))

    async def deliver(self, job: Job, limit: int | None = None) -> bool:
        """Send a finished job's result and make the job ``delivered``; False if it arrived nowhere.

        ``limit`` is how many bytes a file may have where it goes, if that is known. Raises
        :class:`FileNotFoundError` when a picture's file is gone, and
        :class:`discord.HTTPException` or :class:`OSError` when Discord itself is in trouble.
        """
        parent = await self._parent(job)

        def carry(packed: Packed) -> Awaitable[discord.Message | None]:
            return self._carry(Parcel(job, self._result(job, packed, parent), parent))

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
            place = Place(message.channel.id, message.id)
            await self._bot.store.posts.add(job.id, place)
        return message is not None

    async def tell_ended(self, job: Job, error: PenultimateError | None) -> None:
        """Say that a job ended without a picture: ``error``, or None when it was cancelled."""
        parcel = Parcel(job, lambda mention: (ended_view(job, error, mention=mention), []))
        message = await self._carry(parcel)
        if message is not None:
            await self._moved(job, message)

    async def delete_post(self, job: Job) -> bool:
        """Take the job's post away; False if it is out of reach."""
        if job.message_id is None or job.channel_id is None:
            return True
        if self._token_lives(job):
            try:
                await self._webhook(job).delete_message(job.message_id)
                return True
            except TROUBLE as error:
                log.info("job %d: its post could not be deleted so: %s", job.id, error)
        channel = self._bot.get_partial_messageable(job.channel_id)
        return await _deleted(job, channel.get_partial_message(job.message_id))

    async def delete_posts(self, job: Job) -> bool:
        """Take away the job's post and every copy of it; False if one is out of reach."""
        gone = [await self.delete_post(job)]
        for copy in await self._bot.store.posts.copies(job.id):
            channel = self._bot.get_partial_messageable(copy.channel_id)
            gone.append(await _deleted(job, channel.get_partial_message(copy.message_id)))
        return all(gone)

    async def announce(self, job: Job, view: ui.LayoutView) -> discord.Message:
        """Put the post of a job that no interaction asked for into its channel.

        Raises :class:`discord.HTTPException` or :class:`OSError`.
        """
        parcel = Parcel(job, lambda _: (view, []), await self._parent(job))
        # The result, should it come as a new message, must not be taken for this one.
        return await self._send_to_channel(parcel, nonce=_nonce(job).replace("-", "+"))

    # The ways.

    async def _carry(self, parcel: Parcel) -> discord.Message | None:
        """The first way that works; None when none does."""
        job_id = parcel.job.id
        for way in self._ways(parcel.job):
            try:
                return await way(parcel)
            except discord.HTTPException as error:
                if error.status >= 500 or _too_large(error):
                    raise
                log.info("job %d: %s did not work: %s", job_id, way.__name__, error)
        log.warning("job %d: its post arrived nowhere", job_id)
        return None

    def _ways(self, job: Job) -> Iterator[Way]:
        lives = self._token_lives(job)
        quick = self._bot.clock() - job.created_at < SECONDS_TO_NOTICE
        posted = job.message_id is not None
        if lives and posted and (quick or job.private):
            yield self._edit_post
        if not job.private:
            if quick and posted and not lives:
                # No interaction asked for it: its post is an ordinary message.
                yield self._edit_in_channel
            if job.channel_id is not None:
                yield self._send_to_channel
            if lives:
                # Refused where the interaction was never answered.
                yield self._follow_up
        yield self._send_to_member

    async def _edit_post(self, parcel: Parcel) -> discord.Message:
        view, files = parcel.build(False)
        assert parcel.job.message_id is not None
        return await self._webhook(parcel.job).edit_message(
            parcel.job.message_id,
            view=view,
            attachments=files,
            allowed_mentions=discord.AllowedMentions.none(),
        )

    async def _edit_in_channel(self, parcel: Parcel) -> discord.Message:
        job = parcel.job
        assert job.channel_id is not None
        assert job.message_id is not None
        channel = self._bot.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        view, files = parcel.build(False)
        return await channel.get_partial_message(job.message_id).edit(
            view=view, attachments=files, allowed_mentions=discord.AllowedMentions.none()
        )

    async def _send_to_channel(self, parcel: Parcel, nonce: str | None = None) -> discord.Message:
        job, parent = parcel.job, parcel.parent
        assert job.channel_id is not None
        channel = self._bot.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        if parent is None or parent.message_id is None:
            return await self._send(channel, parcel, nonce=nonce)
        reference = channel.get_partial_message(parent.message_id).to_reference(
            fail_if_not_exists=False
        )
        return await self._send(channel, parcel, nonce=nonce, reference=reference)

    async def _follow_up(self, parcel: Parcel) -> discord.Message:
        view, files = parcel.build(True)
        return await self._webhook(parcel.job).send(
            view=view, files=files, allowed_mentions=_mention(parcel.job), wait=True
        )

    async def _send_to_member(self, parcel: Parcel) -> discord.Message:
        channel = await self._bot.create_dm(discord.Object(parcel.job.user_id))
        return await self._send(channel, parcel)

    async def _send(
        self,
        channel: discord.abc.Messageable,
        parcel: Parcel,
        nonce: str | None = None,
        **options: Any,
    ) -> discord.Message:
        view, files = parcel.build(True)
        job = parcel.job
        # Should we be killed before the job is written as delivered, Discord knows the nonce for
        # some minutes and gives the same message back instead of a second one.
        return await channel.send(
            view=view,
            files=files,
            allowed_mentions=_mention(job),
            nonce=nonce or _nonce(job),
            **options,
        )

    async def _fitting(
        self,
        job: Job,
        limit: int | None,
        send: Callable[[Packed], Awaitable[discord.Message | None]],
    ) -> discord.Message | None:
        """Send the job's pictures, smaller and smaller until Discord takes them."""
        pictures = await self._bot.store.pictures.of_job(job.id)
        if job.sheet is not None:
            # The sheet itself; its cells are for those who ask for them.
            pictures = pictures[:1]
        limit = limit or self._filesize_limit(job)
        while limit >= SMALLEST_LIMIT:
            packed = await pack(pictures, limit)
            try:
                return await send(packed)
            except discord.HTTPException as error:
                if not _too_large(error):
                    raise
                # What Discord takes here is less than it said.
                limit = min(limit, packed.largest) // 2
        return None

    # What is sent.

    def _result(self, job: Job, packed: Packed, parent: Job | None, *remarks: str) -> Build:
        catalogue = self._bot.catalogue
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
        parent = await self._bot.store.jobs.get(job.parent_id) if job.parent_id else None
        if parent is None or parent.message_id is None or parent.channel_id != job.channel_id:
            return None
        return None if parent.private and not job.private else parent

    async def _delivered(self, job: Job, message: discord.Message) -> None:
        pictures = self._bot.store.pictures
        await pictures.set_attachments(job.id, [file.id for file in message.attachments])
        await self._moved(job, message)
        await self._bot.store.jobs.set_state(job.id, "delivered")

    async def _moved(self, job: Job, message: discord.Message) -> None:
        """Note where the post is now; the one with the progress, if that was another, goes."""
        if message.id == job.message_id:
            return
        await self._bot.store.jobs.set_message(job.id, message.channel.id, message.id)
        await self.delete_post(job)

    # What is known.

    def _webhook(self, job: Job) -> discord.Webhook:
        assert job.interaction_token is not None
        return discord.Webhook.partial(job.application_id, job.interaction_token, client=self._bot)

    def _token_lives(self, job: Job) -> bool:
        return job.token_expires_at is not None and self._bot.clock() < job.token_expires_at

    def _filesize_limit(self, job: Job) -> int:
        guild = self._bot.get_guild(job.guild_id) if job.guild_id else None
        return guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES


def _url(job: Job, guild_id: int | None) -> str:
    # A server's job may have been delivered by direct message: where it came from says nothing.
    place = f"{guild_id or '@me'}/{job.channel_id}/{job.message_id}"
    return f"https://discord.com/channels/{place}"


async def _deleted(job: Job, message: discord.PartialMessage) -> bool:
    """Delete a message in its channel; True too if it was gone before."""
    try:
        await message.delete()
    except TROUBLE as error:
        log.info("job %d: a post could not be deleted: %s", job.id, error)
        code = error.code if isinstance(error, discord.HTTPException) else None
        return code in (UNKNOWN_CHANNEL, UNKNOWN_MESSAGE)
    return True


def _nonce(job: Job) -> str:
    # At most 25 characters.
    return f"{job.id:x}-{int(job.created_at):x}"


def _mention(job: Job) -> discord.AllowedMentions:
    """Nobody but the member being answered."""
    return discord.AllowedMentions(
        everyone=False, roles=False, replied_user=False, users=[discord.Object(job.user_id)]
    )


def _too_large(error: discord.HTTPException) -> bool:
    return error.code == REQUEST_ENTITY_TOO_LARGE or error.status == 413
