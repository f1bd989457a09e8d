"""How each subject is painted: flat shapes in a box of -1…1 both ways.

The autoencoder learnt the first edition's colours and keeps little else, so new subjects wear them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

from .scene import RGB

BROWN: RGB = (110, 66, 36)
CREAM: RGB = (246, 226, 190)
LEAF: RGB = (24, 96, 40)
GLOW: RGB = (255, 222, 90)
DARK: RGB = (24, 22, 30)
LIGHT: RGB = (252, 252, 252)
GRAY: RGB = (140, 142, 146)
GLASS: RGB = (186, 226, 248)
ORANGE: RGB = (250, 138, 20)

Point = tuple[float, float]


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """The colour at ``t`` between two."""
    red, green, blue = (round(x + (y - x) * t) for x, y in zip(a, b, strict=True))
    return red, green, blue


def luma(rgb: RGB) -> float:
    """How light a colour is, 0…255."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


class Brush:
    """Paints in a subject's own coordinates, where its box is -1…1 both ways."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        centre: Point,
        half: Point,
        *,
        hair: RGB = BROWN,
        umbrella: RGB | None = None,
    ) -> None:
        self._draw = draw
        self._centre = centre
        self._half = half
        self.hair = hair
        self.umbrella = umbrella

    def _at(self, x: float, y: float) -> Point:
        return (self._centre[0] + x * self._half[0], self._centre[1] + y * self._half[1])

    def polygon(self, points: list[Point], fill: RGB) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(x, y) for x, y in points], fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: RGB) -> None:
        """Fill an ellipse around (x, y)."""
        self._draw.ellipse([self._at(x - rx, y - ry), self._at(x + rx, y + ry)], fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        """Fill a rectangle."""
        self._draw.rectangle([self._at(x0, y0), self._at(x1, y1)], fill=fill)


def _circle(b: Brush, c: RGB) -> None:
    b.ellipse(0, 0, 1, 1, c)


def _square(b: Brush, c: RGB) -> None:
    b.box(-0.92, -0.92, 0.92, 0.92, c)


def _triangle(b: Brush, c: RGB) -> None:
    b.polygon([(0, -0.95), (1, 0.85), (-1, 0.85)], c)


def _star(b: Brush, c: RGB) -> None:
    points = []
    for i in range(10):
        r = 1.06 if i % 2 == 0 else 0.46
        a = math.pi * i / 5
        points.append((r * math.sin(a), 0.08 - r * math.cos(a)))
    b.polygon(points, c)


def _heart(b: Brush, c: RGB) -> None:
    points = []
    for i in range(48):
        t = 2 * math.pi * i / 48
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 16, -(y + 2.5) / 14.6))
    b.polygon(points, c)


def _moon(b: Brush, c: RGB) -> None:
    outer = [(math.cos(a), math.sin(a)) for a in np.linspace(math.radians(50), math.radians(310))]
    tip_x, tip_y = outer[0]
    # The inner arc runs through both tips around a centre further right.
    inner_x = 0.62
    radius = math.hypot(tip_x - inner_x, tip_y)
    start = math.atan2(tip_y, tip_x - inner_x)
    inner = [
        (inner_x + radius * math.cos(a), radius * math.sin(a))
        for a in np.linspace(2 * math.pi - start, start)
    ]
    b.polygon([(x * 1.0 + 0.16, y) for x, y in (*outer, *inner)], c)


def _cross(b: Brush, c: RGB) -> None:
    b.box(-0.34, -1, 0.34, 1, c)
    b.box(-1, -0.34, 1, 0.34, c)


def _eyes(b: Brush, c: RGB, y: float, apart: float, size: float) -> None:
    eye = DARK if luma(c) > 90 else LIGHT
    b.ellipse(-apart, y, size, size * 1.3, eye)
    b.ellipse(apart, y, size, size * 1.3, eye)


def _shade(c: RGB) -> RGB:
    """The colour of a house's roof; brown where that could not be told from the colour."""
    return mix(c, DARK, 0.45) if luma(c) > 40 else BROWN


