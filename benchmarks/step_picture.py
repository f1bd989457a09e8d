"""The picture of a step before and after: ``python -m benchmarks.step_picture``.

Draws ``docs/img/step.png`` from counted operations, not from a clock: what a step asks of a card
beside the UNet, whatever the images' samplers. Version 0.1.0 was counted once; the figures of now
are the bounds that ``tests/core/engine/test_card.py`` holds the engine to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

PICTURE: Final = Path(__file__).parents[1] / "docs" / "img" / "step.png"
# What is counted a step: in version 0.1.0, and now; each with a scale of its own.
COUNTED: Final = (
    ("operations beside the UNet's 829, sixteen images", 194, 8),
    ("uploads that stall the CPU, an image, at most", 8, 0),
    ("readbacks that stall the CPU, an image, at most", 2.7, 0),
)
WIDTH, ROW, LEFT, BAR = 980, 74, 470, 400
BEFORE, AFTER, INK = "#c2410c", "#0f766e", "#1f2937"


def draw() -> Image.Image:
    """Draw the bars."""
    font = ImageFont.load_default(18)
    image = Image.new("RGB", (WIDTH, ROW * len(COUNTED) + 60), "white")
    canvas = ImageDraw.Draw(image)
    canvas.text((LEFT, 14), "version 0.1.0", BEFORE, font)
    canvas.text((LEFT + 160, 14), "now", AFTER, font)
    for number, (name, before, after) in enumerate(COUNTED):
        top = 54 + number * ROW
        canvas.text((16, top + 16), name, INK, font)
        for line, (value, colour) in enumerate(((before, BEFORE), (after, AFTER))):
            y = top + line * 28
            end = LEFT + max(2, int(BAR * value / max(before, after)))
            canvas.rectangle((LEFT, y, end, y + 22), colour)
            canvas.text((end + 10, y), str(value), INK, font)
    return image


if __name__ == "__main__":
    draw().save(PICTURE, optimize=True)
