"""What a text of parameters says, what of it this bot uses, and what it leaves out and why.

The text is A1111's infotext, or another program's translated to it. Every pair in it is a value of
the request, left out with a reason, or named in a remark as information or as without effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from core.errors import InvalidRequest
from core.hires import PIXEL_UPSCALERS
from core.notes import Note
from core.options import AUTOMATIC, NONE, RANGES
from core.pictures.at_hand import AtHand, Lookup, is_another
from core.pictures.importing import to_values
from core.pictures.infotext import ASSUMED, parse
from core.pictures.known_keys import ELSEWHERE, INFORMATION, is_neutral, is_off, reason
from core.pictures.networks_in_text import (
    TAG,
    additional,
    embedding_names,
    hashes_in,
)
from core.prompt.tags import networks
from core.request import Enlarge, HiresFix

# Programs whose numbers mean something else, by the beginning of the version, and the remark.
PROGRAMS: Final = {
    "ComfyUI": "from_comfyui",
    "SwarmUI": "from_comfyui",
    "Fooocus": "from_fooocus",
    "InvokeAI": "from_invokeai",
    "NovelAI": "from_novelai",
    "Easy Diffusion": "from_easy_diffusion",
    "Draw Things": "from_draw_things",
}
# Notes of the import that say that a pair was not used as it stands, and what names it.
_LEFT_OUT: Final = {
    "unreadable_range": "name",
    "unreadable_multiple": "name",
    "unreadable_pixels": "name",
    "unreadable_yes_no": "name",
    "unknown_name": "kind",
    "nearest_name": "kind",
    "crossed_sigmas": "Schedule min sigma",
    "other_upscaler": "Hires upscaler",
    "other_noise": "RNG",
    "large_seed": "Seed",
}
_KEYS: Final = {"sampler": "Sampler", "schedule type": "Schedule type", "model": "Model"}
_MAX_NAMES: Final = 12
# Characters of a value among others.
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A pair of the text that is not used, and the reason."""

    key: str
    value: str
    why: Note


@dataclass(frozen=True, slots=True)
class Reading:
    """A request's fields that the text has, what is left out, and remarks on the rest.

    With nothing left out the image can be repeated.
    """

    values: dict[str, Any]
    left_out: tuple[LeftOut, ...]
    remarks: tuple[Note, ...]

    @property
    def notes(self) -> tuple[Note, ...]:
        """All of it in short, for the post of an image made from the text."""
        own = [each.why for each in self.left_out if not each.why.key.startswith("left_")]
        own += [
            Note.of("unknown_name", kind=_KINDS[each.key], name=each.value[:80])
            for each in self.left_out
            if each.why.key == "left_file" and each.key in _KINDS
        ]
        names = [
            each.key[:40]
            for each in self.left_out
            if each.why.key.startswith("left_") and each.key not in (*_KINDS, *_ELSEWHERE)
        ]
        if names:
            more = ("…",) if len(names) > _MAX_NAMES else ()
            own.append(Note.of("not_used", names=(*names[:_MAX_NAMES], *more)))
        own += [each for each in self.remarks if each.key not in _FOR_READERS]
        return tuple(dict.fromkeys(own))


_KINDS: Final = {"Model": "model", "VAE": "VAE"}
# Other notes name networks and upscalers, and a strength is used with a start image.
_ELSEWHERE: Final = ("LoRA", "Denoising strength", "Hires upscaler", "Postprocess upscaler")
_FOR_READERS: Final = ("no_model", "no_size", "no_effect", "only_information")


NOTHING: Final = Reading({}, (), ())


def read(text: str, at_hand: AtHand | None = None, *, max_side: int | None = None) -> Reading:
    """Read a text of parameters, against the files that are ``at_hand``, where they are known.

    A second pass that makes a side larger than ``max_side`` pixels is left out.
    """
    return _Reader(parse(text), at_hand or AtHand(), max_side).reading()


