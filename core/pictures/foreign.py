"""Translation of other programs' image metadata into infotext.

sd-parsers reads what ComfyUI, InvokeAI, NovelAI and Fooocus write; here it is mapped to A1111's
keys and values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from sd_parsers.data import Generators, PromptInfo, Sampler
from sd_parsers.exceptions import ParserError
from sd_parsers.parsers import ComfyUIParser, FooocusParser, InvokeAIParser, NovelAIParser

from core.pictures.infotext import compose

_PARSERS: Final = (ComfyUIParser(), InvokeAIParser(), NovelAIParser(), FooocusParser())

# sd-parsers does not validate the JSON: of an unexpected type it can raise any of these.
_PARSE_ERRORS: Final = (
    ParserError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
)

# ComfyUI's names; the others' are the same without their prefixes and suffixes.
_SAMPLERS: Final = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "euler_a": "Euler a",
    "heun": "Heun",
    "lms": "LMS",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "ddim": "DDIM",
    "unipc": "UniPC",
    "uni_pc": "UniPC",
    "lcm": "LCM",
}
_SCHEDULES: Final = {"karras": "Karras", "exponential": "Exponential", "normal": "Uniform"}


def to_infotext(texts: Mapping[str, str]) -> str | None:
    """Translate an image's text entries (PNG keyword → text); None if no format matches."""
    for parser in _PARSERS:
        try:
            info = parser.parse(dict(texts))
            if info.samplers:
                return _compose(info)
        except _PARSE_ERRORS:
            continue
    return None


def is_json(text: str | None) -> bool:
    """Return whether a text is a JSON object, and so not a prompt."""
    try:
        return text is not None and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _compose(info: PromptInfo) -> str:
    # Several samplers are passes over one picture; the first generates it.
    sampler = info.samplers[0]
    parameters, metadata = sampler.parameters, info.metadata
    name, schedule = _sampler(sampler.name, str(parameters.get("scheduler", "")))
    pairs: dict[str, Any] = {
        "Steps": parameters.get("steps", metadata.get("steps")),
        "Sampler": name,
        "Schedule type": schedule,
        "CFG scale": parameters.get("cfg_scale"),
        "Seed": parameters.get("seed", parameters.get("noise_seed")),
        "Size": _size(metadata),
        "Model hash": sampler.model.hash if sampler.model else None,
        "Model": _stem(sampler.model.name) if sampler.model else None,
        "VAE": _vae(metadata),
        "Denoising strength": _strength(info.generator, parameters),
        "Clip skip": _clip_skip(info.generator, metadata),
        # As A1111 imports NovelAI's: their seed offset for the noise of ancestral samplers.
        "ENSD": 31337 if info.generator is Generators.NOVELAI else None,
        "Version": info.generator.value,
    }
    known = {key: value for key, value in pairs.items() if _is_valid(value)}
    return compose(_text(sampler, "prompts"), _text(sampler, "negative_prompts"), known)


def _is_valid(value: object) -> bool:
    return isinstance(value, tuple | int | float) or (
        isinstance(value, str) and 0 < len(value) < 300
    )


def _text(sampler: Sampler, kind: str) -> str:
    return ", ".join(str(prompt.value) for prompt in getattr(sampler, kind))


def _sampler(name: object, schedule: str) -> tuple[str, str | None]:
    plain = re.sub(r"^(k|sample)_|_gpu$", "", str(name).lower().strip())
    if plain.endswith(("_k", "_karras")):
        plain, schedule = re.sub(r"_k(arras)?$", "", plain), "karras"
    return _SAMPLERS.get(plain, str(name)), _SCHEDULES.get(schedule, schedule) or None


def _node(metadata: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the inputs of the first ComfyUI node of this kind."""
    nodes = metadata.get(kind)
    return nodes[0] if isinstance(nodes, list) and nodes else {}


def _size(metadata: Mapping[str, Any]) -> tuple[int, int] | None:
    latent = _node(metadata, "EmptyLatentImage") or metadata
    # Fooocus: "(1152, 896)".
    stated = latent.get("resolution", (latent.get("width"), latent.get("height")))
    sizes = re.findall(r"\d{1,5}", str(stated))
    return (int(sizes[0]), int(sizes[1])) if len(sizes) == 2 else None


def _vae(metadata: Mapping[str, Any]) -> str | None:
    vae = _node(metadata, "VAELoader").get("vae_name", metadata.get("vae"))
    if isinstance(vae, Mapping):
        vae = vae.get("model_name", vae.get("name"))
    return _stem(vae) if isinstance(vae, str) and not vae.startswith("Default") else None


def _stem(name: object) -> str | None:
    """Return a checkpoint's name as A1111 writes it: ``folder/model.safetensors`` → ``model``."""
    if not isinstance(name, str):
        return None
    return re.sub(r"\.(safetensors|ckpt|pt|pth|bin)$", "", re.split(r"[/\\]", name)[-1])


def _strength(generator: Generators, parameters: Mapping[str, Any]) -> Any:
    if generator is Generators.NOVELAI:
        return parameters.get("strength")
    denoise = parameters.get("denoise")
    return denoise if isinstance(denoise, int | float) and denoise < 1 else None


def _clip_skip(generator: Generators, metadata: Mapping[str, Any]) -> int | None:
    """Return clip skip as A1111 counts it: 1 is the last layer."""
    match generator:
        case Generators.NOVELAI:
            return 2
        case Generators.COMFYUI:
            stop = _node(metadata, "CLIPSetLastLayer").get("stop_at_clip_layer")
            return -stop if isinstance(stop, int) else None
        case Generators.INVOKEAI:
            skipped = metadata.get("clip_skip")
            return skipped + 1 if isinstance(skipped, int) else None
        case _:
            skip = metadata.get("clip_skip")
            return skip if isinstance(skip, int) else None
