"""Tells the bot's owner by direct message what only the owner can mend: an engine that stays down.

Once when it happens, and once when it is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import discord
from discord.ext import commands

from bot.answers import DISCORD_ERRORS, excerpt
from bot.translate import ENGLISH, t
from core.serving.client import EngineStatus

log = logging.getLogger(__name__)

SECONDS: Final = 15.0
REASON_LENGTH: Final = 500


@dataclass(eq=False)
class Alarm:
    """The task that looks at the engines."""

    _client: commands.AutoShardedBot
    _engines: Callable[[], Sequence[EngineStatus]]
    _down: set[str] = field(default_factory=set, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="alarm")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self._look()
            except DISCORD_ERRORS as error:
                log.warning("the owner could not be told of the engine: %s", error)

    async def _look(self) -> None:
        """Tell of each change; what could not be told is told by the next look."""
        for status in self._engines():
            if status.state == "stopped" and status.device not in self._down:
                reason = excerpt(status.reason, REASON_LENGTH) or "—"
                await self._tell("alarm.engine_down", device=status.device, reason=reason)
                self._down.add(status.device)
            elif status.state == "ready" and status.device in self._down:
                await self._tell("alarm.engine_up", device=status.device)
                self._down.discard(status.device)

    async def _tell(self, key: str, **values: Any) -> None:
        for owner_id in await self._owners():
            try:
                channel = await self._client.create_dm(discord.Object(owner_id))
                await channel.send(t(key, ENGLISH, **values))
            except discord.Forbidden:
                log.warning("the owner %d takes no direct messages", owner_id)

    async def _owners(self) -> set[int]:
        """The application's owner or team, as Discord knows them."""
        if self._client.owner_id is not None:
            return {self._client.owner_id}
        if self._client.owner_ids:
            return set(self._client.owner_ids)
        application = await self._client.application_info()
        team = application.team
        return {each.id for each in (team.members if team else [application.owner])}
