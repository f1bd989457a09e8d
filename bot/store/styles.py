"""The styles table: a server's own prompt templates.

A style is words around everybody's prompt, which takes the place of ``{prompt}`` in it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

import aiosqlite

from bot.exceptions import TooMany
from bot.store.database import Database
from bot.store.names import Names, clean_name, name_key, unknown
from core.errors import InvalidRequest, UnknownName

MAX_PER_SERVER: Final = 50
MAX_TEMPLATE: Final = 2000
PLACE: Final = "{prompt}"


@dataclass(frozen=True, slots=True)
class Style:
    """A server's template for prompts, and what it adds to the negative prompt."""

    name: str
    template: str
    negative_prompt: str = ""

    def applied(self, prompt: str, negative_prompt: str) -> tuple[str, str]:
        """Return both prompts in this style.

        A template without ``{prompt}`` comes after the prompt, as in A1111.
        """
        if PLACE in self.template:
            prompt = self.template.replace(PLACE, prompt)
        else:
            prompt = _joined(prompt, self.template)
        return prompt, _joined(negative_prompt, self.negative_prompt)


class Styles:
    """Reads and writes of the styles table.

    ``names`` has every server's names in memory, in the order of :meth:`list`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.names = Names()

    async def load(self) -> None:
        """Read every name into memory."""
        rows = await self._database.read("SELECT guild_id, name_key, name FROM styles")
        for row in rows:
            self.names.put(*row)

    async def save(
        self, guild_id: int, name: str, template: str, negative_prompt: str = ""
    ) -> Style:
        """Store a style under ``name``, in place of what was there.

        Raises :class:`InvalidRequest` for a name or texts too long or empty and
        :class:`TooMany` when the server has :data:`MAX_PER_SERVER` others.
        """
        style = Style(clean_name(name, "style_name"), template.strip(), negative_prompt.strip())
        for field, text, least in (
            ("template", style.template, 1),
            ("negative_prompt", style.negative_prompt, 0),
        ):
            if not least <= len(text) <= MAX_TEMPLATE:
                allowed = "length" if least else "at_most"
                raise InvalidRequest(field, str(len(text)), allowed, least, MAX_TEMPLATE)
        row = (guild_id, name_key(style.name), style.name, style.template, style.negative_prompt)

        async def work(connection: aiosqlite.Connection) -> None:
            others = await connection.execute_fetchall(
                "SELECT count(*) FROM styles WHERE guild_id = ? AND name_key <> ?", row[:2]
            )
            if next(iter(others))[0] >= MAX_PER_SERVER:
                raise TooMany("styles", MAX_PER_SERVER)
            await connection.execute(
                "INSERT INTO styles VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " name = excluded.name, template = excluded.template,"
                " negative_prompt = excluded.negative_prompt",
                row,
            )

        await self._database.write(work, lambda _: self.names.put(*row[:3]))
        return style

    async def get(self, guild_id: int | None, name: str) -> Style:
        """Return the server's style; in direct messages there is none.

        Raises :class:`UnknownName`.
        """
        rows = await self._database.read(
            "SELECT * FROM styles WHERE guild_id = ? AND name_key = ?", guild_id, name_key(name)
        )
        if rows:
            return _style(rows[0])
        raise self._unknown(guild_id, name)

    async def list(self, guild_id: int | None) -> tuple[Style, ...]:
        """Return the server's styles by name."""
        rows = await self._database.read(
            "SELECT * FROM styles WHERE guild_id = ? ORDER BY name_key", guild_id
        )
        return tuple(_style(row) for row in rows)

    async def delete(self, guild_id: int, name: str) -> None:
        """Delete it. Raises :class:`UnknownName`, with names close to it."""

        key = (guild_id, name_key(name))

        async def work(connection: aiosqlite.Connection) -> bool:
            cursor = await connection.execute(
                "DELETE FROM styles WHERE guild_id = ? AND name_key = ?", key
            )
            return cursor.rowcount > 0

        if not await self._database.write(work, lambda _: self.names.drop(*key)):
            raise self._unknown(guild_id, name)

    def _unknown(self, guild_id: int | None, name: str) -> UnknownName:
        return unknown("style", name, self.names.of(guild_id))


def _joined(*texts: str) -> str:
    return ", ".join(text for text in (text.strip(" ,") for text in texts) if text)


def _style(row: sqlite3.Row) -> Style:
    return Style(row["name"], row["template"], row["negative_prompt"])
