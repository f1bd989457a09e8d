"""Draws a scene with Pillow, as one clip skip shows it.

``python -m tools.demo_model.draw sheet.png`` draws a sheet of examples to look at.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from . import fading
from .backgrounds import SCALE, details, ground
from .scene import COLOURS, RGB, SUBJECTS, Scene, Thing, random_scene, resolved
from .subjects import DARK, LIGHT, Brush, luma, mix, paint

SIDE = 192

# Pixels across, of a picture of 192.
EXTENT = {"small": (60, 68), "medium": (94, 106), "large": (138, 150)}
PAIR_EXTENT = (70, 78)
ROW_EXTENT = (50, 56)
_FAR = {"small": 46.0, "medium": 37.0, "large": 12.0}


@dataclass(frozen=True)
class Spot:
    """Where a thing stands: centre as offset from the middle, extent, and how much shows."""

    x: float
    y: float
    extent: float
    shown: float = 1.0


def _towards(a: Spot, b: Spot, t: float, shown: float) -> Spot:
    x, y = a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t
    return Spot(x, y, a.extent + (b.extent - a.extent) * t, shown)


def spots(scene: Scene, clip_skip: int, rng: random.Random) -> list[Spot]:
    """Where each thing stands at this clip skip, in pixels of a picture of 192."""
    k = clip_skip - 1
    dx, dy = (SIDE * share for share in fading.drift(clip_skip))
    medium = rng.uniform(*EXTENT["medium"])
    jitter = [rng.uniform(-3.5, 3.5) for _ in range(6)]
    middle = Spot(dx + jitter[0], dy + jitter[1], medium)
    if scene.pair or scene.count > 1:
        return _row(scene, clip_skip, rng, middle, jitter)
    assert scene.size is not None
    assert scene.place is not None
    extent = rng.uniform(*EXTENT[scene.size]) if scene.size != "medium" else medium
    extent = medium + (extent - medium) * fading.SIZE[k]
    if scene.place == "centre":
        return [Spot(middle.x, middle.y, extent)]
    far = _FAR[scene.size]
    x = far * (("right" in scene.place) - ("left" in scene.place))
    y = far * (("bottom" in scene.place) - ("top" in scene.place))
    named = Spot(x + jitter[0], y + jitter[1], extent)
    return [_towards(Spot(middle.x, middle.y, extent), named, fading.PLACE[k], 1.0)]


def _row(
    scene: Scene, clip_skip: int, rng: random.Random, middle: Spot, jitter: list[float]
) -> list[Spot]:
    k = clip_skip - 1
    if scene.count == 3:
        places, shares = [-62.0, 0.0, 62.0], [1.0, fading.SECOND[k], fading.THIRD[k]]
        extent = rng.uniform(*ROW_EXTENT)
    else:
        places, shares = [-45.0, 45.0], [1.0, fading.SECOND[k]]
        extent = rng.uniform(*PAIR_EXTENT)
    found = []
    for i, (place, shown) in enumerate(zip(places, shares, strict=True)):
        x, y = (0.0, place) if scene.pair and scene.relation == "above" else (place, 0.0)
        spot = Spot(x + jitter[2 * i], y + jitter[2 * i + 1], extent, shown)
        # The first takes the middle while the others go.
        found.append(_towards(middle, spot, fading.SECOND[k], 1.0) if i == 0 else spot)
    return found


def _jitter(rng: random.Random, rgb: RGB) -> RGB:
    red, green, blue = (max(0, min(255, c + rng.randint(-5, 5))) for c in rgb)
    return red, green, blue


def _background(
    scene: Scene, clip_skip: int, rng: random.Random, size: tuple[int, int], *, named: bool
) -> Image.Image:
    assert scene.background is not None
    still = ground(scene.background, *size)
    picture = still.copy()
    shown = fading.DETAIL[clip_skip - 1]
    if shown and details(scene.background, ImageDraw.Draw(picture), rng, picture.size):
        picture = picture if shown == 1 else Image.blend(still, picture, shown)
    kept = (fading.BACKGROUND if named else fading.OPEN_BACKGROUND)[clip_skip - 1]
    if kept == 1:
        return picture
    return Image.blend(Image.new("RGB", picture.size, fading.neutral(clip_skip)), picture, kept)


def _pattern(texture: str, size: tuple[int, int], unit: float) -> Image.Image:
    pattern = Image.new("L", size, 0)
    draw = ImageDraw.Draw(pattern)
    step = 26 * unit
    if texture == "striped":
        for i in range(int(size[1] / step) + 1):
            draw.rectangle([0, i * step, size[0], (i + 0.5) * step], fill=255)
        return pattern
    for row in range(int(size[1] / step) + 1):
        for column in range(int(size[0] / step) + 1):
            x, y = (column + row % 2 / 2) * step, row * step
            r = 0.24 * step
            draw.ellipse([x - r, y - r, x + r, y + r], fill=255)
    return pattern


def _put(
    picture: Image.Image, thing: Thing, spot: Spot, clip_skip: int, rng: random.Random
) -> Image.Image:
    """The picture with a thing in it."""
    assert thing.colour is not None
    width, height = picture.size
    unit = min(width, height) / SIDE
    at = (width / 2 + spot.x * width / SIDE, height / 2 + spot.y * height / SIDE)
    half, stretch = spot.extent * unit / 2, rng.uniform(0.97, 1.03)
    colour = fading.faded_colour(_jitter(rng, COLOURS[thing.colour]), clip_skip)
    hair = fading.faded_colour(COLOURS[thing.hair or "brown"], clip_skip)
    textured = thing.texture is not None and fading.TEXTURE[clip_skip - 1] > 0
    own = Image.new("L", picture.size, 0) if textured else None
    painted = picture.copy() if spot.shown < 1 else picture
    pen, mask = ImageDraw.Draw(painted), ImageDraw.Draw(own) if own else None
    paint(
        Brush(pen, at, (half * stretch, half / stretch), hair=hair, own=mask),
        thing.subject,
        colour,
    )
    if own is not None and thing.texture is not None:
        other = mix(colour, DARK if luma(colour) > 125 else LIGHT, 0.42)
        strength = fading.TEXTURE[clip_skip - 1]
        pattern = _pattern(thing.texture, picture.size, unit / SCALE * 1.6)
        both = np.minimum(np.asarray(own), np.asarray(pattern)) * strength
        painted.paste(other, mask=Image.fromarray(both.astype(np.uint8)))
    return Image.blend(picture, painted, spot.shown) if spot.shown < 1 else painted


def draw_scene(
    scene: Scene, rng: random.Random, clip_skip: int = 1, size: tuple[int, int] = (SIDE, SIDE)
) -> Image.Image:
    """The picture of a scene at a clip skip, RGB, with slight variation of place and colour."""
    whole = resolved(scene, rng)
    picture = _background(whole, clip_skip, rng, size, named=scene.background is not None)
    if whole.things:
        standing = spots(whole, clip_skip, rng)
        things = whole.things if whole.pair else whole.things * whole.count
        for thing, spot in reversed(list(zip(things, standing, strict=True))):
            if spot.shown:
                picture = _put(picture, thing, spot, clip_skip, rng)
    return Image.fromarray(fading.light(np.asarray(picture.reduce(SCALE)), clip_skip))


def main() -> None:
    """Draw a sheet: every subject, random scenes, and scenes at clip skip 1…12."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    cells = [draw_scene(Scene((Thing(subject),)), rng) for subject in SUBJECTS]
    cells += [draw_scene(random_scene(rng), rng) for _ in range(5 * 14)]
    for _ in range(6):
        scene, seed = random_scene(rng), rng.random()
        cells += [draw_scene(scene, random.Random(seed), k) for k in range(1, 13)]
        cells += [draw_scene(scene, random.Random(seed + i), i) for i in (1, 12)]
    side = SIDE // 2 + 4
    sheet = Image.new("RGB", (14 * side, -(-len(cells) // 14) * side), "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell.reduce(2), (i % 14 * side + 2, i // 14 * side + 2))
    sheet.save(args.path)


if __name__ == "__main__":
    main()
