"""Reactions on a result, of any age: 🎲 new seed, ⬆️ ⬇️ clip skip, ❌ delete, ✉️ direct message.

They do what the controls do. Discord has no private answer to a reaction, so an error is sent by
direct message, or, where the member accepts none, only logged.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord
from discord import RawReactionActionEvent
from discord.ext import commands

from bot.answers import DISCORD_ERRORS
from bot.client import Penultimate
from bot.errors import sentence
from bot.exceptions import NotYours
from bot.gate.origin import of_reaction
from bot.store import Job
from core.errors import PenultimateError
from core.request import draw_seed

log = logging.getLogger(__name__)

# How many of a member's reactions are answered in how many seconds; the rest are ignored.
PER_MEMBER: Final = 5
SECONDS: Final = 30.0

Action = Callable[["ReactionsCog", RawReactionActionEvent, Job], Awaitable[None]]


class ReactionsCog(commands.Cog):
    """Listens to raw events, which need no message in discord.py's cache."""

    def __init__(self, bot: Penultimate) -> None:
        self.client: discord.Client = bot
        self.clock = bot.clock
        self.store = bot.store
        self.gate = bot.gate
        self.visibility = bot.visibility
        self.jobs = bot.jobs
        self.delivery = bot.delivery
        self._cooldown = commands.CooldownMapping[RawReactionActionEvent](
            commands.Cooldown(PER_MEMBER, SECONDS), lambda event: event.user_id
        )

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, event: RawReactionActionEvent) -> None:
        """Do what the emoji stands for, if it is on a result that the member may see."""
        action = ACTIONS.get(_plain(event.emoji))
        if action is None or not await self._listens(event):
            return
        job = await self._job(event)
        if job is None or self._cooldown.update_rate_limit(event, self.clock()):
            return
        try:
            await action(self, event, job)
        except (PenultimateError, sqlite3.Error, *DISCORD_ERRORS) as error:
            await self._tell(event, error, job)

    async def _listens(self, event: RawReactionActionEvent) -> bool:
        if event.member is not None and event.member.bot:
            return False
        me = self.client.user
        # Discord mostly names the message's author: others' need no look into the database.
        if me is None or event.user_id == me.id or event.message_author_id not in (None, me.id):
            return False
        return self.gate.server(event.guild_id).reactions

    async def _job(self, event: RawReactionActionEvent) -> Job | None:
        """Return the job of the post, if this member may see it.

        One without a picture (queued, running or failed) can only be deleted.
        """
        job = await self.visibility.shown_by(event.message_id, event.user_id)
        if job is None:
            return None
        deletes = ACTIONS[_plain(event.emoji)] is ReactionsCog.delete
        return job if deletes or await self.store.pictures.of_job(job.id) else None

    async def vary(self, event: RawReactionActionEvent, job: Job) -> None:
        """Draw the picture again with one change, as a reply to the post."""
        locale = await self._locale(event, job)
        origin = of_reaction(event, self._channel(event), job.application_id, locale)
        await self.jobs.vary(origin, job, **CHANGES[_plain(event.emoji)](job))

    async def delete(self, event: RawReactionActionEvent, job: Job) -> None:
        """Delete it, for its author and for whoever may manage messages where it was made."""
        if event.user_id != job.user_id and not self.visibility.manages(event.member, job):
            raise NotYours("delete")
        await self.jobs.delete(job)

    async def send(self, event: RawReactionActionEvent, job: Job) -> None:
        """Send a copy by direct message."""
        await self.delivery.copy_to(event.user_id, job)

    def _channel(self, event: RawReactionActionEvent) -> Any:
        guild = self.client.get_guild(event.guild_id) if event.guild_id else None
        found = guild.get_channel_or_thread(event.channel_id) if guild else None
        return found or self.client.get_partial_messageable(
            event.channel_id, guild_id=event.guild_id
        )

    async def _locale(self, event: RawReactionActionEvent, job: Job) -> str:
        """The language of the member's last job, since a reaction does not name one."""
        before = await self.store.jobs.of_user(event.user_id, 1)
        return before[0].locale if before else job.locale

    async def _tell(self, event: RawReactionActionEvent, error: Exception, job: Job) -> None:
        said = sentence(error, await self._locale(event, job))
        try:
            channel = await self.client.create_dm(discord.Object(event.user_id))
            await channel.send(said)
        except DISCORD_ERRORS as closed:
            log.info("job %d: a reaction could not be answered: %s", job.id, closed)


# The emojis that draw a picture again, with the change each makes; then what every emoji does.
CHANGES: Final[dict[str, Callable[[Job], dict[str, int]]]] = {
    "🎲": lambda job: {"seed": draw_seed()},
    "⬆": lambda job: {"clip_skip": job.request.clip_skip + 1},
    "⬇": lambda job: {"clip_skip": job.request.clip_skip - 1},
}
ACTIONS: Final[dict[str, Action]] = {
    **dict.fromkeys(CHANGES, ReactionsCog.vary),
    "❌": ReactionsCog.delete,
    "✉": ReactionsCog.send,
}


def _plain(emoji: discord.PartialEmoji) -> str:
    """The emoji without a variation selector, which some clients add."""
    return emoji.name.removesuffix("\N{VARIATION SELECTOR-16}")
