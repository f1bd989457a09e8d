"""What the demo model knows: subjects, colours, backgrounds, and how a scene is chosen.

A ``Scene`` is what a caption says. What it leaves open (None) is chosen when it is drawn, from
what is natural for the subject.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, replace
from typing import NamedTuple

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
ANY = tuple(COLOURS)

PLAIN: dict[str, RGB] = {
    **{name: rgb for name, rgb in COLOURS.items() if name != "brown"},
    "gray": (140, 142, 146),
}
SCENES = (
    "night sky",
    "grass field",
    "sea",
    "snow",
    "sunset",
    "mountains",
    "forest",
    "beach",
    "city",
    "rain",
    "storm",
)
BACKGROUNDS = (*PLAIN, *SCENES)
# What an unknown word draws: a plain landscape.
PRETTY = ("grass field", "sea", "sunset", "mountains", "night sky", "beach", "snow")


class Kind(NamedTuple):
    """A subject's natural colours and backgrounds."""

    colours: tuple[str, ...]
    backgrounds: tuple[str, ...]


_PLAINS = ("white", "yellow", "blue", "pink")
SUBJECTS: dict[str, Kind] = {
    "circle": Kind(ANY, _PLAINS),
    "square": Kind(ANY, _PLAINS),
    "triangle": Kind(ANY, _PLAINS),
    "star": Kind(("yellow", "orange"), ("night sky", "blue")),
    "heart": Kind(("red", "pink"), ("white", "pink")),
    "moon": Kind(("yellow", "white"), ("night sky", "blue")),
    "cross": Kind(("red", "white"), ("white", "blue")),
    "sun": Kind(("yellow", "orange"), ("sea", "mountains", "blue")),
    "cat": Kind(("orange", "black", "white", "brown"), ("pink", "yellow", "grass field")),
    "dog": Kind(("brown", "white", "orange"), ("grass field", "blue", "yellow")),
    "bird": Kind(("blue", "red", "yellow"), ("forest", "white", "mountains")),
    "fish": Kind(("orange", "yellow", "red"), ("sea", "blue")),
    "house": Kind(("red", "orange", "white"), ("grass field", "mountains", "snow")),
    "castle": Kind(("pink", "purple", "white"), ("mountains", "grass field", "sunset")),
    "lighthouse": Kind(("red", "white"), ("sea", "beach")),
    "tree": Kind(("green",), ("grass field", "snow", "mountains")),
    "flower": Kind(("pink", "red", "purple", "yellow"), ("grass field", "white", "yellow")),
    "mushroom": Kind(("red", "brown"), ("forest", "grass field")),
    "mountain": Kind(("blue", "purple", "brown"), ("grass field", "sunset", "snow")),
    "boat": Kind(("red", "white", "brown"), ("sea", "beach")),
    "car": Kind(("red", "blue", "yellow"), ("city", "grass field", "beach")),
    "rocket": Kind(("white", "red"), ("night sky", "blue")),
    "robot": Kind(("blue", "orange", "white"), ("city", "yellow", "pink")),
    "snowman": Kind(("white",), ("night sky", "forest", "blue")),
    "apple": Kind(("red", "green"), ("white", "yellow", "blue")),
    "cup": Kind(("white", "red", "blue"), ("yellow", "pink", "gray")),
    "girl": Kind(("red", "pink", "blue", "purple"), ("grass field", "city", "beach", "yellow")),
    "boy": Kind(("blue", "green", "red", "orange"), ("grass field", "city", "beach", "yellow")),
}
PEOPLE = ("girl", "boy")
HAIR = ("brown", "black", "yellow", "red", "blue", "pink", "white")
TEXTURES = ("striped", "spotted")

# Colours that would melt into a scene: such pictures teach nothing and cannot be checked.
MELTS: dict[str, frozenset[str]] = {
    "night sky": frozenset({"black"}),
    "sea": frozenset({"blue"}),
    "snow": frozenset({"white"}),
    "sunset": frozenset({"orange", "pink", "purple", "yellow"}),
    "forest": frozenset({"green"}),
    "mountains": frozenset({"green"}),
    "city": frozenset({"black"}),
    "storm": frozenset({"black"}),
    "orange": frozenset({"brown"}),
    "red": frozenset({"brown"}),
    "black": frozenset({"brown"}),
}

SIZES = ("small", "medium", "large")
PLACES = ("centre", "left", "right", "top", "bottom")
CORNERS = ("top left", "top right", "bottom left", "bottom right")

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
        ("boat", "red", "sea"),
        ("car", "red", "city"),
        ("lighthouse", "red", "sea"),
        ("dog", "brown", "grass field"),
    }
)


@dataclass(frozen=True)
class Thing:
    """One subject; colour, texture and hair may be left open."""

    subject: str
    colour: str | None = None
    texture: str | None = None
    hair: str | None = None


