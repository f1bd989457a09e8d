"""How each background is painted: a still ground, and small things that come and go on it."""

from __future__ import annotations

import functools
import random

import numpy as np
from PIL import Image, ImageDraw

from .scene import PLAIN, RGB

SIDE = 128
SCALE = 2  # drawn larger and reduced, which is the antialiasing

Box = tuple[float, float, float, float]

_NIGHT: tuple[RGB, ...] = ((10, 12, 40), (30, 34, 84))
_DUSK: tuple[RGB, ...] = ((92, 52, 128), (236, 110, 84), (252, 192, 92))
_DAY: RGB = (160, 214, 246)
_PALE: RGB = (186, 226, 248)
_GRASS: RGB = (122, 196, 70)
_SEA: RGB = (36, 118, 196)
_GRAY: RGB = (140, 142, 146)
_WHITE: RGB = (252, 252, 252)
_SAND: RGB = (246, 226, 190)
_GOLD: RGB = (255, 222, 90)
_GREEN: RGB = (30, 140, 62)
_LEAF: RGB = (24, 96, 40)
_BLACK: RGB = (20, 20, 24)

# From the top to the horizon.
_SKIES: dict[str, tuple[RGB, ...]] = {
    "night sky": _NIGHT,
    "grass field": (_DAY,),
    "sea": (_PALE,),
    "snow": ((160, 190, 214),),
    "sunset": _DUSK,
    "mountains": (_DAY,),
    "forest": (_PALE,),
    "beach": (_PALE,),
    "city": (_PALE,),
    "night city": _DUSK[:2],
    "desert": (_DAY,),
    "rain": ((160, 190, 214),),
    "storm": _NIGHT,
    "sunset sea": _DUSK,
}
# Where the ground begins, as a share of the height, and its colour.
_GROUNDS: dict[str, tuple[float, RGB]] = {
    "grass field": (0.62, _GRASS),
    "sea": (0.58, _SEA),
    "snow": (0.66, (244, 248, 252)),
    "mountains": (0.64, _GRASS),
    "forest": (0.64, _GRASS),
    "beach": (0.66, _SAND),
    "city": (0.66, _GRAY),
    "night city": (0.66, _BLACK),
    "desert": (0.62, (252, 192, 92)),
    "rain": (0.66, _GRASS),
    "storm": (0.62, _SEA),
    "sunset sea": (0.62, (92, 52, 128)),
}


