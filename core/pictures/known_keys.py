"""What public texts say that this bot does not act on: each key with the reason it is left out.

The reasons are keys of :data:`core.notes.NOTES`. A key that ends in ``*`` stands for all that begin
so. What an option's row takes never gets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from core.notes import Note


class Known(NamedTuple):
    """The reason, keys with commas between them, and the extension's name where it is one."""

    why: str
    keys: str
    name: str = ""

    @property
    def note(self) -> Note:
        """The reason as a note."""
        return Note.of(self.why, name=self.name) if self.name else Note.of(self.why)


KNOWN: Final = (
    Known("left_face", "Face restoration*, CodeFormer*, GFPGAN*, facetool*"),
    Known(
        "left_mask",
        "Mask *, Masked *, Inpaint*, Conditional mask weight, Soft inpainting*, maskBlur*",
    ),
    Known(
        "left_start_image",
        "Start image, Resize mode, Init image*, Image CFG scale, Color correction, init_image*, "
        "init_img, initial_image, initimage*",
    ),
    Known(
        "left_extension",
        "ControlNet*, IP Adapter*, IP-Adapter*, T2I*, control_*, controlnet*, control, controls, "
        "ipAdapters, t2iAdapters, use_controlnet_model, reference_*, Node *Control*, "
        "Node IPAdapter*",
        "ControlNet",
    ),
    Known("left_hypernetwork", "Hypernet*, use_hypernetwork_model"),
    Known(
        "left_refiner", "Refiner*, Hires refiner, refiner, refiner_*, refinermodel, Node *Refiner*"
    ),
    Known(
        "left_script",
        "Script, SD upscale*, Ultimate SD upscale*, X Type, X Values, Y Type, Y Values, Z Type, "
        "Z Values, Fixed X Values, Fixed Y Values, Fixed Z Values, Loopback*, Seed travel*, "
        "Prompt travel*, Node UltimateSDUpscale*",
    ),
    Known(
        "left_after",
        "Postprocess *, Extras*, use_upscale, use_face_correction, upscaler, postprocessing, "
        "upscale, faceRestoration, Node ImageUpscale*, Node ImageScale*, Node *FaceRestore*",
    ),
    Known(
        "left_second_pass",
        "Another pass*, hrf_*, hiresFix, hires_fix, refinerupscale, Node *Latent*",
    ),
    Known("left_batch", "Images from one seed"),
    Known("left_unread", "Unread prompt, Unread negative prompt"),
    Known(
        "left_regions",
        "RP *, Region*, regions, Latent Couple*, Composable *, v4_prompt characters, "
        "v4_negative_prompt characters",
    ),
    Known("left_extension", "ADetailer*, Node *Detailer*", "ADetailer"),
    Known("left_extension", "DDetailer*, DDSD*", "Detection Detailer"),
    Known(
        "left_extension",
        "Dynamic thresholding*, Mimic *, Threshold percentile, CFG mode, CFG scale minimum, "
        "CFG scheduler value, Separate Feature Channels, Scaling Startpoint, Variability Measure, "
        "Interpolate Phi, dynamic_thresholding*, Node DynamicThresholding*",
        "Dynamic Thresholding",
    ),
    Known(
        "left_extension", "CFG Rescale*, CFG rescale*, cfg_rescale*, Node RescaleCFG", "CFG Rescale"
    ),
    Known("left_extension", "AntiBurn*", "AntiBurn"),
    Known("left_extension", "Cutoff*", "Cutoff"),
    Known("left_extension", "Tiled Diffusion*, NoiseInv*, MultiDiffusion*", "Tiled Diffusion"),
    Known("left_extension", "freeu*, FreeU*, Node FreeU*", "FreeU"),
    Known("left_extension", "LLuL*", "LLuL"),
    Known("left_extension", "ReActor*, Roop*, roop*, FaceSwap*, Node ReActor*", "ReActor"),
    Known("left_extension", "AnimateDiff*, Node *AnimateDiff*", "AnimateDiff"),
    Known(
        "left_extension",
        "Self Attention Guidance*, SAG*, sag_*, Node SelfAttentionGuidance",
        "Self-Attention Guidance",
    ),
    Known(
        "left_extension",
        "PAG*, pag_*, Perturbed-Attention*, Node PerturbedAttention*",
        "Perturbed-Attention Guidance",
    ),
    Known("left_extension", "Kohya*, kohya_hrfix*, DeepShrink*", "Kohya Hires.fix"),
    Known("left_extension", "Aesthetic *", "Aesthetic Gradients"),
    Known("left_extension", "CD Tuner*, cdt*", "CD Tuner"),
    Known("left_extension", "Negpip*, NegPiP*", "NegPiP"),
    Known("left_node", "Node *, start_at_step, end_at_step, text_l *"),
    Known(
        "left_option",
        "Tiling, tiling, seamless_x, seamless_y, Token merging*, Hypertile*, HyperTile*, "
        "FP8 weight, VAE Encoder, VAE Decoder, Pad conds, Downcast alphas_cumprod, Noise Schedule, "
        "Hires checkpoint, Hires Module*, Module *, Distilled CFG Scale, Shift, perlin, threshold, "
        "variations, with_variations, Prompt functions, Negative prompt functions, "
        "positive_style_prompt, negative_style_prompt, Seed mode, Eta*, ENSD, NGMS*, Sigma *, "
        "Schedule *, Beta schedule *, Skip Early CFG, SGM noise multiplier, Emphasis, "
        "Discard penultimate sigma, Seed resize from*, Noise multiplier, Extra noise, Hires *, "
        "Old prompt editing timelines, RNG",
    ),
)

