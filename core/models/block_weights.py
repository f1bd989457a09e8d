"""Block weights: how strongly a network acts on each block of the UNet. No torch.

As in the extension "LoRA Block Weight": a list of numbers with commas, one a block, or a preset's
name. BASE is the text encoder, and all of the UNet that lies outside of its blocks.
"""

from __future__ import annotations

import math
from typing import Final

_SD: Final = (
    *("BASE", *(f"IN{place:02}" for place in range(12)), "MID"),
    *(f"OUT{place:02}" for place in range(12)),
)
_SDXL: Final = (
    *("BASE", *(f"IN{place:02}" for place in range(9)), "MID"),
    *(f"OUT{place:02}" for place in range(9)),
)
# By the list's length: the blocks of its numbers, and all blocks. A list of 17 or 12 leaves out
# those without attention, where a LoRA has nothing.
_LISTS: Final[dict[int, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    26: (_SD, _SD),
    17: (tuple(_SD[place] for place in (0, 2, 3, 5, 6, 8, 9, 13, *range(17, 26))), _SD),
    20: (_SDXL, _SDXL),
    12: (tuple(_SDXL[place] for place in (0, 5, 6, 8, 9, 10, *range(11, 17))), _SDXL),
}
# The extension's, lists of 17. On SDXL they act on its blocks of the same names.
_PRESETS: Final = {
    "NONE": "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "ALL": "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
    "INS": "1,1,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "IND": "1,0,0,0,1,1,1,0,0,0,0,0,0,0,0,0,0",
    "INALL": "1,1,1,1,1,1,1,0,0,0,0,0,0,0,0,0,0",
    "MIDD": "1,0,0,0,1,1,1,1,1,1,1,1,0,0,0,0,0",
    "OUTD": "1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0",
    "OUTS": "1,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1",
    "OUTALL": "1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1",
    "ALL0.5": ",".join(["0.5"] * 17),
}


def block_weights(text: str) -> tuple[tuple[str, float], ...]:
    """Return ``((block, weight), …)`` of a list or a preset's name.

    Raises :class:`ValueError` for another number of blocks, and for what is neither.
    """
    listed = _PRESETS.get(text.strip().upper(), text)
    numbers = [float(number) for number in listed.split(",")]
    if len(numbers) not in _LISTS or not all(map(math.isfinite, numbers)):
        raise ValueError(text)
    named, every = _LISTS[len(numbers)]
    weights = dict(zip(named, numbers, strict=True))
    return tuple((block, weights.get(block, 0.0)) for block in every)
