"""The ways by which a job's post gets to Discord, and by which it is taken away.

Tried in order: edit the post through the interaction's token; a new message in the channel that
mentions the member; a follow-up through the token; a direct message. A private job is never put
into the channel.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import discord
from discord import ui

from bot.answers import DISCORD_ERRORS
from bot.store import Job, MessagePlace

log = logging.getLogger(__name__)

# An edit never pings: who has waited longer than this is called by a new message.
SECONDS_TO_NOTICE: Final = 60.0

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


@dataclass(eq=False)
class Carrier:
    """Sends, edits and deletes by ids alone. ``clock`` gives Unix seconds."""

    _client: discord.Client
    _clock: Callable[[], float]

    async def carry(self, parcel: Parcel) -> discord.Message | None:
        """Send by the first way that works; None when none does.

        Raises :class:`discord.HTTPException` or :class:`OSError` when Discord itself is in trouble
        or a file is too large, whatever the way.
        """
        job_id = parcel.job.id
        for way in self._ways(parcel.job):
            try:
                return await way(parcel)
            except discord.HTTPException as error:
                if error.status >= 500 or too_large(error):
                    raise
                log.info("job %d: %s did not work: %s", job_id, way.__name__, error)
        log.warning("job %d: its post arrived nowhere", job_id)
        return None

    async def edit(self, parcel: Parcel) -> None:
        """Edit the post; nothing once the 15 minutes of its interaction's token are over.

        Raises :class:`discord.HTTPException`.
        """
        if self._token_lives(parcel.job) and parcel.job.message_id is not None:
            await self._edit_post(parcel)

    async def announce(self, parcel: Parcel) -> discord.Message:
        """Send the first post of a job that no interaction asked for.

        Raises :class:`discord.HTTPException` or :class:`OSError`.
        """
        # The result, should it come as a new message, must not be taken for this one.
        return await self._send_to_channel(parcel, nonce=_nonce(parcel.job).replace("-", "+"))

    async def delete(self, job: Job) -> bool:
        """Take the job's post away; False if it is out of reach."""
        if job.message_id is None or job.channel_id is None:
            return True
        if self._token_lives(job):
            try:
                await self._webhook(job).delete_message(job.message_id)
                return True
            except DISCORD_ERRORS as error:
                log.info("job %d: its post could not be deleted so: %s", job.id, error)
        return await self.delete_message(MessagePlace(job.channel_id, job.message_id))

    async def delete_message(self, place: MessagePlace) -> bool:
        """Delete a message in its channel; True too if it was gone before."""
        channel = self._client.get_partial_messageable(place.channel_id)
        try:
            await channel.get_partial_message(place.message_id).delete()
        except DISCORD_ERRORS as error:
            log.info("message %d could not be deleted: %s", place.message_id, error)
            code = error.code if isinstance(error, discord.HTTPException) else None
            return code in (UNKNOWN_CHANNEL, UNKNOWN_MESSAGE)
        return True

    async def direct(self, user_id: int) -> discord.DMChannel:
        """Somebody's direct messages with the bot."""
        return await self._client.create_dm(discord.Object(user_id))

    def filesize_limit(self, guild_id: int | None) -> int:
        """How many bytes a file may have on a server, or in direct messages."""
        guild = self._client.get_guild(guild_id) if guild_id else None
        return guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    # The ways.

    def _ways(self, job: Job) -> Iterator[Way]:
        lives = self._token_lives(job)
        quick = self._clock() - job.created_at < SECONDS_TO_NOTICE
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
        assert parcel.job.message_id is not None
        view, files = parcel.build(False)
        return (
            await self._channel(parcel.job)
            .get_partial_message(parcel.job.message_id)
            .edit(view=view, attachments=files, allowed_mentions=discord.AllowedMentions.none())
        )

    async def _send_to_channel(self, parcel: Parcel, nonce: str | None = None) -> discord.Message:
        channel, parent = self._channel(parcel.job), parcel.parent
        if parent is None or parent.message_id is None:
            return await _send(channel, parcel, nonce=nonce)
        reference = channel.get_partial_message(parent.message_id).to_reference(
            fail_if_not_exists=False
        )
        return await _send(channel, parcel, nonce=nonce, reference=reference)

    async def _follow_up(self, parcel: Parcel) -> discord.Message:
        view, files = parcel.build(True)
        return await self._webhook(parcel.job).send(
            view=view, files=files, allowed_mentions=_mention(parcel.job), wait=True
        )

    async def _send_to_member(self, parcel: Parcel) -> discord.Message:
        return await _send(await self.direct(parcel.job.user_id), parcel)

    def _channel(self, job: Job) -> discord.PartialMessageable:
        assert job.channel_id is not None
        return self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)

    def _webhook(self, job: Job) -> discord.Webhook:
        assert job.interaction_token is not None
        return discord.Webhook.partial(
            job.application_id, job.interaction_token, client=self._client
        )

    def _token_lives(self, job: Job) -> bool:
        return job.token_expires_at is not None and self._clock() < job.token_expires_at


async def _send(
    channel: discord.abc.Messageable, parcel: Parcel, nonce: str | None = None, **options: Any
) -> discord.Message:
    view, files = parcel.build(True)
    # Should we be killed before the job is written as delivered, Discord knows the nonce for
    # some minutes and gives the same message back instead of a second one.
    return await channel.send(
        view=view,
        files=files,
        allowed_mentions=_mention(parcel.job),
        nonce=nonce or _nonce(parcel.job),
        **options,
    )


def _nonce(job: Job) -> str:
    # At most 25 characters.
    return f"{job.id:x}-{int(job.created_at):x}"


def _mention(job: Job) -> discord.AllowedMentions:
    """Nobody but the member being answered."""
    return discord.AllowedMentions(
        everyone=False, roles=False, replied_user=False, users=[discord.Object(job.user_id)]
    )


def too_large(error: discord.HTTPException) -> bool:
    """Whether Discord refused a message for the size of its files."""
    return error.code == REQUEST_ENTITY_TOO_LARGE or error.status == 413