# They say nothing about the pixels, or what they say has its effect elsewhere.
INFORMATION: Final = frozenset(
    {"Version", "User", "Model hash", "VAE hash", "Hashes", "Lora hashes", "TI hashes", "Score"}
    | {"Batch size", "Batch pos", "First pass size-1", "First pass size-2", "Template", "App"}
    | {"Negative Template", "Wildcard prompt", "Wildcard negative prompt", "Backend", "Pipeline"}
    | {"Operations", "Model type", "Created Date", "Civitai resources", "Civitai metadata"}
    | {"Time taken", "Used embeddings", "Cache FP16 weight for LoRA", "Diffusion in Low Bits"}
    | {"Unused nodes", "Further text", "aesthetic_score", "Aesthetic score", "ADetailer version"}
    | {"Exact prompt", "Exact negative prompt", "performance", "Performance", "Metadata Scheme"}
    | {"AddNet Enabled", "Source Identifier", "Generation time", "NSFW", "Seed resize from"}
)
# What they say stands in the prompt or in another value.
ELSEWHERE: Final = frozenset(
    {"First pass size-1", "First pass size-2", "Exact prompt", "Exact negative prompt"}
    | {"AddNet Enabled", "Seed resize from"}
)
# Values that switch a key off, or are what it is without the key.
NEUTRAL: Final[Mapping[str, tuple[str, ...]]] = {
    "Parser": ("Full parser",),
    "CFG Rescale phi": ("0", "0.0"),
    "Emphasis": ("Original",),
    "RNG": ("CPU",),
    "Noise multiplier": ("1", "1.0"),
    "Token merging ratio": ("0", "0.0"),
    "Token merging ratio hr": ("0", "0.0"),
    "ENSD": ("0",),
    "Eta": ("1", "1.0"),
    "Eta DDIM": ("0", "0.0"),
    "Seed resize from-1": ("0", "-1"),
    "Seed resize from-2": ("0", "-1"),
    "Clip skip": ("0",),
    "Script": ("None",),
    "CodeFormer weight": ("0",),
}
_OFF: Final = ("None", "False", "")
# Keys that count only with another one: the key by which the thing is on.
SWITCHES: Final[Mapping[str, str]] = {
    "ControlNet": "ControlNet Enabled",
    "Dynamic thresholding": "Dynamic thresholding enabled",
    "AddNet": "AddNet Enabled",
    "Refiner switch": "Refiner",
    "RP": "RP Active",
}


def is_neutral(key: str, value: object) -> bool:
    """Whether a key's value says that it is not used."""
    return str(value) in (*_OFF, *NEUTRAL.get(key, ()))


def is_off(key: str, parsed: Mapping[str, object]) -> bool:
    """Whether the switch that this key depends on is off."""
    return any(
        key.startswith(f"{start} ") and str(parsed.get(switch, "True")) in _OFF
        for start, switch in SWITCHES.items()
    )


def reason(key: str, program: str) -> Note:
    """Why a key is left out; of an unknown one of another ``program``, that it is that one's."""
    for known in KNOWN:
        if any(_matches(key, pattern) for pattern in known.keys.split(", ")):
            return known.note
    return Note.of("left_program", name=program) if program else Note.of("left_unknown")


def _matches(key: str, pattern: str) -> bool:
    start, star, rest = pattern.partition("*")
    if not star:
        return key == pattern
    return key.startswith(start) and rest.removesuffix("*") in key[len(start) :]
