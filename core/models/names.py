"""Names of models and VAEs: making them valid and unique, and finding one by part of it."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Final

from core.errors import UnknownName

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

    def rank(name: str) -> int | None:
        folded = name.casefold()
        if not all(word in folded for word in words):
            return None
        if not words or folded.startswith(" ".join(words)):
            return 0
        return 1 if re.search(rf"(?<![a-z0-9]){re.escape(words[0])}", folded) else 2

    ranked = [(place, name) for name in names if (place := rank(name)) is not None]
    if not ranked:
        return list(closest(text, names, limit))
    return [name for _, name in sorted(ranked, key=lambda pair: pair[0])][:limit]


def find(kind: str, names: Iterable[str], text: str) -> list[str]:
    """Search as :func:`search` does. Raises :class:`UnknownName` where nothing is close."""
    found = search(names, text)
    if not found:
        raise UnknownName(kind, text)
    return found


def closest(name: str, names: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Return up to ``limit`` of the ``names`` that are spelt like ``name``, closest first."""
    folded = {other.casefold(): other for other in names}
    # difflib is quadratic, and a longer text is no name.
    near = difflib.get_close_matches(name.casefold()[:MAX_NAME], folded, limit, cutoff=0.55)
    return tuple(folded[match] for match in near)


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
    candidates = [name, f"{stem} ({printable(folder)[:30]})"]
    candidates += [f"{stem} ({number})" for number in range(2, len(taken) + 3)]
    return next(candidate for candidate in candidates if candidate.casefold() not in taken)
