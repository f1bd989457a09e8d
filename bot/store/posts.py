"""Which message shows which job: the job's own message, and copies of it made later.

By their ids alone, so that messages of any age are found. A job that is to take the place of its
parent has the same message until it is delivered; then that is the job's alone, or, where it ended
without a picture, the parent's again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import aiosqlite

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
        """Return the job that a message shows, the older of two that have it; None when it shows
        none."""
        row = await self._database.read_one(
            "SELECT id FROM jobs WHERE message_id = ?1"
            " UNION ALL SELECT job_id FROM copies WHERE message_id = ?1 ORDER BY 1 LIMIT 1",
            message_id,
        )
        return int(row[0]) if row else None

    async def copies(self, job_id: int) -> list[MessagePlace]:
        """Return a job's further messages."""
        rows = await self._database.read(
            "SELECT channel_id, message_id FROM copies WHERE job_id = ?", job_id
        )
        return [MessagePlace(*row) for row in rows]

    async def to_delete(self, limit: int = 50) -> list[MessagePlace]:
        """Return messages that are still to be deleted, those seldom refused first."""
        sql = "SELECT channel_id, message_id FROM farewells ORDER BY refused LIMIT ?"
        return [MessagePlace(*row) for row in await self._database.read(sql, limit)]

    async def delete_later(self, places: Sequence[MessagePlace]) -> None:
        """Add messages to that list."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                "INSERT OR IGNORE INTO farewells (channel_id, message_id) VALUES (?, ?)", places
            )

        await self._database.write(work)

    async def gone(self, place: MessagePlace) -> None:
        """Take a message that is deleted from that list."""
        sql = "DELETE FROM farewells WHERE message_id = ?"
        await self._database.execute(sql, place.message_id)

    async def refused(self, place: MessagePlace, most: int) -> None:
        """Count a refusal to delete a message; after ``most``, it is left where it is."""

        async def work(connection: aiosqlite.Connection) -> None:
            for sql, values in (
                ("UPDATE farewells SET refused = refused + 1 WHERE message_id = ?", ()),
                ("DELETE FROM farewells WHERE message_id = ? AND refused >= ?", (most,)),
            ):
                await connection.execute(sql, (place.message_id, *values))

        await self._database.write(work)


async def share(connection: aiosqlite.Connection, job_id: int) -> None:
    """Give a new job its parent's message, inside the caller's transaction.

    Not where another job was made from the parent in a message of its own, which answers that one,
    nor where the parent's pictures are not kept, so that it could not be shown again.
    """
    await connection.execute(_SHARE, (job_id,))


_SHARE: Final = """
UPDATE jobs SET message_id = (
    SELECT parent.message_id FROM jobs AS parent
    WHERE parent.id = jobs.parent_id AND parent.state = 'delivered'
    AND NOT EXISTS (
        SELECT 1 FROM jobs AS other WHERE other.parent_id = parent.id
        AND other.message_id IS NOT NULL AND other.state NOT IN ('failed', 'cancelled')
    )
    AND NOT EXISTS (SELECT 1 FROM pictures WHERE job_id = parent.id AND NOT kept)
) WHERE id = ?
"""
