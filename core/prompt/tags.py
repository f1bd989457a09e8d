"""Names of files in a prompt: networks, ``<lora:name:0.8>``, and what may name an embedding."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from core.notes import Note
from core.typed import half_width

# What a tag can begin with. LyCORIS had an extension, and a word, of its own.
KINDS: Final = ("lora", "lyco")

_TAG: Final = re.compile(r"<(\w+):([^>]+)>")
_BLOCKS: Final = ("lbw", "w")
_SIDES: Final = ("te", "unet")


@dataclass(frozen=True, slots=True)
class Use:
    """A network as a prompt names it.

    ``te`` and ``unet`` multiply its text encoder's and UNet's part; ``dyn`` keeps only the first
    ranks. ``blocks`` are the weights by block, as written: numbers or a preset's name.
    """

    kind: str
    name: str
    te: float = 1.0
    unet: float = 1.0
    dyn: int | None = None
    blocks: str = ""


def tag(name: str, weight: float = 1.0) -> str:
    """Write a LoRA's tag: ``<lora:name:1>``."""
    return f"<lora:{name}:{weight:g}>"


def with_name(text: str, name: str) -> str:
    """Put another LoRA in the place of a prompt's last one, with its weights; ``""`` takes it out.

    Where there is none, the tag is added at the end.
    """
    last = _last(text)
    if last is None:
        return f"{text} {tag(name)}".strip() if name else text
    _, colon, arguments = last[2].partition(":")
    written = f"<{last[1]}:{name}{colon}{arguments}>" if name else ""
    return text[: last.start()] + written + text[last.end() :]


def with_weight(text: str, weight: float) -> str:
    """Set both weights of a prompt's last LoRA; its other arguments stay."""
    last = _last(text)
    if last is None:
        return text
    name, *arguments = last[2].split(":")
    placed = [each for each in arguments if "=" not in each]
    kept = [each for each in arguments if "=" in each and each.split("=")[0].strip() not in _SIDES]
    if placed[1:2] and _number(placed[1]) is not None:
        placed[1] = f"{weight:g}"
    written = ":".join([name, f"{weight:g}", *placed[1:], *kept])
    return f"{text[: last.start()]}<{last[1]}:{written}>{text[last.end() :]}"


def _last(text: str) -> re.Match[str] | None:
    found = _TAG.finditer(text[: text.rfind(">") + 1])
    return next((each for each in reversed([*found]) if each[1].lower() in KINDS), None)


def names_embedding(name: str) -> bool:
    """Whether an embedding can have this name.

    One of one or two letters, such as “a”, would take the place of a word in most prompts.
    """
    return len(name) > (2 if name.isascii() else 0)


def networks(text: str) -> tuple[str, list[Use], list[Note]]:
    """Take the networks out of a prompt: ``"cat <lora:ink:0.8>"`` → ``("cat ", [Use(…)], [])``.

    ``<lora:name:te:unet:dyn>``, where ``unet`` is ``te`` if not given. Arguments may be named,
    which comes before their place: ``te=``, ``unet=``, ``dyn=``, and ``lbw=`` for block weights,
    which may also stand third (the rule of the extension that has them). No ``<word:…>`` stays.

    Never raises. A number that cannot be read is left out with a note, where A1111 leaves out all
    networks of the prompt; numbers out of any range are for those who use them. The same name
    twice counts twice, each with its own weights (A1111 takes the last one's twice).
    """
    uses: list[Use] = []
    notes: list[Note] = []
    names: set[str] = set()

    def take(match: re.Match[str]) -> str:
        use, found = _use(match[1], match[2])
        notes.extend(found)
        if use is not None:
            if use.name in names:
                notes.append(Note.of("lora_twice", name=use.name[:40]))
            names.add(use.name)
            uses.append(use)
        return ""

    # Nothing is found after the last “>”; looking there would take quadratic time.
    end = text.rfind(">") + 1
    return _TAG.sub(take, text[:end]) + text[end:], uses, notes


def negative_notes(text: str) -> Iterator[Note]:
    """Note the networks in a negative prompt, where they are words, as in A1111."""
    for match in _TAG.finditer(text[: text.rfind(">") + 1]):
        if match[1].lower() in KINDS:
            yield Note.of("lora_negative", **_shown(match[1], match[2].partition(":")[0]))


def _use(kind: str, inside: str) -> tuple[Use | None, list[Note]]:
    name, *arguments = (part.strip() for part in inside.split(":"))
    if kind.lower() not in KINDS or not name:
        return None, [Note.of("lora_left_out", **_shown(kind, name))]
    placed = [argument for argument in arguments if "=" not in argument]
    values = dict(zip(("te", "unet", "dyn"), placed, strict=False))
    ignored = placed[3:]
    if len(placed) > 1 and placed[1] and _number(placed[1]) is None:
        values["blocks"] = values.pop("unet")
    for argument in arguments:
        key, equals, value = (part.strip() for part in argument.partition("="))
        if not equals:
            continue
        if key in ("te", "unet", "dyn"):
            values[key] = value
        elif key in _BLOCKS:
            values["blocks"] = value
        else:
            ignored.append(argument)

    def number(key: str, default: float) -> float:
        text = values.get(key)
        found = _number(text) if text else default
        if found is None:
            ignored.append(values[key])
            return default
        return found

    te = number("te", 1.0)
    unet = number("unet", te)
    dyn = _number(values.get("dyn", ""))
    if dyn is None or not 1 <= dyn < math.inf:
        ignored.append(values.get("dyn", ""))
        dyn = None
    ranks = None if dyn is None else int(dyn)
    use = Use(kind.lower(), name, te, unet, ranks, values.get("blocks", ""))
    shown = _shown(kind, name)
    return use, [Note.of("lora_argument", argument=part[:40], **shown) for part in ignored if part]


def _number(text: str) -> float | None:
    try:
        return float(half_width(text))
    except ValueError:
        return None


def _shown(kind: str, name: str) -> dict[str, str]:
    return {"kind": kind[:40], "name": name[:40]}
