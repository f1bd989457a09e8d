"""Read what people type into fields for numbers and lists, on whatever keyboard.

Japanese and Chinese keyboards write full-width digits, signs and commas; phones, and texts written
with care, have other dashes for a hyphen and a minus.
"""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Collection, Iterable
from typing import Final

# ！ to ～ are ! to ~, and the space between words has a full-width form of its own.
_FULL_WIDTH: Final = {0xFF01 + place: 0x21 + place for place in range(94)} | {0x3000: " "}
# Each is what some keyboard has where a range or a negative number is typed: 1〜12, −1, ー1.
_DASHES: Final = dict.fromkeys(map(ord, "‐‑‒–—―−－ー〜～~"), "-")
_HALF_WIDTH: Final = _FULL_WIDTH | _DASHES | {ord("、"): ","}
# Of more names only those that share most pairs of letters are compared one by one.
_CANDIDATES: Final = 100
_LONGEST_NAME: Final = 100
_COMMA: Final = re.compile(r'"[^"]*"|[，、]')


def half_width(text: str) -> str:
    """Write numbers and what stands between them as an English keyboard does."""
    return text.translate(_HALF_WIDTH)


def separated(text: str) -> str:
    """Write ``,`` for the full-width commas between names, outside of quotes.

    Where a half-width comma separates already, a full-width one is a part of a name.
    """
    if "," in text:
        return text
    return _COMMA.sub(lambda found: "," if len(found[0]) == 1 else found[0], text)


def closest(name: str, names: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Return up to ``limit`` of the ``names`` that are spelt like ``name``, closest first."""
    folded = {other.casefold(): other for other in names}
    # difflib is quadratic, and a longer text is no name.
    name = name.casefold()[:_LONGEST_NAME]
    candidates: Collection[str] = folded
    if len(folded) > _CANDIDATES:
        pairs = {name[at : at + 2] for at in range(len(name) - 1)}
        candidates = heapq.nlargest(
            _CANDIDATES, folded, key=lambda other: sum(map(other.__contains__, pairs))
        )
    near = difflib.get_close_matches(name, candidates, limit, cutoff=0.55)
    return tuple(folded[match] for match in near)
