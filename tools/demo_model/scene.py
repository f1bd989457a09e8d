"""What the demo model knows: subjects, colours, backgrounds, and how a picture is chosen.

A ``Scene`` is the whole truth about one training picture; captions and drawings are made of it.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

SUBJECTS = (
    "circle",
    "square",
    "triangle",
    "star",
    "heart",
    "moon",
    "cross",
    "cat",
    "fish",
    "house",
    "tree",
    "flower",
    "mushroom",
)

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (216, 36, 40),
    "orange": (250, 138, 20),
    "yellow": (250, 218, 50),
    "green": (30, 140, 62),
    "blue": (44, 84, 214),
    "purple": (136, 54, 186),
    "pink": (250, 146, 190),
    "white": (250, 250, 250),
    "black": (20, 20, 24),
    "brown": (126, 74, 38),
}

PLAIN: dict[str, RGB] = {
    **{name: rgb for name, rgb in COLOURS.items() if name != "brown"},
    "gray": (140, 142, 146),
}

SCENES = ("night sky", "grass field", "sea", "snow", "sunset")
BACKGROUNDS = (*PLAIN, *SCENES)

# Colours that would melt into a scene: such pictures teach nothing and cannot be checked.
MELTS: dict[str, frozenset[str]] = {
    "night sky": frozenset({"black"}),
    "grass field": frozenset(),
    "sea": frozenset({"blue"}),
    "snow": frozenset({"white"}),
    "sunset": frozenset({"orange", "pink", "purple", "yellow"}),
    "gray": frozenset(),
    "orange": frozenset({"brown"}),
    "red": frozenset({"brown"}),
    "black": frozenset({"brown"}),
}

SIZES = ("small", "medium", "large")
PLACES = ("centre", "left", "right", "top", "bottom")

# Pixels across, of 128.
EXTENT = {"small": (40, 46), "medium": (62, 72), "large": (92, 102)}
PAIR_EXTENT = (46, 52)

# Pictures that members are most likely to ask for first; never held out.
NEVER_HELD_OUT = frozenset(
    {
        ("star", "yellow", "night sky"),
        ("moon", "yellow", "night sky"),
        ("circle", "red", "blue"),
        ("cat", "black", "white"),
        ("cat", "white", "night sky"),
        ("fish", "orange", "sea"),
        ("house", "red", "grass field"),
        ("tree", "green", "snow"),
        ("tree", "green", "grass field"),
        ("heart", "red", "white"),
        ("mushroom", "red", "grass field"),
        ("flower", "pink", "grass field"),
    }
)


@dataclass(frozen=True)
class Thing:
    """One subject in its colour."""

    subject: str
    colour: str


@dataclass(frozen=True)
class Scene:
    """One picture: one thing with size and place, or two things beside or above each other."""

    things: tuple[Thing, ...]
    background: str
    size: str = "medium"
    place: str = "centre"
    relation: str = "beside"
    named: bool = True  # False: the caption leaves the background out

    @property
    def pair(self) -> bool:
        """True for a picture of two things; the first is the left or the upper one."""
        return len(self.things) == 2


def fits(colour: str, background: str) -> bool:
    """True when the colour can be seen on the background."""
    return colour != background and colour not in MELTS.get(background, frozenset())


def held_out(subject: str, colour: str, background: str) -> bool:
    """True for the tenth of the combinations that training never sees."""
    if (subject, colour, background) in NEVER_HELD_OUT:
        return False
    return zlib.crc32(f"{subject}/{colour}/{background}".encode()) % 10 == 0


def _thing(rng: random.Random, background: str, *, want_held_out: bool) -> Thing:
    while True:
        thing = Thing(rng.choice(SUBJECTS), rng.choice(list(COLOURS)))
        if not fits(thing.colour, background):
            continue
        if held_out(thing.subject, thing.colour, background) == want_held_out:
            return thing


def random_single(rng: random.Random, *, small: float, want_held_out: bool = False) -> Scene:
    """One thing; ``small`` is the share of small ones, half of the rest is plain and centred."""
    background = rng.choice(BACKGROUNDS)
    things = (_thing(rng, background, want_held_out=want_held_out),)
    if rng.random() < small:
        return Scene(things, background, "small", rng.choice(PLACES))
    roll = rng.random()
    if roll < 0.5:
        return Scene(things, background)
    if roll < 0.8:
        return Scene(things, background, "medium", rng.choice(PLACES[1:]))
    return Scene(things, background, "large")


def random_pair(rng: random.Random, *, want_held_out: bool = False) -> Scene:
    """Two things of different kind and colour."""
    background = rng.choice(BACKGROUNDS)
    first = _thing(rng, background, want_held_out=want_held_out)
    while True:
        second = _thing(rng, background, want_held_out=want_held_out)
        if second.colour != first.colour and second.subject != first.subject:
            break
    relation = "beside" if rng.random() < 0.65 else "above"
    return Scene((first, second), background, relation=relation)