def _cat(b: Brush, c: RGB) -> None:
    b.polygon([(-0.95, -1), (-0.2, -0.5), (-0.85, 0.1)], c)
    b.polygon([(0.95, -1), (0.2, -0.5), (0.85, 0.1)], c)
    b.ellipse(0, 0.22, 0.98, 0.78, c)
    _eyes(b, c, 0.12, 0.4, 0.15)
    nose = (255, 190, 200) if luma(c) <= 160 else (200, 70, 90)
    b.polygon([(-0.15, 0.45), (0.15, 0.45), (0, 0.62)], nose)


def _dog(b: Brush, c: RGB) -> None:
    ear = _shade(c)
    b.ellipse(0, 0, 0.72, 0.9, c)
    b.polygon([(-0.5, -0.74), (-0.98, -0.4), (-0.98, 0.5), (-0.66, 0.62), (-0.5, 0)], ear)
    b.polygon([(0.5, -0.74), (0.98, -0.4), (0.98, 0.5), (0.66, 0.62), (0.5, 0)], ear)
    b.ellipse(0, 0.5, 0.42, 0.4, LIGHT if luma(c) < 200 else CREAM)
    b.ellipse(0, 0.32, 0.2, 0.16, DARK)
    _eyes(b, c, -0.2, 0.27, 0.13)


def _bird(b: Brush, c: RGB) -> None:
    b.polygon([(0.4, 0.1), (1, -0.28), (0.94, 0.36)], c)
    b.box(-0.2, 0.6, -0.08, 1, ORANGE)
    b.box(0.14, 0.6, 0.26, 1, ORANGE)
    b.ellipse(0.02, 0.2, 0.68, 0.54, c)
    b.ellipse(-0.44, -0.34, 0.46, 0.46, c)
    b.polygon([(-0.8, -0.5), (-0.8, -0.1), (-1.14, -0.26)], ORANGE)
    b.polygon([(-0.2, 0.06), (0.66, 0.06), (0.3, 0.5)], _shade(c))
    b.ellipse(-0.5, -0.4, 0.14, 0.16, DARK if luma(c) > 90 else LIGHT)


def _fish(b: Brush, c: RGB) -> None:
    b.polygon([(0.3, 0), (1, -0.62), (1, 0.62)], c)
    b.ellipse(-0.25, 0, 0.76, 0.6, c)
    b.ellipse(-0.6, -0.12, 0.17, 0.17, LIGHT if luma(c) < 200 else DARK)


def _house(b: Brush, c: RGB) -> None:
    b.box(-0.78, -0.12, 0.78, 0.95, c)
    b.polygon([(0, -1), (1.02, -0.08), (-1.02, -0.08)], mix(c, DARK, 0.45))
    b.box(-0.2, 0.32, 0.2, 0.95, GLOW if luma(c) < 170 else BROWN)


def _castle(b: Brush, c: RGB) -> None:
    roof = _shade(c)
    b.box(-0.62, -0.1, 0.62, 0.95, c)
    for x in (-0.44, -0.1, 0.24):
        b.box(x, -0.3, x + 0.2, 0, c)
    for x in (-0.72, 0.72):
        b.box(x - 0.26, -0.45, x + 0.26, 0.95, c)
        b.polygon([(x - 0.34, -0.42), (x, -1), (x + 0.34, -0.42)], roof)
    door = DARK if luma(c) > 70 else GLOW
    b.ellipse(0, 0.5, 0.22, 0.24, door)
    b.box(-0.22, 0.5, 0.22, 0.95, door)


def _lighthouse(b: Brush, c: RGB) -> None:
    other = LIGHT if luma(c) < 200 else (216, 36, 40)
    for i in range(4):
        top, low = -0.4 + 0.35 * i, -0.05 + 0.35 * i
        half, foot = 0.32 + 0.05 * i, 0.37 + 0.05 * i
        fill = c if i % 2 == 0 else other
        b.polygon([(-half, top), (half, top), (foot, low), (-foot, low)], fill)
    b.box(-0.27, -0.72, 0.27, -0.44, GLOW)
    b.box(-0.42, -0.46, 0.42, -0.36, DARK)
    b.polygon([(-0.42, -0.68), (0, -1.04), (0.42, -0.68)], c if luma(c) < 200 else other)


def _tree(b: Brush, c: RGB) -> None:
    b.box(-0.16, 0.2, 0.16, 1, BROWN if luma(c) > 85 or c[1] > c[0] else CREAM)
    b.ellipse(-0.38, 0.0, 0.46, 0.44, c)
    b.ellipse(0.38, 0.0, 0.46, 0.44, c)
    b.ellipse(0, -0.45, 0.56, 0.54, c)


