"""Models of random weights and real structure, to test loading and to measure speed.

``python -m tools.random_models OUT --family sd1 sd2 sd2-v sdxl [--tiny]`` writes each family
as a diffusers folder and as a single file with the original LDM names.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core.models.weights import ldm_keys
from core.models.weights.clip_tokenizer import END, clip_tokenizer, read_merges
from core.models.weights.components import empty_module

CONFIGS: Final = Path(__file__).parents[1] / "data" / "configs"
PIPELINES: Final = {
    "sd1": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
}
# Enough for about one token per word of a short English prompt.
TINY_MERGES: Final = 3000
# The mean of what a text encoder puts out. Around 0 emphasis, which divides by it, gives NaN.
TEXT_MEAN: Final = 0.25

State = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """One family's structure: a config per component, and the tokenizer's merges."""

    family: str
    configs: dict[str, dict[str, Any]]
    merges: list[str]
    prediction_type: str = "epsilon"
    zero_terminal_snr: bool = False


def full(family: str, prediction_type: str = "epsilon") -> Recipe:
    """Return the recipe of ``sd1``, ``sd2`` or ``sdxl`` in its real size."""
    configs = {
        file.parent.name: json.loads(file.read_text())
        for file in sorted((CONFIGS / family).glob("*/config.json"))
    }
    merges = read_merges(CONFIGS / "tokenizer" / "merges.txt")
    return Recipe(family, configs, merges, prediction_type)


def tiny(family: str, prediction_type: str = "epsilon") -> Recipe:
    """Return the recipe with the same levels and layers at widths of 8 to 48, for tests."""
    recipe = full(family, prediction_type)
    recipe = replace(recipe, merges=recipe.merges[:TINY_MERGES])
    shrunk = {name: _shrink(name, config, recipe) for name, config in recipe.configs.items()}
    return replace(recipe, configs=shrunk)


def _shrink(component: str, config: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    if component == "vae":
        channels = {"block_out_channels": [8, 16, 16, 16], "norm_num_groups": 4}
        return config | channels | {"layers_per_block": 1}
    if component != "unet":
        vocabulary = 512 + len(recipe.merges) + 2
        width = 48 if component == "text_encoder_2" else 32
        return config | {
            "hidden_size": width,
            "intermediate_size": 64,
            "num_attention_heads": 2,
            "projection_dim": width,
            "vocab_size": vocabulary,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
        }
    levels = len(config["block_out_channels"])
    small = config | {
        "block_out_channels": [16, 32, 32, 32][:levels],
        "norm_num_groups": 8,
        "layers_per_block": 1,
        # In latents: pictures of 64 × 64 pixels.
        "sample_size": 8,
        "attention_head_dim": 2 if recipe.family == "sd1" else [2, 4, 4, 4][:levels],
        "cross_attention_dim": 32,
    }
    if recipe.family == "sdxl":
        small["cross_attention_dim"] = 32 + 48
        small["transformer_layers_per_block"] = [1, 1, 2]
        small["addition_time_embed_dim"] = 8
        # The pooled text and six time ids of 8 channels each.
        small["projection_class_embeddings_input_dim"] = 48 + 6 * 8
    return small


def random_state(module: nn.Module, generator: torch.Generator, dtype: torch.dtype) -> State:
    """Return weights for a module on the meta device: norms 1, biases 0, else N(0, 1/fan-in).

    The signal then keeps its magnitude from layer to layer, so that fp16 does not overflow. The
    bias of CLIP's last norm is :data:`TEXT_MEAN`. They lie on the generator's device.
    """
    state = {}
    device = generator.device
    for name, tensor in module.state_dict().items():
        if name.endswith("final_layer_norm.bias"):
            state[name] = torch.full(tensor.shape, TEXT_MEAN, dtype=dtype, device=device)
        elif name.endswith("bias"):
            state[name] = torch.zeros(tensor.shape, dtype=dtype, device=device)
        elif tensor.ndim == 1:
            state[name] = torch.ones(tensor.shape, dtype=dtype, device=device)
        else:
            scale = 1 / math.sqrt(math.prod(tensor.shape[1:]))
            drawn = torch.randn(tensor.shape, generator=generator, device=device)
            state[name] = (drawn * scale).to(dtype)
    return state


def states(
    recipe: Recipe, seed: int, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> Iterator[tuple[str, State]]:
    """Yield each component's name and weights, in the config folders' order.

    Drawn on ``device``: a graphics card takes a moment for what a CPU takes a minute for, but
    draws other numbers.
    """
    generator = torch.Generator(device).manual_seed(seed)
    for name, config in recipe.configs.items():
        yield name, random_state(empty_module(name, config), generator, dtype)


def write_folder(
    recipe: Recipe,
    path: Path,
    seed: int = 0,
    dtype: torch.dtype = torch.float16,
    device: torch.device | str = "cpu",
) -> Path:
    """Write a diffusers folder to ``path``, with tokenizers and a scheduler; return ``path``.

    The weights are drawn on ``device``.
    """
    for name, state in states(recipe, seed, dtype, device):
        write_config(recipe.configs[name], path / name / "config.json")
        text = name.startswith("text_encoder")
        file = "model.safetensors" if text else "diffusion_pytorch_model.safetensors"
        save_file(state, path / name / file, metadata={"format": "pt"})
    for name in _text_encoders(recipe):
        folder = path / name.replace("text_encoder", "tokenizer")
        _tokenizer(recipe, name).save_pretrained(folder)
    write_config(_scheduler(recipe), path / "scheduler" / "scheduler_config.json")
    write_config(_index(recipe), path / "model_index.json")
    return path


def _text_encoders(recipe: Recipe) -> list[str]:
    return [name for name in recipe.configs if name.startswith("text_encoder")]


def _tokenizer(recipe: Recipe, encoder: str) -> Any:
    quick = recipe.configs[encoder]["hidden_act"] == "quick_gelu"
    return clip_tokenizer(recipe.merges, END if quick else "!")


def _scheduler(recipe: Recipe) -> dict[str, Any]:
    return {
        "_class_name": "EulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": recipe.prediction_type,
        "rescale_betas_zero_snr": recipe.zero_terminal_snr,
        "steps_offset": 1,
    }


def _index(recipe: Recipe) -> dict[str, Any]:
    index: dict[str, Any] = {
        "_class_name": PIPELINES[recipe.family],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    }
    for name in _text_encoders(recipe):
        kind = "CLIPTextModelWithProjection" if name == "text_encoder_2" else "CLIPTextModel"
        index[name] = ["transformers", kind]
        index[name.replace("text_encoder", "tokenizer")] = ["transformers", "CLIPTokenizer"]
    return index


def write_config(config: dict[str, Any], path: Path) -> None:
    """Write ``config`` to ``path`` as JSON, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_configs(recipe: Recipe, path: Path) -> Path:
    """Write what ``data/configs`` holds, for this recipe's sizes, as single files need it."""
    for name, config in recipe.configs.items():
        write_config(config, path / recipe.family / name / "config.json")
    merges = path / "tokenizer" / "merges.txt"
    merges.parent.mkdir(parents=True, exist_ok=True)
    merges.write_text("\n".join(["#version: 0.2", *recipe.merges]) + "\n", encoding="utf-8")
    return path


