"""Names that members choose: which are allowed, when two are equal, and tables of named rows."""

from __future__ import annotations

import difflib
import sqlite3
import unicodedata
from typing import Any, Final

import aiosqlite

from bot.exceptions import TooMany
from bot.store.database import Database
from bot.store.migrating import scalar
from core.errors import InvalidRequest, UnknownName

MAX_NAME: Final = 40


def clean_name(name: str, field: str = "preset_name") -> str:
    """Return the name with spaces normalised and invisible characters removed.

    Raises :class:`InvalidRequest` on ``field`` for one that is empty or too long.
    """
    visible = "".join(
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFKC", name)
        if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
    )
    cleaned = " ".join(visible.split())
    if not 1 <= len(cleaned) <= MAX_NAME:
        raise InvalidRequest(field, str(len(cleaned)), "length", 1, MAX_NAME)
    return cleaned


def name_key(name: str) -> str:
    """Return a key that is equal for all spellings of one name."""
    # Folded, then normalised again: folding can leave what NFKC would compose.
    return unicodedata.normalize("NFKC", " ".join(name.split()).casefold())


class NamedTable:
    """A table whose rows have a name each, unique for their owner: a member or a server.

    ``owner`` is the column of the owner's id, and an owner may have ``limit`` rows, in the order of
    their keys but for the key ``first``. All names are also in memory, for autocompletion.
    """

    def __init__(
        self, database: Database, table: str, owner: str, limit: int, first: str = ""
    ) -> None:
        self._database = database
        self._table, self._owner, self._limit, self._first = table, owner, limit, first
        self._by_owner = f"FROM {table} WHERE {owner} = ?"
        self._by_name = f"{self._by_owner} AND name_key = ?"
        # By owner and key.
        self._names: dict[int, dict[str, str]] = {}

    async def load(self) -> None:
        """Read every name into memory."""
        sql = f"SELECT {self._owner}, name_key, name FROM {self._table}"
        for row in await self._database.read(sql):
            self._keep(*row)

    def names(self, owner: int | None) -> tuple[str, ...]:
        """Return the owner's names, from memory, in the order of the rows."""
        names = self._names.get(owner or 0, {})
        return tuple(names[key] for key in sorted(names, key=lambda key: (key != self._first, key)))

    def forget(self, owner: int) -> None:
        """Remove the names of an owner, whose rows were deleted, from memory."""
        self._names.pop(owner, None)

    async def delete(self, owner: int, name: str) -> None:
        """Delete a row. Raises :class:`UnknownName`, with names close to it."""
        key = (owner, name_key(name))
        sql = f"DELETE {self._by_name}"
        if not await self._database.execute(sql, *key, then=lambda _: self._drop(*key)):
            raise self._unknown(owner, name)

    async def _rows(self, owner: int | None) -> list[sqlite3.Row]:
        sql = f"SELECT * {self._by_owner} ORDER BY name_key <> ?, name_key"
        return await self._database.read(sql, owner, self._first)

    async def _row(self, owner: int | None, name: str) -> sqlite3.Row:
        """Read a row. Raises :class:`UnknownName`, with names close to it."""
        sql = f"SELECT * {self._by_name}"
        row = await self._database.read_one(sql, owner, name_key(name))
        if row is None:
            raise self._unknown(owner, name)
        return row

    async def _save(self, owner: int, name: str, **values: Any) -> None:
        """Write a row in place of the one of this name, as a transaction; raise as `_write`."""
        await self._database.write(
            lambda connection: self._write(connection, owner, name, **values),
            lambda _: self._keep(owner, name_key(name), name),
        )

    async def _write(
        self, connection: aiosqlite.Connection, owner: int, name: str, **values: Any
    ) -> None:
        """Write a row inside the caller's transaction. Raises :class:`TooMany`."""
        row = (owner, name_key(name), name, *values.values())
        others = f"SELECT count(*) {self._by_owner} AND name_key <> ?"
        if await scalar(connection, others, *row[:2]) >= self._limit:
            raise TooMany(self._table, self._limit)
        places = ", ".join("?" * len(row))
        changes = ", ".join(f"{column} = excluded.{column}" for column in ("name", *values))
        await connection.execute(
            f"INSERT INTO {self._table} ({self._owner}, name_key, name, {', '.join(values)})"
            f" VALUES ({places}) ON CONFLICT DO UPDATE SET {changes}",
            row,
        )

    def _keep(self, owner: int, key: str, name: str) -> None:
        self._names.setdefault(owner, {})[key] = name

    def _drop(self, owner: int, key: str) -> None:
        names = self._names.get(owner, {})
        names.pop(key, None)
        if not names:
            self.forget(owner)

    def _unknown(self, owner: int | None, name: str) -> UnknownName:
        spelt = {name_key(known): known for known in self.names(owner)}
        close = difflib.get_close_matches(name_key(name), spelt, n=3)
        kind = self._table.removesuffix("s")
        return UnknownName(kind, name[:MAX_NAME], tuple(spelt[key] for key in close))
