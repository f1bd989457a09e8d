"""The SQLite connection: reads, and one write transaction at a time.

aiosqlite has one transaction per connection and finishes a statement whose caller was cancelled,
so each transaction runs in its own task, under one lock, to its end.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite

from bot.store.migrating import migrate
from bot.store.private import make_private_file

T = TypeVar("T")


# Seconds for which a transaction waits while another process, say a backup, has the database
# locked; SQLite itself waits a part of those at a time, so that reads go on in between.
PATIENCE: Final = 60.0
SQLITES_PATIENCE: Final = 0.1
PAUSE: Final = 0.05


class DatabaseGone(sqlite3.OperationalError):
    """The file was deleted or replaced while it was open: what is written would be lost."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was deleted or replaced while the bot ran")


class Database:
    """The connection and its lock. Create it with :meth:`open`; it must be closed."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._identity = _identity(path)
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, path: Path, migrations: Path) -> Database:
        """Open or create the file at ``path`` and apply the ``migrations`` that it lacks.

        Raises :class:`~bot.store.migrating.DatabaseTooNew`, :class:`OSError`, or
        :class:`sqlite3.Error` when it is no database.
        """
        await asyncio.to_thread(_prepare, path)
        # isolation_level None: sqlite3 itself would begin DEFERRED transactions.
        connection = await aiosqlite.connect(path, isolation_level=None, timeout=PATIENCE)
        try:
            connection.row_factory = sqlite3.Row
            for pragma in (
                "journal_mode=WAL",
                "foreign_keys=ON",
                "synchronous=NORMAL",
                # An erased interaction token is overwritten, not only unlinked.
                "secure_delete=ON",
            ):
                # Fetched, because an unfinished statement makes a later commit fail.
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            await migrate(connection, path, migrations)
            milliseconds = int(SQLITES_PATIENCE * 1000)
            await connection.execute_fetchall(f"PRAGMA busy_timeout={milliseconds}")
        except BaseException:
            # The thread of an open connection keeps the process running.
            await connection.close()
            raise
        return cls(connection, path)

    async def close(self) -> None:
        """Wait for running transactions, then close the file."""
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._connection.close()

    async def write(
        self,
        work: Callable[[aiosqlite.Connection], Awaitable[T]],
        then: Callable[[T], None] | None = None,
    ) -> T:
        """Run ``work`` as one transaction, rolled back if it raises.

        It is finished even if the caller is cancelled. ``then`` is called with the result right
        after the commit, before the next transaction, to update copies in memory.
        """
        task = asyncio.ensure_future(self._transaction(work, then))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _transaction(
        self,
        work: Callable[[aiosqlite.Connection], Awaitable[T]],
        then: Callable[[T], None] | None,
    ) -> T:
        async with self._begun():
            try:
                result = await work(self._connection)
                await self._connection.commit()
            except BaseException:
                await self._connection.rollback()
                raise
            if then is not None:
                then(result)
            return result

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[None]:
        """Begin a transaction under the lock, which reads take in between while it has to wait."""
        until = time.monotonic() + PATIENCE
        while True:
            async with self._lock:
                await asyncio.to_thread(self.check)
                try:
                    await self._connection.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                        raise
                else:
                    yield
                    return
            await asyncio.sleep(PAUSE)

    def check(self) -> None:
        """Raise :class:`DatabaseGone` unless the file is still there. Reads the disk."""
        if _identity(self._path) != self._identity:
            raise DatabaseGone(self._path)

    async def execute(
        self, sql: str, *parameters: Any, then: Callable[[int], None] | None = None
    ) -> int:
        """Run one statement as a transaction, as :meth:`write`; return the number of its rows."""

        async def work(connection: aiosqlite.Connection) -> int:
            return (await connection.execute(sql, parameters)).rowcount

        return await self.write(work, then)

    async def read(self, sql: str, *parameters: Any) -> list[sqlite3.Row]:
        """Return all rows of one query, after the transaction that is running, if any."""
        async with self._lock:
            return list(await self._connection.execute_fetchall(sql, parameters))

    async def empty_log(self) -> None:
        """Write the log into the file and empty it: what was erased or deleted is then in neither.

        Not while another process reads the database: then it is for the next time.
        """
        await self.read("PRAGMA wal_checkpoint(TRUNCATE)")

    async def read_one(self, sql: str, *parameters: Any) -> sqlite3.Row | None:
        """Return the first row of one query; None without any."""
        return next(iter(await self.read(sql, *parameters)), None)


def _prepare(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    make_private_file(path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
