"""Detection of what one ``.safetensors`` contains: family, prediction type, latent space.

Only Stable Diffusion 1, 2 and XL text-to-image checkpoints are accepted; a refusal names what
the file is instead.
"""

from __future__ import annotations

import math
import re
import statistics
import struct
from dataclasses import dataclass
from typing import Final

from core.errors import Refused
from core.families import Family, Prediction
from core.models.weights.file_kinds import check_kind
from core.models.weights.ldm_keys import LAYOUTS
from core.models.weights.safetensors_header import Header

# Latent spaces; equal strings fit. SD 1 and SD 2 share one. ANY_LATENTS is a VAE file of unknown
# latent space: SD's and SDXL's have the same shapes.
SD_LATENTS: Final = "SD 1/2"
SDXL_LATENTS: Final = "SDXL"
ANY_LATENTS: Final = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was detected of a checkpoint; ``size`` is its native (width, height) in pixels."""

    family: Family
    prediction_type: Prediction
    zero_terminal_snr: bool
    latent_space: str
    size: tuple[int, int]


_UNET: Final = "model.diffusion_model."
_FIRST: Final = _UNET + "input_blocks.0.0.weight"

# Parts of tensor names that only one kind of file has, searched in this order.
_OTHER_KINDS: Final = (
    (("control_model.", "controlnet_cond_embedding.", "input_hint_block."), "a ControlNet"),
    (("motion_modules.",), "an AnimateDiff motion module"),
    (("joint_blocks.",), "Stable Diffusion 3"),
    (("double_stream_modulation_img.",), "Flux 2"),
    (("distilled_guidance_layer.",), "Chroma"),
    (("txt_in.individual_token_refiner.",), "Hunyuan Video"),
    (("double_blocks.", "single_transformer_blocks."), "Flux"),
    (("double_layers.",), "AuraFlow"),
    (("clip_txt_mapper.", ".channelwise."), "Stable Cascade"),
    (("cap_embedder.",), "Lumina"),
    (("adaln_single.", "scale_shift_table"), "PixArt or a video transformer"),
    (("head.modulation",), "Wan"),
    (("edm_mean",), "Playground 2.5"),
    (("edm_vpred.",), "CosXL"),
    (("cond_stage_model.roberta.",), "AltDiffusion"),
    (("embedder.model.visual.",), "Stable Diffusion 2 unCLIP"),
)
_BY_INPUTS: Final = {
    5: "a depth-to-image model",
    7: "an upscaling diffusion model",
    8: "an InstructPix2Pix model",
    9: "an inpainting model",
}
_TEXT_LAYERS: Final = {
    "sd1": {"text_encoder": 12},
    "sd2": {"text_encoder": 23},
    "sdxl": {"text_encoder": 12, "text_encoder_2": 32},
}
_SIZES: Final = {"sd1": 512, "sd2": 512, "sdxl": 1024}
_FLOATS: Final = {"F16": "<e", "BF16": "<f", "F32": "<f", "F64": "<d"}


def _refused(header: Header, reason: str, detail: str, kind: str = "model") -> Refused:
    return Refused(kind, header.path.stem, reason, detail)


def describe_checkpoint(header: Header) -> Facts:
    """Return the facts of a checkpoint in one file. Raises :class:`Refused`."""
    family = _family(header)
    _check_complete(header, family)
    prediction_type = _prediction_type(header, family)
    side = 768 if (family, prediction_type) == ("sd2", "v_prediction") else _SIZES[family]
    return Facts(
        family,
        prediction_type,
        zero_terminal_snr="ztsnr" in header.tensors,
        latent_space=SDXL_LATENTS if family == "sdxl" else SD_LATENTS,
        size=(side, side),
    )


def _family(header: Header) -> Family:
    if other := _other_kind(header):
        raise _refused(header, "family", other)
    check_kind(header, "model")
    if _FIRST not in header.tensors:
        raise _refused(header, "family", _part_of_a_model(header))
    shape = header.shape(_FIRST)
    if len(shape) != 4 or shape[1] != 4:
        inputs = shape[1] if len(shape) == 4 else 0
        raise _refused(header, "family", _BY_INPUTS.get(inputs, f"a model of {inputs} inputs"))
    if header.has("conditioner.embedders.1."):
        return "sdxl"
    if header.has("conditioner.embedders.0.model."):
        raise _refused(header, "family", "an SDXL refiner")
    if header.has("cond_stage_model.model."):
        return "sd2"
    if header.has("cond_stage_model.transformer."):
        return "sd1"
    raise _refused(header, "missing", "its text encoder")


def _other_kind(header: Header) -> str | None:
    for marks, name in _OTHER_KINDS:
        if any(mark in tensor for tensor in header.tensors for mark in marks):
            return name
    return None


def _part_of_a_model(header: Header) -> str:
    if any(header.has(prefix) for prefix in ("down_blocks.", "input_blocks.", _UNET)):
        return "a UNet alone"
    if any("text_model." in name or "resblocks." in name for name in header.tensors):
        return "a text encoder alone"
    return "of an unknown kind"


def _check_complete(header: Header, family: Family) -> None:
    """Raise :class:`Refused` when a part is missing, as after a failed merge of models.

    A spot check, to refuse the file at the scan; loading checks every tensor.
    """
    names = header.tensors.keys()
    layouts = LAYOUTS[family]
    for name in ("time_embed.2.weight", "middle_block.2.out_layers.3.weight", "out.2.weight"):
        if _UNET + name not in names:
            raise _refused(header, "missing", f"the UNet's {name}")
    inputs, outputs = (_indices(header, f"{_UNET}{side}put_blocks.") for side in ("in", "out"))
    if len(inputs) != len(outputs):
        raise _refused(header, "missing", "some of the UNet's blocks")
    vae = layouts["vae"][0]
    for name in ("encoder.conv_in.weight", "decoder.conv_in.weight", "decoder.conv_out.weight"):
        if vae + name not in names:
            raise _refused(header, "missing", f"the VAE's {name}")
    shape = header.shape(f"{vae}decoder.conv_in.weight")
    if len(shape) != 4 or shape[1] != 4:
        raise _refused(header, "channels", str(shape[1]) if len(shape) == 4 else "?")
    for component, count in _TEXT_LAYERS[family].items():
        prefix = text_prefix(header, layouts[component][0])
        layers = _indices(header, f"{prefix}encoder.layers.")
        layers |= _indices(header, f"{prefix}transformer.resblocks.")
        if not set(range(count)) <= layers:
            raise _refused(header, "missing", f"layers of its {component.replace('_', ' ')}")


def _indices(header: Header, prefix: str) -> set[int]:
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return {int(match[1]) for name in header.tensors if (match := pattern.match(name))}


def text_prefix(header: Header, prefix: str) -> str:
    """Return ``prefix``, without ``text_model.`` for the early SD 1 files that omit it."""
    older = prefix.removesuffix("text_model.")
    return older if not header.has(prefix) and header.has(older) else prefix


# In SD 2 models of v-prediction this bias has a standard deviation above 0.09 (ComfyUI's test).
_SD2_BIAS: Final = _UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"


def _prediction_type(header: Header, family: Family) -> Prediction:
    stated = header.metadata.get("modelspec.prediction_type", "").lower()
    if stated in ("v", "v_prediction", "v-prediction"):
        return "v_prediction"
    if stated in ("epsilon", "eps"):
        return "epsilon"
    if "v_pred" in header.tensors:
        return "v_prediction"
    if family == "sd2" and _deviation(header, _SD2_BIAS) > 0.09:
        return "v_prediction"
    return "epsilon"


def _deviation(header: Header, name: str) -> float:
    info = header.tensors.get(name)
    if info is None or info.dtype not in _FLOATS or info.end - info.start > 1 << 16:
        return 0.0
    try:
        with header.path.open("rb") as file:
            file.seek(info.start)
            data = file.read((info.end - info.start) // 8 * 8)
    except OSError as error:
        raise _refused(header, "unreadable", error.strerror or "no access") from error
    if info.dtype == "BF16":
        # bfloat16 is the upper half of a float32, which struct can read.
        data = b"".join(b"\0\0" + data[at : at + 2] for at in range(0, len(data), 2))
    values = [value for (value,) in struct.iter_unpack(_FLOATS[info.dtype], data)]
    values = [value for value in values if math.isfinite(value)]
    return statistics.pstdev(values) if values else 0.0


def vae_prefix(header: Header) -> str:
    """Return the prefix of the VAE's tensors: ``first_stage_model.`` or nothing."""
    return "first_stage_model." if header.has("first_stage_model.") else ""


