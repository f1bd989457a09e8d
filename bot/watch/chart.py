"""A day as a picture: the jobs of each hour by how they ended, and below how long they waited.

Numbers alone stand in it; what the colours mean is said beside it, in the reader's language.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from bot.store.activity import Hour

# Of Okabe and Ito (2008), told apart by everybody; on a ground that fits both of Discord's themes.
DELIVERED: Final = "#56b4e9"
FAILED: Final = "#e69f00"
CANCELLED: Final = "#999999"
WAIT: Final = "#009e73"
GROUND: Final = "#2b2d31"
LINES: Final = "#4e5058"
TEXT: Final = "#dbdee1"

# In pixels.
WIDTH: Final = 640
HEIGHT: Final = 250
LEFT: Final = 64
RIGHT: Final = 12
BAR: Final = (WIDTH - LEFT - RIGHT) // 24
FONT: Final = 14
# Top and bottom of the two parts.
JOBS: Final = (16, 140)
WAITS: Final = (164, 220)


def draw(hours: Sequence[Hour]) -> bytes:
    """Draw the hours, the oldest first; returns a PNG. Takes milliseconds: call it in a thread."""
    image = Image.new("RGB", (WIDTH, HEIGHT), GROUND)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(FONT)
    most = max([1, *(hour.jobs for hour in hours)])
    longest = max([1.0, *(hour.wait for hour in hours)])
    for (top, bottom), label in ((JOBS, f"{most}"), (WAITS, duration(longest))):
        for y, words in ((top, label), (bottom, "0")):
            pen.line((LEFT, y, LEFT + 24 * BAR, y), fill=LINES)
            pen.text((LEFT - 8, y), words, fill=TEXT, font=font, anchor="rm")
    for number, hour in enumerate(hours):
        left = LEFT + number * BAR
        parts = (
            (hour.delivered, DELIVERED),
            (hour.failed, FAILED),
            (hour.cancelled, CANCELLED),
        )
        bottom = JOBS[1]
        for count, colour in parts:
            bottom = _bar(pen, left, bottom, (JOBS[1] - JOBS[0]) * count / most, colour)
        _bar(pen, left, WAITS[1], (WAITS[1] - WAITS[0]) * hour.wait / longest, WAIT)
    for number in range(0, len(hours) + 1, 6):
        words = f"-{len(hours) - number} h" if number < len(hours) else "0 h"
        pen.text((LEFT + number * BAR, HEIGHT - 16), words, fill=TEXT, font=font, anchor="mm")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def duration(seconds: float) -> str:
    """Write a time with its unit: ``8 s``, ``3 min``, ``2 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def _bar(pen: ImageDraw.ImageDraw, left: int, bottom: int, height: float, colour: str) -> int:
    """Draw a bar upwards from ``bottom`` and return its top; however small, it can be seen."""
    if height <= 0:
        return bottom
    top = bottom - max(2, round(height))
    pen.rectangle((left + 2, top, left + BAR - 3, bottom - 1), colour)
    return top
