"""Who may see a job, and who may delete it.

A command may name any job, and a ``custom_id`` can be forged, so both are checked here. For a
message that the member can see, :meth:`Visibility.shown_by` is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import discord

from bot.answers import DISCORD_ERRORS, Interaction
from bot.store import Job, Store


@dataclass(eq=False)
class Visibility:
    """Decides by the rows of the jobs and by Discord's channels and permissions."""

    _store: Store
    _client: discord.Client

    async def shown_by(self, message_id: int, user_id: int) -> Job | None:
        """The job that a message shows, for a member who can see the message."""
        job_id = await self._store.posts.job_id(message_id)
        job = await self._store.jobs.get(job_id) if job_id is not None else None
        return None if job is None or (job.private and job.user_id != user_id) else job

    async def may_see(self, interaction: Interaction, job: Job) -> bool:
        """Whether the job is the member's own; or public, with a post where a control or a form was
        used, or in a channel of this server whose history the member can read."""
        if job.user_id == interaction.user.id:
            return True
        if job.private:
            return False
        copies = await self._store.posts.copies(job.id)
        places = {job.channel_id, *(copy.channel_id for copy in copies)}
        # Where the bot is no member, only the interaction's channel is known. That is not enough
        # for a command: a server may make such a bot's responses ephemeral.
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
        """Whether the member is its author, or may manage messages where it was made."""
        if job.user_id == interaction.user.id:
            return True
        if interaction.guild_id is None or interaction.guild_id != job.guild_id or job.private:
            return False
        if interaction.channel_id == job.channel_id:
            # Sent by Discord, also where the bot is no member.
            return interaction.permissions.manage_messages
        return self.manages(interaction.user, job)

    def manages(self, user: Any, job: Job) -> bool:
        """Whether ``user`` may manage messages in the channel of the job's own post.

        Copies do not count, for they can be anywhere. For a post in direct messages or in a
        deleted channel, the permissions on the whole server count.
        """
        guild = self._client.get_guild(job.guild_id or 0)
        if guild is None or not isinstance(user, discord.Member) or user.guild.id != guild.id:
            return False
        channel = guild.get_channel_or_thread(job.channel_id or 0)
        allowed = user.guild_permissions if channel is None else _permissions(user, channel)
        return allowed.manage_messages


async def _reads(member: discord.Member, channel: Any) -> bool:
    """Whether ``member`` can read a channel's history; False where that is unknown."""
    allowed = _permissions(member, channel)
    if not (allowed.read_messages and allowed.read_message_history):
        return False
    if isinstance(channel, discord.VoiceChannel | discord.StageChannel):
        # Discord shows its messages only to those who may connect.
        return allowed.connect
    private = isinstance(channel, discord.Thread) and channel.is_private()
    if private and not allowed.manage_threads:
        # The gateway lists a thread's members only to bots with the members intent.
        try:
            await channel.fetch_member(member.id)
        except DISCORD_ERRORS:
            return False
    return True


def _permissions(member: discord.Member, channel: Any) -> discord.Permissions:
    if isinstance(channel, discord.Thread) and channel.parent is None:
        # discord.py raises, for a thread's permissions are its channel's.
        return discord.Permissions.none()
    permissions: discord.Permissions = channel.permissions_for(member)
    return permissions
