"""The delivery routes of a job's post: how it is sent, edited and deleted.

Tried in order: edit the post through the interaction's token, or in its channel; a new message in
the channel that mentions the member; a follow-up through the token; a direct message. A private job
is never sent to the channel.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import discord
from discord import ui
from discord.webhook.async_ import async_context

from bot.answers import DISCORD_ERRORS
from bot.posts.earlier import Shows, find
from bot.store import Job, MessagePlace

log = logging.getLogger(__name__)

# An edit notifies nobody: a member who waited longer than this is mentioned in a new message.
SECONDS_TO_NOTICE: Final = 60.0

# A channel that is closed for longer is not waited for to see what was sent there.
SECONDS_TO_OPEN: Final = 3_600.0

REQUEST_ENTITY_TOO_LARGE: Final = 40005
# The flag of a message that says "thinking …".
LOADING: Final = discord.MessageFlags.loading.flag
UNKNOWN_CHANNEL: Final = 10003
UNKNOWN_MESSAGE: Final = 10008

# A fresh view and fresh files for each attempt; the argument is whether to mention the member. An
# edit without a list of files keeps those that are there.
Build = Callable[[bool], tuple[ui.LayoutView, list[discord.File] | None]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A job's post to be sent, as a reply to the post of ``parent``, unless in its place."""

    job: Job
    build: Build
    parent: Job | None = None

    @property
    def in_place(self) -> bool:
        """Whether it goes where the post of ``parent`` is."""
        return self.job.takes_place_of(self.parent)


Route = Callable[[Outgoing], Awaitable[discord.Message]]


@dataclass(eq=False)
class Sender:
    """Sends, edits and deletes messages by their ids. ``clock`` gives Unix seconds.

    ``sent`` is told the name of the route that a post took, ``none`` where there was none.
    """

    _client: discord.Client
    _clock: Callable[[], float]
    _sent: Callable[[str], None] = lambda route: None

    async def send(self, outgoing: Outgoing) -> discord.Message | None:
        """Send by the first route that works; None when none does.

        Raises :class:`discord.HTTPException` or :class:`OSError` when Discord fails or a file is
        too large, for the other routes would fail too.
        """
        for route in self._routes(outgoing):
            if (message := await self._try(route, outgoing)) is not None:
                self._sent(route.__name__)
                return message
        log.warning("job %d: its post could not be delivered by any route", outgoing.job.id)
        self._sent("none")
        return None

    async def restore(self, outgoing: Outgoing) -> discord.Message | None:
        """Edit the post, of any age; None where it cannot be. Raises as :meth:`send`."""
        if self._token_valid(outgoing.job):
            message = await self._try(self._edit_post, outgoing)
            if message is not None:
                return message
        return await self._try(self._edit_in_channel, outgoing)

    async def _try(self, route: Route, outgoing: Outgoing) -> discord.Message | None:
        """Send by one route; None where that does not work. Raises as :meth:`send`."""
        try:
            return await route(outgoing)
        except discord.HTTPException as error:
            if error.status >= 500 or too_large(error):
                raise
            log.info("job %d: %s did not work: %s", outgoing.job.id, route.__name__, error)
            return None

    async def edit(self, outgoing: Outgoing) -> None:
        """Edit the post, while the token of its interaction is valid.

        Raises :class:`discord.HTTPException`.
        """
        if self._token_valid(outgoing.job) and outgoing.job.message_id is not None:
            await self._edit_post(outgoing)

    async def announce(self, outgoing: Outgoing) -> discord.Message:
        """Send the first post of a job that no interaction asked for.

        Raises :class:`discord.HTTPException` or :class:`OSError`.
        """
        # Another nonce than the result's, which may be sent as a new message later.
        return await self._send_to_channel(outgoing, nonce=_nonce(outgoing.job).replace("-", "+"))

    async def delete(self, job: Job) -> bool:
        """Delete the job's post; False if it cannot be."""
        if job.message_id is None or job.channel_id is None:
            return True
        if self._token_valid(job):
            try:
                await self._webhook(job).delete_message(job.message_id)
                return True
            except DISCORD_ERRORS as error:
                log.info("job %d: its token did not delete its post: %s", job.id, error)
        return await self.delete_message(MessagePlace(job.channel_id, job.message_id))

    async def delete_message(self, place: MessagePlace) -> bool:
        """Delete a message in its channel; True if it was deleted before."""
        try:
            await self.delete_now(place)
        except DISCORD_ERRORS as error:
            log.info("message %d could not be deleted: %s", place.message_id, error)
            return is_gone(error)
        return True

    async def delete_now(self, place: MessagePlace) -> None:
        """Delete a message in its channel.

        Raises :class:`discord.HTTPException` or :class:`OSError`.
        """
        channel = self._client.get_partial_messageable(place.channel_id)
        await channel.get_partial_message(place.message_id).delete()

    async def first_answer(self, job: Job) -> int | None:
        """The id of the message that answered the job's interaction; None where there is none.

        Raises :class:`discord.HTTPException` or :class:`OSError` when Discord fails.
        """
        if not self._token_valid(job):
            return None
        webhook = self._webhook(job)
        try:
            # discord.py offers this only for an interaction, which is gone after a restart.
            message = await async_context.get().get_original_interaction_response(
                webhook.id,
                webhook.token or "",
                session=webhook.session,
                proxy=webhook.proxy,
                proxy_auth=webhook.proxy_auth,
            )
        except discord.HTTPException as error:
            if error.status >= 500:
                raise
            return None
        # A control's original response may be the message that it stands in.
        ours = re.search(rf"p:[a-z_]+:{job.id}\b", str(message["components"]))
        return int(message["id"]) if ours or message["flags"] & LOADING else None

    async def sent_before(self, job: Job, shows: Shows) -> discord.Message | None:
        """A message about the job that was sent and not stored, in its channel or, where it may
        tell of the end, among the member's direct messages.

        Raises :class:`discord.HTTPException` or :class:`OSError` when Discord fails, or when a
        channel is closed that may be open again soon.
        """
        user, live = self._client.user, shows == "cancel"
        since = job.created_at if live or job.finished_at is None else job.finished_at
        channels: list[discord.abc.Messageable] = [] if live else [await self.direct(job.user_id)]
        if not job.private and job.channel_id is not None:
            channels.append(self._channel(job))
        for channel in channels:
            try:
                if user and (message := await find(channel, user.id, job, shows, since)):
                    return message
            except discord.HTTPException as error:
                if error.status >= 500 or self._may_open(job, since):
                    raise
                log.info("job %d: its channel could not be looked through: %s", job.id, error)
        return None

    def _may_open(self, job: Job, since: float) -> bool:
        """Whether to wait for the job's channel: not where the bot is no member."""
        ready = self._client.is_ready()
        known = job.guild_id is not None and self._client.get_guild(job.guild_id) is not None
        return not ready or (known and self._clock() - since < SECONDS_TO_OPEN)

    async def direct(self, user_id: int) -> discord.DMChannel:
        """The channel of a user's direct messages with the bot."""
        return await self._client.create_dm(discord.Object(user_id))

    def filesize_limit(self, guild_id: int | None) -> int:
        """The largest file in bytes on a server, or in direct messages."""
        guild = self._client.get_guild(guild_id) if guild_id else None
        return guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES

    def _routes(self, outgoing: Outgoing) -> Iterator[Route]:
        job = outgoing.job
        valid = self._token_valid(job)
        quick = self._clock() - job.created_at < SECONDS_TO_NOTICE
        posted = job.message_id is not None
        if valid and posted and (quick or job.private):
            yield self._edit_post
        if not job.private:
            if quick and posted and (not valid or outgoing.in_place):
                # A reaction asked for it, so its post is an ordinary message; or another
                # interaction's answer is, of which the token may be over.
                yield self._edit_in_channel
            if job.channel_id is not None:
                yield self._send_to_channel
            if valid:
                # Discord refuses it where the interaction was never answered.
                yield self._follow_up
        yield self._send_to_member

    async def _edit_post(self, outgoing: Outgoing) -> discord.Message:
        webhook, message_id = self._webhook(outgoing.job), outgoing.job.message_id
        return await _edit(partial(webhook.edit_message, message_id), outgoing)

    async def _edit_in_channel(self, outgoing: Outgoing) -> discord.Message:
        assert outgoing.job.message_id is not None
        message = self._channel(outgoing.job).get_partial_message(outgoing.job.message_id)
        return await _edit(message.edit, outgoing)

    async def _send_to_channel(
        self, outgoing: Outgoing, nonce: str | None = None
    ) -> discord.Message:
        channel, parent = self._channel(outgoing.job), outgoing.parent
        reference = None
        if parent is not None and parent.message_id is not None and not outgoing.in_place:
            message = channel.get_partial_message(parent.message_id)
            reference = message.to_reference(fail_if_not_exists=False)
        nonce = nonce or _nonce(outgoing.job)
        return await _send(channel.send, outgoing, nonce=nonce, reference=reference)

    async def _follow_up(self, outgoing: Outgoing) -> discord.Message:
        return await _send(self._webhook(outgoing.job).send, outgoing, wait=True)

    async def _send_to_member(self, outgoing: Outgoing) -> discord.Message:
        channel = await self.direct(outgoing.job.user_id)
        return await _send(channel.send, outgoing, nonce=_nonce(outgoing.job))

    def _channel(self, job: Job) -> discord.PartialMessageable:
        assert job.channel_id is not None
        return self._client.get_partial_messageable(job.channel_id, guild_id=job.guild_id)

    def _webhook(self, job: Job) -> discord.Webhook:
        assert job.interaction_token is not None
        return discord.Webhook.partial(
            job.application_id, job.interaction_token, client=self._client
        )

    def _token_valid(self, job: Job) -> bool:
        return job.token_expires_at is not None and self._clock() < job.token_expires_at


