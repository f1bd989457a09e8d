"""What the demo model knows: subjects, colours, backgrounds, and how a picture is chosen.

A ``Scene`` is what a caption says. What it leaves open (None) is chosen when it is drawn, from
what is natural for the subject. ``FIRST`` is what the first edition knew; its prompts are still
measured, so what follows from a seed there must not change.
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


class Kind(NamedTuple):
    """A subject's natural colours and backgrounds."""

    colours: tuple[str, ...]
    backgrounds: tuple[str, ...]


_PLAINS = ("white", "yellow", "blue", "pink")
_FIELD = ("grass field", "mountains")
_PLACES = ("grass field", "city", "beach", "yellow")
_FIRST_SUBJECTS: dict[str, Kind] = {
    "circle": Kind(ANY, _PLAINS),
    "square": Kind(ANY, _PLAINS),
    "triangle": Kind(ANY, _PLAINS),
    "star": Kind(("yellow", "orange"), ("night sky", "blue")),
    "heart": Kind(("red", "pink"), ("white", "pink")),
    "moon": Kind(("yellow", "white"), ("night sky", "blue")),
    "cross": Kind(("red", "white"), ("white", "blue")),
    "cat": Kind(("orange", "black", "white"), ("pink", "yellow", "grass field")),
    "fish": Kind(("orange", "yellow", "red"), ("sea", "blue")),
    "house": Kind(("red", "orange", "white"), (*_FIELD, "snow")),
    "tree": Kind(("green",), ("grass field", "snow")),
    "flower": Kind(("pink", "red", "purple"), ("grass field", "white", "yellow")),
    "mushroom": Kind(("red", "brown"), ("forest", "grass field")),
}
_NEW_SUBJECTS: dict[str, Kind] = {
    "dog": Kind(("brown", "white", "orange"), ("grass field", "blue", "yellow")),
    "bird": Kind(("blue", "red", "yellow"), ("forest", "white", "mountains")),
    "boat": Kind(("red", "white", "brown"), ("sea", "beach")),
    "car": Kind(("red", "blue", "yellow"), ("city", "grass field", "desert")),
    "lighthouse": Kind(("red", "white"), ("sea", "beach")),
    "mountain": Kind(("blue", "purple", "brown"), ("grass field", "sunset", "snow")),
    "girl": Kind(("red", "pink", "blue", "purple"), _PLACES),
    "boy": Kind(("blue", "green", "red", "orange"), _PLACES),
    "portrait": Kind(("red", "blue", "green", "purple"), ("yellow", "pink", "gray", "blue")),
    "castle": Kind(("pink", "purple", "white"), (*_FIELD, "sunset")),
    "robot": Kind(("blue", "orange", "white"), ("city", "yellow", "pink")),
    "rocket": Kind(("white", "red"), ("night sky", "blue")),
}
SUBJECTS = {**_FIRST_SUBJECTS, **_NEW_SUBJECTS}
PEOPLE = ("girl", "boy", "portrait")
HAIR = ("brown", "black", "yellow", "red", "blue", "pink", "white")

_FIRST_SCENES = ("night sky", "grass field", "sea", "snow", "sunset")
_NEW_SCENES = (
    "mountains",
    "forest",
    "beach",
    "city",
    "night city",
    "desert",
    "rain",
    "storm",
    "sunset sea",
)
SCENES = (*_FIRST_SCENES, *_NEW_SCENES)
BACKGROUNDS = (*PLAIN, *SCENES)
# What an unknown word draws: a plain landscape.
PRETTY = ("grass field", "sea", "sunset sea", "mountains", "night sky", "beach")


class Range(NamedTuple):
    """Subjects and backgrounds to choose from."""

    subjects: tuple[str, ...]
    backgrounds: tuple[str, ...]


FIRST = Range(tuple(_FIRST_SUBJECTS), (*PLAIN, *_FIRST_SCENES))
# What is new more often than what is known.
WIDER = Range((*FIRST.subjects, *3 * tuple(_NEW_SUBJECTS)), (*BACKGROUNDS, *_NEW_SCENES))

# Colours that would melt into a scene: such pictures teach nothing and cannot be checked.
_DUSK = frozenset({"orange", "pink", "purple", "yellow"})
MELTS: dict[str, frozenset[str]] = {
    "night sky": frozenset({"black"}),
    "sea": frozenset({"blue"}),
    "snow": frozenset({"white"}),
    "sunset": _DUSK,
    "sunset sea": _DUSK,
    "forest": frozenset({"green"}),
    "mountains": frozenset({"green"}),
    "city": frozenset({"brown"}),
    "night city": frozenset({"black", "pink", "purple", "yellow"}),
    "rain": frozenset({"blue"}),
    "desert": frozenset({"orange", "yellow"}),
    "storm": frozenset({"black", "blue"}),
    "orange": frozenset({"brown"}),
    "red": frozenset({"brown"}),
    "black": frozenset({"brown"}),
}

PLACES = ("centre", "left", "right", "top", "bottom")
CORNERS = ("top left", "top right", "bottom left", "bottom right")

