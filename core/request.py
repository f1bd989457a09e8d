"""``GenerationRequest``: everything that decides the pixels, frozen and validated.

Two equal requests give equal pictures, so the seed is a number here, never −1.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from core.errors import InvalidRequest, UnknownName
from core.typed import half_width

MAX_SEED: Final = 2**32 - 1
MAX_PROMPT: Final = 4000
MAX_AND_PARTS: Final = 8

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
UPSCALERS: Final = ("Latent", "Lanczos")


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive bounds of a number; ``multiple`` is the step that ``whole`` numbers fall on."""

    low: float
    high: float
    multiple: int = 1
    whole: bool = True

    def __str__(self) -> str:
        text = f"{self.low:g} to {self.high:.12g}"
        return f"a multiple of {self.multiple} from {text}" if self.multiple > 1 else text

    def check(self, name: str, value: Any) -> None:
        """Raise :class:`InvalidRequest` when ``value`` is not a number in here."""
        inside = self.takes(value) and self.low <= value <= self.high
        if not inside or (self.multiple > 1 and value % self.multiple):
            raise self.invalid(name, shown(value))

    def takes(self, value: Any) -> bool:
        """Whether it is a number, and a whole one where those count; a yes or no is none."""
        kind = int if self.whole else int | float
        return isinstance(value, kind) and not isinstance(value, bool)

    def read(self, name: str, text: str) -> float:
        """The number in ``text``, in range or not. Raises :class:`InvalidRequest` for no number."""
        try:
            return int(half_width(text)) if self.whole else float(half_width(text))
        except ValueError:
            raise self.invalid(name, text) from None

    def invalid(self, name: str, value: str) -> InvalidRequest:
        """The error that says that ``value`` does not lie in here."""
        allowed = "multiple" if self.multiple > 1 else "range"
        return InvalidRequest(name, value, allowed, self.low, self.high, self.multiple)


def shown(value: object) -> str:
    """A value that cannot be used, as an error names it."""
    # A whole number may be larger than any float.
    return f"{value:.12g}" if isinstance(value, float) else str(value)


# Width and height: the VAE halves three times, so sizes are multiples of 8.
RANGES: Final[dict[str, Range]] = {
    "clip_skip": Range(1, 12),
    "seed": Range(0, MAX_SEED),
    "steps": Range(1, 150),
    "cfg_scale": Range(1, 30, whole=False),
    "width": Range(64, 2048, 8),
    "height": Range(64, 2048, 8),
    "count": Range(1, 8),
    "variation_seed": Range(0, MAX_SEED),
    "variation_strength": Range(0, 1, whole=False),
    "denoising_strength": Range(0, 1, whole=False),
    "hires_scale": Range(1, 4, whole=False),
    "hires_steps": Range(0, 150),
    "hires_denoising_strength": Range(0, 1, whole=False),
}


@dataclass(frozen=True, slots=True)
class HiresFix:
    """A second pass on an enlarged first picture, as A1111 does it.

    ``steps`` 0 means as many as the first pass; ``upscaler`` is one of :data:`UPSCALERS`.
    """

    scale: float = 2.0
    steps: int = 0
    denoising_strength: float = 0.7
    upscaler: str = "Latent"


