"""Reactions on a result, of any age: 🎲 new seed, ⬆️ ⬇️ clip skip, ❌ delete, ✉️ into my messages.

They do what the controls do. Discord shows a reaction's maker nothing privately, so what goes
wrong is said in a direct message, or, where those are closed, not at all.
"""

from __future__ import annotations

import logging
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

# So many of a member's reactions are answered in so many seconds; the rest are let go in silence.
PER_MEMBER: Final = 5
SECONDS: Final = 30.0

Action = Callable[["ReactionsCog", RawReactionActionEvent, Job], Awaitable[None]]


class ReactionsCog(commands.Cog):
    """Listens to raw events: discord.py need never have seen the message."""

    def __init__(self, bot: Penultimate) -> None:
        self.client: discord.Client = bot
        self.clock = bot.clock
        self.store = bot.store
        self.gate = bot.gate
        self.visibility = bot.visibility
        self.jobs = bot.jobs
        self.delivery = bot.delivery
        self._quick = commands.CooldownMapping[RawReactionActionEvent](
            commands.Cooldown(PER_MEMBER, SECONDS), lambda event: event.user_id
        )

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, event: RawReactionActionEvent) -> None:
        """Find out whether it means anything, and do it."""
        action = ACTIONS.get(_plain(event.emoji))
        if action is None or not await self._listens(event):
            return
        job = await self._job(event)
        if job is None or self._quick.update_rate_limit(event, self.clock()):
            return
        try:
            await action(self, event, job)
        except (PenultimateError, *DISCORD_ERRORS) as error:
            await self._tell(event, error, job)

    async def _listens(self, event: RawReactionActionEvent) -> bool:
        if event.member is not None and event.member.bot:
            return False
        me = self.client.user
        # Discord says who wrote the message, mostly: others' cost us no look into the database.
        if me is None or event.user_id == me.id or event.message_author_id not in (None, me.id):
            return False
        return self.gate.server(event.guild_id).reactions

    async def _job(self, event: RawReactionActionEvent) -> Job | None:
        """The job whose post it is, if this member may see it.

        Without a picture (it waits, is drawn or failed) it can only be deleted.
        """
        job = await self.visibility.shown_by(event.message_id, event.user_id)
        if job is None:
            return None
        deletes = ACTIONS[_plain(event.emoji)] is ReactionsCog.delete
        return job if deletes or await self.store.pictures.of_job(job.id) else None

    async def vary(self, event: RawReactionActionEvent, job: Job) -> None:
        """The picture again, with a change, as an answer to the post."""
        locale = await self._locale(event, job)
        origin = of_reaction(event, self._channel(event), job.application_id, locale)
        await self.jobs.vary(origin, job, **CHANGES[_plain(event.emoji)](job))

    async def delete(self, event: RawReactionActionEvent, job: Job) -> None:
        """For its author, and for who may manage messages where it was made."""
        if event.user_id != job.user_id and not self.visibility.manages(event.member, job):
            raise NotYours("delete")
        await self.jobs.delete(job)

    async def send(self, event: RawReactionActionEvent, job: Job) -> None:
        """A copy, for the one who asks."""
        await self.delivery.copy_to(event.user_id, job)

    def _channel(self, event: RawReactionActionEvent) -> Any:
        guild = self.client.get_guild(event.guild_id) if event.guild_id else None
        found = guild.get_channel_or_thread(event.channel_id) if guild else None
        return found or self.client.get_partial_messageable(
            event.channel_id, guild_id=event.guild_id
        )

    async def _locale(self, event: RawReactionActionEvent, job: Job) -> str:
        """The member's language as far as it is known: a reaction does not say it."""
        before = await self.store.jobs.of_user(event.user_id, 1)
        return before[0].locale if before else job.locale

    async def _tell(self, event: RawReactionActionEvent, error: Exception, job: Job) -> None:
        said = sentence(error, await self._locale(event, job))
        try:
            channel = await self.client.create_dm(discord.Object(event.user_id))
            await channel.send(said)
        except DISCORD_ERRORS as closed:
            log.info("job %d: a reaction could not be answered: %s", job.id, closed)


# What varies a picture, by the change; and what else there is.
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
    """An emoji without the sign that asks for its coloured form; clients differ in that."""
    return emoji.name.removesuffix("\N{VARIATION SELECTOR-16}")
