"""The highest number that a job ever had, in a file beside the database.

Posts keep their jobs' numbers for ever. After the database was deleted or an older one restored,
new jobs must not get the numbers of others, whose buttons would act on them.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path

import aiosqlite

from bot.store.database import Database

log = logging.getLogger(__name__)


class Numbers:
    """The file at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def go_on(self, database: Database) -> None:
        """Let the database number jobs from where the file is, if that is further."""
        kept = await asyncio.to_thread(self._read)

        async def work(connection: aiosqlite.Connection) -> int:
            rows = await connection.execute_fetchall(
                "SELECT seq FROM sqlite_sequence WHERE name = 'jobs'"
            )
            newest = max((int(row[0]) for row in rows), default=0)
            if kept > newest:
                await connection.execute("DELETE FROM sqlite_sequence WHERE name = 'jobs'")
                await connection.execute("INSERT INTO sqlite_sequence VALUES ('jobs', ?)", (kept,))
                log.warning("the database is older than its jobs: numbers go on after %d", kept)
            return newest

        newest = await database.write(work)
        if newest > kept:
            await self.note(newest)

    async def note(self, number: int) -> None:
        """Write that this number is taken. Raises :class:`sqlite3.Error` if that fails."""
        try:
            await asyncio.to_thread(self._write, number)
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error

    def _read(self) -> int:
        try:
            return int(self._path.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def _write(self, number: int) -> None:
        unfinished = self._path.with_suffix(".part")
        unfinished.write_text(str(number), "ascii")
        unfinished.replace(self._path)