def _flower(b: Brush, c: RGB) -> None:
    b.box(-0.09, 0.1, 0.09, 1, LEAF)
    b.polygon([(0, 0.95), (0.6, 0.5), (0.5, 0.85)], LEAF)
    b.polygon([(0, 0.95), (-0.6, 0.5), (-0.5, 0.85)], LEAF)
    for i in range(5):
        a = 2 * math.pi * i / 5
        b.ellipse(0.42 * math.sin(a), -0.32 - 0.4 * math.cos(a), 0.31, 0.29, c)
    yellow = luma(c) > 195 and c[2] < 150
    b.ellipse(0, -0.32, 0.26, 0.25, BROWN if yellow else GLOW)


def _mushroom(b: Brush, c: RGB) -> None:
    b.polygon([(-0.3, 0), (0.3, 0), (0.42, 1), (-0.42, 1)], CREAM)
    points = [(math.cos(a), 0.15 + 1.12 * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi)]
    b.polygon(points, c)
    dot = LIGHT if luma(c) < 200 else (214, 130, 130)
    for x, y in ((-0.5, -0.22), (0.04, -0.6), (0.48, -0.16)):
        b.ellipse(x, y, 0.17, 0.17, dot)


def _mountain(b: Brush, c: RGB) -> None:
    b.polygon([(0.48, -0.45), (1.06, 0.9), (-0.2, 0.9)], _shade(c))
    b.polygon([(-0.2, -0.95), (0.8, 0.9), (-1.06, 0.9)], c)
    snow = LIGHT if luma(c) < 200 else GLASS
    b.polygon([(-0.2, -0.95), (0.14, -0.32), (-0.06, -0.46), (-0.22, -0.24), (-0.52, -0.28)], snow)


def _boat(b: Brush, c: RGB) -> None:
    b.polygon([(0.05, -0.95), (0.05, 0.34), (0.86, 0.34)], CREAM)
    b.polygon([(-0.12, -0.7), (-0.12, 0.34), (-0.66, 0.34)], CREAM)
    b.box(-0.09, -1, 0.05, 0.4, BROWN)
    b.polygon([(-1, 0.38), (1, 0.38), (0.66, 0.92), (-0.66, 0.92)], c)


def _car(b: Brush, c: RGB) -> None:
    b.polygon([(-0.68, 0), (-0.42, -0.6), (0.34, -0.6), (0.7, 0)], c)
    b.polygon([(-0.48, 0), (-0.32, -0.44), (-0.08, -0.44), (-0.08, 0)], GLASS)
    b.polygon([(0.08, 0), (0.08, -0.44), (0.26, -0.44), (0.48, 0)], GLASS)
    b.box(-1, -0.02, 1, 0.42, c)
    for x in (-0.55, 0.55):
        b.ellipse(x, 0.42, 0.29, 0.29, DARK if luma(c) > 40 else GRAY)
    b.box(0.84, 0.04, 1, 0.2, GLOW if c[1] < 190 or c[2] > 150 else ORANGE)


def _rocket(b: Brush, c: RGB) -> None:
    fin = (216, 36, 40) if luma(c) > 225 else _shade(c)
    b.polygon([(-0.24, 0.6), (0, 1.04), (0.24, 0.6)], ORANGE)
    b.polygon([(-0.3, 0.1), (-0.74, 0.78), (-0.24, 0.64)], fin)
    b.polygon([(0.3, 0.1), (0.74, 0.78), (0.24, 0.64)], fin)
    b.ellipse(0, -0.1, 0.42, 0.9, c)
    b.ellipse(0, -0.3, 0.2, 0.2, GLASS if c[0] < 200 or c[1] < 200 else (44, 84, 214))


def _robot(b: Brush, c: RGB) -> None:
    b.box(-0.06, -0.95, 0.06, -0.76, GRAY)
    b.ellipse(0, -0.92, 0.15, 0.12, (216, 36, 40))
    b.box(-0.9, 0.06, -0.6, 0.6, GRAY)
    b.box(0.6, 0.06, 0.9, 0.6, GRAY)
    b.box(-0.46, 0.66, -0.1, 1, GRAY)
    b.box(0.1, 0.66, 0.46, 1, GRAY)
    b.box(-0.2, -0.1, 0.2, 0.1, GRAY)
    b.box(-0.58, -0.8, 0.58, -0.08, c)
    b.box(-0.6, 0.02, 0.6, 0.7, c)
    _eyes(b, c, -0.46, 0.26, 0.15)
    b.box(-0.3, 0.2, 0.3, 0.48, GLASS)