class _Reader:
    """One text being read; files are found first, so that values have the names used here."""

    def __init__(self, parsed: Mapping[str, Any], at_hand: AtHand, max_side: int | None) -> None:
        self.parsed, self.at_hand, self.max_side = dict(parsed), at_hand, max_side
        self.version = str(parsed.get("Version", ""))
        self.program = next((name for name in PROGRAMS if self.version.startswith(name)), "")
        self.hashes = hashes_in(parsed)
        self.left_out: list[LeftOut] = []
        self.remarks: list[Note] = []
        self.used: set[str] = set()
        # By key, the one name there is once it was found.
        self.found: dict[str, list[str]] = {}

    def reading(self) -> Reading:
        self.file("Model", at_hand=self.at_hand.models, kind="model")
        self.file("VAE", at_hand=self.at_hand.vaes, kind="vae")
        self.networks()
        self.embeddings()
        names = self.found.get("Model"), self.found.get("VAE")
        values, notes, used = to_values(self.parsed, models=names[0], vaes=names[1])
        self.used |= used
        self.hires(values, list(notes))
        self.enlarge(values)
        if "denoising_strength" in values:
            self.leave("Denoising strength", "left_start_image")
        self.others()
        self.remark(values)
        return Reading(values, tuple(self.left_out), tuple(dict.fromkeys(self.remarks)))

    def leave(self, key: str, why: str, value: object = None) -> None:
        shown = self.parsed.get(key, "") if value is None else value
        self.left_out.append(LeftOut(key, str(shown), Note.of(why)))

    # --- files

    def file(self, key: str, *, at_hand: Lookup | None, kind: str) -> None:
        """Put the name used here in the place of a model's or a VAE's; leave out a missing one."""
        name, digits = str(self.parsed.get(key, "")), self.hashes.get(kind, "")
        if at_hand is None or name in (AUTOMATIC, NONE) or not (name or digits):
            return
        found = at_hand.find(name, digits)
        if found is None:
            if kind == "vae" and name.casefold() in (AUTOMATIC.casefold(), NONE.casefold()):
                return
            self.leave(key if name else f"{key} hash", "left_file", name or digits)
            self.parsed.pop(key, None)
            return
        if is_another(found, digits):
            right = at_hand.of_hash(digits)
            if right is None:
                self.leave(f"{key} hash", "left_other_file", digits)
            found = right or found
        self.parsed[key] = found.name
        self.found[key] = [found.name]

    def networks(self) -> None:
        """Find the prompt's LoRAs; rewrite the tags of those that have another name here."""
        tags, keys = additional(self.parsed)
        self.used |= keys
        prompt = str(self.parsed["Prompt"])
        self.parsed["Prompt"] = TAG.sub(self.tag, f"{prompt} {' '.join(tags)}" if tags else prompt)
        self.parsed["Negative prompt"] = str(self.parsed["Negative prompt"])

    def tag(self, found: re.Match[str]) -> str:
        kind, name, weights = found[1].lower(), found[2], found[3] or ""
        if kind == "hypernet":
            self.leave("Hypernet", "left_hypernetwork", name)
        elif kind not in ("lora", "lyco"):
            self.leave(f"<{found[1]}>"[:40], "left_unknown", name)
        elif self.at_hand.loras is not None:
            digits = self.hashes.get(f"lora:{name}", "")
            file = self.at_hand.loras.of_hash(digits) or self.at_hand.loras.find(name)
            if file is None:
                self.leave("LoRA", "left_file", name)
            elif is_another(file, digits):
                self.leave("LoRA", "left_other_file", name)
            else:
                self.arguments(found[0])
                return f"<{found[1]}:{file.name}{weights}>"
        if kind in ("lora", "lyco") and self.at_hand.loras is None:
            self.arguments(found[0])
        return found[0]

    def arguments(self, tag: str) -> None:
        """Leave out what of a tag is not acted on, such as steps at which it starts."""
        for note in networks(tag)[2]:
            self.left_out.append(LeftOut("LoRA", tag[:_SHOWN], note))

    def embeddings(self) -> None:
        """Name the embeddings that the text names, or that are known as such, and are missing."""
        files = self.at_hand.embeddings
        for name in embedding_names(self.parsed) if files is not None else ():
            digits = self.hashes.get(f"embed:{name}", "")
            found = files.find(name, digits) if files is not None else None
            if found is None:
                self.leave("Embedding", "left_file", name)
            elif is_another(found, digits):
                self.leave("Embedding", "left_other_file", name)

    # --- what the import says

    def hires(self, values: dict[str, Any], notes: list[Note]) -> None:
        """Use an upscaler at hand, and take the import's notes apart."""
        upscaler, files = str(self.parsed.get("Hires upscaler", "")), self.at_hand.upscalers
        found = files.find(upscaler) if files is not None and upscaler else None
        hires = values.get("hires")
        for note in notes:
            if note.key == "other_noise" and self.program:
                # Its remark says so.
                continue
            if note.key == "other_upscaler" and found is not None and hires is not None:
                values["hires"] = replace(hires, upscaler=found.name)
            elif note.key == "other_upscaler":
                mode = files is None or upscaler.startswith("Latent")
                self.leave("Hires upscaler", "left_option" if mode else "left_file")
                # It says what enlarges instead.
                self.remarks.append(note)
            elif note.key != "not_used":
                self.take(note)
        left = {each.key for each in self.left_out}
        if hires is None and not left & {"Hires upscale", "Hires resize"}:
            for key in ("Hires upscaler", "Hires steps"):
                if key in self.parsed:
                    self.leave(key, "left_no_hires")
        self.bound(values)

    def enlarge(self, values: dict[str, Any]) -> None:
        """Read what A1111's page Extras wrote: the finished image was enlarged."""
        key, name_key = "Postprocess upscale by", "Postprocess upscaler"
        text, name = (str(self.parsed.get(each, "")).strip() for each in (key, name_key))
        if not text:
            return
        allowed = RANGES["enlarge_scale"]
        try:
            scale = allowed.read("enlarge_scale", text)
            allowed.check("enlarge_scale", scale)
        except InvalidRequest as error:
            self.take(Note.of("unreadable_range", name=key, value=text[:40], **error.bounds))
            self.used |= {key, name_key}
            return
        self.used |= {key, name_key}
        built_in = next((each for each in PIXEL_UPSCALERS if each == (name or "None")), None)
        files = self.at_hand.upscalers
        found = files.find(name) if files is not None and built_in is None else None
        if built_in is None and found is None and files is not None:
            self.leave(name_key, "left_file")
            self.remarks.append(Note.of("other_upscaler", name=name[:80], used="Lanczos"))
            built_in = "Lanczos"
        values["enlarge"] = Enlarge(float(scale), built_in or (found.name if found else name))

    def bound(self, values: dict[str, Any]) -> None:
        """Leave out a second pass that is larger than allowed."""
        hires = values.get("hires")
        if not isinstance(hires, HiresFix) or self.max_side is None:
            return
        width, height = values.get("width", 0), values.get("height", 0)
        if max(hires.size(width, height).picture) > self.max_side:
            del values["hires"]
            self.take(too_large(hires, self.max_side))

    def take(self, note: Note) -> None:
        """Sort a note of the import: a pair that is left out, or a remark."""
        by = _LEFT_OUT.get(note.key)
        if by is None:
            self.remarks.append(note)
            return
        said = dict(note.values)
        named = str(said.get(by, by))
        value = said.get("value", said.get("name", self.parsed.get(named, "")))
        self.left_out.append(LeftOut(_KEYS.get(named, named), str(value), note))

    # --- the rest

    def others(self) -> None:
        """Give every other pair its reason, or its place among what is only information."""
        information: list[str] = []
        without_effect: list[str] = []
        for key, value in self.parsed.items():
            if key in self.used or (key in ASSUMED and value == ASSUMED[key]):
                continue
            if key in INFORMATION:
                information.append(key)
            elif is_neutral(key, value) or is_off(key, self.parsed):
                without_effect.append(key)
            else:
                self.left_out.append(LeftOut(key, str(value), reason(key, self.program)))
        if without_effect:
            self.remarks.append(Note.of("no_effect", names=without_effect))
        if shown := [key for key in information if key not in ELSEWHERE]:
            self.remarks.append(Note.of("only_information", names=shown))

    def remark(self, values: Mapping[str, Any]) -> None:
        """Say what the text does not say, and what another program's numbers mean."""
        missing = {each.key for each in self.left_out}
        if "model" not in values and not missing & {"Model", "Model hash"}:
            self.remarks.append(Note.of("no_model"))
        if "width" not in values and "Size" not in missing and "Size-1" not in missing:
            self.remarks.append(Note.of("no_size"))
        if self.program:
            self.remarks.append(Note.of(PROGRAMS[self.program], name=self.program))


def too_large(larger: HiresFix | Enlarge, high: int) -> Note:
    """The note on a second pass, or an enlargement, to a side of more than ``high`` pixels."""
    name = "Hires upscale" if isinstance(larger, HiresFix) else "Postprocess upscale by"
    return Note.of("unreadable_pixels", name=name, value=f"{larger.scale:g}", high=high)


def grouped(reading: Reading) -> Iterator[tuple[str, Note]]:
    """Yield what was left out by reason: the pairs, of many the keys alone, and the reason."""
    groups: dict[Note, dict[str, list[str]]] = {}
    for each in reading.left_out:
        groups.setdefault(each.why, {}).setdefault(each.key, []).append(each.value)
    for why, pairs in groups.items():
        named = len(pairs) == 1 or why.key in ("left_file", "left_other_file")
        said = (f"{key}: {', '.join(map(_cut, values))}" for key, values in pairs.items())
        yield ", ".join(said if named else pairs), why


def _cut(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…"
