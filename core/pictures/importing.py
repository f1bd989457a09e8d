"""Convert parameters read from a text or an image into values for a request.

What can be used is used; everything else that would change the image is named in a note.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from core.effects import BROWNIAN, DDIM
from core.errors import InvalidRequest, UnknownName
from core.hires import UPSCALERS
from core.notes import Note
from core.options import (
    AUTOMATIC,
    AUTOMATIC_SCHEDULE,
    MAX_SEED,
    NONE,
    OPTIONS,
    RANGES,
    Option,
    Range,
)
from core.pictures.infotext import ASSUMED
from core.pictures.known_keys import INFORMATION, is_neutral
from core.pictures.sampler_names import Named, read_sampler, read_schedule
from core.request import HiresFix, crossed
from core.typed import half_width

# Read otherwise: a strength is the second pass's where there is one, a sampler's name may include
# its schedule type, a seed may be larger, and a size no multiple of 8.
_SIZES: Final = ("width", "height", "seed_resize_width", "seed_resize_height")
_SEEDS: Final = ("seed", "variation_seed")
_APART: Final = {"denoising_strength", "sampler", "schedule_type", *_SEEDS, *_SIZES}
_PLAIN: Final = [
    option
    for option in OPTIONS.values()
    if option.infotext
    and option.name not in _APART
    and (option.range is not None or option.choices or option.type is bool)
]
_MAX_NAMES: Final = 12
# Before texts said which, this bot's noise was the CPU's.
_WITHOUT_RNG: Final = "Penultimate 0.1.0"
# Generators that draw the noise on the CPU, in ways of their own.
_FOREIGN: Final = ("ComfyUI", "InvokeAI", "Fooocus")
# Before A1111 1.9 a name said its schedule type: "DPM++ 2M" alone stepped evenly, but not Restart.
_WITHOUT_TYPE: Final = re.compile(r"v?(0|1\.[0-8])\.\d")
_ONCE_UNIFORM: Final = AUTOMATIC_SCHEDULE.keys() - {"Restart"}


def to_request_values(
    parsed: Mapping[str, Any],
    *,
    models: Collection[str] | None = None,
    vaes: Collection[str] | None = None,
) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """Convert what :func:`core.pictures.infotext.parse` read to a request's fields, and notes.

    Fields that the text does not have are left out, but for what drew its noise. With ``models``
    and ``vaes`` (the names there are) a name is matched as A1111 does, whatever its case and file
    ending, and left out with a note where it is unknown; without them names are passed on, a VAE's
    without the ending that the bot's own files have.
    """
    values, notes, _ = to_values(parsed, models=models, vaes=vaes)
    return values, notes


def to_values(
    parsed: Mapping[str, Any],
    *,
    models: Collection[str] | None = None,
    vaes: Collection[str] | None = None,
) -> tuple[dict[str, Any], tuple[Note, ...], frozenset[str]]:
    """Convert as :func:`to_request_values` does; the third are the keys that were used."""
    reading = _Reading(parsed)
    for option in _PLAIN:
        reading.plain(option)
    reading.sizes()
    reading.sampler()
    reading.sigmas()
    reading.noise()
    for name in _SEEDS:
        reading.seed(name)
    reading.name("Model", "model", models)
    reading.name("VAE", "vae", vaes)
    if "VAE" not in parsed and reading.ours:
        # This bot always writes an external VAE, so without one it was the checkpoint's own.
        reading.values["vae"] = NONE
    reading.denoising()
    reading.leftovers()
    return reading.values, tuple(reading.notes), frozenset(reading.used)


class _Reading:
    """Collects values and notes in one pass over the parsed parameters."""

    def __init__(self, parsed: Mapping[str, Any]) -> None:
        self.parsed = parsed
        self.ours = str(parsed.get("Version", "")).startswith("Penultimate")
        self.values: dict[str, Any] = {
            "prompt": parsed["Prompt"],
            "negative_prompt": parsed["Negative prompt"],
        }
        self.notes: list[Note] = []
        self.used = {"Prompt", "Negative prompt"}

    def version(self, known: re.Pattern[str]) -> bool:
        return known.match(str(self.parsed.get("Version", ""))) is not None

    def text(self, key: str) -> str:
        self.used.add(key)
        return str(self.parsed.get(key, "")).strip()

    def unreadable(self, kind: str, key: str, value: str, **bounds: object) -> None:
        self.notes.append(Note.of(f"unreadable_{kind}", name=key, value=value[:40], **bounds))

    def number(self, key: str, field: str, text: str | None = None) -> None:
        if (text := self.text(key) if text is None else text) == "":
            return
        value = self.checked(key, text, field)
        if value is not None:
            self.values[field] = value

    def checked(self, key: str, text: str, field: str) -> float | None:
        """Read the number in ``text``; where it is out of the range of ``field``, note that."""
        allowed = RANGES[field]
        try:
            value = allowed.read(field, text)
            allowed.check(field, value)
        except InvalidRequest:
            error = allowed.invalid(field, text)
            self.unreadable(error.allowed, key, text, **error.bounds)
            return None
        return value

    def plain(self, option: Option) -> None:
        text = self.text(option.infotext)
        if option.range is not None:
            self.number(option.infotext, option.name)
        elif option.type is bool and text:
            if text.casefold() in ("true", "false"):
                self.values[option.name] = text.casefold() == "true"
            else:
                self.unreadable("yes_no", option.infotext, text)
        elif text:
            try:
                self.values[option.name] = option.spelt(text)
            except UnknownName as error:
                self.unknown(error.kind, text)

    def sizes(self) -> None:
        """Read both sizes, cut to whole latents as A1111 does; a side alone is no size."""
        for width, height in zip(_SIZES[::2], _SIZES[1::2], strict=True):
            key = OPTIONS[width].infotext.removesuffix("-1")
            texts = [self.text(f"{key}-1"), self.text(f"{key}-2")]
            if "" in texts:
                continue
            whole = [
                _cut(text, RANGES[name]) for text, name in zip(texts, (width, height), strict=True)
            ]
            for name, text in zip((width, height), whole, strict=True):
                self.number(OPTIONS[name].infotext, name, text)
            if not {width, height} <= self.values.keys():
                self.values.pop(width, None)
                self.values.pop(height, None)
            elif whole != texts and key == "Size":
                self.notes.append(Note.of("size_cut", value="x".join(texts), used="x".join(whole)))

    def sampler(self) -> None:
        """Read ``DPM++ 2M`` with its schedule type beside it, or the older ``DPM++ 2M Karras``."""
        if not (name := self.text("Sampler")):
            return
        named, kind = self.named(name), self.schedule("Schedule type")
        if named is None:
            if kind:
                self.values["schedule_type"] = kind
            return
        if kind in ("", AUTOMATIC):
            kind = named.schedule_type
        if kind == AUTOMATIC and named.sampler in _ONCE_UNIFORM and self.version(_WITHOUT_TYPE):
            kind = "Uniform"
        self.values |= {"sampler": named.sampler, "schedule_type": kind}
        second = self.text("Hires sampler") not in ("", ASSUMED["Hires sampler"])
        both = second or "Eta DDIM" in self.parsed
        if named.sampler in DDIM and "eta" in self.values and not both:
            # Before there were two keys; a second sampler may have an eta of its own.
            self.values["eta_ddim"] = self.values.pop("eta")

    def named(self, name: str) -> Named | None:
        """Read a sampler's name; None if it is unknown."""
        try:
            named = read_sampler(name)
        except UnknownName:
            self.unknown("sampler", name)
            return None
        if not named.exact:
            self.nearest("sampler", name, f"{named.sampler} {named.schedule_type}")
        return named

    def sigmas(self) -> None:
        """Leave out limits of the schedule that cross."""
        low, high = (self.values.get(f"schedule_{end}_sigma", 0) for end in ("min", "max"))
        if crossed(low, high):
            del self.values["schedule_min_sigma"], self.values["schedule_max_sigma"]
            self.notes.append(Note.of("crossed_sigmas", low=f"{low:g}", high=f"{high:g}"))

    def schedule(self, key: str) -> str:
        """Read a schedule type; an empty text where there is none, or an unknown one."""
        text = self.text(key)
        if text in ("", ASSUMED.get(key)):
            return ""
        try:
            kind, exact = read_schedule(text)
        except UnknownName as error:
            self.unknown(error.kind, text)
            return ""
        if not exact:
            self.nearest("schedule type", text, kind)
        return kind

    def nearest(self, kind: str, name: str, used: str) -> None:
        used = used.removesuffix(f" {AUTOMATIC}")
        self.notes.append(Note.of("nearest_name", kind=kind, name=name[:80], used=used))

    def noise(self) -> None:
        """Find what drew the noise where the text does not say it."""
        version = str(self.parsed.get("Version", ""))
        source = self.values.get("noise_source", "GPU")
        if source == "GPU" and version == _WITHOUT_RNG:
            source = "CPU"
        elif source == "GPU" and version.startswith(_FOREIGN):
            source = "CPU"
            if "Seed" in self.parsed:
                self.notes.append(Note.of("other_noise"))
        self.values["noise_source"] = source

    def seed(self, field: str) -> None:
        """Read a seed; of a larger one torch's generator on the CPU uses the last 32 bits."""
        key = OPTIONS[field].infotext
        text = self.text(key)
        if not text.isdecimal() or not MAX_SEED < (seed := int(text[:40])) < 2**64:
            self.number(key, field)
            return
        self.values[field] = seed & MAX_SEED
        exact = self.values["noise_source"] == "CPU" and self.values.get("sampler") not in BROWNIAN
        if not exact:
            self.notes.append(Note.of("large_seed", value=text, used=str(seed & MAX_SEED)))

    def unknown(self, kind: str, name: str) -> None:
        self.notes.append(Note.of("unknown_name", kind=kind, name=name[:80]))

    def name(self, key: str, field: str, known: Collection[str] | None) -> None:
        self.used.add(key)
        name = str(self.parsed.get(key, ""))
        if not name:
            return
        special = (AUTOMATIC, NONE) if field == "vae" else ()
        names = {_plain(each): each for each in (*(known or ()), *special)}
        # This bot writes a VAE with the ending of its file, as A1111 does.
        own = name.removesuffix(".safetensors") if field == "vae" else name
        usable = own in known if known is not None else not name.startswith('"')
        if usable:
            self.values[field] = own
        elif _plain(name) in names:
            self.values[field] = names[_plain(name)]
        else:
            self.unknown(key if key == "VAE" else key.lower(), name)

    def denoising(self) -> None:
        """Read the denoising strength: the second pass's where there is one, else img2img's."""
        text = self.text("Denoising strength")
        hires = self.hires()
        if hires is None:
            if text:
                self.number("Denoising strength", "denoising_strength")
            return
        self.number("Init denoising strength", "denoising_strength")
        if text:
            strength = self.checked("Denoising strength", text, "hires_denoising_strength")
            hires |= {} if strength is None else {"denoising_strength": strength}
        self.values["hires"] = HiresFix(**hires)

    def hires(self) -> dict[str, Any] | None:
        scale = self.scale()
        steps, upscaler = self.text("Hires steps"), self.text("Hires upscaler")
        if scale is None:
            return None
        hires: dict[str, Any] = {"scale": scale}
        if not self.text("Hires upscale"):
            # Whole numbers, for there is a scale.
            for side in (1, 2):
                field = ("resize_width", "resize_height")[side - 1]
                hires[field] = int(self.text(f"Hires resize-{side}") or 0)
        if steps and (read := self.checked("Hires steps", steps, "hires_steps")) is not None:
            hires["steps"] = read
        hires |= self.second()
        if upscaler:
            used = next((name for name in UPSCALERS if _plain(name) == _plain(upscaler)), None)
            if used is None:
                used = "Latent" if upscaler.startswith("Latent") else "Lanczos"
                self.notes.append(Note.of("other_upscaler", name=upscaler[:80], used=used))
            hires["upscaler"] = used
        return hires

    def second(self) -> dict[str, Any]:
        """Read what the second pass has of its own."""
        own: dict[str, Any] = {}
        for name in ("prompt", "negative_prompt"):
            key = f"Hires {name.replace('_', ' ')}"
            self.used.add(key)
            own[name] = str(self.parsed.get(key, ""))
        sampler = self.text("Hires sampler")
        same = sampler in ("", ASSUMED["Hires sampler"])
        named = None if same else self.named(sampler)
        own["schedule_type"] = self.schedule("Hires schedule type")
        if named is not None:
            of_name = "" if named.schedule_type == AUTOMATIC else named.schedule_type
            own |= {"sampler": named.sampler, "schedule_type": own["schedule_type"] or of_name}
        if text := self.text("Hires CFG Scale"):
            own["cfg_scale"] = self.checked("Hires CFG Scale", text, "hires_cfg_scale") or 0.0
        return own

    def scale(self) -> float | None:
        """Read ``Hires upscale``, or the factor to ``Hires resize``; None without hires fix."""
        key, text = "Hires upscale", self.text("Hires upscale")
        own = [self.values.get("width", 0), self.values.get("height", 0)]
        resize = [self.text("Hires resize-1"), self.text("Hires resize-2")]
        if not text and 0 not in own and any(size not in ("", "0") for size in resize):
            key, text = "Hires resize", _factor(resize, own)
        scale = self.checked(key, text, "hires_scale") if text else None
        if scale is not None and max(own) * scale >= RANGES["width"].high + 8:
            self.unreadable("pixels", key, text, high=f"{RANGES['width'].high:g}")
            return None
        return scale

    def leftovers(self) -> None:
        left = [
            key
            for key, value in self.parsed.items()
            if key not in self.used
            and key not in INFORMATION
            and not is_neutral(key, value)
            and value != ASSUMED.get(key)
        ]
        if left:
            more = ("…",) if len(left) > _MAX_NAMES else ()
            names = *(key[:40] for key in left[:_MAX_NAMES]), *more
            self.notes.append(Note.of("not_used", names=names))


def _cut(side: str, allowed: Range) -> str:
    """Cut a side in pixels to whole latents, which are 8; what no size is near to stays."""
    try:
        whole = max(int(half_width(side)), 0) // allowed.multiple * allowed.multiple
    except ValueError:
        return side
    return str(whole) if allowed.low <= whole <= allowed.high else side


def _factor(resize: list[str], own: list[int]) -> str:
    """Give the factor from ``own`` to ``resize``; a missing or 0 side follows the other."""
    try:
        factor = max(int(size or 0) / side for size, side in zip(resize, own, strict=True))
    except (ValueError, OverflowError):
        return "x".join(resize)
    return f"{factor:.6g}"


def _plain(name: str) -> str:
    """Fold a checkpoint's or VAE's name: without folder and file ending, in one case."""
    name = re.split(r"[/\\]", name.strip())[-1]
    return re.sub(r"\.(safetensors|ckpt|pt|pth|bin)$", "", name, flags=re.IGNORECASE).casefold()