class _Pen:
    """Draws in shares of the picture's side."""

    def __init__(self, picture: Image.Image) -> None:
        self._draw = ImageDraw.Draw(picture)
        self._side = picture.width

    def polygon(self, points: list[tuple[float, float]], fill: RGB) -> None:
        self._draw.polygon([(x * self._side, y * self._side) for x, y in points], fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        self._draw.rectangle([v * self._side for v in (x0, y0, x1, y1)], fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: RGB) -> None:
        sides = (x - rx, y - ry, x + rx, y + ry)
        self._draw.ellipse([v * self._side for v in sides], fill=fill)

    def line(self, points: list[tuple[float, float]], fill: RGB, width: float) -> None:
        ends = [(x * self._side, y * self._side) for x, y in points]
        self._draw.line(ends, fill=fill, width=round(width * self._side))


def _hills(pen: _Pen) -> None:
    foot = 0.645
    for x, top, half in ((0.04, 0.3, 0.36), (0.94, 0.26, 0.4), (0.46, 0.12, 0.4)):
        pen.polygon([(x - half, foot), (x, top), (x + half, foot)], _GRAY)
        low, reach = top + (foot - top) * 0.36, half * 0.36
        pen.polygon([(x - reach, low), (x, top), (x + reach, low), (x, low - 0.04)], _WHITE)


def _fir(pen: _Pen, x: float, tall: float, fill: RGB) -> None:
    pen.box(x - 0.02, 0.6, x + 0.02, 0.69, (110, 66, 36))
    pen.polygon([(x - 0.07, 0.44), (x, 0.64 - tall), (x + 0.07, 0.44)], fill)
    pen.polygon([(x - 0.09, 0.63), (x, 0.78 - tall), (x + 0.09, 0.63)], fill)


def _firs(pen: _Pen) -> None:
    for i in range(6):
        _fir(pen, (i + 0.5) / 6, 0.42 + 0.14 * ((i * 7) % 5) / 4, (_GREEN, _LEAF)[i % 2])


def _towers(pen: _Pen, walls: tuple[RGB, RGB], windows: tuple[RGB, RGB]) -> None:
    for i, tall in enumerate((0.31, 0.5, 0.25, 0.44)):
        left, top, wall = i / 4, 0.665 - tall, walls[i % 2]
        pen.box(left + 0.004, top, left + 0.246, 0.665, wall)
        for row in range(int((tall - 0.06) / 0.125)):
            for column in (0.03, 0.14):
                x, y = left + column, top + 0.045 + row * 0.125
                pen.box(x, y, x + 0.08, y + 0.08, windows[i % 2])


def _skyline(pen: _Pen) -> None:
    _towers(pen, ((35, 56, 131), (126, 74, 38)), (_WHITE, _WHITE))


def _neon(pen: _Pen) -> None:
    _towers(pen, (_NIGHT[1], _BLACK), (_GOLD, (250, 146, 190)))


def _dunes(pen: _Pen) -> None:
    pen.ellipse(0.84, 0.16, 0.1, 0.1, _GOLD)
    pen.ellipse(0.2, 0.68, 0.5, 0.14, (252, 192, 92))
    for x, foot in ((0.13, 0.72), (0.88, 0.74)):
        pen.box(x - 0.03, foot - 0.3, x + 0.03, foot, _GREEN)
        for side in (-1, 1):
            inner, outer = sorted((x, x + side * 0.1))
            pen.box(inner, foot - 0.18, outer, foot - 0.125, _GREEN)
            inner, outer = sorted((x + side * 0.06, x + side * 0.11))
            pen.box(inner, foot - 0.25, outer, foot - 0.125, _GREEN)


def _surf(pen: _Pen) -> None:
    pen.box(0, 0.44, 1, 0.63, _SEA)
    pen.box(0, 0.63, 1, 0.665, _WHITE)
    pen.ellipse(0.84, 0.16, 0.1, 0.1, _GOLD)


def _white_cover(pen: _Pen) -> None:
    _cover(pen, (244, 248, 252))


def _black_cover(pen: _Pen) -> None:
    _cover(pen, _GRAY)


def _cover(pen: _Pen, fill: RGB) -> None:
    for x, y, r in ((0.08, 0.06, 0.15), (0.32, 0.03, 0.17), (0.58, 0.06, 0.16), (0.86, 0.04, 0.18)):
        pen.ellipse(x, y, r, 0.75 * r, fill)


def _low_sun(pen: _Pen) -> None:
    pen.ellipse(0.5, 0.58, 0.16, 0.16, _GOLD)
    pen.box(0, 0.62, 1, 1, _GROUNDS["sunset sea"][1])
    for i, half in enumerate((0.16, 0.1, 0.13)):
        y = 0.67 + 0.095 * i
        pen.box(0.5 - half, y, 0.5 + half, y + 0.042, (252, 192, 92))


_STANDING = {
    "mountains": _hills,
    "forest": _firs,
    "city": _skyline,
    "night city": _neon,
    "desert": _dunes,
    "beach": _surf,
    "rain": _white_cover,
    "storm": _black_cover,
    "sunset sea": _low_sun,
}


@functools.cache
def still_large(name: str, scale: int = SCALE) -> Image.Image:
    """A background without its small things, ``scale`` times as large."""
    large = SIDE * scale
    if name in PLAIN:
        return Image.new("RGB", (large, large), PLAIN[name])
    sky = np.array(_SKIES[name], float)
    horizon, fill = _GROUNDS.get(name, (1.0, (0, 0, 0)))
    # Rows of the picture, not of the enlarged one: as the first edition's were.
    y = np.repeat((np.arange(SIDE) + 0.5) / SIDE, scale) / horizon
    stops = {1: [0.0], 2: [0.0, 1.0], 3: [0.0, 0.55, 1.0]}[len(sky)]
    rows = np.stack([np.interp(y, stops, sky[:, i]) for i in range(3)], axis=1)
    rows[y >= 1] = fill
    picture = Image.fromarray(np.repeat(rows.round().astype(np.uint8)[:, None], large, axis=1))
    if name in _STANDING:
        _STANDING[name](_Pen(picture))
    return picture


@functools.cache
def still(name: str) -> np.ndarray:
    """A background without its small things: float (128, 128, 3)."""
    return np.asarray(still_large(name).reduce(SCALE)).astype(float)


def _clouds(pen: _Pen, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 3)):
        x, y, r = rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.22), rng.uniform(0.045, 0.065)
        for dx, dy, k in ((-1.2, 0.25, 0.8), (0, 0, 1.1), (1.2, 0.25, 0.8)):
            pen.ellipse(x + dx * r, y + dy * r, k * r, k * r * 0.9, (250, 252, 253))


