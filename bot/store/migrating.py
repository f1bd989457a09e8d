"""Brings a database up to this version's schema; the one before is kept as a copy."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite

from bot.store.former import copy_path, erase_tokens, keep_newest
from bot.store.private import make_private_file

log = logging.getLogger(__name__)


class DatabaseTooNew(Exception):
    """The database was written by a newer version of the bot, with another schema."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} is from a newer version of this bot (database version {found}; this one "
            f"knows {known}). Update the bot, or set DATA_DIR to another folder."
        )


async def scalar(connection: aiosqlite.Connection, sql: str, *parameters: Any) -> Any:
    """Return the first column of a query's first row, inside the caller's transaction."""
    return next(iter(await connection.execute_fetchall(sql, parameters)))[0]


async def migrate(connection: aiosqlite.Connection, path: Path, folder: Path) -> None:
    """Apply ``0001_….sql``, ``0002_….sql`` … newer than the database, each atomically.

    Raises :class:`DatabaseTooNew`, :class:`sqlite3.Error`, or :class:`OSError` when no copy can
    be made; then nothing is changed.
    """
    scripts = await asyncio.to_thread(_scripts, folder)
    found = int(await scalar(connection, "PRAGMA user_version"))
    if found > max(scripts):
        raise DatabaseTooNew(path, found, max(scripts))
    if 0 < found < max(scripts):
        await _copy(connection, copy_path(path, found))
        await asyncio.to_thread(keep_newest, path)
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


async def _copy(connection: aiosqlite.Connection, copy: Path) -> None:
    unfinished = copy.with_suffix(".part")
    await asyncio.to_thread(unfinished.unlink, missing_ok=True)
    await asyncio.to_thread(make_private_file, unfinished)
    await connection.execute("VACUUM INTO ?", (str(unfinished),))
    await asyncio.to_thread(erase_tokens, unfinished)
    await asyncio.to_thread(unfinished.replace, copy)
    log.info("the database as it was is kept in %s", copy)


def _scripts(folder: Path) -> dict[int, str]:
    return {int(file.name[:4]): file.read_text("utf-8") for file in sorted(folder.glob("*.sql"))}
