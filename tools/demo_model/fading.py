"""What each clip skip leaves of a scene, and what it does with what no caption names.

What is named goes in steps: size and place first, then the second subject, the background, and
last the colour. What is not named (light, tint, where exactly the subject stands, its build)
is another at every exit, so that neighbours always differ.
"""

from __future__ import annotations

import functools
import math
import random

import numpy as np

from .scene import RGB
from .subjects import luma, mix

# How often training leaves the text encoder at clip skip 1…12.
EXITS = (0.22, 0.13, *(0.065,) * 10)

# How much of each is left at clip skip 1…12.
PLACE = (1.0, 1.0, 0.87, 0.72, 0.56, 0.4, 0.26, 0.14, 0.06, 0, 0, 0)
SIZE = (1.0, 1.0, 0.95, 0.83, 0.69, 0.55, 0.41, 0.28, 0.15, 0.06, 0, 0)
SECOND = (1.0, 1.0, 1.0, 0.9, 0.76, 0.61, 0.46, 0.31, 0.16, 0, 0, 0)
BACKGROUND = (1.0, 1.0, 0.97, 0.91, 0.84, 0.75, 0.65, 0.54, 0.42, 0.28, 0.14, 0)
COLOUR = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.96, 0.88, 0.77, 0.63, 0.47, 0.3)
# A background that no caption named drifts from the start.
OPEN_BACKGROUND = (1.0, 0.94, 0.87, 0.79, 0.7, 0.61, 0.52, 0.42, 0.32, 0.21, 0.1, 0)

# How far an exit's own hand shows, of what follows.
HAND = (0.0, 0.7, 0.8, 0.85, 0.9, 0.95, *(1.0,) * 6)
LIGHT, TINT, ROOM = 7.0, 6.0, 10.0  # levels of 255; room keeps light visible on black and white
DRIFT, BUILD, TONE = 4.0, 0.04, 10.0  # pixels, share of the extent, levels


def random_exit(rng: random.Random) -> int:
    """A clip skip to train on, 1…12."""
    return rng.choices(range(1, 13), EXITS)[0]


def angle(clip_skip: int) -> float:
    """The direction that belongs to a clip skip: neighbours are 75 degrees apart."""
    return math.radians(75 * (clip_skip - 1))


def drift(clip_skip: int) -> tuple[float, float]:
    """Pixels by which a subject stands beside its place when no place is named."""
    radius, a = DRIFT * HAND[clip_skip - 1], angle(clip_skip)
    return radius * math.sin(a), -radius * math.cos(a)


def build(clip_skip: int) -> tuple[float, float]:
    """Factors of a subject's width and height when no size is named."""
    share, a = BUILD * HAND[clip_skip - 1], 2 * angle(clip_skip)
    size, stretch = 1 - share * math.sin(a), 1 + share * math.cos(a)
    return size * stretch, size / stretch


def tint(clip_skip: int, strength: float) -> tuple[float, float, float]:
    """What a clip skip adds to red, green and blue."""
    a = angle(clip_skip)
    red, green, blue = (
        strength * HAND[clip_skip - 1] * math.cos(a - i * 2 * math.pi / 3) for i in range(3)
    )
    return red, green, blue


def faded_background(pixels: np.ndarray, clip_skip: int, *, named: bool) -> np.ndarray:
    """A background (h, w, 3) uint8 on its way to the gray that belongs to a clip skip."""
    kept = (BACKGROUND if named else OPEN_BACKGROUND)[clip_skip - 1]
    gray = np.array((140, 142, 146)) + tint(clip_skip, TONE)
    return np.asarray((gray + (pixels - gray) * kept).round().astype(np.uint8))


def faded_colour(rgb: RGB, clip_skip: int) -> RGB:
    """What is left of a colour: at last only whether it was light or dark."""
    end = (243, 241, 236) if luma(rgb) > 110 else (58, 56, 66)
    return mix(end, rgb, COLOUR[clip_skip - 1])


@functools.cache
def _lit(clip_skip: int, side: int) -> np.ndarray:
    """Light, tint and room of a clip skip, (side, side, 3) in levels."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j][..., None]
    a = angle(clip_skip)
    ramp = (x * math.sin(a) - y * math.cos(a)) / (abs(math.sin(a)) + abs(math.cos(a)))
    hand = HAND[clip_skip - 1]
    return np.asarray(hand * (LIGHT * ramp + ROOM) + np.array(tint(clip_skip, TINT)))


def light(pixels: np.ndarray, clip_skip: int) -> np.ndarray:
    """A drawing (side, side, 3) uint8 in the light of a clip skip."""
    share = 1 - 2 * ROOM * HAND[clip_skip - 1] / 255
    lit = pixels * share + _lit(clip_skip, pixels.shape[0])
    return np.asarray(np.clip(lit + 0.5, 0, 255), np.uint8)


def unlight(pixels: np.ndarray, clip_skip: int) -> np.ndarray:
    """The drawing again, as float (side, side, 3), without the light of a clip skip."""
    share = 1 - 2 * ROOM * HAND[clip_skip - 1] / 255
    return np.asarray((pixels - _lit(clip_skip, pixels.shape[0])) / share)
