"""How each subject is painted: flat shapes in a box of -1…1 both ways."""

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
SKIN: RGB = (250, 206, 170)
STEEL: RGB = (120, 128, 140)
GLASS: RGB = (176, 224, 246)

Point = tuple[float, float]


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """The colour at ``t`` between two."""
    red, green, blue = (round(x + (y - x) * t) for x, y in zip(a, b, strict=True))
    return red, green, blue


def luma(rgb: RGB) -> float:
    """How light a colour is, 0…255."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


class Brush:
    """Paints in a subject's own coordinates; ``own`` also takes down where its colour is."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        centre: Point,
        half: Point,
        *,
        hair: RGB = BROWN,
        own: ImageDraw.ImageDraw | None = None,
    ) -> None:
        self._draw = draw
        self._centre = centre
        self._half = half
        self._own = own
        self.hair = hair
        self.colour: RGB | None = None

    def _at(self, x: float, y: float) -> Point:
        return (self._centre[0] + x * self._half[0], self._centre[1] + y * self._half[1])

    def _put(self, shape: str, points: list[Point], fill: RGB) -> None:
        placed = [self._at(x, y) for x, y in points]
        getattr(self._draw, shape)(placed, fill=fill)
        if self._own is not None:
            getattr(self._own, shape)(placed, fill=255 if fill is self.colour else 0)

    def polygon(self, points: list[Point], fill: RGB) -> None:
        """Fill a polygon."""
        self._put("polygon", points, fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: RGB) -> None:
        """Fill an ellipse around (x, y)."""
        self._put("ellipse", [(x - rx, y - ry), (x + rx, y + ry)], fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        """Fill a rectangle."""
        self._put("rectangle", [(x0, y0), (x1, y1)], fill)


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


def _sun(b: Brush, c: RGB) -> None:
    for i in range(8):
        a = 2 * math.pi * i / 8
        tip = (1.03 * math.sin(a), -1.03 * math.cos(a))
        sides = [(0.66 * math.sin(a + d), -0.66 * math.cos(a + d)) for d in (-0.3, 0.3)]
        b.polygon([tip, *sides], c)
    b.ellipse(0, 0, 0.66, 0.66, c)
    b.ellipse(0, 0, 0.4, 0.4, mix(c, LIGHT, 0.35))


def _eyes(b: Brush, c: RGB, y: float, apart: float, size: float) -> None:
    eye = DARK if luma(c) > 90 else LIGHT
    b.ellipse(-apart, y, size, size * 1.3, eye)
    b.ellipse(apart, y, size, size * 1.3, eye)


def _cat(b: Brush, c: RGB) -> None:
    b.polygon([(-0.95, -1), (-0.2, -0.5), (-0.85, 0.1)], c)
    b.polygon([(0.95, -1), (0.2, -0.5), (0.85, 0.1)], c)
    b.ellipse(0, 0.22, 0.98, 0.78, c)
    _eyes(b, c, 0.12, 0.4, 0.15)
    nose = (255, 190, 200) if luma(c) <= 160 else (200, 70, 90)
    b.polygon([(-0.15, 0.45), (0.15, 0.45), (0, 0.62)], nose)


def _dog(b: Brush, c: RGB) -> None:
    ear = mix(c, DARK if luma(c) > 90 else LIGHT, 0.35)
    b.ellipse(0, 0.02, 0.68, 0.86, c)
    b.ellipse(-0.74, 0.0, 0.26, 0.66, ear)
    b.ellipse(0.74, 0.0, 0.26, 0.66, ear)
    b.ellipse(0, 0.52, 0.44, 0.4, mix(c, LIGHT, 0.7))
    b.ellipse(0, 0.32, 0.19, 0.14, DARK)
    _eyes(b, c, -0.18, 0.28, 0.11)


def _bird(b: Brush, c: RGB) -> None:
    b.polygon([(0.4, 0.1), (1, -0.28), (0.94, 0.36)], c)
    b.ellipse(0.02, 0.2, 0.68, 0.52, c)
    b.ellipse(-0.44, -0.34, 0.42, 0.42, c)
    b.polygon([(-0.82, -0.44), (-0.8, -0.18), (-1.1, -0.26)], (250, 170, 30))
    b.ellipse(0.16, 0.2, 0.38, 0.27, mix(c, DARK if luma(c) > 90 else LIGHT, 0.3))
    b.ellipse(-0.52, -0.4, 0.11, 0.11, DARK if luma(c) > 90 else LIGHT)
    b.box(-0.14, 0.7, -0.06, 0.98, (250, 170, 30))
    b.box(0.14, 0.7, 0.22, 0.98, (250, 170, 30))


def _fish(b: Brush, c: RGB) -> None:
    b.polygon([(0.3, 0), (1, -0.62), (1, 0.62)], c)
    b.ellipse(-0.25, 0, 0.76, 0.6, c)
    b.ellipse(-0.6, -0.12, 0.17, 0.17, LIGHT if luma(c) < 200 else DARK)


def _house(b: Brush, c: RGB) -> None:
    b.box(-0.78, -0.12, 0.78, 0.95, c)
    b.polygon([(0, -1), (1.02, -0.08), (-1.02, -0.08)], mix(c, DARK, 0.45))
    b.box(-0.2, 0.32, 0.2, 0.95, GLOW if luma(c) < 170 else BROWN)


def _castle(b: Brush, c: RGB) -> None:
    roof = mix(c, DARK, 0.5) if luma(c) > 70 else mix(c, LIGHT, 0.4)
    b.box(-0.62, -0.1, 0.62, 0.95, c)
    for x in (-0.42, -0.08, 0.26):
        b.box(x, -0.28, x + 0.18, 0, c)
    for x in (-0.72, 0.72):
        b.box(x - 0.26, -0.45, x + 0.26, 0.95, c)
        b.polygon([(x - 0.32, -0.42), (x, -1), (x + 0.32, -0.42)], roof)
    b.ellipse(0, 0.5, 0.2, 0.22, DARK if luma(c) > 70 else GLOW)
    b.box(-0.2, 0.5, 0.2, 0.95, DARK if luma(c) > 70 else GLOW)


def _lighthouse(b: Brush, c: RGB) -> None:
    other = LIGHT if luma(c) < 200 else (206, 50, 50)
    for i in range(5):
        top, low = -0.5 + 0.28 * i, -0.22 + 0.28 * i
        half, foot = 0.26 + 0.045 * i, 0.305 + 0.045 * i
        fill = c if i % 2 == 0 else other
        b.polygon([(-half, top), (half, top), (foot, low), (-foot, low)], fill)
    b.box(-0.36, -0.58, 0.36, -0.48, DARK)
    b.box(-0.2, -0.8, 0.2, -0.58, GLOW)
    b.polygon([(-0.3, -0.78), (0, -1.02), (0.3, -0.78)], c)
    b.box(-0.6, 0.88, 0.6, 1, STEEL)


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
    b.polygon([(0.48, -0.45), (1.06, 0.9), (-0.2, 0.9)], mix(c, DARK, 0.3))
    b.polygon([(-0.2, -0.95), (0.8, 0.9), (-1.06, 0.9)], c)
    snow = LIGHT if luma(c) < 200 else (150, 190, 226)
    b.polygon([(-0.2, -0.95), (0.12, -0.36), (-0.06, -0.5), (-0.22, -0.3), (-0.5, -0.32)], snow)


def _boat(b: Brush, c: RGB) -> None:
    sail = CREAM if luma(c) < 200 else (240, 120, 100)
    b.box(-0.06, -1, 0.04, 0.4, BROWN)
    b.polygon([(0.04, -0.95), (0.04, 0.34), (0.86, 0.34)], sail)
    b.polygon([(-0.12, -0.7), (-0.12, 0.34), (-0.66, 0.34)], sail)
    b.polygon([(-1, 0.38), (1, 0.38), (0.66, 0.92), (-0.66, 0.92)], c)


def _car(b: Brush, c: RGB) -> None:
    b.polygon([(-0.62, 0), (-0.4, -0.5), (0.3, -0.5), (0.62, 0)], c)
    b.polygon([(-0.48, 0), (-0.33, -0.38), (-0.06, -0.38), (-0.06, 0)], GLASS)
    b.polygon([(0.04, 0), (0.04, -0.38), (0.25, -0.38), (0.46, 0)], GLASS)
    b.box(-1, -0.02, 1, 0.4, c)
    for x in (-0.55, 0.55):
        b.ellipse(x, 0.4, 0.25, 0.25, DARK)
        b.ellipse(x, 0.4, 0.11, 0.11, (190, 190, 196))
    b.box(0.88, 0.06, 1, 0.2, GLOW)


def _rocket(b: Brush, c: RGB) -> None:
    fin = STEEL if c[0] > c[1] + 50 and c[2] < 130 else (214, 50, 50)
    b.polygon([(-0.2, 0.6), (0, 1.02), (0.2, 0.6)], (255, 160, 40))
    b.polygon([(-0.3, 0.1), (-0.68, 0.74), (-0.24, 0.62)], fin)
    b.polygon([(0.3, 0.1), (0.68, 0.74), (0.24, 0.62)], fin)
    b.ellipse(0, -0.1, 0.36, 0.88, c)
    b.ellipse(0, -0.3, 0.19, 0.18, STEEL)
    b.ellipse(0, -0.3, 0.13, 0.12, GLASS)


def _robot(b: Brush, c: RGB) -> None:
    b.box(-0.07, -0.95, 0.07, -0.8, STEEL)
    b.ellipse(0, -0.93, 0.13, 0.1, (230, 60, 60))
    b.box(-0.46, -0.82, 0.46, -0.24, c)
    b.box(-0.2, -0.26, 0.2, -0.1, STEEL)
    b.box(-0.9, -0.06, -0.58, 0.5, STEEL)
    b.box(0.58, -0.06, 0.9, 0.5, STEEL)
    b.box(-0.6, -0.12, 0.6, 0.62, c)
    b.box(-0.44, 0.6, -0.12, 1, STEEL)
    b.box(0.12, 0.6, 0.44, 1, STEEL)
    _eyes(b, c, -0.56, 0.2, 0.1)
    b.box(-0.3, 0.08, 0.3, 0.36, GLASS)


def _snowman(b: Brush, c: RGB) -> None:
    b.ellipse(0, 0.5, 0.62, 0.5, c)
    b.ellipse(0, -0.3, 0.44, 0.42, c)
    b.box(-0.46, -0.72, 0.46, -0.58, BROWN)
    b.box(-0.3, -1, 0.3, -0.66, BROWN)
    b.ellipse(-0.16, -0.38, 0.06, 0.06, DARK if luma(c) > 90 else LIGHT)
    b.ellipse(0.16, -0.38, 0.06, 0.06, DARK if luma(c) > 90 else LIGHT)
    b.polygon([(0, -0.28), (0, -0.16), (0.32, -0.2)], (250, 130, 30))
    for y in (0.3, 0.52, 0.74):
        b.ellipse(0, y, 0.06, 0.06, DARK if luma(c) > 90 else LIGHT)


def _apple(b: Brush, c: RGB) -> None:
    b.ellipse(-0.34, 0.2, 0.58, 0.74, c)
    b.ellipse(0.34, 0.2, 0.58, 0.74, c)
    b.polygon([(-0.05, -0.35), (0.0, -1), (0.12, -0.98), (0.06, -0.35)], BROWN)
    b.polygon([(0.08, -0.6), (0.36, -0.94), (0.72, -0.88), (0.42, -0.58)], (60, 160, 60))


def _cup(b: Brush, c: RGB) -> None:
    inside = mix(c, DARK, 0.25) if luma(c) > 60 else mix(c, LIGHT, 0.3)
    b.ellipse(0.66, 0.16, 0.36, 0.36, c)
    b.ellipse(0.66, 0.16, 0.2, 0.2, inside)
    b.polygon([(-0.86, -0.4), (0.6, -0.4), (0.46, 0.82), (-0.7, 0.82)], c)
    b.ellipse(-0.13, -0.4, 0.73, 0.2, inside)
    b.ellipse(-0.13, -0.37, 0.58, 0.13, BROWN)


def _face(b: Brush) -> None:
    b.ellipse(0, -0.56, 0.3, 0.32, SKIN)
    for x in (-0.12, 0.12):
        b.ellipse(x, -0.52, 0.045, 0.06, DARK)
    b.box(-0.07, -0.38, 0.07, -0.35, (206, 90, 90))


def _girl(b: Brush, c: RGB) -> None:
    b.ellipse(0, -0.58, 0.42, 0.42, b.hair)
    b.box(-0.42, -0.58, 0.42, -0.08, b.hair)
    b.box(-0.2, 0.6, -0.06, 1, SKIN)
    b.box(0.06, 0.6, 0.2, 1, SKIN)
    b.polygon([(-0.2, -0.16), (-0.62, 0.36), (-0.5, 0.44), (-0.1, 0.1)], SKIN)
    b.polygon([(0.2, -0.16), (0.62, 0.36), (0.5, 0.44), (0.1, 0.1)], SKIN)
    b.polygon([(-0.2, -0.22), (0.2, -0.22), (0.56, 0.7), (-0.56, 0.7)], c)
    _face(b)
    b.polygon([(-0.32, -0.66), (0, -0.94), (0.32, -0.66), (0, -0.74)], b.hair)


def _boy(b: Brush, c: RGB) -> None:
    b.box(-0.26, 0.4, -0.04, 1, (46, 110, 140))
    b.box(0.04, 0.4, 0.26, 1, (46, 110, 140))
    b.polygon([(-0.26, -0.18), (-0.62, 0.34), (-0.48, 0.42), (-0.2, 0.1)], SKIN)
    b.polygon([(0.26, -0.18), (0.62, 0.34), (0.48, 0.42), (0.2, 0.1)], SKIN)
    b.box(-0.3, -0.22, 0.3, 0.46, c)
    b.ellipse(0, -0.64, 0.35, 0.34, b.hair)
    _face(b)
    b.polygon([(-0.31, -0.64), (-0.26, -0.88), (0.26, -0.88), (0.31, -0.64), (0, -0.72)], b.hair)


PAINTERS: dict[str, Callable[[Brush, RGB], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "moon": _moon,
    "cross": _cross,
    "sun": _sun,
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
    "snowman": _snowman,
    "apple": _apple,
    "cup": _cup,
    "girl": _girl,
    "boy": _boy,
}


def paint(brush: Brush, subject: str, colour: RGB) -> None:
    """Paint a subject in its colour."""
    brush.colour = colour
    PAINTERS[subject](brush, colour)
