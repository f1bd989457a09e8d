"""Names of files: making them valid and unique, and finding one by part of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Final

from core.errors import UnknownName
from core.typed import closest

# Discord shows and sends back at most 100 characters of a choice.
MAX_NAME: Final = 100


def search(names: Iterable[str], text: str, limit: int = 25) -> list[str]:
    """Return up to ``limit`` of the ``names`` that match ``text``, best first.

    Best is a match at the start of the name, then at the start of a word, then anywhere. Several
    words must all occur. Equal matches keep their order. When nothing matches, ``text`` may be
    misspelt: the closest names are returned.
    """
    names = list(names)
    words = text.casefold().split()
    if not words:
        return names[:limit]
    start, inside = " ".join(words), re.compile(rf"(?<![a-z0-9]){re.escape(words[0])}")
    ranked: tuple[list[str], list[str], list[str]] = ([], [], [])
    for name in names:
        folded = name.casefold()
        if all(word in folded for word in words):
            rank = 0 if folded.startswith(start) else 1 if inside.search(folded) else 2
            ranked[rank].append(name)
    return [name for place in ranked for name in place][:limit] or [*closest(text, names, limit)]


def find(kind: str, names: Iterable[str], text: str) -> list[str]:
    """Search as :func:`search` does. Raises :class:`UnknownName` where nothing is close."""
    found = search(names, text)
    if not found:
        raise UnknownName(kind, text)
    return found


def printable(name: str) -> str:
    """Return ``name`` with unprintable characters replaced, cut to :data:`MAX_NAME`.

    A Mac writes an accent as a character of its own; here it is part of its letter.
    """
    name = unicodedata.normalize("NFC", name)
    shown = (char if char.isprintable() else "\ufffd" for char in name[:MAX_NAME])
    return "".join(shown).strip()


def unique(name: str, folder: str, taken: Collection[str]) -> str:
    """Return ``name``, with its ``folder`` or a number appended if it is ``taken`` (casefolded)."""
    stem = name[: MAX_NAME - 40]
    numbered = (f"{stem} ({number})" for number in range(2, len(taken) + 3))
    candidates = chain([name, f"{stem} ({printable(folder)[:30]})"], numbered)
    return next(candidate for candidate in candidates if candidate.casefold() not in taken)