def check_vae(header: Header) -> None:
    """Raise :class:`Refused` unless the file holds a complete VAE with 4 latent channels."""
    prefix = vae_prefix(header)
    shape = header.shape(f"{prefix}decoder.conv_in.weight")
    if len(shape) == 5:
        raise _refused(header, "family", "a video VAE", "VAE")
    if len(shape) != 4:
        check_kind(header, "VAE")
        tiny = "a tiny autoencoder" if header.has("decoder.layers.") else None
        raise _refused(header, "family", tiny or _other_kind(header) or "not a VAE", "VAE")
    if shape[1] != 4:
        raise _refused(header, "channels", str(shape[1]), "VAE")
    for name in ("encoder.conv_in", "encoder.conv_out", "decoder.conv_out"):
        if f"{prefix}{name}.weight" not in header.tensors:
            raise _refused(header, "missing", f"{name}.weight", "VAE")


_KNOWN_VAES: Final = {
    "735e4c3a44": SD_LATENTS,  # vae-ft-mse-840000-ema-pruned
    "a1d9934885": SD_LATENTS,  # sd-vae-ft-mse, diffusers' names
    "63aeecb90f": SDXL_LATENTS,  # sdxl_vae
    "235745af8d": SDXL_LATENTS,  # sdxl-vae-fp16-fix
}
_XL: Final = re.compile(r"sdxl|(?<![a-z])xl|xl(?![a-z])|illustrious|pony")
_SD: Final = re.compile(r"stable-diffusion-v[12]|sd[-_ ]?v?[12][._ -]?\d?|ft-(mse|ema)|kl-f8")


def known_vae(digest: str) -> str:
    """Return the latent space of a well-known VAE file by the first ten digits of its sha256."""
    return _KNOWN_VAES.get(digest, ANY_LATENTS)


def vae_latent_space(header: Header) -> str:
    """Return the latent space of a VAE file, by its metadata or its name.

    :data:`ANY_LATENTS` when neither tells: the VAE is then allowed with any checkpoint.
    """
    stated = (header.metadata.get(f"modelspec.{key}", "") for key in ("architecture", "title"))
    for text in (*stated, header.path.stem):
        if _XL.search(text.lower()):
            return SDXL_LATENTS
        if _SD.search(text.lower()):
            return SD_LATENTS
    return ANY_LATENTS
