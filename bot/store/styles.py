"""The styles table: a server's templates for prompts.

The member's prompt is inserted for ``{prompt}`` in the template.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from typing import Final

from bot.store.database import Database
from bot.store.names import NamedTable, clean_name
from core.errors import InvalidRequest

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


class Styles(NamedTable):
    """Reads and writes of the styles table."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "styles", "guild_id", MAX_PER_SERVER)

    async def save(
        self, guild_id: int, name: str, template: str, negative_prompt: str = ""
    ) -> Style:
        """Store a style under ``name``, in place of what was there.

        Raises :class:`InvalidRequest` for a name or texts too long or empty and
        :class:`~bot.exceptions.TooMany` when the server has :data:`MAX_PER_SERVER` others.
        """
        style = Style(clean_name(name, "style_name"), template.strip(), negative_prompt.strip())
        for field, text, least in (
            ("template", style.template, 1),
            ("negative_prompt", style.negative_prompt, 0),
        ):
            if not least <= len(text) <= MAX_TEMPLATE:
                allowed = "length" if least else "at_most"
                raise InvalidRequest(field, str(len(text)), allowed, least, MAX_TEMPLATE)
        await self._save(guild_id, **asdict(style))
        return style

    async def get(self, guild_id: int | None, name: str) -> Style:
        """Return the server's style; in direct messages there is none.

        Raises :class:`~core.errors.UnknownName`.
        """
        return _style(await self._row(guild_id, name))

    async def list(self, guild_id: int | None) -> tuple[Style, ...]:
        """Return the server's styles by name."""
        return tuple(map(_style, await self._rows(guild_id)))


def _joined(*texts: str) -> str:
    return ", ".join(text for text in (text.strip(" ,") for text in texts) if text)


def _style(row: sqlite3.Row) -> Style:
    return Style(row["name"], row["template"], row["negative_prompt"])
