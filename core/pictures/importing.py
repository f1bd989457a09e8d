"""Convert parameters read from a text or an image into values for a request.

What can be used is used; everything else that would change the image is named in a note.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from core.errors import InvalidRequest, UnknownName
from core.notes import Note
from core.options import AUTOMATIC, NONE, OPTIONS, RANGES, Option
from core.pictures.infotext import ASSUMED
from core.request import UPSCALERS, HiresFix, split_sampler

# The denoising strength is the second pass's where there is one.
_NUMBERS: Final = [
    option
    for option in OPTIONS.values()
    if option.infotext and option.range is not None and option.name != "denoising_strength"
]
# A sampler's name may include its schedule type, so they are read together.
_CHOICES: Final = [
    option
    for option in OPTIONS.values()
    if option.infotext and option.choices and option.name not in ("sampler", "schedule_type")
]
# They do not decide the pixels, or have their effect elsewhere.
_SILENT: Final = frozenset(
    {"Version", "User", "Model hash", "VAE hash", "Hashes", "Lora hashes", "TI hashes"}
    | {"Batch size", "Batch pos", "Emphasis", "RNG", "First pass size-1", "First pass size-2"}
)
_MAX_NAMES: Final = 12


def to_request_values(
    parsed: Mapping[str, Any],
    *,
    models: Collection[str] | None = None,
    vaes: Collection[str] | None = None,
) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """Convert what :func:`core.pictures.infotext.parse` read to a request's fields, and notes.

    Fields that the text does not have are left out. With ``models`` and ``vaes`` (the names there
    are) a name is matched as A1111 does, whatever its case and file ending, and left out with
    a note where it is unknown; without them names are passed on as they are.
    """
    reading = _Reading(parsed)
    for option in _NUMBERS:
        reading.number(option.infotext, option.name)
    for option in _CHOICES:
        reading.choice(option)
    reading.size()
    reading.sampler()
    reading.name("Model", "model", models)
    reading.name("VAE", "vae", vaes)
    if "VAE" not in parsed and reading.ours:
        # This bot always writes an external VAE, so without one it was the checkpoint's own.
        reading.values["vae"] = NONE
    reading.denoising()
    reading.leftovers()
    return reading.values, tuple(reading.notes)


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

    def text(self, key: str) -> str:
        self.used.add(key)
        return str(self.parsed.get(key, "")).strip()

    def unreadable(self, kind: str, key: str, value: str, **bounds: object) -> None:
        self.notes.append(Note.of(f"unreadable_{kind}", name=key, value=value[:40], **bounds))

    def number(self, key: str, field: str) -> None:
        if (text := self.text(key)) == "":
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

    def choice(self, option: Option) -> None:
        if text := self.text(option.infotext):
            try:
                self.values[option.name] = option.spelt(text)
            except UnknownName as error:
                self.unknown(error.kind, text)

    def size(self) -> None:
        """Drop a width without a height, and the reverse."""
        if ("width" in self.values) != ("height" in self.values):
            self.values.pop("width", None)
            self.values.pop("height", None)

    def sampler(self) -> None:
        """Read ``DPM++ 2M`` with its schedule type beside it, or the older ``DPM++ 2M Karras``."""
        name, schedule = self.text("Sampler"), self.text("Schedule type")
        if name:
            try:
                sampler, kind = split_sampler(name)
            except UnknownName:
                self.unknown("sampler", name)
                return
            self.values |= {"sampler": sampler, "schedule_type": kind}
        try:
            kind = OPTIONS["schedule_type"].spelt(schedule or AUTOMATIC)
        except UnknownName:
            self.unknown("schedule type", schedule)
            return
        if kind != AUTOMATIC:
            self.values["schedule_type"] = kind

    def unknown(self, kind: str, name: str) -> None:
        self.notes.append(Note.of("unknown_name", kind=kind, name=name[:80]))

    def name(self, key: str, field: str, known: Collection[str] | None) -> None:
        self.used.add(key)
        name = str(self.parsed.get(key, ""))
        if not name:
            return
        special = (AUTOMATIC, NONE) if field == "vae" else ()
        names = {_plain(each): each for each in (*(known or ()), *special)}
        usable = name in known if known is not None else not name.startswith('"')
        if usable:
            self.values[field] = name
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
        if steps and (read := self.checked("Hires steps", steps, "hires_steps")) is not None:
            hires["steps"] = read
        if upscaler:
            hires["upscaler"] = "Latent" if upscaler.startswith("Latent") else "Lanczos"
            if upscaler not in UPSCALERS:
                used = hires["upscaler"]
                self.notes.append(Note.of("other_upscaler", name=upscaler[:80], used=used))
        return hires

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
            if key not in self.used and key not in _SILENT and value != ASSUMED.get(key)
        ]
        if left:
            more = ("…",) if len(left) > _MAX_NAMES else ()
            names = *(key[:40] for key in left[:_MAX_NAMES]), *more
            self.notes.append(Note.of("not_used", names=names))
        if "seed" in self.values and self.parsed.get("RNG") != "CPU" and not self.ours:
            self.notes.append(Note.of("other_noise"))


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
