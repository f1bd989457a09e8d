"""Which message shows which job: the job's own message, and copies of it made later.

By their ids alone, so that messages of any age are found.
"""

from __future__ import annotations

from typing import NamedTuple

from bot.store.database import Database


class MessagePlace(NamedTuple):
    """A message and its channel."""

    channel_id: int
    message_id: int


class Posts:
    """Reads and writes of the copies table; the jobs table has each job's own message."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, job_id: int, place: MessagePlace) -> None:
        """Store a further message of a job; do nothing when the job is deleted."""
        await self._database.execute(
            "INSERT OR REPLACE INTO copies (channel_id, message_id, job_id)"
            " SELECT ?, ?, id FROM jobs WHERE id = ?",
            *place,
            job_id,
        )

    async def job_id(self, message_id: int) -> int | None:
        """Return the job that a message shows; None when it shows none."""
        row = await self._database.read_one(
            "SELECT id FROM jobs WHERE message_id = ?1"
            " UNION ALL SELECT job_id FROM copies WHERE message_id = ?1 LIMIT 1",
            message_id,
        )
        return int(row[0]) if row else None

    async def copies(self, job_id: int) -> list[MessagePlace]:
        """Return a job's further messages."""
        rows = await self._database.read(
            "SELECT channel_id, message_id FROM copies WHERE job_id = ?", job_id
        )
        return [MessagePlace(*row) for row in rows]
