"""``GenerationRequest``: everything that decides the pixels, immutable and validated.

Two equal requests give equal images, so the seed is a number, never −1.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from core.errors import InvalidRequest, TooLarge, UnknownName
from core.hires import LATENT, LATENT_UPSCALERS, HiresSize, enlarged_size
from core.options import (
    AUTOMATIC,
    MAX_SEED,
    OPTIONS,
    RANGES,
    SAMPLERS,
    SCHEDULE_TYPES,
    Options,
    Range,
    shown,
)
from core.typed import closest, half_width

MAX_AND_PARTS: Final = 8
# As long as a file's name is in the catalogue.
MAX_UPSCALER: Final = 100
# Pixels a side of an image that is enlarged without being redrawn.
MAX_ENLARGED: Final = 4096
# The least noise that checkpoints are trained on, about: what a schedule's lower limit of 0 means.
SIGMA_MIN: Final = 0.03


@dataclass(frozen=True, slots=True)
class HiresFix:
    """Hires fix: a second pass over the upscaled result of the first, as in A1111.

    ``upscaler`` is one of :data:`~core.hires.UPSCALERS` or a catalogue name. ``steps`` and
    ``cfg_scale`` of 0 and empty texts are the first pass's. With a ``resize_width`` or
    ``resize_height``, A1111's ``Hires resize``, the size is that, and ``scale`` only its factor.
    """

    scale: float = 2.0
    steps: int = 0
    denoising_strength: float = 0.7
    upscaler: str = "Latent"
    prompt: str = ""
    negative_prompt: str = ""
    sampler: str = ""
    schedule_type: str = ""
    cfg_scale: float = 0.0
    resize_width: int = 0
    resize_height: int = 0

    def size(self, width: int, height: int) -> HiresSize:
        """Return the sizes of the second pass, after a first one of these pixels."""
        resize = self.resize_width, self.resize_height
        return HiresSize.of(width, height, self.scale, resize)


@dataclass(frozen=True, slots=True)
class Enlarge:
    """Upscaling without redrawing, as on A1111's page Extras: the finished image's pixels.

    ``upscaler`` is one of :data:`~core.hires.PIXEL_UPSCALERS` or a catalogue name.
    """

    scale: float = 2.0
    upscaler: str = "Lanczos"


@dataclass(frozen=True, slots=True)
class Inputs:
    """The images that a request is made from, by kind: each field is one, None where there is none.

    Each is an encoded image (PNG, JPEG or WebP). A kind is written in a database by its field's
    name, so that is never changed. ``finished`` is a PNG, which is only enlarged.
    """

    init_image: bytes | None = field(default=None, repr=False)
    finished: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GenerationRequest(Options):
    """What decides the pixels of one job's ``count`` images.

    ``clip_skip`` is A1111's number: 1 is the text encoder's last layer, 2 the penultimate.
    Picture ``i`` uses seed ``seed + i`` (modulo 2³²), or with a variation strength above 0
    the same seed and variation seed ``variation_seed + i``. ``vae`` is a catalogue name,
    :data:`AUTOMATIC` or :data:`~core.options.NONE`. With a start image among its ``inputs`` the
    job is img2img at ``denoising_strength``; with a finished one nothing is generated, and the
    other values say how that image was made.

    Raises :class:`InvalidRequest` or :class:`UnknownName` when built from values out of range.
    """

    inputs: Inputs = field(default=Inputs(), kw_only=True)
    hires: HiresFix | None = field(default=None, kw_only=True)
    enlarge: Enlarge | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for each in fields(Options):
            OPTIONS[each.name].check(getattr(self, each.name))
        if crossed(self.schedule_min_sigma, self.schedule_max_sigma):
            raise crossing(self.schedule_min_sigma, self.schedule_max_sigma)
        if self.hires is not None:
            self._check_hires(self.hires)
        if self.enlarge is not None or self.only_enlarges:
            self._check_enlarge(self.enlarge)

    def _check_enlarge(self, enlarge: Enlarge | None) -> None:
        if not isinstance(enlarge, Enlarge):
            raise RANGES["enlarge_scale"].invalid("enlarge_scale", shown(enlarge))
        RANGES["enlarge_scale"].check("enlarge_scale", enlarge.scale)
        if self.only_enlarges:
            Range(1, 1).check("count", self.count)
        _check_upscaler(enlarge.upscaler)
        if enlarge.upscaler in LATENT_UPSCALERS:
            raise UnknownName("upscaler", enlarge.upscaler)
        width, height = self.delivered_size
        if max(width, height) > MAX_ENLARGED:
            raise TooLarge(width, height, MAX_ENLARGED)

    def _check_hires(self, hires: HiresFix) -> None:
        if not isinstance(hires, HiresFix):
            raise RANGES["hires_scale"].invalid("hires_scale", shown(hires))
        for name in ("scale", "steps", "denoising_strength", "cfg_scale"):
            RANGES[f"hires_{name}"].check(f"hires_{name}", getattr(hires, name))
        for name, resized in (("width", hires.resize_width), ("height", hires.resize_height)):
            Range(0, RANGES[name].high + LATENT - 1).check(name, resized)
        for name in ("prompt", "negative_prompt"):
            OPTIONS[name].check(getattr(hires, name))
        for name in ("sampler", "schedule_type"):
            if getattr(hires, name) != "":
                OPTIONS[name].check(getattr(hires, name))
        _check_upscaler(hires.upscaler)
        for name, size in zip(("width", "height"), self.final_size, strict=True):
            RANGES[name].check(name, size)

    def alone(self, index: int) -> GenerationRequest:
        """Make the request of one of its images alone, ``index`` counted from 0."""
        name = "variation_seed" if self.variation_strength > 0 else "seed"
        seed = (getattr(self, name) + index) % (MAX_SEED + 1)
        return replace(self, **{name: seed, "count": 1})

    @property
    def rows(self) -> int:
        """UNet rows of an image: 2, or 1 at CFG scale 1, where the negative prompt cancels out.
        Each further AND part takes one more, which only the engine counts."""
        return 1 if self.cfg_scale == 1 else 2

    @property
    def init_image(self) -> bytes | None:
        """The start image; None for text-to-image."""
        return self.inputs.init_image

    @property
    def final_size(self) -> tuple[int, int]:
        """Width and height in pixels of the finished images."""
        if self.hires is None:
            return self.width, self.height
        return self.hires.size(self.width, self.height).picture

    @property
    def only_enlarges(self) -> bool:
        """Whether nothing is generated: a finished image is enlarged."""
        return self.inputs.finished is not None

    @property
    def delivered_size(self) -> tuple[int, int]:
        """Width and height in pixels of the images as they are delivered."""
        finished = self.inputs.finished
        size = self.final_size if finished is None else _png_size(finished)
        return size if self.enlarge is None else enlarged_size(*size, self.enlarge.scale)

    @property
    def second_steps(self) -> int:
        """Steps of the second pass: hires fix's, or as many as the first."""
        return (self.hires and self.hires.steps) or self.steps

    def to_dict(self) -> dict[str, Any]:
        """Convert everything but ``inputs`` to JSON's types."""
        values = asdict(self)
        del values["inputs"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], inputs: Inputs = Inputs()) -> GenerationRequest:
        """Make a request from :meth:`to_dict`'s values; keys of a newer version are ignored."""
        known = {each.name: values[each.name] for each in fields(cls) if each.name in values}
        if isinstance(known.get("hires"), dict):
            names = HiresFix.__dataclass_fields__
            known["hires"] = HiresFix(**{n: v for n, v in known["hires"].items() if n in names})
        if isinstance(known.get("enlarge"), dict):
            names = Enlarge.__dataclass_fields__
            known["enlarge"] = Enlarge(**{n: v for n, v in known["enlarge"].items() if n in names})
        return cls(**known | {"inputs": inputs})


