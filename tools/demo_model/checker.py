"""Reads a picture back without knowing its prompt: background, then shapes, colours, places.

Works on pixels alone: the border tells the background, what differs from it is the subject,
whose outline is compared with every subject's own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn.functional import max_pool2d

from .backgrounds import SIDE, still
from .draw import silhouette
from .scene import BACKGROUNDS, COLOURS, EXTENT, SUBJECTS

_NAMES = tuple(SUBJECTS)
_BUSY = ("night sky", "mountains", "forest", "city", "night city", "rain", "storm", "sunset sea")
_GRID = 32
_BLURS = (0.0, 8.0, 16.0)  # of a subject 220 pixels across
_DIFFERENT = 38.0  # distance in RGB from which a pixel is no longer background


@dataclass(frozen=True)
class Found:
    """One thing that was read: what, in which colour, its middle and extent in pixels."""

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
        across = "" if abs(dx) < 12 else "left" if dx < 0 else "right"
        down = "" if abs(dy) < 12 else "top" if dy < 0 else "bottom"
        return f"{down} {across}".strip() or "centre"


@functools.cache
def _outlines() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every subject's outlines and own-coloured parts on the grid, and its widths by heights.

    Each stands here sharp and with its corners rounded, as a blurred picture has them.
    """
    wholes, mains, aspects = [], [], []
    for blur in _BLURS:
        for subject in _NAMES:
            whole, main = silhouette(subject)
            whole = np.pad(whole, 40)
            soft = Image.fromarray(whole.astype(np.uint8) * 255)
            soft = soft.filter(ImageFilter.GaussianBlur(blur))
            cut = _box(np.asarray(soft) > 127)
            rounded = (np.asarray(soft) > 127)[cut]
            wholes.append(_to_grid(rounded))
            mains.append(_to_grid(np.pad(main, 40)[cut]))
            aspects.append(rounded.shape[1] / rounded.shape[0])
    return np.stack(wholes), np.stack(mains), np.array(aspects)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    ys, xs = np.where(mask.any(axis=1))[0], np.where(mask.any(axis=0))[0]
    return slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)


