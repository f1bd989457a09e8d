"""Detection of what a diffusers folder contains, by its JSON files and its weights' headers.

A folder is a checkpoint if it has a ``model_index.json``, and a VAE if its ``config.json`` is
an autoencoder's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from core.errors import Refused
from core.families import Family, Prediction
from core.models.weights.ldm_keys import Config
from core.models.weights.regular import check_regular
from core.models.weights.safetensors_header import PICKLE_SUFFIXES, read_header
from core.models.weights.single_file import SD_LATENTS, SDXL_LATENTS, Facts
from core.options import RANGES

COMPONENTS: Final[dict[Family, tuple[str, ...]]] = {
    "sd1": ("unet", "vae", "text_encoder"),
    "sd2": ("unet", "vae", "text_encoder"),
    "sdxl": ("unet", "vae", "text_encoder", "text_encoder_2"),
}
# Bytes; real configs are smaller.
MAX_JSON: Final = 2**20
# Where a component has its weights in several precisions, the first of these is used.
WEIGHT_STEMS: Final = ("diffusion_pytorch_model", "model")
_VARIANTS: Final = ("", ".fp16", ".bf16", ".fp32", ".non_ema")

_PIPELINES: Final = {
    "StableDiffusionInpaintPipeline": "an inpainting model",
    "StableDiffusionXLInpaintPipeline": "an inpainting model",
    "StableDiffusionInstructPix2PixPipeline": "an InstructPix2Pix model",
    "StableDiffusionDepth2ImgPipeline": "a depth-to-image model",
    "StableDiffusionUpscalePipeline": "an upscaling diffusion model",
    "StableUnCLIPPipeline": "Stable Diffusion 2 unCLIP",
    "StableUnCLIPImg2ImgPipeline": "Stable Diffusion 2 unCLIP",
    "StableDiffusion3Pipeline": "Stable Diffusion 3",
    "LatentConsistencyModelPipeline": "a distilled LCM model",
}
_BY_INPUTS: Final = {9: "an inpainting model", 8: "an InstructPix2Pix model"}


def read_json(path: Path, kind: str, name: str) -> Config:
    """Read the JSON object in ``path``. Raises :class:`Refused` when there is none."""
    inside = f"{path.parent.name}/{path.name}"
    try:
        if check_regular(path) > MAX_JSON:
            raise ValueError(path.name)
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Refused(kind, name, "missing", inside) from error
    except OSError as error:
        raise Refused(kind, name, "unreadable", f"{inside}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Refused(kind, name, "unreadable", f"{inside} is damaged") from error
    if not isinstance(values, dict):
        raise Refused(kind, name, "unreadable", f"{inside} is damaged")
    return values


def weight_files(folder: Path, kind: str, name: str) -> tuple[Path, ...]:
    """Return the ``.safetensors`` files of a component: one, or its shards.

    Raises :class:`Refused` when there are none, or only pickles.
    """
    for stem in (stem + variant for variant in _VARIANTS for stem in WEIGHT_STEMS):
        if (single := folder / f"{stem}.safetensors").is_file():
            return (single,)
        for index in sorted(folder.glob(f"{stem}.safetensors.index*.json")):
            shards = read_json(index, kind, name).get("weight_map")
            if isinstance(shards, dict):
                return tuple(sorted({folder / Path(str(shard)).name for shard in shards.values()}))
    if folder.is_dir() and any(file.suffix in PICKLE_SUFFIXES for file in folder.iterdir()):
        raise Refused(kind, name, "pickle")
    raise Refused(kind, name, "missing", f"{folder.name}/{WEIGHT_STEMS[0]}.safetensors")


def describe_checkpoint(path: Path) -> Facts:
    """Return the facts of the checkpoint folder ``path``. Raises :class:`Refused`."""
    name = path.name
    index = read_json(path / "model_index.json", "model", name)
    check_pipeline(index, name)
    unet = read_json(path / "unet" / "config.json", "model", name)
    family = _family(index, unet, path)
    for component in COMPONENTS[family]:
        for file in weight_files(path / component, "model", name):
            _check_weights(file, "model", name)
    vae = read_json(path / "vae" / "config.json", "model", name)
    check_vae_config(vae, "model", name)
    prediction_type, zero_terminal_snr = _prediction_type(path, name)
    return Facts(family, prediction_type, zero_terminal_snr, latent_space(vae), _size(unet, family))


def check_pipeline(index: Config, name: str) -> None:
    """Raise :class:`Refused` unless ``model_index.json`` names a pipeline that the bot runs."""
    pipeline = str(index.get("_class_name"))
    if pipeline in _PIPELINES:
        raise Refused("model", name, "family", _PIPELINES[pipeline])
    if not pipeline.startswith("StableDiffusion"):
        kind = pipeline.removesuffix("Pipeline") or "of an unknown kind"
        raise Refused("model", name, "family", kind)


def _has_component(index: Config, component: str) -> bool:
    """Return whether ``model_index.json`` names the component; ``[null, null]`` means no."""
    entry = index.get(component)
    return isinstance(entry, list) and any(entry)


def _family(index: Config, unet: Config, path: Path) -> Family:
    inputs = unet.get("in_channels", 4)
    if inputs != 4:
        detail = f"a model of {inputs} inputs"
        if isinstance(inputs, int):
            detail = _BY_INPUTS.get(inputs, detail)
        raise Refused("model", path.name, "family", detail)
    if unet.get("time_cond_proj_dim") is not None:
        raise Refused("model", path.name, "family", "a distilled LCM model")
    if _has_component(index, "text_encoder_2"):
        if not _has_component(index, "text_encoder"):
            raise Refused("model", path.name, "family", "an SDXL refiner")
        return "sdxl"
    if not _has_component(index, "text_encoder"):
        raise Refused("model", path.name, "missing", "its text encoder")
    text = read_json(path / "text_encoder" / "config.json", "model", path.name)
    if text.get("model_type") != "clip_text_model":
        raise Refused("model", path.name, "family", f"a model with {text.get('model_type')} text")
    # SD 2's encoder, OpenCLIP, uses the exact GELU, SD 1's CLIP-L an approximation.
    return "sd2" if text.get("hidden_act") == "gelu" else "sd1"


def _prediction_type(path: Path, name: str) -> tuple[Prediction, bool]:
    scheduler = read_json(path / "scheduler" / "scheduler_config.json", "model", name)
    check_betas(scheduler, name)
    zero_terminal_snr = scheduler.get("rescale_betas_zero_snr") is True
    match scheduler.get("prediction_type", "epsilon"):
        case "epsilon":
            return "epsilon", zero_terminal_snr
        case "v_prediction":
            return "v_prediction", zero_terminal_snr
        case other:
            raise Refused("model", name, "family", f"trained to predict {other}")


def check_betas(scheduler: Config, name: str) -> None:
    """Raise :class:`Refused` unless the betas are valid, and of a supported schedule."""
    steps = scheduler.get("num_train_timesteps", 1000)
    betas = [scheduler.get(f"beta_{end}", 0.01) for end in ("start", "end")]
    kind = scheduler.get("beta_schedule", "scaled_linear")
    if kind not in ("scaled_linear", "linear"):
        raise Refused("model", name, "family", f"trained on a {kind} schedule")
    numbers = all(isinstance(beta, float) and 0 < beta < 1 for beta in betas)
    if not numbers or not isinstance(steps, int) or not 2 <= steps <= 10_000:
        raise Refused("model", name, "unreadable", "scheduler_config.json is damaged")


def _size(unet: Config, family: Family) -> tuple[int, int]:
    sample = unet.get("sample_size")
    sides: list[Any] = sample if isinstance(sample, list) else [sample, sample]
    largest = RANGES["width"].high // 8
    if len(sides) == 2 and all(isinstance(side, int) and 8 <= side <= largest for side in sides):
        height, width = sides
        return width * 8, height * 8
    return (1024, 1024) if family == "sdxl" else (512, 512)


def _check_weights(file: Path, kind: str, name: str) -> None:
    try:
        read_header(file, kind)
    except Refused as refused:
        detail = f"{file.parent.name}/{file.name}: {refused.detail}".removesuffix(": ")
        raise Refused(kind, name, refused.reason, detail) from refused


def describe_vae(path: Path) -> str:
    """Return the latent space of the VAE folder ``path``. Raises :class:`Refused`."""
    config = read_json(path / "config.json", "VAE", path.name)
    check_vae_config(config, "VAE", path.name)
    for file in weight_files(path, "VAE", path.name):
        _check_weights(file, "VAE", path.name)
    return latent_space(config)


def check_vae_config(config: Config, kind: str, name: str) -> None:
    """Raise :class:`Refused` unless this is an AutoencoderKL of 4 channels that scales by 8."""
    if config.get("_class_name", "AutoencoderKL") != "AutoencoderKL":
        raise Refused(kind, name, "family", f"a {config['_class_name']}")
    channels = config.get("latent_channels", 4)
    if channels != 4:
        raise Refused(kind, name, "channels", str(channels))
    factors = [config.get("scaling_factor", 1), config.get("shift_factor") or 0]
    if not all(isinstance(factor, (int, float)) for factor in factors) or not factors[0]:
        raise Refused(kind, name, "unreadable", "its VAE config is damaged")
    levels = config.get("block_out_channels")
    if not isinstance(levels, list) or len(levels) != 4:
        raise Refused(kind, name, "family", "a VAE that does not scale by 8")


def latent_space(config: Config) -> str:
    """Return the latent space of a VAE's config, by its scaling factor."""
    match config.get("scaling_factor", 0.18215):
        case 0.18215:
            return SD_LATENTS
        case 0.13025:
            return SDXL_LATENTS
        case other:
            return f"scaling_factor {other}"
