"""The SQLite connection: migrations, reads, and one write transaction at a time.

aiosqlite has one transaction per connection and finishes a statement whose caller was cancelled,
so each transaction runs in its own task, under one lock, to its end.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

T = TypeVar("T")


class DatabaseTooNew(Exception):
    """The database was written by a newer version of the bot, with another schema."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} is from a newer version of this bot (database version {found}; this one "
            f"knows {known}). Update the bot, or set DATA_DIR to another folder."
        )


class Database:
    """The connection and its lock. Create it with :meth:`open`; it must be closed."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, path: Path, migrations: Path) -> Database:
        """Open or create the file at ``path`` and apply the ``migrations`` that it lacks.

        Raises :class:`DatabaseTooNew`, or :class:`sqlite3.Error` when it is no database.
        """
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        # isolation_level None: sqlite3 itself would begin DEFERRED transactions.
        connection = await aiosqlite.connect(path, isolation_level=None)
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
            await _migrate(connection, path, migrations)
        except BaseException:
            # The thread of an open connection keeps the process running.
            await connection.close()
            raise
        return cls(connection)

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
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = await work(self._connection)
                await self._connection.commit()
            except BaseException:
                await self._connection.rollback()
                raise
            if then is not None:
                then(result)
            return result

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

    async def read_one(self, sql: str, *parameters: Any) -> sqlite3.Row | None:
        """Return the first row of one query; None without any."""
        return next(iter(await self.read(sql, *parameters)), None)


async def scalar(connection: aiosqlite.Connection, sql: str, *parameters: Any) -> Any:
    """Return the first column of a query's first row, inside the caller's transaction."""
    return next(iter(await connection.execute_fetchall(sql, parameters)))[0]


async def _migrate(connection: aiosqlite.Connection, path: Path, folder: Path) -> None:
    """Apply ``0001_….sql``, ``0002_….sql`` … newer than the database, each atomically."""
    scripts = await asyncio.to_thread(_scripts, folder)
    found = int(await scalar(connection, "PRAGMA user_version"))
    if found > max(scripts):
        raise DatabaseTooNew(path, found, max(scripts))
    for number, script in scripts.items():
        if number <= found:
            continue
        try:
            await connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error:
            await connection.rollback()
            raise


def _scripts(folder: Path) -> dict[int, str]:
    return {int(file.name[:4]): file.read_text("utf-8") for file in sorted(folder.glob("*.sql"))}
