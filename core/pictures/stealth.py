"""Text hidden in the lowest bits of the pixels, as NovelAI's "stealth pnginfo" writes it.

It survives where a site takes the text out of the file. Bits are read column by column, from the
alpha channel or from red, green and blue: a mark of 15 letters, the length in bits (32 bits), then
the text, in gzip's form where the mark says so.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.pictures.metadata import MAX_TEXT

# By the marks: whether the bits are the alpha channel's, and whether the text is compressed.
MARKS: Final = {
    b"stealth_pnginfo": (True, False),
    b"stealth_pngcomp": (True, True),
    b"stealth_rgbinfo": (False, False),
    b"stealth_rgbcomp": (False, True),
}
_MARK: Final = 15 * 8
_GZIP: Final = 31


def hidden_text(image: Image.Image) -> str | None:
    """Return the text hidden in the pixels of a decoded image; None where there is none."""
    if image.mode not in ("RGB", "RGBA", "LA"):
        return None
    pixels = np.asarray(image)
    planes = [(True, pixels[:, :, -1:])] if image.mode != "RGB" else []
    if image.mode != "LA":
        planes.append((False, pixels[:, :, :3]))
    for alpha, plane in planes:
        compressed = {
            mark: packed for mark, (where, packed) in MARKS.items() if where is alpha
        }.get(_bytes(plane, 0, _MARK))
        if compressed is not None:
            return _text(plane, compressed)
    return None


def _bytes(plane: NDArray[np.uint8], first: int, count: int) -> bytes:
    """Read ``count`` bits from bit ``first`` on; of the picture only the columns they are in."""
    height, _, channels = plane.shape
    column = height * channels
    columns = plane[:, first // column : (first + count) // column + 1]
    bits = (columns & 1).transpose(1, 0, 2).reshape(-1)
    start = first % column
    return np.packbits(bits[start : start + count]).tobytes()


def _text(plane: NDArray[np.uint8], compressed: bool) -> str | None:
    length = int.from_bytes(_bytes(plane, _MARK, 32), "big")
    if length > min(MAX_TEXT * 8, plane.size):
        return None
    raw = _bytes(plane, _MARK + 32, length)
    if compressed:
        try:
            raw = zlib.decompressobj(_GZIP).decompress(raw, MAX_TEXT)
        except zlib.error:
            return None
    return raw.decode("utf-8", "replace")
