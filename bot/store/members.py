"""All rows of one member, across the tables: for an export, or to be deleted.

Messages on Discord cannot be deleted in a transaction. They are noted in the farewells table and
deleted afterwards, also after a restart.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

import aiosqlite

from bot.store import inputs
from bot.store.database import Database
from bot.store.names import Names
from bot.store.posts import MessagePlace

# Every table with a user_id, and whether /privacy delete empties it. What was spent of a day's
# quota goes by itself after that day: else deleting would fill the quota up again. For the same
# reason a server's settings keep whom it banned.
TABLES: Final = {"jobs": True, "presets": True, "shared_presets": True, "spent": False}
# Not the member's data but a key to answer them with, and bytes that have files of their own.
_LEFT_OUT: Final = frozenset({"interaction_token", "token_expires_at", "user_id"})
_JSON: Final = frozenset({"request", "notes", "error", "options", "sheet"})


class Members:
    """Reads and deletes across the tables. ``preset_names`` are updated with their rows."""

    def __init__(self, database: Database, preset_names: Names) -> None:
        self._database = database
        self._preset_names = preset_names

    async def rows(self, user_id: int) -> dict[str, list[dict[str, Any]]]:
        """Return every row about a member, by table, in JSON's types."""
        return {
            table: [
                _readable(row)
                for row in await self._database.read(
                    f"SELECT * FROM {table} WHERE user_id = ?", user_id
                )
            ]
            for table in TABLES
        }

    async def counts(self, user_id: int) -> tuple[int, int]:
        """Return how many jobs and how many presets a member has."""
        rows = await self._database.read(
            "SELECT (SELECT count(*) FROM jobs WHERE user_id = ?1),"
            " (SELECT count(*) FROM presets WHERE user_id = ?1)",
            user_id,
        )
        return int(rows[0][0]), int(rows[0][1])

    async def job_ids(self, user_id: int) -> list[int]:
        """Return the ids of all jobs of a member, newest first."""
        rows = await self._database.read(
            "SELECT id FROM jobs WHERE user_id = ? ORDER BY id DESC", user_id
        )
        return [int(row[0]) for row in rows]

    async def forget(self, user_id: int) -> list[int]:
        """Delete a member's jobs with their inputs, and presets; note their posts.

        Returns the jobs, whose files are left to be deleted.
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
            await inputs.delete_unused(connection)
            return [int(row[0]) for row in rows]

        job_ids = await self._database.write(work, lambda _: self._preset_names.forget(user_id))
        # Until then the file has the rows as they were before, beside their erasure in the log.
        await self._database.read("PRAGMA wal_checkpoint(TRUNCATE)")
        return job_ids

    async def posts_to_delete(self, limit: int = 50) -> list[MessagePlace]:
        """Return messages of deleted jobs that are still to be deleted."""
        rows = await self._database.read(
            "SELECT channel_id, message_id FROM farewells LIMIT ?", limit
        )
        return [MessagePlace(*row) for row in rows]

    async def gone(self, place: MessagePlace) -> None:
        """Forget a message that is deleted, or that can never be reached."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM farewells WHERE message_id = ?", (place.message_id,)
            )

        await self._database.write(work)


def _readable(row: sqlite3.Row) -> dict[str, Any]:
    return {
        name: json.loads(value) if name in _JSON and value else value
        for name, value in dict(row).items()
        if name not in _LEFT_OUT
    }