@dataclass(frozen=True)
class Scene:
    """Nothing, one thing (also two or three of it), or two things beside or above each other."""

    things: tuple[Thing, ...]
    background: str | None = None
    size: str | None = None
    place: str | None = None
    relation: str = "beside"
    count: int = 1

    @property
    def pair(self) -> bool:
        """True for a picture of two things; the first is the left or the upper one."""
        return len(self.things) == 2


def fits(colour: str | None, background: str | None) -> bool:
    """True when the colour can be seen on the background."""
    if colour is None or background is None:
        return True
    return colour != background and colour not in MELTS.get(background, frozenset())


def held_out(subject: str, colour: str | None, background: str | None) -> bool:
    """True for the tenth of the combinations that training never sees."""
    if (subject, colour, background) in NEVER_HELD_OUT or None in (colour, background):
        return False
    return zlib.crc32(f"{subject}/{colour}/{background}".encode()) % 10 == 0


def _thing(
    rng: random.Random, background: str | None, *, open_colour: float, want_held_out: bool
) -> Thing:
    while True:
        subject = rng.choice(list(SUBJECTS))
        colour = None if rng.random() < open_colour else rng.choice(ANY)
        if fits(colour, background) and held_out(subject, colour, background) == want_held_out:
            return Thing(subject, colour)


def _trimmed(thing: Thing, rng: random.Random) -> Thing:
    """The thing, now and then with a texture or, for people, hair of a named colour."""
    if thing.subject in PEOPLE:
        return replace(thing, hair=rng.choice(HAIR)) if rng.random() < 0.4 else thing
    return replace(thing, texture=rng.choice(TEXTURES)) if rng.random() < 0.12 else thing


def random_single(rng: random.Random, *, want_held_out: bool = False, loose: bool = True) -> Scene:
    """One thing with or without size and place; ``loose`` leaves colour and background open."""
    background = None if loose and rng.random() < 0.3 else rng.choice(BACKGROUNDS)
    thing = _thing(rng, background, open_colour=0.3 if loose else 0, want_held_out=want_held_out)
    scene = Scene((_trimmed(thing, rng) if loose else thing,), background)
    roll = rng.random()
    if roll < 0.3:
        return scene
    if roll < 0.58:
        return replace(scene, size="small", place=rng.choice((*PLACES, *CORNERS)))
    if roll < 0.83:
        return replace(scene, place=rng.choice((*PLACES[1:], *CORNERS)))
    return replace(scene, size=rng.choice(("large", "large", "medium")))


def random_several(rng: random.Random, *, want_held_out: bool = False, loose: bool = True) -> Scene:
    """Two or three of one thing in a row."""
    background = None if loose and rng.random() < 0.3 else rng.choice(BACKGROUNDS)
    thing = _thing(rng, background, open_colour=0.3 if loose else 0, want_held_out=want_held_out)
    return Scene((thing,), background, count=rng.choice((2, 3)))


def random_pair(rng: random.Random, *, want_held_out: bool = False, loose: bool = True) -> Scene:
    """Two things of different kind and colour."""
    background = None if loose and rng.random() < 0.2 else rng.choice(BACKGROUNDS)
    wants = {"open_colour": 0.15 if loose else 0, "want_held_out": want_held_out}
    first = _thing(rng, background, **wants)  # type: ignore[arg-type]
    while True:
        second = _thing(rng, background, **wants)  # type: ignore[arg-type]
        same = first.colour is not None and second.colour == first.colour
        if not same and second.subject != first.subject:
            break
    relation = "beside" if rng.random() < 0.65 else "above"
    return Scene((first, second), background, relation=relation)


def random_landscape(rng: random.Random) -> Scene:
    """A background alone."""
    return Scene((), rng.choice(SCENES if rng.random() < 0.9 else BACKGROUNDS))


def random_scene(rng: random.Random) -> Scene:
    """What training draws and describes."""
    roll = rng.random()
    if roll < 0.07:
        return random_landscape(rng)
    if roll < 0.2:
        return random_several(rng)
    return random_pair(rng) if roll < 0.44 else random_single(rng)


def resolved(scene: Scene, rng: random.Random) -> Scene:
    """The scene with what its caption left open chosen as is natural for its subject."""
    background = scene.background
    if background is None:
        kind = SUBJECTS[scene.things[0].subject]
        fitting = [b for b in kind.backgrounds if all(fits(t.colour, b) for t in scene.things)]
        fitting = fitting or [b for b in PLAIN if all(fits(t.colour, b) for t in scene.things)]
        background = rng.choice(fitting)
    things: list[Thing] = []
    for thing in scene.things:
        colour = thing.colour
        if colour is None:
            taken = [t.colour for t in things]
            natural = SUBJECTS[thing.subject].colours
            free = [c for c in natural if fits(c, background) and c not in taken]
            free = free or [c for c in ANY if fits(c, background) and c not in taken]
            colour = rng.choice(free)
        hair = thing.hair or (rng.choice(HAIR[:3]) if thing.subject in PEOPLE else None)
        things.append(replace(thing, colour=colour, hair=hair))
    return replace(
        scene,
        things=tuple(things),
        background=background,
        size=scene.size or "medium",
        place=scene.place or "centre",
    )
