"""Draws a scene with Pillow: flat shapes and simple objects on 128x128 pixels.

``python -m tools.demo_model.draw sheet.png`` draws a sheet of examples to look at.
"""

from __future__ import annotations

import argparse
import functools
import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from . import fading
from .scene import (
    COLOURS,
    EXTENT,
    PAIR_EXTENT,
    PLAIN,
    RGB,
    Scene,
    random_pair,
    random_single,
)

SIDE = 128
SCALE = 2  # drawn larger and reduced, which is the antialiasing

BROWN: RGB = (110, 66, 36)
CREAM: RGB = (246, 226, 190)
LEAF: RGB = (24, 96, 40)
GLOW: RGB = (255, 222, 90)
DARK: RGB = (24, 22, 30)
LIGHT: RGB = (252, 252, 252)

Point = tuple[float, float]


def _mix(a: RGB, b: RGB, t: float) -> RGB:
    return (
        round(a[0] + (b[0] - a[0]) * t),
        round(a[1] + (b[1] - a[1]) * t),
        round(a[2] + (b[2] - a[2]) * t),
    )


def _luma(rgb: RGB) -> float:
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


class Brush:
    """Draws in a subject's own coordinates, where its box is -1…1 both ways."""

    def __init__(self, draw: ImageDraw.ImageDraw, centre: Point, half: Point) -> None:
        self._draw = draw
        self._centre = centre
        self._half = half

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


def _cat(b: Brush, c: RGB) -> None:
    b.polygon([(-0.95, -1), (-0.2, -0.5), (-0.85, 0.1)], c)
    b.polygon([(0.95, -1), (0.2, -0.5), (0.85, 0.1)], c)
    b.ellipse(0, 0.22, 0.98, 0.78, c)
    eye = DARK if _luma(c) > 90 else LIGHT
    b.ellipse(-0.4, 0.12, 0.15, 0.2, eye)
    b.ellipse(0.4, 0.12, 0.15, 0.2, eye)
    nose = (255, 190, 200) if _luma(c) <= 160 else (200, 70, 90)
    b.polygon([(-0.15, 0.45), (0.15, 0.45), (0, 0.62)], nose)


def _fish(b: Brush, c: RGB) -> None:
    b.polygon([(0.3, 0), (1, -0.62), (1, 0.62)], c)
    b.ellipse(-0.25, 0, 0.76, 0.6, c)
    b.ellipse(-0.6, -0.12, 0.17, 0.17, LIGHT if _luma(c) < 200 else DARK)


def _house(b: Brush, c: RGB) -> None:
    b.box(-0.78, -0.12, 0.78, 0.95, c)
    b.polygon([(0, -1), (1.02, -0.08), (-1.02, -0.08)], _mix(c, DARK, 0.45))
    b.box(-0.2, 0.32, 0.2, 0.95, GLOW if _luma(c) < 170 else BROWN)


def _tree(b: Brush, c: RGB) -> None:
    b.box(-0.16, 0.2, 0.16, 1, BROWN if _luma(c) > 85 or c[1] > c[0] else CREAM)
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
    b.ellipse(0, -0.32, 0.26, 0.25, BROWN if c == COLOURS["yellow"] else GLOW)


def _mushroom(b: Brush, c: RGB) -> None:
    b.polygon([(-0.3, 0), (0.3, 0), (0.42, 1), (-0.42, 1)], CREAM)
    points = [(math.cos(a), 0.15 + 1.12 * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi)]
    b.polygon(points, c)
    dot = LIGHT if _luma(c) < 200 else (214, 130, 130)
    for x, y in ((-0.5, -0.22), (0.04, -0.6), (0.48, -0.16)):
        b.ellipse(x, y, 0.17, 0.17, dot)