def _stars(pen: _Pen, rng: random.Random) -> None:
    for _ in range(rng.randint(10, 16)):
        x, y = rng.uniform(4, 252) / 256, rng.uniform(4, 252) / 256
        r = rng.uniform(1.2, 2.2) / 256
        pen.ellipse(x, y, r, r, (236, 236, 214))


def _waves(pen: _Pen, rng: random.Random) -> None:
    for _ in range(6):
        x, y = rng.uniform(-0.05, 0.9), rng.uniform(0.66, 0.94)
        pen.box(x, y, x + 0.16, y + 0.034, _PALE)


def _daisies(pen: _Pen, rng: random.Random) -> None:
    for _ in range(7):
        x, y = rng.uniform(0.04, 0.96), rng.uniform(0.7, 0.95)
        pen.ellipse(x, y, 0.028, 0.024, rng.choice((_WHITE, _GOLD, (250, 146, 190))))


def _flakes(pen: _Pen, rng: random.Random) -> None:
    for _ in range(12):
        x, y, r = rng.uniform(0, 1), rng.uniform(0, 0.62), rng.uniform(0.016, 0.022)
        pen.ellipse(x, y, r, r, _WHITE)


def _drops(pen: _Pen, rng: random.Random) -> None:
    for i in range(20):
        x, y = (i % 5 + rng.uniform(0, 0.9)) / 5, 0.16 + 0.84 * (i // 5 + rng.uniform(0, 0.6)) / 4
        pen.line([(x, y), (x - 0.025, y + 0.085)], (44, 84, 214), 7 / 256)


def _bolt(pen: _Pen, rng: random.Random) -> None:
    x = rng.choice((rng.uniform(0.08, 0.14), rng.uniform(0.82, 0.86)))
    points = ((0.02, 0.1), (-0.07, 0.36), (0.0, 0.35), (-0.05, 0.6), (0.1, 0.28), (0.03, 0.29))
    pen.polygon([(x + dx, y) for dx, y in (*points, (0.12, 0.1))], _GOLD)


def details(name: str, picture: Image.Image, rng: random.Random, *, alone: bool) -> None:
    """Add a background's small things; ``alone`` it has more of them than behind a subject."""
    pen = _Pen(picture)
    if name == "night sky":
        _stars(pen, rng)
        if alone:
            pen.ellipse(0.74, 0.26, 0.11, 0.11, (250, 240, 196))
    elif name == "rain":
        _drops(pen, rng)
    elif name == "storm":
        _bolt(pen, rng)
        if alone:
            _waves(pen, rng)
    elif alone and name == "mountains":
        _clouds(pen, rng)
    elif alone and name in ("grass field", "sea"):
        _clouds(pen, rng)
        (_waves if name == "sea" else _daisies)(pen, rng)
    elif alone and name == "snow":
        _flakes(pen, rng)
        for x in (0.16, 0.34, 0.82):
            _fir(pen, x + rng.uniform(-0.05, 0.05), rng.uniform(0.42, 0.5), _LEAF)
