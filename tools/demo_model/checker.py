"""Reads a picture back without knowing its prompt: background, then things, colours, places.

The border tells the background; what differs from it is compared with drawings of every subject
in every colour. Works on pictures of 192x192 at half their size, after the light of their clip
skip was taken off.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn.functional import max_pool2d

from .backgrounds import SCALE, ground
from .draw import EXTENT, SIDE
from .fading import unlight
from .scene import BACKGROUNDS, COLOURS, HAIR, PEOPLE, SUBJECTS
from .subjects import Brush, paint

HALF = SIDE // 2
_GRID = 24
_DIFFERENT = 40.0  # distance in RGB from which a pixel is no longer background
_KEY = (1, 254, 3)


@dataclass(frozen=True)
class Found:
    """One thing that was read: what, in which colour, its middle and extent in pixels of 192."""

    subject: str
    colour: str
    x: float
    y: float
    extent: float

    @property
    def size(self) -> str:
        """The size's name."""
        small = (EXTENT["small"][1] + EXTENT["medium"][0]) / 2
        large = (EXTENT["medium"][1] + EXTENT["large"][0]) / 2
        return "small" if self.extent < small else "large" if self.extent > large else "medium"

    @property
    def place(self) -> str:
        """The place's name."""
        dx, dy = self.x - SIDE / 2, self.y - SIDE / 2
        across = "" if abs(dx) < 18 else "left" if dx < 0 else "right"
        down = "" if abs(dy) < 18 else "top" if dy < 0 else "bottom"
        return f"{down} {across}".strip() or "centre"


def halved(pixels: np.ndarray, clip_skip: int = 1) -> np.ndarray:
    """A picture (192, 192, 3) uint8 without its light, as float (96, 96, 3)."""
    plain = unlight(pixels.astype(float), clip_skip)
    return np.asarray(plain.reshape(HALF, 2, HALF, 2, 3).mean(axis=(1, 3)))


@functools.cache
def _still(name: str) -> np.ndarray:
    return np.asarray(ground(name, SIDE, SIDE).reduce(2 * SCALE)).astype(float)


@functools.cache
def _drawings() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[str, str]]]:
    """Every subject in every colour on the grid: colours, cover, width by height, names.

    Each also without what ``subject_mask`` loses of a small one on a busy background.
    """
    colours, covers, aspects, names = [], [], [], []
    for subject in SUBJECTS:
        for hair in HAIR[:4] if subject in PEOPLE else HAIR[:1]:
            for name, rgb in COLOURS.items():
                canvas = Image.new("RGB", (256, 256), _KEY)
                brush = Brush(ImageDraw.Draw(canvas), (128, 128), (110, 110), hair=COLOURS[hair])
                paint(brush, subject, rgb)
                pixels = np.asarray(canvas)
                whole = (pixels != _KEY).any(axis=2)
                for cover in (whole, _eroded(whole)):
                    cut = _box(cover)
                    own = whole[cut]
                    grid = _to_grid(own * 255.0) / 255
                    inside = _to_grid(pixels[cut] * own[..., None])
                    colours.append(inside / np.maximum(grid, 1e-3)[..., None])
                    covers.append(grid)
                    aspects.append(own.shape[1] / own.shape[0])
                    names.append((subject, name))
    stacked = np.stack(colours).astype(np.float32), np.stack(covers).astype(np.float32)
    return *stacked, np.array(aspects), names


def _eroded(cover: np.ndarray) -> np.ndarray:
    small = Image.fromarray(cover.astype(np.uint8) * 255).resize((40, 40), Image.Resampling.BOX)
    opened = _pool(_pool(np.asarray(small) > 100, -1), 1)
    large = Image.fromarray(opened.astype(np.uint8) * 255).resize((256, 256))
    return np.asarray(large) > 127


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    ys, xs = np.where(mask.any(axis=1))[0], np.where(mask.any(axis=0))[0]
    return slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)


def _to_grid(values: np.ndarray) -> np.ndarray:
    if values.ndim == 3:
        return np.stack([_to_grid(values[..., i]) for i in range(values.shape[2])], axis=2)
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize((_GRID, _GRID), Image.Resampling.BOX))


