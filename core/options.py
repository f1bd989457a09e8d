"""The options of an image, one row each, from which everything else about an option is derived.

A new option is a row of :class:`Options`, its sentences ``option.<name>`` and ``describe.<name>``
in the locale files, and the code that acts on it.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Flag, auto
from typing import Any, ClassVar, Final, get_type_hints

from core.errors import InvalidRequest, UnknownName
from core.typed import half_width

MAX_SEED: Final = 2**32 - 1
# Given as a seed, it means a random one.
RANDOM_SEED: Final = -1
MAX_PROMPT: Final = 4000

AUTOMATIC: Final = "Automatic"
NONE: Final = "None"

# A1111's names. DPM2, DPM2 a and DPM++ 2S a have no exact diffusers equivalent and are left out.
SAMPLERS: Final = (
    "Euler",
    "Euler a",
    "Heun",
    "LMS",
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DDIM",
    "UniPC",
    "LCM",
)
SCHEDULE_TYPES: Final = (AUTOMATIC, "Uniform", "Karras", "Exponential")


class Place(Flag):
    """Where members or owners can set an option: commands, presets, a server's defaults, model
    cards, the settings panel, the last line of the edit form."""

    IMAGINE = auto()
    EXPLORE = auto()
    PRESET = auto()
    SERVER = auto()
    CARD = auto()
    SETTINGS = auto()
    EDIT = auto()


NOWHERE: Final = Place(0)
# A sheet has one picture a cell, so /explore takes no count.
COMMANDS: Final = Place.IMAGINE | Place.EXPLORE | Place.PRESET
EVERYWHERE: Final = COMMANDS | Place.SERVER | Place.CARD | Place.SETTINGS


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive bounds of a number. ``whole`` numbers are multiples of ``multiple``."""

    low: float
    high: float
    multiple: int = 1
    whole: bool = True

    def __str__(self) -> str:
        text = f"{self.low:g} to {self.high:.12g}"
        return f"a multiple of {self.multiple} from {text}" if self.multiple > 1 else text

    def check(self, name: str, value: Any) -> None:
        """Raise :class:`InvalidRequest` when ``value`` is not a number in the range."""
        inside = self.takes(value) and self.low <= value <= self.high
        if not inside or (self.multiple > 1 and value % self.multiple):
            raise self.invalid(name, shown(value))

    def takes(self, value: Any) -> bool:
        """Whether ``value`` is a number of the right type; a bool is none."""
        kind = int if self.whole else int | float
        return isinstance(value, kind) and not isinstance(value, bool)

    def read(self, name: str, text: str) -> float:
        """Read a number, in range or not. Raises :class:`InvalidRequest` when it is none."""
        try:
            return int(half_width(text)) if self.whole else float(half_width(text))
        except ValueError:
            raise self.invalid(name, text) from None

    def invalid(self, name: str, value: str) -> InvalidRequest:
        """Make the error for a ``value`` that is not in the range."""
        allowed = "multiple" if self.multiple > 1 else "range"
        return InvalidRequest(name, value, allowed, self.low, self.high, self.multiple)


def shown(value: object) -> str:
    """Write a value that cannot be used, as an error names it."""
    # Formatting an int with :g fails when it is larger than any float.
    return f"{value:.12g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class AxisKind:
    """An option as the axis of a sheet. ``name`` is A1111's; ``order`` its place among the axes.

    ``bare`` legends show the value without the name. ``cost`` is the relative cost of changing the
    value: the costlier axis changes least often. ``example`` are the values when none are given.
    ``field`` and ``type`` are the option's.
    """

    name: str
    order: int = 99
    aliases: tuple[str, ...] = ()
    bare: bool = False
    cost: float = 0.0
    example: str = ""
    field: str = ""
    type: type[int] | type[float] | type[str] = str


@dataclass(frozen=True, slots=True)
class Option:
    """A row of the table. ``name``, ``type`` and, where there is one, ``default`` are the field's.

    ``infotext`` is A1111's key. The pairs with a ``rank`` are always written, in its order, the
    others where they differ from the default. ``longest`` bounds a text, in characters. ``flag``,
    ``metavar`` and ``about`` are for ``run.py generate``; without a flag it is not set there.
    """

    range: Range | None = None
    choices: tuple[str, ...] = ()
    longest: int = 0
    places: Place = NOWHERE
    infotext: str = ""
    rank: int = 0
    axis: AxisKind | None = None
    flag: str = ""
    metavar: str = ""
    about: str = ""
    default: Any = None
    type: type[Any] = str
    name: str = ""

    def check(self, value: Any) -> None:
        """Raise :class:`InvalidRequest` or :class:`UnknownName` for a value that a request cannot
        have."""
        if self.range is not None:
            self.range.check(self.name, value)
        elif not isinstance(value, self.type):
            raise InvalidRequest(self.name, shown(value), "text")
        elif self.longest and len(value) > self.longest:
            raise InvalidRequest(self.name, str(len(value)), "at_most", high=self.longest)
        elif self.choices and value not in self.choices:
            raise UnknownName(self.name.replace("_", " "), value)

    def spelt(self, name: str) -> str:
        """Spell a choice that is given in any case. Raises :class:`UnknownName`."""
        known = {each.casefold(): each for each in self.choices}
        if name.casefold() not in known:
            raise UnknownName(self.name.replace("_", " "), name[:80])
        return known[name.casefold()]


def _facts(**facts: Any) -> dict[str, Option]:
    """Make the row of a required option; its ``field`` is written out, for mypy reads it there."""
    return {"row": Option(**facts)}