def _to_grid(mask: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(picture.resize((_GRID, _GRID), Image.Resampling.BOX)) / 255.0


def at_side(picture: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) uint8 at the 128 pixels that are read here, float."""
    resized = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(resized).astype(float)


def read_background(pixels: np.ndarray) -> str:
    """The background that fits the picture's border best; ``pixels`` is (128, 128, 3)."""
    best, name_of_best = np.inf, ""
    for name in BACKGROUNDS:
        away = np.abs(pixels - still(name)).mean(axis=2)
        border = np.concatenate(
            [away[:4].ravel(), away[-4:].ravel(), away[:, :4].ravel(), away[:, -4:].ravel()]
        )
        # Clipped: stars, and a subject that touches the border, must not decide.
        error = float(np.minimum(border, 60).mean())
        if error < best:
            best, name_of_best = error, name
    return name_of_best


def _opened(mask: np.ndarray) -> np.ndarray:
    """The mask without specks and threads of less than three pixels."""
    m = torch.from_numpy(mask.astype(np.float32))[None, None]
    eroded = -max_pool2d(-m, 3, 1, 1)
    return max_pool2d(eroded, 3, 1, 1)[0, 0].numpy() > 0.5


def _parts(mask: np.ndarray) -> list[np.ndarray]:
    """The mask's connected parts, the largest first."""
    labels = torch.arange(1, mask.size + 1, dtype=torch.float32).view(1, 1, *mask.shape)
    inside = torch.from_numpy(mask)[None, None]
    labels = labels * inside
    for _ in range(SIDE):
        spread = max_pool2d(labels, 3, 1, 1) * inside
        spread = max_pool2d(spread, 3, 1, 1) * inside
        if torch.equal(spread, labels):
            break
        labels = spread
    found = labels[0, 0].numpy()
    values, counts = np.unique(found[found > 0], return_counts=True)
    return [np.asarray(found == values[i]) for i in np.argsort(-counts, kind="stable")]


def count_things(pixels: np.ndarray, background: str) -> int:
    """How many things of about one size are in the picture."""
    areas = [int(part.sum()) for part in _parts(subject_mask(pixels, background))]
    return sum(area >= max(60, 0.4 * areas[0]) for area in areas)


def own_rows(pixels: np.ndarray) -> np.ndarray:
    """The background's colour by row as the picture's own edges show it: float (128, 3)."""
    return np.asarray(np.median(np.concatenate([pixels[:, :4], pixels[:, -4:]], axis=1), axis=1))


def subject_mask(pixels: np.ndarray, background: str | None) -> np.ndarray:
    """Where the picture differs from its background, (128, 128) bool; None: from its edges."""
    behind = own_rows(pixels)[:, None] if background is None else still(background)
    # A horizon may lie a few pixels off: compare with the rows around as well.
    shifts = [np.clip(np.arange(SIDE) + d, 0, SIDE - 1) for d in (-3, 0, 3)]
    away = np.min([np.linalg.norm(pixels - behind[s], axis=2) for s in shifts], axis=0)
    mask = np.asarray(away > _DIFFERENT)
    return _opened(mask) if background in (*_BUSY, None) else mask


def _shape(mask: np.ndarray) -> tuple[str, tuple[slice, slice]]:
    cut = _box(mask)
    wholes, _, aspects = _outlines()
    grid = _to_grid(mask[cut])
    both = np.minimum(wholes, grid).sum(axis=(1, 2))
    either = np.maximum(wholes, grid).sum(axis=(1, 2))
    aspect = (cut[1].stop - cut[1].start) / (cut[0].stop - cut[0].start)
    score = both / either - 0.3 * np.abs(np.log(aspect / aspects))
    return _NAMES[int(score.argmax()) % len(_NAMES)], cut


def _colour(pixels: np.ndarray, mask: np.ndarray, subject: str, cut: tuple[slice, slice]) -> str:
    """The colour's name, from the pixels where the subject wears it."""
    _, mains, _ = _outlines()
    height, width = mask[cut].shape
    main = Image.fromarray((mains[_NAMES.index(subject)] * 255).astype(np.uint8))
    wears = np.asarray(main.resize((width, height), Image.Resampling.BILINEAR)) > 235
    inside = pixels[cut][wears & mask[cut]]
    if len(inside) < 12:
        inside = pixels[cut][mask[cut]]
    names = list(COLOURS)
    palette = np.array([COLOURS[name] for name in names], float)
    nearest = np.linalg.norm(inside[:, None] - palette, axis=2).argmin(axis=1)
    return names[int(np.bincount(nearest, minlength=len(names)).argmax())]


def read_thing(
    pixels: np.ndarray, background: str | None, part: tuple[slice, slice] | None = None
) -> Found | None:
    """The thing in the picture, or in a part of it; None when there is nothing."""
    mask = subject_mask(pixels, background)
    if part is not None:
        only = np.zeros_like(mask)
        only[part] = mask[part]
        mask = only
    parts = _parts(mask)
    if not parts or parts[0].sum() < 60:
        return None
    mask = parts[0]
    subject, cut = _shape(mask)
    rows, columns = cut
    return Found(
        subject,
        _colour(pixels, mask, subject, cut),
        (columns.start + columns.stop) / 2,
        (rows.start + rows.stop) / 2,
        max(rows.stop - rows.start, columns.stop - columns.start),
    )


def halves(relation: str) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The parts of a picture where the first and the second of two things belong."""
    everything, first, second = slice(None), slice(0, SIDE // 2), slice(SIDE // 2, None)
    if relation == "above":
        return (first, everything), (second, everything)
    return (everything, first), (everything, second)
