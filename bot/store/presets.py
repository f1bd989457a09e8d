"""The presets table: named sets of values, a few for each member.

A preset may hold any subset of the options. The one named ``default`` is "yours": its values apply
to every command of the member.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiosqlite

from bot.store.database import Database
from bot.store.names import MAX_NAME, NamedTable, clean_name, name_key
from core.errors import UnknownName

MAX_PER_USER: Final = 50
YOURS: Final = "default"


@dataclass(frozen=True, slots=True)
class Preset:
    """A member's named values, by option; ``saved_at`` is in Unix seconds."""

    name: str
    values: Mapping[str, Any]
    saved_at: float

    def columns(self) -> dict[str, Any]:
        """Return the columns of its row but for the keys."""
        options = json.dumps(dict(self.values))
        return {"name": self.name, "options": options, "saved_at": self.saved_at}


class Presets(NamedTable):
    """Reads and writes of the presets table. ``clock`` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database, "presets", "user_id", MAX_PER_USER, name_key(YOURS))
        self._clock = clock

    async def save(self, user_id: int, name: str, values: Mapping[str, Any]) -> Preset:
        """Store ``values`` under ``name``, in place of what was there.

        Raises :class:`~core.errors.InvalidRequest` for a name too long or empty and
        :class:`~bot.exceptions.TooMany` when the member has :data:`MAX_PER_USER` others.
        """
        preset = Preset(clean_name(name), dict(values), self._clock())
        await self._save(user_id, **preset.columns())
        return preset

    async def add(self, user_id: int, name: str, values: Mapping[str, Any]) -> Preset:
        """Store imported ``values``, replacing nothing: as ``name``, ``name (2)`` …

        An imported preset is never the ``default``. An existing one of that name with the same
        values is returned as it is. Raises what :meth:`save` does.
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
        return _preset(await self._row(user_id, name))

    async def yours(self, user_id: int) -> Mapping[str, Any]:
        """Return the values of the member's ``default``; empty without one."""
        try:
            return (await self.get(user_id, YOURS)).values
        except UnknownName:
            return {}

    async def change_yours(self, user_id: int, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Set values of the member's ``default`` (None removes one); return its values after that.

        Without any value left the preset is deleted. Raises what :meth:`save` does.
        """
        key = (user_id, name_key(YOURS))

        async def work(connection: aiosqlite.Connection) -> Preset:
            rows = await connection.execute_fetchall(f"SELECT * {self._by_name}", key)
            before = next(map(_preset, rows), Preset(YOURS, {}, 0.0))
            values = {
                name: value
                for name, value in {**before.values, **changes}.items()
                if value is not None
            }
            after = Preset(before.name, values, self._clock())
            if values:
                await self._write(connection, user_id, **after.columns())
            else:
                await connection.execute(f"DELETE {self._by_name}", key)
            return after

        def then(after: Preset) -> None:
            if after.values:
                self._keep(*key, after.name)
            else:
                self._drop(*key)

        return (await self._database.write(work, then)).values

    async def list(self, user_id: int) -> tuple[Preset, ...]:
        """Return the member's presets by name, ``default`` first."""
        return tuple(map(_preset, await self._rows(user_id)))


def _preset(row: sqlite3.Row) -> Preset:
    return Preset(row["name"], json.loads(row["options"]), row["saved_at"])