async def _edit(edit: Callable[..., Awaitable[Any]], outgoing: Outgoing) -> discord.Message:
    view, files = outgoing.build(False)
    changes: dict[str, Any] = {"view": view} | ({} if files is None else {"attachments": files})
    message: discord.Message = await edit(
        **changes, allowed_mentions=discord.AllowedMentions.none()
    )
    return message


async def _send(
    send: Callable[..., Awaitable[Any]], outgoing: Outgoing, **options: Any
) -> discord.Message:
    view, files = outgoing.build(True)
    mentions = _mention(outgoing.job)
    message: discord.Message = await send(
        view=view, files=files or [], allowed_mentions=mentions, **options
    )
    return message


def _nonce(job: Job) -> str:
    """A nonce of at most 25 characters.

    Discord knows it for a few minutes, and returns the message instead of sending a second one.
    """
    return f"{job.id:x}-{int(job.created_at):x}"


def _mention(job: Job) -> discord.AllowedMentions:
    """Only the member being answered."""
    return discord.AllowedMentions(
        everyone=False, roles=False, replied_user=False, users=[discord.Object(job.user_id)]
    )


def is_gone(error: Exception) -> bool:
    """Whether Discord no longer knows the message or its channel."""
    code = error.code if isinstance(error, discord.HTTPException) else None
    return code in (UNKNOWN_CHANNEL, UNKNOWN_MESSAGE)


def too_large(error: discord.HTTPException) -> bool:
    """Whether Discord refused a message because a file is too large."""
    return error.code == REQUEST_ENTITY_TOO_LARGE or error.status == 413