def read_background(pixels: np.ndarray) -> str:
    """The background that fits the border best; ``pixels`` is ``halved``."""
    best, name_of_best = np.inf, ""
    for name in BACKGROUNDS:
        away = np.abs(pixels - _still(name)).mean(axis=2)
        border = np.concatenate(
            [away[:4].ravel(), away[-4:].ravel(), away[:, :4].ravel(), away[:, -4:].ravel()]
        )
        # Clipped: stars, and a subject that touches the border, must not decide.
        error = float(np.minimum(border, 60).mean())
        if error < best:
            best, name_of_best = error, name
    return name_of_best


def _pool(mask: np.ndarray, sign: int) -> np.ndarray:
    m = torch.from_numpy(mask.astype(np.float32))[None, None]
    return np.asarray((sign * max_pool2d(sign * m, 3, 1, 1))[0, 0].numpy() > 0.5)


def subject_mask(pixels: np.ndarray, background: str) -> np.ndarray:
    """Where the picture differs from its background, (96, 96) bool, without specks."""
    still = _still(background)
    # A horizon may lie a little off: compare with the rows around as well.
    shifts = [np.clip(np.arange(HALF) + d, 0, HALF - 1) for d in (-2, 0, 2)]
    away = np.min([np.linalg.norm(pixels - still[s], axis=2) for s in shifts], axis=0)
    mask = away > _DIFFERENT
    return _pool(_pool(mask, -1), 1) if background in _BUSY else np.asarray(mask)


_BUSY = ("night sky", "snow", "grass field", "sea", "rain", "storm", "city", "forest")


def parts(mask: np.ndarray) -> list[np.ndarray]:
    """The mask's connected parts, the largest first."""
    inside = torch.from_numpy(mask)[None, None]
    labels = torch.arange(1, mask.size + 1, dtype=torch.float32).view(1, 1, *mask.shape) * inside
    for _ in range(HALF):
        spread = max_pool2d(max_pool2d(labels, 3, 1, 1) * inside, 3, 1, 1) * inside
        if torch.equal(spread, labels):
            break
        labels = spread
    found = labels[0, 0].numpy()
    values, counts = np.unique(found[found > 0], return_counts=True)
    return [np.asarray(found == values[i]) for i in np.argsort(-counts)]


def count_things(pixels: np.ndarray, background: str) -> int:
    """How many things of about one size are in the picture."""
    areas = [int(part.sum()) for part in parts(subject_mask(pixels, background))]
    return sum(area >= max(60, 0.45 * areas[0]) for area in areas)


def _match(pixels: np.ndarray, background: str, mask: np.ndarray) -> tuple[float, Found]:
    """The drawing that fits the mask's largest part best, and how badly it does."""
    rows, columns = cut = _box(parts(mask)[0])
    colours, covers, aspects, names = _drawings()
    crop = _to_grid(pixels[cut]).astype(np.float32)
    behind = _to_grid(_still(background)[cut]).astype(np.float32)
    expected = covers[..., None] * colours + (1 - covers[..., None]) * behind
    height, width = rows.stop - rows.start, columns.stop - columns.start
    error = np.abs(expected - crop).mean(axis=(1, 2, 3))
    error = error + 40 * np.abs(np.log(width / height / aspects))
    best = int(error.argmin())
    middle = columns.start + columns.stop, rows.start + rows.stop
    return float(error[best]), Found(*names[best], *middle, 2 * max(height, width))


def read_thing(
    pixels: np.ndarray, background: str, part: tuple[slice, slice] | None = None
) -> Found | None:
    """The thing in the picture, or in a part of it; None when there is nothing."""
    mask = subject_mask(pixels, background)
    if part is not None:
        only = np.zeros_like(mask)
        only[part] = mask[part]
        mask = only
    tries = [mask]
    if background in _BESIDE:
        # A cloud or a bolt may touch the thing: once with it, once without.
        away = np.linalg.norm(pixels - np.array(_BESIDE[background]), axis=2)
        tries.append(_pool(_pool(mask & (away > _DIFFERENT), -1), 1))
    found = [_match(pixels, background, each) for each in tries if each.sum() >= 30]
    return min(found, key=lambda pair: pair[0])[1] if found else None


_CLOUD, _BOLT = (248.0, 250.0, 252.0), (255.0, 236.0, 130.0)
_BESIDE = {
    **dict.fromkeys(("grass field", "sea", "beach", "mountains"), _CLOUD),
    "storm": _BOLT,
}


def halves(relation: str) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The parts of a halved picture where the first and the second of two things belong."""
    everything, first, second = slice(None), slice(0, HALF // 2), slice(HALF // 2, None)
    if relation == "above":
        return (first, everything), (second, everything)
    return (everything, first), (everything, second)