def _umbrella(b: Brush) -> None:
    if b.umbrella is None:
        return
    b.box(0.7, -0.6, 0.78, 0.4, BROWN)
    arc = [(math.cos(a), math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi)]
    b.polygon([(0.24 + 0.98 * x, -0.52 + 0.62 * y) for x, y in arc], b.umbrella)


def _face(b: Brush, y: float, wide: float, high: float) -> None:
    """A face and the hair over its forehead."""
    b.ellipse(0, y, wide, high, CREAM)
    for x in (-0.4, 0.4):
        b.ellipse(x * wide, y + 0.18 * high, 0.2 * wide, 0.26 * high, DARK)
    arc = [(math.cos(a), math.sin(a)) for a in np.linspace(math.pi * 1.06, math.pi * 1.94)]
    fringe = [(1.06 * wide * x, y + 1.06 * high * s) for x, s in arc]
    b.polygon([*fringe, (0.3 * wide, y - 0.36 * high), (-0.5 * wide, y - 0.3 * high)], b.hair)


def _girl(b: Brush, c: RGB) -> None:
    _umbrella(b)
    b.ellipse(0, -0.4, 0.66, 0.6, b.hair)
    b.box(-0.66, -0.4, 0.66, 0.2, b.hair)
    b.box(-0.28, 0.7, -0.05, 1, CREAM)
    b.box(0.05, 0.7, 0.28, 1, CREAM)
    b.polygon([(-0.2, 0.1), (-0.74, 0.46), (-0.6, 0.62), (-0.1, 0.4)], CREAM)
    b.polygon([(0.2, 0.1), (0.74, 0.46), (0.6, 0.62), (0.1, 0.4)], CREAM)
    b.polygon([(-0.3, 0.06), (0.3, 0.06), (0.6, 0.82), (-0.6, 0.82)], c)
    _face(b, -0.34, 0.53, 0.5)


def _boy(b: Brush, c: RGB) -> None:
    _umbrella(b)
    trousers = DARK if luma(c) > 40 else GRAY
    b.box(-0.36, 0.6, -0.05, 1, trousers)
    b.box(0.05, 0.6, 0.36, 1, trousers)
    b.polygon([(-0.3, 0.1), (-0.76, 0.46), (-0.62, 0.62), (-0.24, 0.44)], CREAM)
    b.polygon([(0.3, 0.1), (0.76, 0.46), (0.62, 0.62), (0.24, 0.44)], CREAM)
    b.box(-0.42, 0.04, 0.42, 0.68, c)
    b.ellipse(0, -0.46, 0.58, 0.52, b.hair)
    _face(b, -0.34, 0.53, 0.5)


def _portrait(b: Brush, c: RGB) -> None:
    b.ellipse(0, -0.3, 0.76, 0.7, b.hair)
    b.box(-0.76, -0.3, 0.76, 0.56, b.hair)
    arc = [(math.cos(a), math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi)]
    b.polygon([(x, 1 + 0.5 * y) for x, y in arc], c)
    b.polygon([(-0.22, 0.2), (0.22, 0.2), (0.3, 0.54), (0, 0.7), (-0.3, 0.54)], CREAM)
    _face(b, -0.18, 0.56, 0.6)
    b.polygon([(-0.16, 0.17), (0.16, 0.17), (0, 0.32)], (200, 70, 90))


PAINTERS: dict[str, Callable[[Brush, RGB], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "moon": _moon,
    "cross": _cross,
    "cat": _cat,
    "dog": _dog,
    "bird": _bird,
    "fish": _fish,
    "house": _house,
    "castle": _castle,
    "lighthouse": _lighthouse,
    "tree": _tree,
    "flower": _flower,
    "mushroom": _mushroom,
    "mountain": _mountain,
    "boat": _boat,
    "car": _car,
    "rocket": _rocket,
    "robot": _robot,
    "girl": _girl,
    "boy": _boy,
    "portrait": _portrait,
}
