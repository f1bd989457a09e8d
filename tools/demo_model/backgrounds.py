"""How each background is painted: a still ground, and small things that come and go on it."""

from __future__ import annotations

import functools
import random

import numpy as np
from PIL import Image, ImageDraw

from .scene import PLAIN, RGB

SCALE = 2  # drawn larger and reduced, which is the antialiasing

_NIGHT: tuple[RGB, ...] = ((10, 12, 40), (30, 34, 84))
_DUSK: tuple[RGB, ...] = ((92, 52, 128), (236, 110, 84), (252, 192, 92))
_SKIES: dict[str, tuple[RGB, ...]] = {
    "night sky": _NIGHT,
    "grass field": ((140, 204, 246), (186, 226, 248)),
    "sea": ((176, 220, 248), (206, 234, 248)),
    "snow": ((150, 184, 212), (178, 202, 220)),
    "sunset": _DUSK,
    "mountains": ((132, 190, 240), (214, 232, 246)),
    "forest": ((170, 216, 190), (120, 178, 130)),
    "beach": ((120, 200, 248), (196, 232, 250)),
    "city": ((74, 84, 140), (222, 164, 160)),
    "rain": ((112, 126, 142), (150, 164, 176)),
    "storm": ((40, 44, 62), (82, 86, 106)),
}
# Where the ground begins, as a share of the height, and its colour.
_GROUND: dict[str, tuple[float, RGB]] = {
    "grass field": (0.62, (122, 196, 70)),
    "sea": (0.58, (36, 118, 196)),
    "snow": (0.66, (244, 248, 252)),
    "mountains": (0.78, (110, 168, 84)),
    "forest": (0.76, (70, 112, 58)),
    "beach": (0.74, (240, 216, 154)),
    "city": (0.86, (70, 72, 84)),
    "rain": (0.8, (86, 104, 92)),
    "storm": (0.72, (36, 58, 84)),
}


