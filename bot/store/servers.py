"""The servers and spent tables: each server's settings, and what counts against quotas today.

Settings are read from memory, for every interaction needs them, and every change is written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import aiosqlite

from bot.exceptions import QuotaUsed, UnreadableSettings
from bot.rules import policy_json
from bot.rules.policy import check_room
from bot.rules.server import CLOSED, Server
from bot.store.database import Database
from bot.store.migrating import scalar
from core.errors import QueueFull

log = logging.getLogger(__name__)

DAY: Final = 86_400


class Servers:
    """All servers' settings, in memory, and today's quotas. ``clock`` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._servers: dict[int, Server] = {}
        # The text of settings that cannot be read, for an export: a newer bot may read it.
        self._unread: dict[int, str] = {}

    async def load(self) -> None:
        """Read every server's settings into memory; where they cannot be read, it is closed."""
        for guild_id, text in await self._database.read("SELECT guild_id, settings FROM servers"):
            try:
                self._servers[guild_id] = policy_json.from_json(text)
            except UnreadableSettings as error:
                log.error("server %d is closed: %s", guild_id, error)
                self._servers[guild_id], self._unread[guild_id] = CLOSED, text

    def get(self, guild_id: int | None) -> Server:
        """Return the server's settings from memory; the defaults where there are none, and in DMs.

        :data:`~bot.rules.server.CLOSED` where they cannot be read.
        """
        return self._servers.get(guild_id or 0) or Server()

    def text(self, guild_id: int) -> str:
        """Return the settings as JSON; as they are stored where they cannot be read."""
        return self._unread.get(guild_id) or policy_json.to_json(self.get(guild_id))

    async def update(
        self, guild_id: int, change: Callable[[Server], Server], *, anew: bool = False
    ) -> Server:
        """Replace the settings by ``change(settings)`` and store them; one change at a time.

        Settings that cannot be read are replaced only with ``anew``, starting from the defaults;
        else raises :class:`~bot.exceptions.UnreadableSettings`. Raises
        :class:`~bot.exceptions.TooMany` for a list too long.
        """

        async def work(connection: aiosqlite.Connection) -> Server:
            before = self.get(guild_id)
            if before is CLOSED:
                if not anew:
                    raise UnreadableSettings("closed")
                before = Server()
            server = change(before)
            check_room(before, server)
            await connection.execute(
                "INSERT INTO servers VALUES (?, ?) ON CONFLICT DO UPDATE SET"
                " settings = excluded.settings",
                (guild_id, policy_json.to_json(server)),
            )
            return server

        def keep(server: Server) -> None:
            self._servers[guild_id] = server
            self._unread.pop(guild_id, None)

        return await self._database.write(work, keep)

    async def check(self, guild_id: int, user_id: int, quota: int | None) -> None:
        """Raise what :meth:`charge` would raise for the smallest job."""
        server, today = self.get(guild_id), self._clock() // DAY * DAY
        for key, limit, found in (
            ("server", server.queue_total, (_OPEN, guild_id)),
            ("server_member", server.queue_per_member, (_OWN, guild_id, user_id)),
        ):
            if limit is not None and (await self._database.read(*found))[0][0] >= limit:
                raise QueueFull(key, limit)
        if quota is not None:
            [(used,)] = await self._database.read(_SPENT, guild_id, user_id, today)
            if used >= quota:
                raise QuotaUsed(quota, round(used, 3), 0, int(today + DAY))

    async def charge(
        self, job_id: int, guild_id: int, user_id: int, pictures: float, quota: int | None
    ) -> None:
        """Count a written job against the member's quota of today, if the server's bounds allow it.

        ``quota`` is in pictures a day (days are UTC's). Raises
        :class:`~bot.exceptions.QuotaUsed` or :class:`~core.errors.QueueFull`; then nothing is
        charged.
        """
        server, now = self.get(guild_id), self._clock()
        today = now // DAY * DAY

        async def work(connection: aiosqlite.Connection) -> None:
            await _check_room(connection, server, guild_id, user_id)
            if quota is not None:
                used = await scalar(connection, _SPENT, guild_id, user_id, today)
                if used + pictures > quota:
                    raise QuotaUsed(quota, round(used, 3), round(pictures, 3), int(today + DAY))
            await connection.execute(_OVER, (today,))
            await connection.execute(
                "INSERT INTO spent VALUES (?, ?, ?, ?, ?)",
                (job_id, guild_id, user_id, now, pictures),
            )

        await self._database.write(work)

    async def forget_spent(self) -> None:
        """Delete what was spent on past days, as the next charge would."""
        await self._database.execute(_OVER, self._clock() // DAY * DAY)


_SPENT: Final = "SELECT total(pictures) FROM spent WHERE guild_id = ? AND user_id = ? AND at >= ?"
_OVER: Final = "DELETE FROM spent WHERE at < ?"
_OWN: Final = (
    "SELECT count(*) FROM jobs"
    " WHERE guild_id = ? AND user_id = ? AND state IN ('queued', 'running')"
)
_OPEN: Final = "SELECT count(*) FROM jobs WHERE guild_id = ? AND state IN ('queued', 'running')"


async def _check_room(
    connection: aiosqlite.Connection, server: Server, guild_id: int, user_id: int
) -> None:
    """Raise :class:`QueueFull` when the job just written exceeds the server's queue limits."""
    total, mine = server.queue_total, server.queue_per_member
    if total is not None and await scalar(connection, _OPEN, guild_id) > total:
        raise QueueFull("server", total)
    if mine is not None and await scalar(connection, _OWN, guild_id, user_id) > mine:
        raise QueueFull("server_member", mine)
