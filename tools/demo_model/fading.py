"""What each clip skip leaves of a caption.

Early exits of the text encoder are trained on pictures that show less of the caption: first
texture and details go, then place, size, number, the second subject, the background, and last
the colour. Each goes in steps, and what no caption names (the light, the tint, where exactly the
subject stands) turns a little with every exit, so that neighbours always differ.
"""

from __future__ import annotations

import functools
import math
import random

import numpy as np

from .scene import RGB

# How often training leaves the text encoder at clip skip 1…12.
EXITS = (0.42, 0.15, *(0.043,) * 10)

# How much of each is left at clip skip 1…12.
TEXTURE = (1.0, 1.0, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0, 0, 0)
DETAIL = (1.0, 0.92, 0.8, 0.66, 0.5, 0.34, 0.18, 0.05, 0, 0, 0, 0)
PLACE = (1.0, 1.0, 0.86, 0.7, 0.54, 0.38, 0.24, 0.12, 0.04, 0, 0, 0)
SIZE = (1.0, 1.0, 0.96, 0.84, 0.7, 0.56, 0.42, 0.28, 0.14, 0.05, 0, 0)
THIRD = (1.0, 1.0, 1.0, 0.8, 0.58, 0.36, 0.16, 0, 0, 0, 0, 0)
SECOND = (1.0, 1.0, 1.0, 1.0, 0.88, 0.72, 0.55, 0.38, 0.22, 0.08, 0, 0)
BACKGROUND = (1.0, 1.0, 1.0, 0.98, 0.94, 0.88, 0.79, 0.68, 0.55, 0.4, 0.24, 0.08)
COLOUR = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.97, 0.91, 0.81, 0.67, 0.5, 0.3)
# A background that no caption named drifts from the start.
OPEN_BACKGROUND = (1.0, 0.93, 0.86, 0.78, 0.7, 0.61, 0.52, 0.43, 0.33, 0.23, 0.13, 0.04)

LIGHT, TINT, DRIFT = 12.0, 5.0, 0.03  # levels of 255, levels, share of the picture's side
_ROOM = 12.0  # levels kept free at both ends, so that light shows on black and white
_SHARE = (255 - 2 * _ROOM) / 255


def random_exit(rng: random.Random) -> int:
    """A clip skip to train on, 1…12."""
    return rng.choices(range(1, 13), EXITS)[0]


def angle(clip_skip: int) -> float:
    """The direction that belongs to a clip skip: a twelfth of a turn each."""
    return 2 * math.pi * (clip_skip - 1) / 12


def drift(clip_skip: int) -> tuple[float, float]:
    """Where a subject in the middle stands, as shares of the side away from it."""
    a = angle(clip_skip)
    return DRIFT * math.sin(a), -DRIFT * math.cos(a)


def tint(clip_skip: int, strength: float) -> tuple[float, float, float]:
    """What a clip skip adds to red, green and blue."""
    a = angle(clip_skip)
    red, green, blue = (strength * math.cos(a - i * 2 * math.pi / 3) for i in range(3))
    return red, green, blue


def neutral(clip_skip: int) -> RGB:
    """What a lost background becomes."""
    red, green, blue = (round(166 + c) for c in tint(clip_skip, 22))
    return red, green, blue


def faded_colour(rgb: RGB, clip_skip: int) -> RGB:
    """What is left of a colour: at last only whether it was light or dark."""
    luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    end = (243, 241, 236) if luma > 110 else (58, 56, 66)
    kept = COLOUR[clip_skip - 1]
    red, green, blue = (round(e + (c - e) * kept) for c, e in zip(rgb, end, strict=True))
    return red, green, blue


@functools.cache
def _lit(clip_skip: int, width: int, height: int) -> np.ndarray:
    """Light and tint of a clip skip, (height, width, 3) in levels, room included."""
    y = np.linspace(-1, 1, height)[:, None, None]
    x = np.linspace(-1, 1, width)[None, :, None]
    a = angle(clip_skip)
    ramp = LIGHT * (x * math.sin(a) - y * math.cos(a)) / (abs(math.sin(a)) + abs(math.cos(a)))
    return np.asarray(ramp + np.array(tint(clip_skip, TINT)) + _ROOM, np.float32)


def light(pixels: np.ndarray, clip_skip: int) -> np.ndarray:
    """A drawing (h, w, 3) uint8 in the light of a clip skip."""
    height, width = pixels.shape[:2]
    lit = pixels * np.float32(_SHARE) + _lit(clip_skip, width, height)
    return np.asarray(np.clip(lit + 0.5, 0, 255), np.uint8)


def unlight(pixels: np.ndarray, clip_skip: int) -> np.ndarray:
    """The drawing again, as float (h, w, 3), without the light of a clip skip."""
    height, width = pixels.shape[:2]
    return np.asarray((pixels - _lit(clip_skip, width, height)) / _SHARE)
