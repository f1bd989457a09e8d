"""The one SQLite connection: opened, migrated, and written by one transaction at a time.

aiosqlite has one transaction space per connection and goes on with SQL whose waiter was
cancelled, so every transaction runs in a task of its own, behind one lock, to its end.
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
    """The database was written by a newer version of the bot, which may mean other things by it."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} is from a newer version of this bot (database version {found}; this one "
            f"knows {known}). Update the bot, or set DATA_DIR to another folder."
        )
        self.path, self.found, self.known = path, found, known


class Database:
    """The connection and its lock. Made by :meth:`open`; must be closed."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, path: Path, migrations: Path) -> Database:
        """Open or make the file at ``path`` and bring it to the newest of ``migrations``.

        Raises :class:`DatabaseTooNew`, or :class:`sqlite3.Error` when it is no database.
        """
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        # isolation_level None: we say BEGIN ourselves, and mean IMMEDIATE.
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
                # Fetched, because a statement left half-way keeps a later commit from working.
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            await _migrate(connection, path, migrations)
        except BaseException:
            # An open connection's thread would keep the process from ending.
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
        """Run ``work`` as one transaction; all of it happens, or, if it raises, nothing.

        Cancelling the caller does not stop it half-way: what has begun is finished. What is also
        kept in memory is changed by ``then``, which gets the result as soon as it is committed,
        before the next transaction and whatever became of the caller.
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

    async def read(self, sql: str, *parameters: Any) -> list[sqlite3.Row]:
        """Return all rows of one query, after the transaction that is running, if any."""
        async with self._lock:
            return list(await self._connection.execute_fetchall(sql, parameters))


async def _migrate(connection: aiosqlite.Connection, path: Path, folder: Path) -> None:
    """Apply ``0001_….sql``, ``0002_….sql`` … that the database has not seen, each atomically."""
    scripts = await asyncio.to_thread(_scripts, folder)
    rows = await connection.execute_fetchall("PRAGMA user_version")
    found = int(next(iter(rows))[0])
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