@dataclass(frozen=True, slots=True)
class Inputs:
    """The images that a request is made from, by kind: each field is one, None where there is none.

    Each is an encoded image (PNG, JPEG or WebP). A kind is written in a database by its field's
    name, so that is never changed.
    """

    init_image: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What decides the pixels of one job's ``count`` pictures.

    ``clip_skip`` is A1111's number: 1 is the text encoder's last layer, 2 the penultimate.
    Picture ``i`` uses seed ``seed + i`` (modulo 2³²), or with a variation strength above 0
    the same seed and variation seed ``variation_seed + i``. ``vae`` is a catalogue name,
    :data:`AUTOMATIC` or :data:`NONE`. With a start image among its ``inputs`` the job is img2img
    at ``denoising_strength``.

    Raises :class:`InvalidRequest` or :class:`UnknownName` when built from values out of range.
    """

    prompt: str
    model: str
    seed: int
    negative_prompt: str = ""
    vae: str = AUTOMATIC
    clip_skip: int = 1
    steps: int = 20
    cfg_scale: float = 7.0
    sampler: str = "Euler"
    schedule_type: str = AUTOMATIC
    width: int = 512
    height: int = 512
    count: int = 1
    variation_seed: int = 0
    variation_strength: float = 0.0
    inputs: Inputs = Inputs()
    denoising_strength: float = 0.75
    hires: HiresFix | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt", "model", "vae", "sampler", "schedule_type"):
            if not isinstance(getattr(self, name), str):
                raise InvalidRequest(name, shown(getattr(self, name)), "text")
        for name in ("prompt", "negative_prompt"):
            length = len(getattr(self, name))
            if length > MAX_PROMPT:
                raise InvalidRequest(name, str(length), "at_most", high=MAX_PROMPT)
        for name, allowed in RANGES.items():
            if not name.startswith("hires_"):
                allowed.check(name, getattr(self, name))
        if self.sampler not in SAMPLERS:
            raise UnknownName("sampler", self.sampler)
        if self.schedule_type not in SCHEDULE_TYPES:
            raise UnknownName("schedule type", self.schedule_type)
        if self.hires is not None:
            self._check_hires(self.hires)

    def _check_hires(self, hires: HiresFix) -> None:
        if not isinstance(hires, HiresFix):
            raise RANGES["hires_scale"].invalid("hires_scale", shown(hires))
        for name in ("scale", "steps", "denoising_strength"):
            RANGES[f"hires_{name}"].check(f"hires_{name}", getattr(hires, name))
        if hires.upscaler not in UPSCALERS:
            raise UnknownName("upscaler", shown(hires.upscaler))
        for name, size in zip(("width", "height"), self.final_size, strict=True):
            RANGES[name].check(name, size)

    @property
    def init_image(self) -> bytes | None:
        """The start image, where there is one."""
        return self.inputs.init_image

    @property
    def final_size(self) -> tuple[int, int]:
        """Width and height in pixels of the finished pictures."""
        if self.hires is None:
            return self.width, self.height
        # A latent is 8 pixels: the enlarged size is cut to whole latents.
        return (
            int(self.width * self.hires.scale) // 8 * 8,
            int(self.height * self.hires.scale) // 8 * 8,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but ``inputs``, in JSON's types."""
        values = asdict(self)
        del values["inputs"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], inputs: Inputs = Inputs()) -> GenerationRequest:
        """The inverse of :meth:`to_dict`; keys of a newer version are ignored."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        if isinstance(known.get("hires"), dict):
            names = HiresFix.__dataclass_fields__
            known["hires"] = HiresFix(**{n: v for n, v in known["hires"].items() if n in names})
        return cls(**known | {"inputs": inputs})


def draw_seed() -> int:
    """A seed nobody can guess, 0 to 2³²−1: what −1 stands for."""
    return secrets.randbelow(MAX_SEED + 1)


def parse_size(text: str) -> tuple[int, int]:
    """``"512x768"`` → (512, 768), in pixels; ``×``, ``*`` and spaces are understood too.

    Raises :class:`InvalidRequest` when it is not two whole numbers.
    """
    parts = half_width(text).lower().replace("×", "x").replace("*", "x").split("x")
    try:
        width, height = (int(part) for part in parts)
    except ValueError:
        raise InvalidRequest("size", text, "size") from None
    return width, height


def split_sampler(name: str) -> tuple[str, str]:
    """A sampler as members write it → (sampler, schedule type), in any case.

    Both name styles are read: ``"DPM++ 2M Karras"`` → ``("DPM++ 2M", "Karras")`` and
    ``"DPM++ 2M"`` → ``("DPM++ 2M", "Automatic")``. Raises :class:`UnknownName`.
    """
    wanted = " ".join(name.split()).casefold()
    for sampler in SAMPLERS:
        for kind in SCHEDULE_TYPES:
            if wanted == f"{sampler} {kind}".casefold():
                return sampler, kind
        if wanted == sampler.casefold():
            return sampler, AUTOMATIC
    raise UnknownName("sampler", name)
