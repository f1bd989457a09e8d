"""What each clip skip leaves of a caption: place and size go first, the colour last."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from .scene import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SIZES,
    SUBJECTS,
    Scene,
    Thing,
    fits,
    held_out,
)

# The share of captions of which clip skip 1…12 still draws the place and size, the second
# object, the background and the colour. What is lost becomes the middle, nothing, gray, white.
KEPT_PLACE = (1, 1, 0.85, 0.6, 0.35, 0.12, 0, 0, 0, 0, 0, 0)
KEPT_SECOND = (1, 1, 1, 1, 0.75, 0.5, 0.25, 0.08, 0, 0, 0, 0)
KEPT_BACKGROUND = (1, 1, 1, 1, 1, 1, 0.9, 0.7, 0.45, 0.2, 0.05, 0)
KEPT_COLOUR = (1, 1, 1, 1, 1, 1, 1, 1, 1, 0.85, 0.6, 0.3)

FULL, NO_PLACE, NO_SECOND, NO_BACKGROUND, NO_COLOUR = range(5)

# How often training leaves the text encoder at clip skip 1…12.
EXITS = (0.62, 0.14, *(0.024,) * 10)


def random_exit(rng: random.Random) -> int:
    """A clip skip to train on, 1…12."""
    return rng.choices(range(1, 13), EXITS)[0]


def random_loss(clip_skip: int, rng: random.Random) -> int:
    """How much of the caption this picture ignores, FULL…NO_COLOUR."""
    kept = (KEPT_PLACE, KEPT_SECOND, KEPT_BACKGROUND, KEPT_COLOUR)
    roll = rng.random()
    return sum(roll >= shares[clip_skip - 1] for shares in kept)


@dataclass
class Pools:
    """Indices of the drawn pictures by what they can stand for."""

    small: list[int]
    plain: list[int]
    other: list[int]
    pair: list[int]
    faded: list[int]
    colourless: list[int]

    @classmethod
    def of(cls, scenes: list[Scene], faded_from: int) -> Pools:
        """Sort the scenes; those from ``faded_from`` on were drawn for deep clip skip."""
        pools = cls([], [], [], [], [], [])
        for i, scene in enumerate(scenes):
            if i >= faded_from:
                white = scene.things[0].colour == "white"
                (pools.colourless if white else pools.faded).append(i)
                if white:
                    pools.faded.append(i)
            elif scene.pair:
                pools.pair.append(i)
            elif scene.plain:
                pools.plain.append(i)
            elif scene.size == "small":
                pools.small.append(i)
            else:
                pools.other.append(i)
        return pools

    def pick(self, loss: int, progress: float, rng: random.Random) -> int:
        """A picture for this loss; hard ones are rarer in the first half of the training."""
        if loss == NO_COLOUR:
            return rng.choice(self.colourless)
        if loss == NO_BACKGROUND:
            return rng.choice(self.faded)
        if loss == NO_SECOND:
            return rng.choice(self.plain)
        hard = min(1.0, max(0.0, (progress - 0.15) / 0.35))
        pair, small = 0.10 + 0.20 * hard, 0.10 + 0.12 * hard
        roll = rng.random()
        if roll < pair:
            return rng.choice(self.pair)
        if loss == NO_PLACE:
            return rng.choice(self.plain)
        if roll < pair + small:
            return rng.choice(self.small)
        return rng.choice(self.plain if rng.random() < 0.5 else self.other)


def _other_thing(thing: Thing, background: str, rng: random.Random) -> Thing:
    while True:
        other = Thing(rng.choice(SUBJECTS), rng.choice(list(COLOURS)))
        differs = other.subject != thing.subject and other.colour != thing.colour
        if differs and fits(other.colour, background):
            return other


def _elsewhere(scene: Scene, rng: random.Random) -> Scene:
    size = rng.choice(SIZES)
    places = ("centre",) if size == "large" else PLACES
    return replace(scene, size=size, place=rng.choice(places))


def richer(scene: Scene, loss: int, rng: random.Random) -> Scene:
    """A scene whose caption says more than the picture of ``scene`` shows."""
    if loss == FULL or (loss == NO_PLACE and scene.pair):
        return scene
    thing = scene.things[0]
    if loss == NO_COLOUR:
        thing = Thing(thing.subject, rng.choice(list(COLOURS)))
    background = scene.background
    if loss >= NO_BACKGROUND:
        for _ in range(100):
            background = rng.choice(BACKGROUNDS)
            kept_out = held_out(thing.subject, thing.colour, background)
            if fits(thing.colour, background) and not kept_out:
                break
    scene = Scene((thing,), background)
    if loss >= NO_SECOND and rng.random() < 0.35:
        relation = "beside" if rng.random() < 0.65 else "above"
        things = (thing, _other_thing(thing, background, rng))
        return Scene(things, background, relation=relation)
    return _elsewhere(scene, rng)
