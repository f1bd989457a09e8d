"""InvokeAI's pictures: version 3 and later, 2, and the command line of version 1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from core.pictures.foreign import weights
from core.pictures.foreign.translated import (
    ProgramValues,
    Translated,
    network,
    sampler,
    short,
    size,
    stem,
)

PROGRAM: Final = "InvokeAI"

_SILENT: Final = frozenset(
    {"app_version", "generation_mode", "app_id", "created_by", "ref_images", "canvas_v2_metadata"}
    | {"model_hash", "type", "threshold_unit", "_canvas_objects", "canvas_objects", "workflow"}
)
_FUNCTIONS: Final = re.compile(r"\)\s*\.(?:and|blend|swap)\(|\.(?:and|blend|swap)\(")
_OPTION: Final = re.compile(r"\s-{1,2}([A-Za-z_]+)[ =]?([^\s]+)?")
# The command line's one-letter options.
_DREAM: Final = {
    "A": "scheduler",
    "C": "cfg_scale",
    "H": "height",
    "W": "width",
    "s": "steps",
    "S": "seed",
    "f": "strength",
    "I": "init_img",
    "G": "facetool_strength",
}


def read(entries: Mapping[str, Any]) -> Translated | None:
    """Translate any of the three forms."""
    newest = entries.get("invokeai_metadata")
    if isinstance(newest, Mapping):
        return _translated(newest)
    older = entries.get("sd-metadata")
    if isinstance(older, Mapping) and isinstance(image := older.get("image"), Mapping):
        prompt, negative = _split(_joined(image.get("prompt")))
        own = {"prompt", "image", "sampler"}
        values = {**older, **image, "positive_prompt": prompt, "negative_prompt": negative}
        name = {"scheduler": image.get("sampler"), "model": {"name": older.get("model_weights")}}
        return _translated({key: each for key, each in values.items() if key not in own} | name)
    dream = entries.get("Dream")
    if isinstance(dream, str) and (found := re.match(r'\s*"(.*)"(.*)', dream, re.DOTALL)):
        prompt, negative = _split(found[1])
        options = {_DREAM.get(name, name): value for name, value in _OPTION.findall(found[2])}
        return _translated({**options, "positive_prompt": prompt, "negative_prompt": negative})
    return None


def _joined(prompt: object) -> str:
    if isinstance(prompt, list):
        parts = (each.get("prompt", "") for each in prompt if isinstance(each, Mapping))
        return ", ".join(map(str, parts))
    return str(prompt or "")


def _split(prompt: str) -> tuple[str, str]:
    """Take the negative prompt, which older versions write in square brackets, out of a prompt."""
    negative = ", ".join(part.strip(" ,") for part in re.findall(r"\[([^\[\]]*)\]", prompt))
    return re.sub(r"\[[^\[\]]*\]", "", prompt).strip(" ,"), negative


def _translated(values: Mapping[str, Any]) -> Translated | None:
    source = ProgramValues(values)
    positive, negative = source.text("positive_prompt"), source.text("negative_prompt")
    name, schedule = sampler(source.take("scheduler"))
    steps = source.number("steps")
    if not name and steps is None and not positive:
        return None
    skip = source.number("clip_skip")
    strength = source.number("strength")
    device = source.text("rand_device")
    pairs: dict[str, Any] = {
        "Steps": steps,
        "Sampler": name,
        "Schedule type": schedule,
        "CFG scale": source.number("cfg_scale"),
        "Seed": source.number("seed"),
        "Size": size(source.take("width"), source.take("height")),
        "Model": _name(source.take("model")),
        "VAE": _name(source.take("vae")),
        # InvokeAI counts the layers that are left away.
        "Clip skip": skip + 1 if isinstance(skip, int) else None,
        "RNG": "CPU" if device in ("", "cpu") else None,
        "Denoising strength": strength,
    }
    pairs |= _hires(source)
    tags = "".join(f" {tag}" for tag in _loras(source.take("loras")))
    for key, text in (("Prompt functions", positive), ("Negative prompt functions", negative)):
        if functions := _FUNCTIONS.findall(text):
            pairs[key] = " ".join(re.sub(r"[^.\w]", "", each) for each in functions)
    for side in ("positive", "negative"):
        style = source.text(f"{side}_style_prompt")
        # The second text encoder's own prompt, where it is another one.
        if style and style != (positive if side == "positive" else negative):
            pairs[f"{side}_style_prompt"] = style
    pairs |= {key: short(value) for key, value in source.rest(_SILENT).items()}
    prompts = weights.from_invokeai(positive), weights.from_invokeai(negative)
    return Translated(PROGRAM, f"{prompts[0]}{tags}".strip(), prompts[1], pairs)


def _hires(source: ProgramValues) -> dict[str, Any]:
    """The older versions' second pass, named as InvokeAI names it."""
    enabled, values = source.take("high_resolution_optimization", "hrf_enabled"), {}
    for key in ("hrf_method", "hrf_strength", "hrf_width", "hrf_height"):
        value = source.take(key)
        if enabled and value is not None:
            values[key] = value
    return {"hrf_enabled": True, **values} if enabled else {}


def _name(model: object) -> str | None:
    """A model's name: of version 4 and later, of 3, or as older ones write it."""
    if isinstance(model, Mapping):
        model = model.get("name") or model.get("model_name")
    return stem(model)


def _loras(loras: object) -> list[str]:
    tags = []
    for each in loras if isinstance(loras, list) else ():
        if isinstance(each, Mapping):
            name = _name(each.get("model") or each.get("lora"))
            tags.append(network(name, each.get("weight", 0.75), each.get("weight", 0.75)))
    return [tag for tag in tags if tag]
