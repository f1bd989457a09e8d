"""The presets table: named sets of values, a few for each member.

A preset may hold any subset of the options. The one named ``default`` is "yours": it applies by
itself.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiosqlite

from bot.exceptions import TooMany
from bot.store.database import Database
from bot.store.names import MAX_NAME, Names, clean_name, name_key, unknown
from core.errors import UnknownName

MAX_PER_USER: Final = 50
YOURS: Final = "default"

_ALL: Final = "SELECT * FROM presets WHERE user_id = ?"
_ONE: Final = f"{_ALL} AND name_key = ?"
_DELETE: Final = "DELETE FROM presets WHERE user_id = ? AND name_key = ?"


@dataclass(frozen=True, slots=True)
class Preset:
    """A member's named values, by option; ``saved_at`` is in Unix seconds."""

    name: str
    values: Mapping[str, Any]
    saved_at: float


class Presets:
    """Reads and writes of the presets table. ``clock`` gives Unix seconds.

    ``names`` has every member's names in memory, in the order of :meth:`list`.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self.names = Names(first=name_key(YOURS))

    async def load(self) -> None:
        """Read every name into memory."""
        rows = await self._database.read("SELECT user_id, name_key, name FROM presets")
        for row in rows:
            self.names.put(*row)

    async def save(self, user_id: int, name: str, values: Mapping[str, Any]) -> Preset:
        """Store ``values`` under ``name``, in place of what was there.

        Raises :class:`InvalidRequest` for a name too long or empty and :class:`TooMany` when the
        member has :data:`MAX_PER_USER` others.
        """
        preset = Preset(clean_name(name), dict(values), self._clock())
        row = _row(user_id, preset)

        async def work(connection: aiosqlite.Connection) -> None:
            await _write(connection, row)

        await self._database.write(work, lambda _: self.names.put(*row[:3]))
        return preset

    async def add(self, user_id: int, name: str, values: Mapping[str, Any]) -> Preset:
        """Store imported ``values``, replacing nothing: as ``name``, ``name (2)`` …

        An imported preset is never the ``default``. A preset of that name with the same
        values is given back. Raises what :meth:`save` does.
        """
        name = clean_name(name)
        taken = {name_key(preset.name): preset for preset in await self.list(user_id)}
        for number in range(1, MAX_PER_USER + 3):
            end = f" ({number})" if number > 1 else ""
            free = name[: MAX_NAME - len(end)].rstrip() + end
            there = taken.get(name_key(free))
            if there is None and name_key(free) != name_key(YOURS):
                break
            if there is not None and there.values == values:
                return there
        return await self.save(user_id, free, values)

    async def get(self, user_id: int, name: str) -> Preset:
        """Return the member's preset. Raises :class:`UnknownName`, with names close to it."""
        found = await self._find(user_id, name)
        if found is None:
            raise self._unknown(user_id, name)
        return found

    async def yours(self, user_id: int) -> Mapping[str, Any]:
        """Return the values of the member's ``default``; empty without one."""
        found = await self._find(user_id, YOURS)
        return found.values if found else {}

    async def change_yours(self, user_id: int, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Set values of the member's ``default`` (None removes one); return what it holds then.

        Without a value there is no preset. Raises what :meth:`save` does.
        """

        key = (user_id, name_key(YOURS))

        async def work(connection: aiosqlite.Connection) -> Preset:
            rows = await connection.execute_fetchall(_ONE, key)
            before = next((_preset(row) for row in rows), Preset(YOURS, {}, 0.0))
            values = {
                name: value
                for name, value in {**before.values, **changes}.items()
                if value is not None
            }
            after = Preset(before.name, values, self._clock())
            if values:
                await _write(connection, _row(user_id, after))
            else:
                await connection.execute(_DELETE, key)
            return after

        def then(after: Preset) -> None:
            if after.values:
                self.names.put(*key, after.name)
            else:
                self.names.drop(*key)

        return (await self._database.write(work, then)).values

    async def list(self, user_id: int) -> tuple[Preset, ...]:
        """Return the member's presets by name, ``default`` first."""
        rows = await self._database.read(
            f"{_ALL} ORDER BY name_key <> ?, name_key", user_id, name_key(YOURS)
        )
        return tuple(_preset(row) for row in rows)

    async def delete(self, user_id: int, name: str) -> None:
        """Delete it. Raises :class:`UnknownName`, with names close to it."""

        key = (user_id, name_key(name))

        async def work(connection: aiosqlite.Connection) -> bool:
            return (await connection.execute(_DELETE, key)).rowcount > 0

        if not await self._database.write(work, lambda _: self.names.drop(*key)):
            raise self._unknown(user_id, name)

    async def _find(self, user_id: int, name: str) -> Preset | None:
        rows = await self._database.read(_ONE, user_id, name_key(name))
        return next(map(_preset, rows), None)

    def _unknown(self, user_id: int, name: str) -> UnknownName:
        return unknown("preset", name, self.names.of(user_id))


def _row(user_id: int, preset: Preset) -> tuple[int, str, str, str, float]:
    values = json.dumps(dict(preset.values))
    return user_id, name_key(preset.name), preset.name, values, preset.saved_at


async def _write(connection: aiosqlite.Connection, row: tuple[int, str, str, str, float]) -> None:
    others = await connection.execute_fetchall(
        "SELECT count(*) FROM presets WHERE user_id = ? AND name_key <> ?", row[:2]
    )
    if next(iter(others))[0] >= MAX_PER_USER:
        raise TooMany("presets", MAX_PER_USER)
    await connection.execute(
        "INSERT INTO presets VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " name = excluded.name, options = excluded.options, saved_at = excluded.saved_at",
        row,
    )


def _preset(row: sqlite3.Row) -> Preset:
    return Preset(row["name"], json.loads(row["options"]), row["saved_at"])
