"""Names that members give to things of theirs: how they are spelt, and when two are the same."""

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
        raise InvalidRequest(field, f"{len(cleaned)} characters", f"1 to {MAX_NAME} characters")
    return cleaned


def name_key(name: str) -> str:
    """Equal for all spellings of one name."""
    # Folded, then normalised again: folding can leave what NFKC would compose.
    return unicodedata.normalize("NFKC", " ".join(name.split()).casefold())


def unknown(kind: str, name: str, names: Iterable[str]) -> UnknownName:
    """The error for a name nothing of this kind has, with those of ``names`` close to it."""
    spelt = {name_key(known): known for known in names}
    close = difflib.get_close_matches(name_key(name), spelt, n=3)
    return UnknownName(kind, name[:MAX_NAME], tuple(spelt[key] for key in close))
