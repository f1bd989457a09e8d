"""Names that members choose: which are allowed, and when two are the same.

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
    """Return the name with spaces normalised and invisible characters removed.

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
    """Return a key that is equal for all spellings of one name."""
    # Folded, then normalised again: folding can leave what NFKC would compose.
    return unicodedata.normalize("NFKC", " ".join(name.split()).casefold())


class Names:
    """The names in one table, by owner; the one with the key ``first`` comes first."""

    def __init__(self, first: str = "") -> None:
        self._first = first
        self._names: dict[int, dict[str, str]] = {}

    def of(self, owner: int | None) -> tuple[str, ...]:
        """Return the owner's names, in the order of their keys."""
        names = self._names.get(owner or 0, {})
        return tuple(names[key] for key in sorted(names, key=lambda key: (key != self._first, key)))

    # What a table calls once a transaction is committed.

    def put(self, owner: int, key: str, name: str) -> None:
        """Add the name of a row that was written."""
        self._names.setdefault(owner, {})[key] = name

    def drop(self, owner: int, key: str) -> None:
        """Remove the name of a row that was deleted, if it is there."""
        names = self._names.get(owner, {})
        names.pop(key, None)
        if not names:
            self.forget(owner)

    def forget(self, owner: int) -> None:
        """Remove all names of an owner."""
        self._names.pop(owner, None)


def unknown(kind: str, name: str, names: Iterable[str]) -> UnknownName:
    """Make the error for a name that does not exist, with those of ``names`` close to it."""
    spelt = {name_key(known): known for known in names}
    close = difflib.get_close_matches(name_key(name), spelt, n=3)
    return UnknownName(kind, name[:MAX_NAME], tuple(spelt[key] for key in close))
