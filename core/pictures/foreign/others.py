"""Fooocus, SwarmUI, Easy Diffusion and Draw Things: programs with flat lists of values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from core.pictures.foreign import weights
from core.pictures.foreign.translated import (
    OBJECT,
    ProgramValues,
    Translated,
    is_off,
    network,
    sampler,
    short,
    size,
    stem,
)

FOOOCUS: Final = "Fooocus"
SWARM: Final = "SwarmUI"
EASY: Final = "Easy Diffusion"
DRAW_THINGS: Final = "Draw Things"

_FOOOCUS_SILENT: Final = frozenset(
    {"version", "metadata_scheme", "created_by", "performance", "full_negative_prompt"}
    | {"refiner_switch", "loras", "prompt_expansion", "styles"}
)
_SWARM_SILENT: Final = frozenset(
    {"swarm_version", "aspectratio", "images", "resolution", "date", "generation_time"}
    | {"automaticvae", "donotsave", "personalnote", "modelspecific", "batchsize", "sidelength"}
    | {"refinercontrolpercentage", "refinerupscalemethod", "refinersteps", "colordepth"}
)
_EASY_SILENT: Final = frozenset(
    {"num_outputs", "stream_progress_updates", "stream_image_progress", "output_format"}
    | {"show_only_filtered_image", "output_quality", "output_lossless", "metadata_output_format"}
    | {"original_prompt", "vram_usage_level", "session_id", "sampler", "render_device"}
    | {"save_to_disk_path", "used_random_seed", "block_nsfw", "upscale_amount", "lora_alpha"}
    | {"latent_upscaler_steps", "hypernetwork_strength", "clip_skip", "request_id"}
    | {"preserve_init_image_color_profile"}
)
# Draw Things writes the whole of its settings; these matter only where another one is on.
_DRAW_SILENT: Final = frozenset(
    {"steps", "seed", "width", "height", "model", "sampler", "strength", "guidanceScale", "id"}
    | {"seedMode", "clipSkip", "loras", "batchCount", "batchSize", "maskBlur", "maskBlurOutset"}
    | {"aestheticScore", "negativeAestheticScore", "zeroNegativePrompt", "imagePriorSteps"}
    | {"imageGuidanceScale", "guidanceEmbed", "speedUpWithGuidanceEmbed", "shift", "name"}
    | {"originalImageWidth", "originalImageHeight", "targetImageWidth", "targetImageHeight"}
    | {"negativeOriginalImageWidth", "negativeOriginalImageHeight", "preserveOriginalAfterInpaint"}
    | {"hiresFixWidth", "hiresFixHeight", "hiresFixStrength", "refinerStart", "fps", "numFrames"}
    | {"stage2Guidance", "stage2Shift", "startFrameGuidance", "motionScale", "guidingFrameNoise"}
    | {"stochasticSamplingGamma", "t5TextEncoder", "clipWeight", "upscalerScaleFactor"}
    | {"tiledDecoding", "tiledDiffusion", "decodingTileWidth", "decodingTileHeight"}
    | {"decodingTileOverlap", "diffusionTileWidth", "diffusionTileHeight", "diffusionTileOverlap"}
    | {"teaCacheStart", "teaCacheEnd", "teaCacheThreshold", "teaCacheMaxSkipSteps", "created"}
    | {"resolutionDependentShift", "causalInference", "cfgZeroInitSteps", "causalInferencePad"}
)
# How a Draw Things seed becomes noise.
_SEED_MODES: Final = {"Torch CPU Compatible": "CPU", "NVIDIA GPU Compatible": "NV"}
_DRAW_SAMPLERS: Final = {"Euler Ancestral": "Euler a", "Euler A": "Euler a"}


def fooocus(entries: Mapping[str, Any]) -> Translated | None:
    """Translate Fooocus's own form; its other one is A1111's."""
    entries = entries.get(OBJECT, {})
    if not {"base_model", "sharpness", "adm_guidance"} & entries.keys() or "prompt" not in entries:
        return None
    source = ProgramValues(entries)
    prompt, whole = source.text("prompt"), source.take("full_prompt")
    pairs: dict[str, Any] = {}
    if isinstance(whole, list) and whole and not is_off(entries.get("styles")):
        # What was encoded, each part by itself: the prompt, the styles around it, the expansion.
        prompt = " BREAK ".join(map(str, whole))
    else:
        pairs = {key: short(source.take(key) or "") for key in ("styles", "prompt_expansion")}
    name, schedule = sampler(source.take("sampler"), source.take("scheduler"))
    sizes = re.findall(r"\d{1,5}", source.text("resolution"))
    vae = source.text("vae")
    refiner = source.text("refiner_model")
    pairs |= {
        "Steps": source.number("steps"),
        "Sampler": name,
        "Schedule type": schedule,
        "CFG scale": source.number("guidance_scale"),
        "Seed": source.number("seed"),
        "Size": size(*sizes) if len(sizes) == 2 else None,
        "Model hash": source.take("base_model_hash"),
        "Model": stem(source.take("base_model")),
        "VAE": None if vae.startswith("Default") else stem(vae),
        "Clip skip": source.number("clip_skip"),
        "RNG": "CPU",
        "Refiner": None if is_off(refiner) else refiner,
    }
    combined = [key for key in entries if re.fullmatch(r"lora_combined_\d+", key)]
    parts = [source.text(key).rpartition(" : ") for key in combined]
    tags = [network(name, weight, weight) for name, _, weight in parts if name]
    negative = source.text("negative_prompt")
    pairs |= {key: short(each) for key, each in source.rest(_FOOOCUS_SILENT).items()}
    if isinstance(entries.get("full_negative_prompt"), list) and not pairs.get("styles"):
        negative = " BREAK ".join(map(str, entries["full_negative_prompt"])) or negative
    return Translated(FOOOCUS, " ".join([prompt, *tags]), negative, pairs)


def swarm(entries: Mapping[str, Any]) -> Translated | None:
    """Translate SwarmUI's ``sui_image_params``."""
    values = entries.get("sui_image_params")
    if not isinstance(values, Mapping):
        return None
    source = ProgramValues(values)
    name, schedule = sampler(source.take("sampler"), source.take("scheduler"))
    stop = source.number("clipstopatlayer")
    strength = source.number("initimagecreativity") if source.take("initimage") else None
    vae = source.text("vae")
    pairs: dict[str, Any] = {
        "Steps": source.number("steps"),
        # As SwarmUI has it where nothing is chosen.
        "Sampler": "Euler" if name in ("", "DDIM") else name,
        "Schedule type": schedule or "Uniform",
        "CFG scale": source.number("cfgscale"),
        "Seed": source.number("seed"),
        "Size": size(source.take("width"), source.take("height")),
        "Model": stem(source.take("model")),
        "VAE": None if is_off(vae) or vae == "Automatic" else stem(vae),
        "Clip skip": abs(stop) if isinstance(stop, int) else None,
        "RNG": "CPU",
        "Variation seed": source.number("variationseed"),
        "Variation seed strength": source.number("variationseedstrength"),
        "Denoising strength": strength,
    }
    loras, strengths = source.take("loras"), source.take("loraweights")
    names = loras if isinstance(loras, list) else str(loras or "").split(",")
    given = strengths if isinstance(strengths, list) else str(strengths or "").split(",")
    given = [*given, *["1"] * len(names)]
    tags = [network(name.strip(), by, by) for name, by in zip(map(str, names), given, strict=False)]
    pairs |= {key: short(each) for key, each in source.rest(_SWARM_SILENT).items()}
    for key in ("prompt", "negativeprompt"):
        pairs.pop(key, None)
    said = source.text("prompt"), source.text("negativeprompt")
    pairs["Used embeddings"] = weights.embeddings(*said)
    prompt, negative = map(weights.from_comfyui, said)
    return Translated(SWARM, " ".join([prompt, *filter(None, tags)]), negative, pairs)


