"""Text hidden in the lowest bits of the pixels, as NovelAI's "stealth pnginfo" writes it.

It survives where a site takes the text out of the file. Bits are read column by column, from the
alpha channel or from red, green and blue: a mark of 15 letters, the length in bits (32 bits), then
the text, in gzip's form where the mark says so.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
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
    for alpha, bands in ((True, "A"), (False, "RGB")):
        if not set(bands) <= set(image.getbands()):
            continue
        marks = {mark: packed for mark, (where, packed) in MARKS.items() if where is alpha}
        compressed = marks.get(_bytes(image, bands, 0, _MARK))
        if compressed is not None:
            return _text(image, bands, compressed)
    return None


def _bytes(image: Image.Image, bands: str, first: int, count: int) -> bytes:
    """Read ``count`` bits from bit ``first`` on; of the picture only the columns they are in."""
    column = image.height * len(bands)
    left, right = first // column, min(image.width, (first + count) // column + 1)
    columns = image.crop((left, 0, right, image.height))
    planes = [np.asarray(columns.getchannel(band)) for band in bands]
    bits = (np.stack(planes, 2) & 1).transpose(1, 0, 2).reshape(-1)
    start = first - left * column
    return np.packbits(bits[start : start + count]).tobytes()


def _text(image: Image.Image, bands: str, compressed: bool) -> str | None:
    length = int.from_bytes(_bytes(image, bands, _MARK, 32), "big")
    if length > min(MAX_TEXT * 8, image.width * image.height * len(bands)):
        return None
    raw = _bytes(image, bands, _MARK + 32, length)
    if compressed:
        try:
            raw = zlib.decompressobj(_GZIP).decompress(raw, MAX_TEXT)
        except zlib.error:
            return None
    return raw.decode("utf-8", "replace")