def write_file(
    recipe: Recipe, path: Path, seed: int = 0, dtype: torch.dtype = torch.float16
) -> Path:
    """Write one ``.safetensors`` with the original LDM names; the weights are the folder's."""
    original: State = {}
    for name, state in states(recipe, seed, dtype):
        prefix, key_of = ldm_keys.LAYOUTS[recipe.family][name]
        original |= to_ldm(state, recipe.configs[name], prefix, key_of)
    if recipe.family == "sd2":
        _add_last_layer(original, recipe.configs["text_encoder"]["num_hidden_layers"])
    if recipe.prediction_type == "v_prediction":
        original["v_pred"] = torch.zeros(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(original, path, metadata={"format": "pt"})
    return path


def to_ldm(state: State, config: dict[str, Any], prefix: str, key_of: ldm_keys.KeyMap) -> State:
    """Return ``state`` under its original LDM names, after ``prefix``."""
    original: State = {}
    thirds: dict[str, list[Tensor]] = {}
    for name, tensor in state.items():
        piece = key_of(name, config)
        if piece.third is not None:
            # q, k and v may come in any order.
            thirds.setdefault(prefix + piece.key, [tensor] * 3)[piece.third] = tensor
        elif piece.pointwise:
            original[prefix + piece.key] = tensor[:, :, None, None]
        else:
            original[prefix + piece.key] = tensor.T.contiguous() if piece.transposed else tensor
    return original | {key: torch.cat(parts) for key, parts in thirds.items()}


def _add_last_layer(original: State, index: int) -> None:
    # Single files contain OpenCLIP-H's last layer and projection, which SD 2 does not use.
    block = "cond_stage_model.model.transformer.resblocks."
    before = {key: tensor for key, tensor in original.items() if key.startswith(f"{block}0.")}
    for key, tensor in before.items():
        original[key.replace(f"{block}0.", f"{block}{index}.")] = tensor.clone()
    width = original["cond_stage_model.model.ln_final.bias"].shape[0]
    original["cond_stage_model.model.text_projection"] = torch.eye(width)


def write_vae_file(
    recipe: Recipe, path: Path, seed: int = 0, dtype: torch.dtype = torch.float16, ldm: bool = True
) -> Path:
    """Write the recipe's VAE as one file, with the original names or diffusers' own."""
    config = recipe.configs["vae"]
    generator = torch.Generator().manual_seed(seed)
    state = random_state(empty_module("vae", config), generator, dtype)
    if ldm:
        state = to_ldm(state, config, "", ldm_keys.vae_key)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata={"format": "pt"})
    return path


def main() -> None:
    """Write the families given on the command line."""
    parser = argparse.ArgumentParser(description="Write models of random weights.")
    parser.add_argument("out", type=Path)
    families = ("sd1", "sd2", "sd2-v", "sdxl")
    parser.add_argument("--family", nargs="+", choices=families, default=families)
    parser.add_argument("--layout", choices=("folder", "file", "both"), default="both")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    make: Callable[[str, str], Recipe] = tiny if options.tiny else full
    for name in options.family:
        prediction_type = "v_prediction" if name == "sd2-v" else "epsilon"
        recipe = make(name.removesuffix("-v"), prediction_type)
        if options.layout != "file":
            print(write_folder(recipe, options.out / f"random-{name}", options.seed))
        if options.layout != "folder":
            path = options.out / f"random-{name}-file.safetensors"
            print(write_file(recipe, path, options.seed))


if __name__ == "__main__":
    main()