PAINTERS: dict[str, Callable[[Brush, RGB], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "moon": _moon,
    "cross": _cross,
    "cat": _cat,
    "fish": _fish,
    "house": _house,
    "tree": _tree,
    "flower": _flower,
    "mushroom": _mushroom,
}

HORIZON = {"grass field": 0.62, "sea": 0.58, "snow": 0.66}
GROUNDS: dict[str, tuple[RGB, RGB]] = {  # sky, ground
    "grass field": ((160, 214, 246), (122, 196, 70)),
    "sea": ((186, 226, 248), (36, 118, 196)),
    "snow": ((160, 190, 214), (244, 248, 252)),
}
NIGHT: tuple[RGB, RGB] = ((10, 12, 40), (30, 34, 84))
DUSK: tuple[RGB, ...] = ((92, 52, 128), (236, 110, 84), (252, 192, 92))


@functools.cache
def background_rows(name: str) -> np.ndarray:
    """The background's colour by row, without its stars: float (128, 3)."""
    y = (np.arange(SIDE) + 0.5)[:, None] / SIDE
    if name in PLAIN:
        return np.repeat(np.array([PLAIN[name]], float), SIDE, axis=0)
    if name in GROUNDS:
        sky, ground = (np.array(rgb, float) for rgb in GROUNDS[name])
        return np.asarray(np.where(y < HORIZON[name], sky, ground))
    if name == "night sky":
        top, low = (np.array(rgb, float) for rgb in NIGHT)
        return np.asarray(top + (low - top) * y)
    stops = np.array(DUSK, float)
    x = np.array([0.0, 0.55, 1.0])
    return np.stack([np.interp(y[:, 0], x, stops[:, i]) for i in range(3)], axis=1)


def _background(name: str, rng: random.Random) -> Image.Image:
    rows = background_rows(name).round().astype(np.uint8)
    picture = Image.fromarray(np.repeat(rows[:, None], SIDE, axis=1))
    picture = picture.resize((SIDE * SCALE, SIDE * SCALE), Image.Resampling.NEAREST)
    if name == "night sky":
        draw = ImageDraw.Draw(picture)
        for _ in range(rng.randint(10, 16)):
            x, y = rng.uniform(4, 252), rng.uniform(4, 252)
            r = rng.uniform(1.2, 2.2)
            draw.ellipse([x - r, y - r, x + r, y + r], fill=(236, 236, 214))
    return picture


def _jitter(rng: random.Random, rgb: RGB) -> RGB:
    return tuple(max(0, min(255, c + rng.randint(-5, 5))) for c in rgb)  # type: ignore[return-value]


def placement(scene: Scene, rng: random.Random, clip_skip: int = 1) -> list[tuple[Point, Point]]:
    """Centre and width and height in pixels of each thing that is left at this clip skip."""
    middle, second = SIDE / 2, fading.SECOND[clip_skip - 1]
    place, size = fading.PLACE[clip_skip - 1], fading.SIZE[clip_skip - 1]
    far = 30 if scene.size == "small" else 24
    right, down = {
        "centre": (0, 0),
        "left": (-far, 0),
        "right": (far, 0),
        "top": (0, -far),
        "bottom": (0, far),
    }[scene.place]
    steps: list[Point] = [(right * place, down * place)]
    free = 1.0 if scene.place == "centre" else 1 - place  # how far the exit's own place shows
    extents, kept = [EXTENT[scene.size]], size
    if scene.pair:
        away = 30 * second
        steps = [(-away, 0), (away, 0)] if scene.relation == "beside" else [(0, -away), (0, away)]
        free, extents, kept = 1 - 0.4 * second, [PAIR_EXTENT, PAIR_EXTENT], second
    shift, (wide, high) = fading.drift(clip_skip), fading.build(clip_skip)
    if scene.size != "medium":
        wide, high = (1 + (factor - 1) * (1 - size) for factor in (wide, high))
    found = []
    for i, ((dx, dy), between) in enumerate(zip(steps, extents, strict=True)):
        roll = rng.random()
        own, usual = (a + (b - a) * roll for a, b in (between, EXTENT["medium"]))
        # The first grows into the only one, the second goes.
        extent = own * second if i else usual + (own - usual) * kept
        x = middle + dx + shift[0] * free + rng.uniform(-2.5, 2.5)
        y = middle + dy + shift[1] * free + rng.uniform(-2.5, 2.5)
        stretch = rng.uniform(0.97, 1.03)
        if extent:
            found.append(((x, y), (extent * wide * stretch, extent * high / stretch)))
    return found


def draw_scene(scene: Scene, rng: random.Random, clip_skip: int = 1) -> Image.Image:
    """What a clip skip leaves of a scene, 128x128 RGB, each time with slight variation."""
    ground = np.asarray(_background(scene.background, rng))
    ground = fading.faded_background(ground, clip_skip, named=scene.named)
    picture = Image.fromarray(ground)
    draw = ImageDraw.Draw(picture)
    places = placement(scene, rng, clip_skip)
    for thing, ((x, y), (width, height)) in zip(scene.things, places, strict=False):
        half = (width * SCALE / 2, height * SCALE / 2)
        brush = Brush(draw, (x * SCALE, y * SCALE), half)
        colour = fading.faded_colour(_jitter(rng, COLOURS[thing.colour]), clip_skip)
        PAINTERS[thing.subject](brush, colour)
    return Image.fromarray(fading.light(np.asarray(picture.reduce(SCALE)), clip_skip))


def silhouette(subject: str) -> tuple[np.ndarray, np.ndarray]:
    """Masks of a whole subject and of the part in its own colour, 256x256, cut to its box."""
    canvas = Image.new("RGB", (256, 256), (0, 255, 255))
    own: RGB = (200, 0, 100)
    PAINTERS[subject](Brush(ImageDraw.Draw(canvas), (128, 128), (110, 110)), own)
    pixels = np.asarray(canvas).astype(int)
    whole = (pixels != (0, 255, 255)).any(axis=2)
    main = (pixels == own).all(axis=2)
    ys, xs = np.where(whole.any(axis=1))[0], np.where(whole.any(axis=0))[0]
    cut = (slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1))
    return whole[cut], main[cut]


def main() -> None:
    """Draw a sheet of examples, each at clip skip 1 to 12."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    sheet = Image.new("RGB", (12 * 132, 10 * 132), "white")
    for y in range(10):
        scene = random_pair(rng) if y >= 7 else random_single(rng, small=0.2)
        seed = rng.random()
        for x in range(12):
            drawn = draw_scene(scene, random.Random(seed), x + 1)
            sheet.paste(drawn, (x * 132 + 2, y * 132 + 2))
    sheet.save(args.path)


if __name__ == "__main__":
    main()
