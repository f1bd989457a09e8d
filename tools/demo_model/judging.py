"""Judges pictures by what ``checker`` reads in them: shares of right answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from .checker import Found, at_side, count_things, halves, read_background, read_thing
from .fading import unlight
from .scene import CORNERS, Scene

Scores = dict[str, float]


class Tally:
    """Shares of right answers by name."""

    def __init__(self) -> None:
        self._right: dict[str, int] = defaultdict(int)
        self._asked: dict[str, int] = defaultdict(int)

    def add(self, name: str, right: bool) -> None:
        """Count one answer."""
        self._right[name] += right
        self._asked[name] += 1

    def shares(self) -> Scores:
        """The share of right answers to each question."""
        return {name: round(self._right[name] / self._asked[name], 4) for name in self._asked}


def _read(picture: np.ndarray, clip_skip: int) -> tuple[np.ndarray, str, str | None]:
    """A picture without its clip skip's light, its background, and what tells the subject.

    From clip skip 3 on backgrounds are on their way to gray, so only the picture knows its own.
    """
    plain = unlight(at_side(picture), clip_skip)
    background = read_background(plain)
    return plain, background, background if clip_skip <= 2 else None


def judge_singles(scenes: Sequence[Scene], pixels: np.ndarray, clip_skip: int = 1) -> Scores:
    """Shares of right backgrounds, colours, shapes (also by size and subject), sizes, places."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        plain, background, behind = _read(picture, clip_skip)
        thing = scene.things[0]
        found = read_thing(plain, behind)
        tally.add("background", background == scene.background)
        tally.add("colour", found is not None and found.colour == thing.colour)
        shape = found is not None and found.subject == thing.subject
        for name in ("shape", f"shape {scene.size}", f"shape {thing.subject}"):
            tally.add(name, shape)
        place = found is not None and found.place == scene.place
        tally.add("place", place)
        if scene.place in CORNERS:
            tally.add("corner", place)
        tally.add("size", found is not None and found.size == scene.size)
    return tally.shares()


def judge_pairs(scenes: Sequence[Scene], pixels: np.ndarray, clip_skip: int = 1) -> Scores:
    """Shares of pictures whose two things have their colours, their shapes, both."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        plain, background, behind = _read(picture, clip_skip)
        found = [read_thing(plain, behind, part) for part in halves(scene.relation)]
        colours = _matches(scene, found, "colour")
        shapes = _matches(scene, found, "subject")
        tally.add("pair background", background == scene.background)
        tally.add("pair colours", all(colours))
        tally.add("pair shapes", all(shapes))
        tally.add("pair colours and shapes", all(colours) and all(shapes))
        tally.add("second object", colours[1])
    return tally.shares()


def judge_several(scenes: Sequence[Scene], pixels: np.ndarray) -> Scores:
    """Shares of pictures with the right number of things."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        plain, background, _ = _read(picture, 1)
        right = count_things(plain, background) == scene.count
        tally.add("number", right)
        tally.add(f"number {scene.count}", right)
    return tally.shares()


def judge_alone(scenes: Sequence[Scene], pixels: np.ndarray) -> Scores:
    """Shares of pictures with the right background and nothing else, also by background."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        _, background, _ = _read(picture, 1)
        right = background == scene.background
        tally.add("alone", right)
        tally.add(f"alone {scene.background}", right)
    return tally.shares()


def _matches(scene: Scene, found: Sequence[Found | None], what: str) -> list[bool]:
    return [
        f is not None and getattr(f, what) == getattr(thing, what)
        for f, thing in zip(found, scene.things, strict=True)
    ]


def judge_open(scenes: Sequence[Scene], pixels: np.ndarray) -> Scores:
    """Shares of pictures that show what their prompts name, whatever else they leave open."""
    tally = Tally()
    for scene, picture in zip(scenes, pixels, strict=True):
        plain, background, _ = _read(picture, 1)
        right = scene.background in (None, background)
        if scene.count > 1:
            right = right and count_things(plain, background) == scene.count
        elif len(scene.things) == 1:
            found = read_thing(plain, background)
            right = right and found is not None and found.subject == scene.things[0].subject
        tally.add("as asked", right)
    return tally.shares()
