"""Finding a job's message that was sent and not stored: the reply was lost, or the bot was killed.

A nonce alone keeps no message from coming twice: Discord forgets it after a few minutes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, Literal

import discord

from bot.store import Job

# What a message shows, by the control that only such a one has: a job that waits or runs, its
# result, or that it ended without one.
Shows = Literal["cancel", "more", "again"]

# Seconds by which the bot's clock may be ahead of Discord's.
CLOCKS_APART: Final = 60.0
# Messages of a channel that are looked through.
MOST: Final = 1_000


async def find(
    channel: discord.abc.Messageable, author_id: int, job: Job, shows: Shows, since: float
) -> discord.Message | None:
    """The first message in a channel about a job after ``since``, in Unix seconds.

    Raises :class:`discord.HTTPException` or :class:`OSError`.
    """
    after = datetime.fromtimestamp(since - CLOCKS_APART, UTC)
    async for message in channel.history(limit=MOST, after=after, oldest_first=True):
        if message.author.id == author_id and shows in _controls(message, job):
            return message
    return None


def _controls(message: discord.Message, job: Job) -> set[str]:
    """What the message's controls do to the job."""
    parts = str([part.to_dict() for part in message.components])
    return set(re.findall(rf"p:([a-z_]+):{job.id}\b", parts))
