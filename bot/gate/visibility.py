"""Whether a member may see a picture here, and who may take it away: one rule for every way to it.

A command names any number, and a ``custom_id`` can be made up; so whoever comes to a job by either
is asked here. Who has one of its posts before them needs only :meth:`Visibility.shown_by`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import discord

from bot.answers import DISCORD_ERRORS, Interaction
from bot.store import Job, Store


@dataclass(eq=False)
class Visibility:
    """Answers from the rows of the jobs and from what Discord says of channels and rights."""

    _store: Store
    _client: discord.Client

    async def shown_by(self, message_id: int, user_id: int) -> Job | None:
        """The job that a message shows, for a member who has the message before them."""
        job_id = await self._store.posts.job_id(message_id)
        job = await self._store.jobs.get(job_id) if job_id is not None else None
        return None if job is None or (job.private and job.user_id != user_id) else job

    async def may_see(self, interaction: Interaction, job: Job) -> bool:
        """One's own; of others what stands where a control or a form was used, or what one could
        scroll back to on this server. Nobody else's private one."""
        if job.user_id == interaction.user.id:
            return True
        if job.private:
            return False
        copies = await self._store.posts.copies(job.id)
        places = {job.channel_id, *(copy.channel_id for copy in copies)}
        # Where the bot is no member nothing else is known than where an interaction comes from.
        # That is not enough for a command: a server may hide such a bot's answers from all but
        # who asked.
        named = interaction.type is discord.InteractionType.application_command
        if not named and interaction.channel_id in places:
            return True
        guild, member = interaction.guild, interaction.user
        if guild is None or not isinstance(member, discord.Member):
            return False
        for place in places:
            channel = guild.get_channel_or_thread(place or 0)
            if channel is not None and await _reads(member, channel):
                return True
        return False

    def may_remove(self, interaction: Interaction, job: Job) -> bool:
        """Its author, and who may manage messages where it was made."""
        if job.user_id == interaction.user.id:
            return True
        if interaction.guild_id is None or interaction.guild_id != job.guild_id or job.private:
            return False
        if interaction.channel_id == job.channel_id:
            # Discord says it, also where the bot is no member.
            return interaction.permissions.manage_messages
        return self.manages(interaction.user, job)

    def manages(self, user: Any, job: Job) -> bool:
        """Whether ``user`` may manage messages in the channel of the job's own post.

        Not where a copy of it was brought: that would be anywhere. Of what went by direct message,
        and of a channel that is gone, the moderators are those of the whole server.
        """
        guild = self._client.get_guild(job.guild_id or 0)
        if guild is None or not isinstance(user, discord.Member) or user.guild.id != guild.id:
            return False
        channel = guild.get_channel_or_thread(job.channel_id or 0)
        allowed = user.guild_permissions if channel is None else _permissions(user, channel)
        return allowed.manage_messages


async def _reads(member: discord.Member, channel: Any) -> bool:
    """Whether ``member`` could scroll back in a channel; False where nobody can tell."""
    allowed = _permissions(member, channel)
    if not (allowed.read_messages and allowed.read_message_history):
        return False
    if isinstance(channel, discord.VoiceChannel | discord.StageChannel):
        # Its messages are shown only to those who may enter.
        return allowed.connect
    if isinstance(channel, discord.Thread) and channel.is_private():
        return allowed.manage_threads or await _is_in(member, channel)
    return True


def _permissions(member: discord.Member, channel: Any) -> discord.Permissions:
    if isinstance(channel, discord.Thread) and channel.parent is None:
        # discord.py would raise: a thread's permissions are its channel's.
        return discord.Permissions.none()
    permissions: discord.Permissions = channel.permissions_for(member)
    return permissions


async def _is_in(member: discord.Member, thread: discord.Thread) -> bool:
    # Who is in a thread, the gateway tells only bots that may read member lists.
    try:
        await thread.fetch_member(member.id)
    except DISCORD_ERRORS:
        return False
    return True