def _row(default: Any, **facts: Any) -> Any:
    """Make a field with this default and its row."""
    return field(default=default, metadata=_facts(**facts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The table, in the order in which members see the options.

    A field is a value of the request. An option that members give otherwise than a request has it
    is a class variable: ``size`` is width and height. A sampler's name includes its schedule type.
    """

    prompt: str = field(
        kw_only=False,
        metadata=_facts(longest=MAX_PROMPT, axis=AxisKind("Prompt S/R", 10, bare=True)),
    )
    negative_prompt: str = _row(
        "",
        longest=MAX_PROMPT,
        places=EVERYWHERE & ~Place.SETTINGS,
        flag="--negative",
        metavar="TEXT",
    )
    model: str = field(
        kw_only=False,
        metadata=_facts(
            places=EVERYWHERE & ~Place.CARD,
            infotext="Model",
            axis=AxisKind("Checkpoint name", 8, ("Model", "Checkpoint"), bare=True, cost=1.0),
            flag="--model",
        ),
    )
    vae: str = _row(
        AUTOMATIC,
        places=EVERYWHERE,
        infotext="VAE",
        axis=AxisKind("VAE", 7, cost=0.7),
        flag="--vae",
        about="Automatic, None or a name",
    )
    clip_skip: int = _row(
        1,
        range=Range(1, 12),
        places=EVERYWHERE,
        infotext="Clip skip",
        axis=AxisKind("Clip skip", 1, example="1-12"),
        flag="--clip-skip",
        about="1 to 12, as A1111 counts",
    )
    seed: int = field(
        kw_only=False,
        metadata=_facts(
            default=RANDOM_SEED,
            range=Range(0, MAX_SEED),
            places=COMMANDS,
            infotext="Seed",
            rank=5,
            axis=AxisKind("Seed", 4, example="-1, -1, -1, -1"),
            flag="--seed",
            about="-1 picks one at random",
        ),
    )
    steps: int = _row(
        20,
        range=Range(1, 150),
        places=EVERYWHERE | Place.EDIT,
        infotext="Steps",
        rank=1,
        axis=AxisKind("Steps", 3, example="10, 20, 30, 40, 50"),
        flag="--steps",
    )
    cfg_scale: float = _row(
        7.0,
        range=Range(1, 30, whole=False),
        places=EVERYWHERE | Place.EDIT,
        infotext="CFG scale",
        rank=4,
        axis=AxisKind("CFG Scale", 2, ("CFG",), example="3, 5, 7, 9, 12, 15"),
        flag="--cfg",
    )
    sampler: str = _row(
        "Euler",
        choices=SAMPLERS,
        places=EVERYWHERE,
        infotext="Sampler",
        rank=2,
        axis=AxisKind("Sampler", 5, bare=True, example=", ".join(SAMPLERS)),
        flag="--sampler",
        about='like "DPM++ 2M Karras"',
    )
    schedule_type: str = _row(
        AUTOMATIC,
        choices=SCHEDULE_TYPES,
        infotext="Schedule type",
        rank=3,
        axis=AxisKind("Schedule type", 6, example=", ".join(SCHEDULE_TYPES)),
    )
    size: ClassVar[Option] = Option(
        places=EVERYWHERE | Place.EDIT,
        infotext="Size",
        rank=6,
        axis=AxisKind("Size", 11, example="512x512, 512x768, 768x512"),
        flag="--size",
        metavar="WxH",
        about="or square, portrait, landscape",
    )
    # The VAE halves three times, so sizes are multiples of 8.
    width: int = _row(512, range=Range(64, 2048, 8), infotext="Size-1")
    height: int = _row(512, range=Range(64, 2048, 8), infotext="Size-2")
    count: int = _row(
        1,
        range=Range(1, 8),
        places=Place.IMAGINE | Place.PRESET | Place.SERVER | Place.SETTINGS,
        flag="--count",
    )
    variation_seed: int = _row(
        0,
        range=Range(0, MAX_SEED),
        infotext="Variation seed",
        axis=AxisKind("Var. seed", 12, ("Variation seed",)),
    )
    variation_strength: float = _row(
        0.0,
        range=Range(0, 1, whole=False),
        infotext="Variation seed strength",
        axis=AxisKind("Var. strength", 13, ("Variation strength",)),
    )
    denoising_strength: float = _row(
        0.75,
        range=Range(0, 1, whole=False),
        infotext="Denoising strength",
        axis=AxisKind("Denoising", 9, ("Denoising strength",), example="0.2, 0.4, 0.6, 0.8"),
    )
    private: ClassVar[Option] = Option(default=False, type=bool, places=Place.PRESET)


def _collected() -> dict[str, Option]:
    types, own = get_type_hints(Options), {each.name: each for each in fields(Options)}
    found = {}
    for name in Options.__annotations__:
        if name in own:
            option: Option = own[name].metadata["row"]
            default = option.default if own[name].default is MISSING else own[name].default
            option = replace(option, type=types[name], default=default)
        else:
            option = getattr(Options, name)
        axis = option.axis and replace(option.axis, field=name, type=option.type)
        found[name] = replace(option, name=name, axis=axis)
    return found


OPTIONS: Final = _collected()
RANGES: Final = {
    **{name: option.range for name, option in OPTIONS.items() if option.range is not None},
    "hires_scale": Range(1, 4, whole=False),
    "hires_steps": Range(0, 150),
    "hires_denoising_strength": Range(0, 1, whole=False),
}


def names(place: Place) -> tuple[str, ...]:
    """List the options that can be set in this place."""
    return tuple(name for name, option in OPTIONS.items() if place in option.places)