def easy_diffusion(entries: Mapping[str, Any]) -> Translated | None:
    """Translate Easy Diffusion's entries, one for each value."""
    entries = entries.get(OBJECT, entries)
    if not {"num_inference_steps", "use_stable_diffusion_model"} & entries.keys():
        return None
    source = ProgramValues(entries)
    prompt, negative = source.text("prompt"), source.text("negative_prompt")
    name, schedule = sampler(source.take("sampler_name"))
    skips = source.text("clip_skip").lower() in ("true", "1", "yes")
    start = source.take("init_image")
    strength = source.number("prompt_strength")
    pairs: dict[str, Any] = {
        "Steps": source.number("num_inference_steps"),
        "Sampler": name,
        "Schedule type": schedule,
        "CFG scale": source.number("guidance_scale"),
        "Seed": source.number("seed"),
        "Size": size(source.take("width"), source.take("height")),
        "Model": stem(source.take("use_stable_diffusion_model")),
        "VAE": None if is_off(vae := source.text("use_vae_model")) else stem(vae),
        "Clip skip": 2 if skips else None,
        "Denoising strength": strength if start else None,
    }
    loras, alphas = source.take("use_lora_model"), entries.get("lora_alpha")
    names = _several(loras)
    given = [*_several(alphas), *["1"] * len(names)]
    tags = [
        network(name, by, by) for name, by in zip(names, given, strict=False) if not is_off(name)
    ]
    own = {key: each for key, each in source.rest(_EASY_SILENT).items() if key.islower()}
    pairs |= {key: short(each) for key, each in own.items() if key not in ("parameters", "comment")}
    return Translated(EASY, " ".join([prompt, *tags]), negative, pairs)


