"""NovelAI's pictures: text entries of the file, or the same hidden in the pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from core.pictures.foreign import weights
from core.pictures.foreign.translated import ProgramValues, Translated, sampler, short, size

PROGRAM: Final = "NovelAI"

_SILENT: Final = frozenset(
    {"signed_hash", "request_type", "version", "prompt", "n_samples", "add_original_image"}
    | {"legacy", "legacy_v3_extend", "v4_prompt", "v4_negative_prompt", "image_format", "stream"}
    | {"controlnet_model", "prefer_brownian", "uncond_per_vibe", "wonky_vibe_correlation"}
    | {"director_reference_strengths", "reference_strength_multiple", "params_version"}
    | {"reference_information_extracted_multiple", "extra_noise_seed", "legacy_uc"}
    | {"deliberate_euler_ancestral_bug", "explike_fine_detail", "minimize_sigma_inf"}
    | {"hide_debug_overlay"}
)
# Of values that are no switches, the one that means "as usual".
_USUAL: Final[dict[str, tuple[Any, ...]]] = {
    "uncond_scale": (1, 1.0),
    "controlnet_strength": (1, 1.0),
    "lora_unet_weights": ([],),
    "dynamic_thresholding_percentile": (0.999,),
    "dynamic_thresholding_mimic_scale": (10, 10.0),
    "cfg_sched_eligibility": ("enable_for_post_summer_samplers",),
}


def read(entries: Mapping[str, Any]) -> Translated | None:
    """Translate ``Comment``, whose prompt may stand in ``Description``."""
    comment = entries.get("Comment")
    if not isinstance(comment, Mapping) or "sampler" not in comment:
        return None
    if "NovelAI" not in str(entries.get("Software", "NovelAI")):
        return None
    source = ProgramValues(comment)
    prompt = str(entries.get("Description") or comment.get("prompt") or "").strip()
    negative = source.text("uc", "negative_prompt")
    name, schedule = sampler(source.take("sampler"), _schedule(source.take("noise_schedule")))
    # Both are written for text-to-image too, where they do nothing.
    strength, noise = source.number("strength"), source.number("noise")
    redrawn = re.match(r"Img2Img|NativeInfilling", str(comment.get("request_type", "")))
    model = re.fullmatch(r"(.*?)\s+([A-F0-9]{8})", str(entries.get("Source", "")).strip())
    pairs: dict[str, Any] = {
        "Steps": source.number("steps"),
        "Sampler": name,
        "Schedule type": schedule,
        "CFG scale": source.number("scale"),
        "Seed": source.number("seed"),
        "Size": size(source.take("width"), source.take("height")),
        "Model hash": model[2] if model else None,
        "Model": model[1] if model else entries.get("Source"),
        "Denoising strength": strength if redrawn else None,
        "noise": noise if redrawn else None,
        "Clip skip": 2,
        # As A1111 imports NovelAI's: their seed offset for the noise of ancestral samplers.
        "ENSD": 31337,
    }
    pairs |= _characters(comment)
    rest = source.rest(_SILENT)
    pairs |= {key: short(each) for key, each in rest.items() if each not in _USUAL.get(key, ())}
    return Translated(PROGRAM, weights.from_novelai(prompt), weights.from_novelai(negative), pairs)


def _schedule(name: object) -> object:
    return "" if name == "native" else name


def _characters(comment: Mapping[str, Any]) -> dict[str, str]:
    """Version 4's prompts for single characters, each at its place."""
    found = {}
    for key in ("v4_prompt", "v4_negative_prompt"):
        caption = comment.get(key)
        caption = caption.get("caption") if isinstance(caption, Mapping) else None
        characters = caption.get("char_captions") if isinstance(caption, Mapping) else None
        said = [
            str(each.get("char_caption", ""))
            for each in (characters if isinstance(characters, list) else ())
            if isinstance(each, Mapping)
        ]
        if any(said):
            found[f"{key} characters"] = short(" | ".join(said))
    return found
