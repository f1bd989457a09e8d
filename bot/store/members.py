"""All rows of one member, across the tables: for an export, or to be deleted.

Messages on Discord cannot be deleted in a transaction: they are listed in the farewells table and
deleted afterwards, even after a restart.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

import aiosqlite

from bot.store import inputs
from bot.store.database import Database
from bot.store.presets import Presets

# Every table with a user_id, and whether /privacy delete deletes its rows. What was spent of a
# quota is deleted after that day: sooner would renew the quota. For the same reason a server's
# settings keep the ids of banned members.
TABLES: Final = {"jobs": True, "presets": True, "shared_presets": True, "spent": False}
# Not exported: the interaction's token is a secret, and the id is the same everywhere.
_LEFT_OUT: Final = frozenset({"interaction_token", "token_expires_at", "user_id"})
_JSON: Final = frozenset({"request", "notes", "error", "options", "sheet"})


class Members:
    """Reads and deletes across the tables; ``presets`` are told of the deletion of theirs."""

    def __init__(self, database: Database, presets: Presets) -> None:
        self._database = database
        self._presets = presets

    async def rows(self, user_id: int) -> dict[str, list[dict[str, Any]]]:
        """Return every row about a member, by table, in JSON's types."""
        rows = {}
        for table in TABLES:
            sql = f"SELECT * FROM {table} WHERE user_id = ?"
            rows[table] = [_readable(row) for row in await self._database.read(sql, user_id)]
        return rows

    async def counts(self, user_id: int) -> tuple[int, int]:
        """Return how many jobs and how many presets a member has."""
        [(jobs, presets)] = await self._database.read(
            "SELECT (SELECT count(*) FROM jobs WHERE user_id = ?1),"
            " (SELECT count(*) FROM presets WHERE user_id = ?1)",
            user_id,
        )
        return jobs, presets

    async def job_ids(self, user_id: int) -> list[int]:
        """Return the ids of all jobs of a member, newest first."""
        sql = "SELECT id FROM jobs WHERE user_id = ? ORDER BY id DESC"
        return [int(row[0]) for row in await self._database.read(sql, user_id)]

    async def input_rows(self, user_id: int) -> list[dict[str, Any]]:
        """Return the rows of job_inputs that belong to a member's jobs."""
        rows = await self._database.read(
            "SELECT job_inputs.* FROM job_inputs JOIN jobs ON jobs.id = job_id"
            " WHERE user_id = ? ORDER BY job_id, kind",
            user_id,
        )
        return [dict(row) for row in rows]

    async def input(self, sha256: str) -> bytes | None:
        """Return the bytes of an input, by its hash; None when they were deleted or removed."""
        row = await self._database.read_one("SELECT data FROM inputs WHERE sha256 = ?", sha256)
        return None if row is None or inputs.is_removed(row[0]) else bytes(row[0])

    async def forget(self, user_id: int) -> list[int]:
        """Delete a member's presets, and jobs with their inputs; list their posts for deletion.

        Returns the ids of the jobs, whose files are still to be deleted.
        """

        async def work(connection: aiosqlite.Connection) -> list[int]:
            rows = await connection.execute_fetchall(
                "SELECT id FROM jobs WHERE user_id = ?", (user_id,)
            )
            await connection.execute(
                "INSERT OR IGNORE INTO farewells (message_id, channel_id)"
                " SELECT message_id, channel_id FROM jobs"
                " WHERE user_id = ?1 AND message_id IS NOT NULL AND channel_id IS NOT NULL"
                " UNION SELECT copies.message_id, copies.channel_id FROM copies"
                " JOIN jobs ON jobs.id = copies.job_id WHERE jobs.user_id = ?1"
                " UNION SELECT message_id, channel_id FROM shared_presets"
                " WHERE user_id = ?1 AND message_id IS NOT NULL",
                (user_id,),
            )
            for table, goes in TABLES.items():
                if goes:
                    await connection.execute(f"DELETE FROM {table} WHERE user_id = ?", (user_id,))
            await connection.execute(inputs.DELETE_UNUSED)
            return [int(row[0]) for row in rows]

        job_ids = await self._database.write(work, lambda _: self._presets.forget(user_id))
        await self._database.empty_log()
        return job_ids


def _readable(row: sqlite3.Row) -> dict[str, Any]:
    return {
        name: json.loads(value) if name in _JSON and value else value
        for name, value in dict(row).items()
        if name not in _LEFT_OUT
    }