def _several(value: object) -> list[str]:
    """One name, or several as a list in Python's spelling."""
    if isinstance(value, list):
        return [str(each) for each in value]
    return [part.strip(" '\"") for part in str(value or "").strip("[]").split(",") if part.strip()]


def draw_things(entries: Mapping[str, Any]) -> Translated | None:
    """Translate the comment that Draw Things writes: ``c``, ``uc``, and all settings in ``v2``."""
    if "c" not in entries or not {"uc", "sampler", "v2"} & entries.keys():
        return None
    v2 = entries.get("v2")
    settings = ProgramValues(v2 if isinstance(v2, Mapping) else {})
    source = ProgramValues({key: each for key, each in entries.items() if key != "v2"})
    name = source.text("sampler")
    for theirs, ours in _DRAW_SAMPLERS.items():
        name = re.sub(rf"^{theirs}\b", ours, name)
    sizes = source.text("size").split("x")
    strength = source.number("strength")
    model = stem(source.take("model"))
    pairs: dict[str, Any] = {
        "Steps": source.number("steps"),
        "Sampler": name,
        "CFG scale": source.number("scale"),
        "Seed": source.number("seed"),
        "Size": size(*sizes) if len(sizes) == 2 else None,
        "Model": model,
        "Clip skip": settings.number("clipSkip"),
        "RNG": _SEED_MODES.get(mode := source.text("seed_mode")),
        "Denoising strength": strength if isinstance(strength, float) and strength < 1 else None,
    }
    if pairs["RNG"] is None:
        pairs["Seed mode"] = mode
    tags = []
    loras = source.take("lora")
    for each in loras if isinstance(loras, list) else ():
        if isinstance(each, Mapping):
            tags.append(network(each.get("model"), each.get("weight", 1), each.get("weight", 1)))
    own = ("shift", "mask_blur", "hires_fix", "control", "controls", "upscaler", "profile")
    pairs |= {key: short(each) for key in own if not is_off(each := source.take(key))}
    pairs |= {key: short(each) for key, each in settings.rest(_DRAW_SILENT).items()}
    return Translated(DRAW_THINGS, " ".join([source.text("c"), *tags]), source.text("uc"), pairs)
