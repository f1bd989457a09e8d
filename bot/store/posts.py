"""Which message shows which job: the job's own message, and copies of it made later.

Messages are known by their ids alone, so that one of years ago is found like one of today.
"""

from __future__ import annotations

from typing import NamedTuple

import aiosqlite

from bot.store.database import Database


class MessagePlace(NamedTuple):
    """A message and its channel."""

    channel_id: int
    message_id: int


class Posts:
    """Reads and writes of the copies table, beside the posts that the jobs table knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, job_id: int, place: MessagePlace) -> None:
        """Store a further message of a job; do nothing when the job is gone."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT OR REPLACE INTO copies (message_id, channel_id, job_id)"
                " SELECT ?, ?, id FROM jobs WHERE id = ?",
                (place.message_id, place.channel_id, job_id),
            )

        await self._database.write(work)

    async def job_id(self, message_id: int) -> int | None:
        """Return the job that a message shows; None when it shows none."""
        rows = await self._database.read(
            "SELECT id FROM jobs WHERE message_id = ?1"
            " UNION ALL SELECT job_id FROM copies WHERE message_id = ?1 LIMIT 1",
            message_id,
        )
        return int(rows[0][0]) if rows else None

    async def copies(self, job_id: int) -> list[MessagePlace]:
        """Return a job's further messages."""
        rows = await self._database.read(
            "SELECT channel_id, message_id FROM copies WHERE job_id = ?", job_id
        )
        return [MessagePlace(*row) for row in rows]
