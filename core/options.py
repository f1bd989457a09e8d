"""The options of an image, one row each, from which everything else about an option is derived.

A new option is a row of :class:`Options`, its sentences in the locale files (``option.<name>``, and
``describe.<name>`` where a command takes it), and the code that acts on it.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Flag, auto
from typing import Any, ClassVar, Final, get_type_hints

from core.errors import InvalidRequest, UnknownName
from core.typed import closest, half_width

MAX_SEED: Final = 2**32 - 1
# Given as a seed, it means a random one.
RANDOM_SEED: Final = -1
MAX_PROMPT: Final = 4000
# A file's name, and a weight.
MAX_LORA: Final = 120

AUTOMATIC: Final = "Automatic"
NONE: Final = "None"

# A1111's names.
SAMPLERS: Final = (
    "Euler",
    "Euler a",
    "LMS",
    "Heun",
    "DPM2",
    "DPM2 a",
    "DPM++ 2S a",
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Heun",
    "DPM++ 3M SDE",
    "DPM fast",
    "DPM adaptive",
    "Restart",
    "DDIM",
    "DDIM CFG++",
    "PLMS",
    "UniPC",
    "LCM",
)
SCHEDULE_TYPES: Final = (
    AUTOMATIC,
    "Uniform",
    "Karras",
    "Exponential",
    "Polyexponential",
    "SGM Uniform",
    "KL Optimal",
    "Align Your Steps",
    "Simple",
    "Normal",
    "DDIM",
    "Beta",
)
# The schedule type that A1111 1.10 uses where none is chosen; samplers without one step evenly.
AUTOMATIC_SCHEDULE: Final = {
    "DPM2": "Karras",
    "DPM2 a": "Karras",
    "DPM++ 2S a": "Karras",
    "DPM++ 2M": "Karras",
    "DPM++ SDE": "Karras",
    "DPM++ 2M SDE": "Exponential",
    "DPM++ 2M SDE Heun": "Exponential",
    "DPM++ 3M SDE": "Exponential",
    "Restart": "Karras",
}
NOISE_SOURCES: Final = ("CPU", "GPU", "NV")
UNIPC_VARIANTS: Final = ("bh1", "bh2", "vary_coeff")
UNIPC_SKIP_TYPES: Final = ("time_uniform", "time_quadratic", "logSNR")
EMPHASIS_MODES: Final = ("Original", "No norm", "Ignore", "None")


class Place(Flag):
    """Where members or owners can set an option: commands, presets, a server's defaults, model
    cards, the settings panel, the last line of the edit form.

    ``COMMAND`` are the commands that fill presets and defaults; a file sets every option there."""

    IMAGINE = auto()
    EXPLORE = auto()
    COMMAND = auto()
    PRESET = auto()
    SERVER = auto()
    CARD = auto()
    SETTINGS = auto()
    EDIT = auto()


NOWHERE: Final = Place(0)
# A sheet has one picture a cell, so /explore takes no count.
COMMANDS: Final = Place.IMAGINE | Place.EXPLORE | Place.COMMAND | Place.PRESET
EVERYWHERE: Final = COMMANDS | Place.SERVER | Place.CARD | Place.SETTINGS
# For what is seldom set: pasted texts and axes have it too.
FILES: Final = Place.PRESET | Place.SERVER | Place.CARD


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive bounds of a number. ``whole`` numbers are multiples of ``multiple``."""

    low: float
    high: float
    multiple: int = 1
    whole: bool = True

    def __str__(self) -> str:
        text = f"{self.low:.12g} to {self.high:.12g}"
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
    type: type[int] | type[float] | type[str] | type[bool] = str