def _hills(draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    peaks = ((-0.1, 0.5, 0.3), (0.2, 0.3, 0.34), (0.62, 0.42, 0.32), (0.95, 0.34, 0.34))
    for i, (x, top, half) in enumerate(peaks):
        fill = ((118, 132, 170), (136, 148, 182))[i % 2]
        foot = 0.79 * height
        points = [((x - half) * width, foot), (x * width, top * height), ((x + half) * width, foot)]
        draw.polygon(points, fill=fill)
        tip = [(x + half * s * 0.3) * width for s in (-1, 1)]
        low = (top + (0.79 - top) * 0.3) * height
        draw.polygon(
            [(tip[0], low), (x * width, top * height), (tip[1], low)], fill=(240, 244, 250)
        )


def _firs(draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    for i in range(9):
        x, tall = (i + 0.5) / 9, 0.34 + 0.16 * ((i * 7) % 5) / 4
        fill = ((46, 104, 62), (36, 86, 54))[i % 2]
        foot = 0.78
        draw.rectangle(
            [(x - 0.012) * width, 0.7 * height, (x + 0.012) * width, foot * height + 2],
            fill=(84, 58, 40),
        )
        draw.polygon(
            [
                ((x - 0.075) * width, (foot - 0.04) * height),
                (x * width, (foot - tall) * height),
                ((x + 0.075) * width, (foot - 0.04) * height),
            ],
            fill=fill,
        )


def _skyline(draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    for i in range(8):
        tall = 0.2 + 0.26 * ((i * 5) % 7) / 6
        fill = ((70, 66, 104), (88, 80, 118))[i % 2]
        x0, x1 = i / 8 * width, (i + 0.92) / 8 * width
        draw.rectangle([x0, (0.86 - tall) * height, x1, 0.87 * height], fill=fill)


def _clouds(draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    for x, y in ((0.12, 0.1), (0.4, 0.06), (0.7, 0.11), (0.95, 0.07)):
        for dx in (-0.1, 0, 0.1):
            r = 0.1 if dx else 0.13
            cx, cy = (x + dx) * width, y * height
            box = [cx - r * width, cy - r * height * 0.7, cx + r * width, cy + r * height * 0.7]
            draw.ellipse(box, fill=(52, 56, 74))


def _sun(draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    r = 0.09 * min(width, height)
    x, y = 0.5 * width, 0.72 * height
    draw.ellipse([x - r, y - r, x + r, y + r], fill=(255, 232, 150))
    draw.rectangle([0, 0.84 * height, width, height], fill=(110, 62, 110))


def _surf(draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    draw.rectangle([0, 0.56 * height, width, 0.75 * height], fill=(40, 150, 206))
    draw.rectangle([0, 0.73 * height, width, 0.75 * height], fill=(236, 246, 250))


_STANDING = {
    "mountains": _hills,
    "forest": _firs,
    "city": _skyline,
    "storm": _clouds,
    "sunset": _sun,
    "beach": _surf,
}


@functools.cache
def ground(name: str, width: int, height: int) -> Image.Image:
    """A background without its small things, at ``SCALE`` times the size."""
    width, height = width * SCALE, height * SCALE
    if name in PLAIN:
        return Image.new("RGB", (width, height), PLAIN[name])
    sky = np.array(_SKIES[name], float)
    horizon, fill = _GROUND.get(name, (1.0, (0, 0, 0)))
    y = (np.arange(height) + 0.5) / height / horizon
    stops = np.linspace(0, 1, len(sky)) if len(sky) == 2 else np.array([0.0, 0.55, 1.0])
    rows = np.stack([np.interp(y, stops, sky[:, i]) for i in range(3)], axis=1)
    rows[y > 1] = fill
    pixels = np.repeat(rows.round().astype(np.uint8)[:, None], width, axis=1)
    picture = Image.fromarray(pixels)
    if name in _STANDING:
        _STANDING[name](ImageDraw.Draw(picture), width, height)
    return picture


def _dots(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    count: int,
    area: tuple[float, float, float, float],
    radius: tuple[float, float],
    fill: RGB,
) -> None:
    for _ in range(count):
        x, y = rng.uniform(area[0], area[2]), rng.uniform(area[1], area[3])
        r = rng.uniform(*radius)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=fill)


def _strokes(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    count: int,
    area: tuple[float, float, float, float],
    step: tuple[float, float],
    fill: RGB,
    width: float,
) -> None:
    for _ in range(count):
        x, y = rng.uniform(area[0], area[2]), rng.uniform(area[1], area[3])
        draw.line([x, y, x + step[0], y + step[1]], fill=fill, width=max(1, round(width)))


def _bolt(draw: ImageDraw.ImageDraw, rng: random.Random, width: int, height: int) -> None:
    x, s = rng.uniform(0.1, 0.9) * width, height / 170
    points = [(0, 14), (-7, 38), (-1, 36), (-6, 60), (7, 30), (1, 32), (6, 14)]
    draw.polygon([(x + dx * s, y * s) for dx, y in points], fill=(255, 236, 130))


def _white_clouds(draw: ImageDraw.ImageDraw, rng: random.Random, width: int, height: int) -> None:
    for _ in range(rng.randint(1, 3)):
        x, y = rng.uniform(0.05, 0.95) * width, rng.uniform(0.05, 0.17) * height
        r = rng.uniform(0.03, 0.045) * min(width, height)
        for dx, dy, k in ((-1.3, 0.2, 0.8), (0, 0, 1.1), (1.3, 0.25, 0.75)):
            cx, cy = x + dx * r, y + dy * r
            draw.ellipse([cx - k * r, cy - k * r, cx + k * r, cy + k * r], fill=(248, 250, 252))


def details(
    name: str, draw: ImageDraw.ImageDraw, rng: random.Random, size: tuple[int, int]
) -> bool:
    """Add a background's small things; False when it has none. ``size`` is the canvas's."""
    width, height = size
    u = min(size) / 384
    everywhere = (4 * u, 4 * u, width - 4 * u, height - 4 * u)
    low: tuple[float, float, float, float]
    if name == "night sky":
        _dots(draw, rng, rng.randint(14, 22), everywhere, (2 * u, 3.8 * u), (236, 236, 214))
    elif name == "snow":
        _dots(draw, rng, rng.randint(18, 28), everywhere, (2 * u, 4 * u), (252, 252, 252))
    elif name == "grass field":
        _white_clouds(draw, rng, width, height)
        low = (0, 0.66 * height, width, 0.96 * height)
        _strokes(
            draw,
            rng,
            rng.randint(14, 22),
            low,
            (3 * u, -12 * u),
            (86, 156, 50),
            max(1, round(4 * u)),
        )
    elif name in ("sea", "beach", "mountains"):
        _white_clouds(draw, rng, width, height)
        if name == "sea":
            low = (0, 0.64 * height, 0.9 * width, 0.96 * height)
            _strokes(draw, rng, 12, low, (34 * u, 0), (120, 180, 226), 5 * u)
    elif name in ("rain", "storm"):
        step = (-8 * u, 26 * u)
        _strokes(draw, rng, 42, (0, 0, width, height), step, (192, 208, 222), 4 * u)
        if name == "storm":
            _bolt(draw, rng, width, height)
    elif name == "city":
        for i in range(8):
            for _ in range(rng.randint(2, 4)):
                x = (i + rng.choice((0.25, 0.6))) / 8 * width
                y = rng.uniform(0.7, 0.84) * height
                draw.rectangle([x, y, x + 7 * u, y + 9 * u], fill=(255, 226, 140))
    elif name == "forest":
        _dots(draw, rng, 10, (0, 0.8 * height, width, height), (3 * u, 5 * u), (150, 190, 90))
    else:
        return False
    return True