# Pixels across, of 128.
EXTENT = {"small": (40, 46), "medium": (62, 72), "large": (92, 102)}
PAIR_EXTENT = (46, 52)
ROW_EXTENT = (33, 37)  # each of three

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
    """One subject in its colour; people may have hair and an umbrella of a named colour."""

    subject: str
    colour: str | None = None
    hair: str | None = None
    umbrella: str | None = None


@dataclass(frozen=True)
class Scene:
    """Nothing, one thing (also two or three of it), or two things beside or above each other."""

    things: tuple[Thing, ...]
    background: str | None = None
    size: str = "medium"
    place: str = "centre"
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
    if colour is None or background is None or (subject, colour, background) in NEVER_HELD_OUT:
        return False
    return zlib.crc32(f"{subject}/{colour}/{background}".encode()) % 10 == 0


def _thing(
    rng: random.Random, background: str, *, want_held_out: bool, known: Range = FIRST
) -> Thing:
    while True:
        thing = Thing(rng.choice(known.subjects), rng.choice(ANY))
        if not fits(thing.colour, background):
            continue
        if held_out(thing.subject, thing.colour, background) == want_held_out:
            return thing


def random_single(
    rng: random.Random, *, small: float, want_held_out: bool = False, known: Range = FIRST
) -> Scene:
    """One thing; ``small`` is the share of small ones, half of the rest is plain and centred."""
    background = rng.choice(known.backgrounds)
    things = (_thing(rng, background, want_held_out=want_held_out, known=known),)
    places = PLACES if known is FIRST else (*PLACES, *CORNERS)
    if rng.random() < small:
        return Scene(things, background, "small", rng.choice(places))
    roll = rng.random()
    if roll < 0.5:
        return Scene(things, background)
    if roll < 0.8:
        return Scene(things, background, "medium", rng.choice(places[1:]))
    return Scene(things, background, "large")


def random_pair(rng: random.Random, *, want_held_out: bool = False, known: Range = FIRST) -> Scene:
    """Two things of different kind and colour."""
    background = rng.choice(known.backgrounds)
    first = _thing(rng, background, want_held_out=want_held_out, known=known)
    while True:
        second = _thing(rng, background, want_held_out=want_held_out, known=known)
        if second.colour != first.colour and second.subject != first.subject:
            break
    relation = "beside" if rng.random() < 0.65 else "above"
    return Scene((first, second), background, relation=relation)


def random_several(rng: random.Random, *, want_held_out: bool = False) -> Scene:
    """Two or three of one thing in a row."""
    background = rng.choice(WIDER.backgrounds)
    some = WIDER._replace(subjects=tuple(s for s in WIDER.subjects if s != "portrait"))
    thing = _thing(rng, background, want_held_out=want_held_out, known=some)
    return Scene((thing,), background, count=rng.choice((2, 3)))


def random_landscape(rng: random.Random) -> Scene:
    """A background alone, or what a caption without a known word shows."""
    if rng.random() < 0.25:
        return Scene(())
    return Scene((), rng.choice([name for name in SCENES if name != "sunset"]))


def _opened(scene: Scene, rng: random.Random) -> Scene:
    """The scene with colours and background left open now and then, and people with more said."""
    things = []
    for thing in scene.things:
        colour = None if rng.random() < (0.15 if scene.pair else 0.4) else thing.colour
        thing = replace(thing, colour=colour)
        if thing.subject in PEOPLE and rng.random() < 0.4:
            thing = replace(thing, hair=rng.choice(HAIR))
        if thing.subject in PEOPLE[:2] and rng.random() < 0.2:
            thing = replace(thing, umbrella=rng.choice(ANY))
        things.append(thing)
    background = None if rng.random() < 0.3 else scene.background
    return replace(scene, things=tuple(things), background=background)


def random_scene(rng: random.Random) -> Scene:
    """What training draws and describes: about half is what the first edition knew."""
    if rng.random() < 0.42:
        scene = random_pair(rng) if rng.random() < 0.32 else random_single(rng, small=0.3)
        return replace(scene, background=None) if rng.random() < 0.25 else scene
    roll = rng.random()
    if roll < 0.2:
        return random_landscape(rng)
    if roll < 0.38:
        return _opened(random_several(rng), rng)
    if roll < 0.53:
        return _opened(random_pair(rng, known=WIDER), rng)
    return _opened(random_single(rng, small=0.22, known=WIDER), rng)


def resolved(scene: Scene, rng: random.Random) -> Scene:
    """The scene with what its caption left open chosen as is natural for its subject."""
    if not scene.things:
        return replace(scene, background=scene.background or rng.choice(PRETTY))
    background = scene.background
    if background is None:
        natural = SUBJECTS[scene.things[0].subject].backgrounds
        fitting = [b for b in natural if all(fits(t.colour, b) for t in scene.things)]
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
        hair = thing.hair
        if thing.subject in PEOPLE and hair is None:
            free = [c for c in HAIR[:3] if fits(c, background) and c != thing.umbrella]
            hair = rng.choice(free or ["red"])
        things.append(replace(thing, colour=colour, hair=hair))
    return replace(scene, things=tuple(things), background=background)