@dataclass(frozen=True, slots=True)
class Option:
    """A row of the table. ``name``, ``type`` and, where there is one, ``default`` are the field's.

    ``infotext`` is A1111's key. The pairs with a ``rank`` are always written, in its order, the
    others where they differ from ``unsaid``, which a text without the key means; None is the
    default. ``longest`` bounds a text, in characters. ``flag``, ``metavar`` and ``about`` are for
    ``run.py generate``; without a flag it is not set there.
    """

    range: Range | None = None
    choices: tuple[str, ...] = ()
    longest: int = 0
    places: Place = NOWHERE
    infotext: str = ""
    rank: int = 0
    unsaid: Any = None
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
            raise InvalidRequest(self.name, shown(value), "yes_no" if self.type is bool else "text")
        elif self.longest and len(value) > self.longest:
            raise InvalidRequest(self.name, str(len(value)), "at_most", high=self.longest)
        elif self.choices and value not in self.choices:
            raise self._unknown(value)

    def spelt(self, name: str) -> str:
        """Spell a choice that is given in any case. Raises :class:`UnknownName`."""
        known = {each.casefold(): each for each in self.choices}
        if name.casefold() not in known:
            raise self._unknown(name)
        return known[name.casefold()]

    def _unknown(self, name: str) -> UnknownName:
        return UnknownName(self.name.replace("_", " "), name[:80], closest(name, self.choices))


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
            places=EVERYWHERE & ~Place.CARD | Place.EDIT,
            infotext="Model",
            axis=AxisKind("Checkpoint name", 8, ("Model", "Checkpoint"), bare=True, cost=1.0),
            flag="--model",
        ),
    )
    vae: str = _row(
        AUTOMATIC,
        places=EVERYWHERE | Place.EDIT,
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
        places=EVERYWHERE | Place.EDIT,
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
        places=Place.IMAGINE | Place.COMMAND | Place.PRESET | Place.SERVER | Place.SETTINGS,
        flag="--count",
    )
    # What a command alone can set: a tag in the prompt, and hires fix.
    lora: ClassVar[Option] = Option(
        longest=MAX_LORA,
        places=Place.IMAGINE | Place.EXPLORE,
        axis=AxisKind("LoRA", 12, cost=0.3),
        flag="--lora",
        metavar="NAME[:WEIGHT]",
    )
    lora_weight: ClassVar[Option] = Option(
        range=Range(-100, 100, whole=False),
        axis=AxisKind("LoRA weight", 13, example="0, 0.25, 0.5, 0.75, 1"),
        default=1.0,
        type=float,
    )
    hires_scale: ClassVar[Option] = Option(
        range=Range(1, 4, whole=False),
        places=Place.IMAGINE | Place.EXPLORE,
        flag="--hires-scale",
        about="1 to 4: a second pass at so many times the size",
        default=2.0,
        type=float,
    )
    hires_upscaler: ClassVar[Option] = Option(
        longest=MAX_LORA,
        places=Place.IMAGINE | Place.EXPLORE,
        axis=AxisKind("Hires upscaler", 38, cost=0.2),
        flag="--hires-upscaler",
        metavar="NAME",
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
    seed_resize_width: int = _row(
        0, range=Range(0, 2048, 8), places=FILES, infotext="Seed resize from-1"
    )
    seed_resize_height: int = _row(
        0, range=Range(0, 2048, 8), places=FILES, infotext="Seed resize from-2"
    )
    # From here on in the order in which A1111 writes them; the bounds are its settings page's.
    eta_noise_seed_delta: int = _row(
        0,
        range=Range(-(2**31), 2**32 - 1),
        places=FILES,
        infotext="ENSD",
        axis=AxisKind("Eta noise seed delta", 30, ("ENSD",), example="0, 31337"),
    )
    noise_source: str = _row(
        "CPU",
        choices=NOISE_SOURCES,
        places=FILES | Place.COMMAND | Place.SETTINGS,
        infotext="RNG",
        unsaid="GPU",
        axis=AxisKind("RNG source", 14, ("RNG",), example=", ".join(NOISE_SOURCES)),
        flag="--noise-source",
        about="CPU, GPU or NV: what draws the noise",
    )
    noise_multiplier: float = _row(
        1.0,
        range=Range(0, 1.5, whole=False),
        places=FILES,
        infotext="Noise multiplier",
        axis=AxisKind("Initial noise multiplier", 32, ("Noise multiplier",), example="0.9, 1, 1.1"),
    )
    emphasis: str = _row(
        EMPHASIS_MODES[0],
        choices=EMPHASIS_MODES,
        places=FILES,
        infotext="Emphasis",
        axis=AxisKind("Emphasis", 15, example=", ".join(EMPHASIS_MODES)),
    )
    old_timelines: bool = _row(
        False,
        places=FILES,
        infotext="Old prompt editing timelines",
        axis=AxisKind("Old prompt editing timelines", 36, example="False, True"),
    )
    discard_penultimate: bool = _row(
        False,
        places=FILES,
        infotext="Discard penultimate sigma",
        axis=AxisKind("Always discard next-to-last sigma", 28, example="False, True"),
    )
    schedule_min_sigma: float = _row(
        0.0,
        range=Range(0, 2, whole=False),
        places=FILES,
        infotext="Schedule min sigma",
        axis=AxisKind("Schedule min sigma", 22, example="0, 0.05, 0.1, 0.2"),
    )
    schedule_max_sigma: float = _row(
        0.0,
        range=Range(0, 60, whole=False),
        places=FILES,
        infotext="Schedule max sigma",
        axis=AxisKind("Schedule max sigma", 23, example="0, 5, 10, 20"),
    )
    schedule_rho: float = _row(
        0.0,
        range=Range(0, 100, whole=False),
        places=FILES,
        infotext="Schedule rho",
        axis=AxisKind("Schedule rho", 24, example="1, 3, 5, 7, 9"),
    )
    beta_alpha: float = _row(
        0.6,
        range=Range(0.01, 1, whole=False),
        places=FILES,
        infotext="Beta schedule alpha",
        axis=AxisKind("Beta schedule alpha", 25, example="0.2, 0.4, 0.6, 0.8, 1"),
    )
    beta_beta: float = _row(
        0.6,
        range=Range(0.01, 1, whole=False),
        places=FILES,
        infotext="Beta schedule beta",
        axis=AxisKind("Beta schedule beta", 26, example="0.2, 0.4, 0.6, 0.8, 1"),
    )
    unipc_variant: str = _row("bh1", choices=UNIPC_VARIANTS, places=FILES, infotext="UniPC variant")
    unipc_skip_type: str = _row(
        "time_uniform", choices=UNIPC_SKIP_TYPES, places=FILES, infotext="UniPC skip type"
    )
    unipc_order: int = _row(
        3,
        range=Range(1, 50),
        places=FILES,
        infotext="UniPC order",
        axis=AxisKind("UniPC Order", 37, example="1, 2, 3"),
    )
    unipc_lower_order_final: bool = _row(True, places=FILES, infotext="UniPC lower order final")
    sgm_noise_multiplier: bool = _row(
        False,
        places=FILES,
        infotext="SGM noise multiplier",
        axis=AxisKind("SGM noise multiplier", 29, example="False, True"),
    )
    extra_noise: float = _row(
        0.0,
        range=Range(0, 1, whole=False),
        places=FILES,
        infotext="Extra noise",
        axis=AxisKind("Extra noise", 31, example="0, 0.05, 0.1, 0.2"),
    )
    eta: float = _row(
        1.0,
        range=Range(0, 1, whole=False),
        places=FILES,
        infotext="Eta",
        axis=AxisKind("Eta", 16, example="0, 0.25, 0.5, 0.75, 1"),
    )
    eta_ddim: float = _row(
        0.0,
        range=Range(0, 1, whole=False),
        places=FILES,
        infotext="Eta DDIM",
        axis=AxisKind("Eta DDIM", 17, example="0, 0.25, 0.5, 0.75, 1"),
    )
    sigma_churn: float = _row(
        0.0,
        range=Range(0, 100, whole=False),
        places=FILES,
        infotext="Sigma churn",
        axis=AxisKind("Sigma Churn", 18, example="0, 5, 10, 20, 50"),
    )
    # 0 is no upper end.
    sigma_tmin: float = _row(
        0.0,
        range=Range(0, 10, whole=False),
        places=FILES,
        infotext="Sigma tmin",
        axis=AxisKind("Sigma min", 19, ("Sigma tmin",), example="0, 0.5, 1, 2"),
    )
    sigma_tmax: float = _row(
        0.0,
        range=Range(0, 999, whole=False),
        places=FILES,
        infotext="Sigma tmax",
        axis=AxisKind("Sigma max", 20, ("Sigma tmax",), example="0, 1, 5, 10"),
    )
    sigma_noise: float = _row(
        1.0,
        range=Range(0, 1.1, whole=False),
        places=FILES,
        infotext="Sigma noise",
        axis=AxisKind("Sigma noise", 21, example="0.95, 1, 1.05"),
    )
    skip_early_cfg: float = _row(
        0.0,
        range=Range(0, 1, whole=False),
        places=FILES,
        infotext="Skip Early CFG",
        axis=AxisKind("Skip Early CFG", 27, example="0, 0.1, 0.2, 0.3"),
    )
    ngms: float = _row(
        0.0,
        range=Range(0, 15, whole=False),
        places=FILES,
        infotext="NGMS",
        axis=AxisKind("Negative Guidance minimum sigma", 33, ("NGMS",), example="0, 1, 2, 4"),
    )
    ngms_all_steps: bool = _row(
        False,
        places=FILES,
        infotext="NGMS all steps",
        axis=AxisKind("NGMS all steps", 34, example="False, True"),
    )
    seed_resize: ClassVar[Option] = Option(
        axis=AxisKind("Seed resize from", 35, example="0x0, 256x256, 512x512, 768x768")
    )
    private: ClassVar[Option] = Option(
        default=False, type=bool, places=Place.COMMAND | Place.PRESET
    )


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
        unsaid = option.default if option.unsaid is None else option.unsaid
        found[name] = replace(option, name=name, axis=axis, unsaid=unsaid)
    return found


OPTIONS: Final = _collected()
RANGES: Final = {
    **{name: option.range for name, option in OPTIONS.items() if option.range is not None},
    "hires_steps": Range(0, 150),
    "hires_denoising_strength": Range(0, 1, whole=False),
    "hires_cfg_scale": Range(0, 30, whole=False),
    # As far as the slider on A1111's page Extras.
    "enlarge_scale": Range(1, 8, whole=False),
}


# The options that no command takes: A1111 names them where they are not its defaults.
SELDOM: Final = tuple(
    name
    for name, option in OPTIONS.items()
    if FILES in option.places and Place.IMAGINE not in option.places
)


def own_schedule(sampler: str, schedule_type: str) -> str:
    """Resolve Automatic to the sampler's own schedule type, where it has one."""
    if schedule_type == AUTOMATIC:
        return AUTOMATIC_SCHEDULE.get(sampler, AUTOMATIC)
    return schedule_type


def names(place: Place) -> tuple[str, ...]:
    """List the options that can be set in this place, or in all of several."""
    return tuple(name for name, option in OPTIONS.items() if place in option.places)