def _check_upscaler(name: object) -> None:
    # Whether there is a file of this name is for the catalogue, as with a VAE.
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_UPSCALER:
        raise UnknownName("upscaler", shown(name)[:MAX_UPSCALER])


def _png_size(data: bytes) -> tuple[int, int]:
    """Read width and height from a PNG's first chunk."""
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def crossing(low: float, high: float, blamed: str = "") -> InvalidRequest:
    """Make the error for a schedule's limits that cross: on the one that was set, of both on the
    lower one, or on the one ``blamed``."""
    blamed = blamed or ("schedule_min_sigma" if low else "schedule_max_sigma")
    if blamed == "schedule_min_sigma":
        return Range(0, high, whole=False).invalid(blamed, shown(float(low or SIGMA_MIN)))
    allowed = Range(low or SIGMA_MIN, RANGES[blamed].high, whole=False)
    return allowed.invalid(blamed, shown(float(high)))


def crossed(low: float, high: float) -> bool:
    """Whether a schedule's limits leave no noise between them; 0 is the checkpoint's own."""
    return 0 < high <= (low or SIGMA_MIN)


def draw_seed() -> int:
    """Draw a seed from 0 to 2³²−1 that nobody can guess, as −1 asks for."""
    return secrets.randbelow(MAX_SEED + 1)


def enlarged(width: int, height: int, scale: float) -> tuple[int, int]:
    """Multiply a size in pixels by ``scale``, cut to whole latents, which are 8 pixels."""
    return HiresSize.of(width, height, scale).picture


def parse_size(text: str) -> tuple[int, int]:
    """Read ``"512x768"`` as (512, 768), in pixels; ``×``, ``*`` and spaces are read as well.

    Raises :class:`InvalidRequest` when it is not two whole numbers.
    """
    parts = half_width(text).lower().replace("×", "x").replace("*", "x").split("x")
    try:
        width, height = (int(part) for part in parts)
    except ValueError:
        raise InvalidRequest("size", text, "size") from None
    return width, height


def split_sampler(name: str) -> tuple[str, str]:
    """Split a sampler's name, in any case, into (sampler, schedule type).

    Both name styles are read: ``"DPM++ 2M Karras"`` → ``("DPM++ 2M", "Karras")`` and
    ``"DPM++ 2M"`` → ``("DPM++ 2M", "Automatic")``. Raises :class:`UnknownName`.
    """
    wanted = " ".join(name.split()).casefold()
    if found := _SPLIT.get(wanted):
        return found
    raise UnknownName("sampler", name, closest(wanted, _CALLED))


# No name of a sampler is another's and a schedule type.
_SPLIT: Final = {
    f"{sampler} {kind}".casefold(): (sampler, kind)
    for sampler in SAMPLERS
    for kind in SCHEDULE_TYPES
} | {sampler.casefold(): (sampler, AUTOMATIC) for sampler in SAMPLERS}
# As members see them.
_CALLED: Final = (
    *SAMPLERS,
    *(f"{sampler} {kind}" for sampler, kind in _SPLIT.values() if kind != AUTOMATIC),
)
