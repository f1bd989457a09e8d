"""Tells the bot's owner by direct message what only the owner can mend: an engine that stays down.

Once when it happens, and once when it is over; and once when it runs on another device than before,
for a card that is lost may leave it on the CPU.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
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
    # Owners and the devices that they were told are down.
    _down: set[tuple[int, str]] = field(default_factory=set, init=False)
    # What they know the devices by: one that is lost may be replaced by another.
    _names: dict[tuple[int, str], str] = field(default_factory=dict, init=False)
    _known: set[int] = field(default_factory=set, init=False)
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
                log.warning("the bot's owner is not known: %s", error)

    async def _look(self) -> None:
        """Tell each owner of each change; who could not be told is told by the next look."""
        for status in self._engines():
            for owner_id in await self._owners():
                try:
                    await self._inform(owner_id, status)
                except DISCORD_ERRORS as error:
                    log.warning("the owner %d could not be told of the engine: %s", owner_id, error)

    async def _inform(self, owner_id: int, status: EngineStatus) -> None:
        place, device = (owner_id, status.device), status.device
        if status.state == "stopped" and place not in self._down:
            reason = excerpt(status.reason, REASON_LENGTH) or "—"
            await self._tell(owner_id, "alarm.engine_down", device=device, reason=reason)
            self._down.add(place)
        elif status.state == "ready" and place in self._down:
            await self._tell(owner_id, "alarm.engine_up", device=device)
            self._down.discard(place)
        if status.state == "ready":
            now = excerpt(status.device_name, REASON_LENGTH)
            before = self._names.get(place, now)
            if now != before:
                await self._tell(
                    owner_id, "alarm.engine_moved", device=device, now=now, before=before
                )
            self._names[place] = now

    async def _tell(self, owner_id: int, key: str, **values: Any) -> None:
        """Send a direct message, unless the owner takes none."""
        try:
            channel = await self._client.create_dm(discord.Object(owner_id))
            await channel.send(t(key, ENGLISH, **values))
        except discord.Forbidden:
            log.warning("the owner %d takes no direct messages", owner_id)

    async def _owners(self) -> Collection[int]:
        """The application's owner or team, as Discord knows them; asked once."""
        if self._client.owner_id is not None:
            return {self._client.owner_id}
        if self._client.owner_ids:
            return self._client.owner_ids
        if not self._known:
            application = await self._client.application_info()
            team = application.team
            self._known = {each.id for each in (team.members if team else [application.owner])}
        return self._known
