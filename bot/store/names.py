"""Names that members give to things of theirs: how they are spelt, and when two are the same.

:class:`Names` has those of a table in memory, for lists that cannot wait for the disk.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Final

from core.errors import InvalidRequest, UnknownName

MAX_NAME: Final = 40


def clean_name(name: str, field: str = "preset_name") -> str:
    """The name with spaces and invisible characters put right.

    Raises :class:`InvalidRequest` about ``field`` for one that is empty or too long.
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
    """Equal for all spellings of one name."""
    # Folded, then normalised again: folding can leave what NFKC would compose.
    return unicodedata.normalize("NFKC", " ".join(name.split()).casefold())


class Names:
    """The names in one table, by owner. Of an owner's names the one keyed ``first`` is first."""

    def __init__(self, first: str = "") -> None:
        self._first = first
        self._names: dict[int, dict[str, str]] = {}

    def of(self, owner: int | None) -> tuple[str, ...]:
        """The owner's names, in the order of their keys."""
        names = self._names.get(owner or 0, {})
        return tuple(names[key] for key in sorted(names, key=lambda key: (key != self._first, key)))

    # What a table calls once a transaction is committed.

    def put(self, owner: int, key: str, name: str) -> None:
        """A row was written."""
        self._names.setdefault(owner, {})[key] = name

    def drop(self, owner: int, key: str) -> None:
        """There is no such row, or no longer."""
        names = self._names.get(owner, {})
        names.pop(key, None)
        if not names:
            self.forget(owner)

    def forget(self, owner: int) -> None:
        """There is no row of this owner's any more."""
        self._names.pop(owner, None)


def unknown(kind: str, name: str, names: Iterable[str]) -> UnknownName:
    """The error for a name nothing of this kind has, with those of ``names`` close to it."""
    spelt = {name_key(known): known for known in names}
    close = difflib.get_close_matches(name_key(name), spelt, n=3)
    return UnknownName(kind, name[:MAX_NAME], tuple(spelt[key] for key in close))
