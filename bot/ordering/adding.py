"""What a command's own options add to a request: a LoRA's tag in the prompt, and hires fix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from core.errors import NetworkMismatch
from core.models.catalogue import Catalogue, Model
from core.notes import Note
from core.options import RANGES
from core.prompt.tags import tag
from core.request import HiresFix
from core.typed import half_width

# The words of a LoRA that are named: the first are the most used.
MAX_WORDS: Final = 5

_WEIGHED: Final = re.compile(r"(.+?)\s*[:：]\s*([^\s:：]+)")


def split_weight(text: str) -> tuple[str, str]:
    """Split ``name:0.8``, or such a tag, into the name and the weight, "" where there is none."""
    text = text.strip().removeprefix("<lora:").removesuffix(">")
    found = _WEIGHED.fullmatch(text)
    if found is None or re.search(r"\d", found[2]) is None:
        return text.rstrip(":： "), ""
    return found[1], found[2]


def lora_tag(
    text: str, prompt: str, catalogue: Catalogue, model: Model
) -> tuple[str, tuple[Note, ...]]:
    """Make the tag of a LoRA given as ``name`` or ``name:0.8``, and a note of its trigger words
    where the prompt has none of them.

    Raises :class:`~core.errors.UnknownName`, :class:`~core.errors.AmbiguousName`,
    :class:`~core.errors.NetworkMismatch`, or :class:`~core.errors.InvalidRequest` for the weight.
    """
    name, written = split_weight(text)
    allowed, weight = RANGES["lora_weight"], 1.0
    if written:
        weight = allowed.read("lora_weight", half_width(written))
        allowed.check("lora_weight", weight)
    file = catalogue.networks.find(name)
    if file.family not in (None, model.family):
        raise NetworkMismatch("LoRA", file.name, str(file.family), model.family)
    folded = prompt.casefold()
    notes: tuple[Note, ...] = ()
    if file.triggers and not any(word.casefold() in folded for word in file.triggers):
        notes = (Note.of("lora_triggers", name=file.name, words=file.triggers[:MAX_WORDS]),)
    return tag(file.in_text, weight), notes


def with_hires(
    hires: HiresFix | None, given: Mapping[str, Any], catalogue: Catalogue
) -> HiresFix | None:
    """Change or add hires fix as a command's options say; what they leave open is A1111's.

    Raises :class:`~core.errors.UnknownName` for the upscaler.
    """
    scale, upscaler = given.get("hires_scale"), given.get("hires_upscaler")
    if scale is None and not upscaler:
        return hires
    hires = hires or HiresFix()
    if scale is not None:
        hires = replace(hires, scale=float(scale), resize_width=0, resize_height=0)
    return replace(hires, upscaler=catalogue.upscaler_name(upscaler)) if upscaler else hires
