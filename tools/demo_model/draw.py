"""Draws a scene with Pillow: flat shapes and simple objects on squares of 128 pixels and more.

``python -m tools.demo_model.draw sheet.png`` draws a sheet of examples to look at.
"""

from __future__ import annotations

import argparse
import random

import numpy as np
from PIL import Image, ImageDraw

from . import fading
from .backgrounds import SCALE, SIDE, details, still_large
from .scene import (
    COLOURS,
    EXTENT,
    PAIR_EXTENT,
    RGB,
    ROW_EXTENT,
    SUBJECTS,
    Scene,
    Thing,
    random_scene,
    resolved,
)
from .subjects import PAINTERS, Brush, Point


def _jitter(rng: random.Random, rgb: RGB) -> RGB:
    red, green, blue = (max(0, min(255, c + rng.randint(-5, 5))) for c in rgb)
    return red, green, blue


def _steps(scene: Scene, clip_skip: int) -> tuple[list[Point], list[tuple[int, int]]]:
    """How far each thing stands from the middle, and its own extents; the first one stays."""
    second = fading.SECOND[clip_skip - 1]
    if scene.count == 3:
        return [(0, 0), (-42 * second, 0), (42 * second, 0)], [ROW_EXTENT] * 3
    if scene.pair or scene.count == 2:
        away = 30 * second
        if scene.relation == "above":
            return [(0, -away), (0, away)], [PAIR_EXTENT] * 2
        return [(-away, 0), (away, 0)], [PAIR_EXTENT] * 2
    far = (30 if scene.size == "small" else 24) * fading.PLACE[clip_skip - 1]
    right = far * (("right" in scene.place) - ("left" in scene.place))
    down = far * (("bottom" in scene.place) - ("top" in scene.place))
    return [(right, down)], [EXTENT[scene.size]]


def placement(scene: Scene, rng: random.Random, clip_skip: int = 1) -> list[tuple[Point, Point]]:
    """Centre and width and height in pixels of each thing that is left at this clip skip."""
    middle, second = SIDE / 2, fading.SECOND[clip_skip - 1]
    place, size = fading.PLACE[clip_skip - 1], fading.SIZE[clip_skip - 1]
    steps, extents = _steps(scene, clip_skip)
    several = len(steps) > 1
    # How far the exit's own place shows.
    free = 1 - 0.4 * second if several else 1.0 if scene.place == "centre" else 1 - place
    kept = second if several else size
    shift, (wide, high) = fading.drift(clip_skip), fading.build(clip_skip)
    if scene.size != "medium":
        wide, high = (1 + (factor - 1) * (1 - size) for factor in (wide, high))
    found = []
    for i, ((dx, dy), between) in enumerate(zip(steps, extents, strict=True)):
        roll = rng.random()
        own, usual = (a + (b - a) * roll for a, b in (between, EXTENT["medium"]))
        # The first grows into the only one, the others go.
        extent = own * second if i else usual + (own - usual) * kept
        x = middle + dx + shift[0] * free + rng.uniform(-2.5, 2.5)
        y = middle + dy + shift[1] * free + rng.uniform(-2.5, 2.5)
        stretch = rng.uniform(0.97, 1.03)
        if extent:
            found.append(((x, y), (extent * wide * stretch, extent * high / stretch)))
    return found


def _put(picture: Image.Image, thing: Thing, spot: tuple[Point, Point], hues: list[RGB]) -> None:
    """Paint one thing; ``hues`` are those of itself, its hair and its umbrella."""
    scale = picture.width / SIDE
    (x, y), (width, height) = spot
    umbrella = hues[2] if thing.umbrella else None
    half = (width * scale / 2, height * scale / 2)
    centre = (x * scale, y * scale)
    brush = Brush(ImageDraw.Draw(picture), centre, half, hair=hues[1], umbrella=umbrella)
    PAINTERS[thing.subject](brush, hues[0])


def draw_scene(
    scene: Scene, rng: random.Random, clip_skip: int = 1, *, side: int = SIDE
) -> Image.Image:
    """What a clip skip leaves of a scene, RGB, each time with slight variation.

    ``side`` is its width and height, a multiple of 64.
    """
    whole = resolved(scene, rng)
    assert whole.background is not None
    picture = still_large(whole.background, SCALE * side // SIDE).copy()
    details(whole.background, picture, rng, alone=not whole.things)
    ground = np.asarray(picture)
    named = scene.background is not None
    picture = Image.fromarray(fading.faded_background(ground, clip_skip, named=named))
    if whole.things:
        things = whole.things if whole.pair else whole.things * whole.count
        hues = {
            thing: [
                fading.faded_colour(_jitter(rng, COLOURS[name or "brown"]), clip_skip)
                for name in (thing.colour, thing.hair, thing.umbrella)
            ]
            for thing in whole.things
        }
        spots = list(zip(things, placement(whole, rng, clip_skip), strict=False))
        for thing, spot in reversed(spots) if whole.count > 1 else spots:
            _put(picture, thing, spot, hues[thing])
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
    """Draw a sheet: every subject, then random scenes, each at clip skip 1 to 12."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    cells = [draw_scene(Scene((Thing(subject),)), rng) for subject in SUBJECTS]
    cells += [draw_scene(random_scene(rng), rng) for _ in range(-len(cells) % 12 + 24)]
    for _ in range(8):
        scene, seed = random_scene(rng), rng.random()
        cells += [draw_scene(scene, random.Random(seed), k) for k in range(1, 13)]
    sheet = Image.new("RGB", (12 * 132, len(cells) // 12 * 132), "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell, (i % 12 * 132 + 2, i // 12 * 132 + 2))
    sheet.save(args.path)


if __name__ == "__main__":
    main()
