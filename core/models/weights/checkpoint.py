"""The parts of a checkpoint on disk, in both layouts: configs, weights, tokenizers, schedule.

A diffusers folder contains all of them; a single file contains weights only, and takes the rest
from its family's folder in ``data/configs``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from core.errors import Refused
from core.models.catalogue import Model, Vae
from core.models.weights import ldm_keys, single_file
from core.models.weights.clip_tokenizer import END, clip_tokenizer, read_merges
from core.models.weights.components import DiffusersTensors, LdmTensors, Tensors
from core.models.weights.diffusers_folder import (
    COMPONENTS,
    check_betas,
    check_vae_config,
    read_json,
    weight_files,
)
from core.models.weights.ldm_keys import Config
from core.models.weights.safetensors_header import read_header
from core.sampling.schedules import NoiseSchedule, trained_alphas

Parts = Iterator[tuple[str, Config, Tensors]]


def folder_parts(model: Model) -> Parts:
    """Yield each component of a diffusers folder: its name, config and weights."""
    for component in COMPONENTS[model.family]:
        folder = model.path / component
        config = read_json(folder / "config.json", "model", model.name)
        if component == "vae":
            check_vae_config(config, "model", model.name)
        paths = weight_files(folder, "model", model.name)
        yield component, config, DiffusersTensors(paths, "model", model.name)


def file_parts(model: Model, configs: Path) -> Parts:
    """Yield each component of a single file: its name, its family's config, and weights."""
    header = read_header(model.path, "model", model.name)
    for component, (standard, key_of) in ldm_keys.LAYOUTS[model.family].items():
        path = configs / model.family / component / "config.json"
        config = read_json(path, "model", model.name)
        prefix = single_file.text_prefix(header, standard)
        yield component, config, LdmTensors(header, prefix, key_of, config, model.name, "model")


def weights(entry: Model | Vae) -> tuple[Path, ...]:
    """Return the weight files; first the one whose hash is the model's, in a folder the UNet's."""
    if entry.layout == "file":
        return (entry.path,)
    if isinstance(entry, Vae):
        return weight_files(entry.path, "VAE", entry.name)
    folders = (entry.path / component for component in COMPONENTS[entry.family])
    return tuple(path for folder in folders for path in weight_files(folder, "model", entry.name))


def parameter_count(model: Model) -> int:
    """Return the number of values in all tensors of the model's files."""
    headers = (read_header(path, "model", model.name) for path in weights(model))
    return sum(math.prod(info.shape) for header in headers for info in header.tensors.values())


def tokenizer(model: Model, encoder: str, configs: Path) -> CLIPTokenizer:
    """Load the tokenizer of the text encoder ``encoder``; for a single file CLIP's own.

    Raises :class:`Refused` when a folder's cannot be read.
    """
    if model.layout == "file":
        merges = read_merges(configs / "tokenizer" / "merges.txt")
        openclip = model.family == "sd2" or encoder == "text_encoder_2"
        return clip_tokenizer(merges, "!" if openclip else END)
    folder = model.path / encoder.replace("text_encoder", "tokenizer")
    try:
        loaded: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        # The tokenizers library raises bare Exception for a damaged file.
        raise Refused("model", model.name, "missing", f"a readable {folder.name}") from error
    return loaded


def check_parts(model: Model, modules: Mapping[str, Any], tokenizers: Sequence[Any]) -> None:
    """Raise :class:`Refused` when the components are complete but do not fit each other."""
    texts = [module for name, module in modules.items() if name.startswith("text_encoder")]
    unet = modules["unet"].config
    width = sum(text.config.hidden_size for text in texts)
    if unet.cross_attention_dim != width:
        detail = f"its UNet wants text of width {unet.cross_attention_dim}, not {width}"
        raise Refused("model", model.name, "unreadable", detail)
    sdxl = model.family == "sdxl"
    conditions = (unet.addition_embed_type, unet.class_embed_type, unet.num_class_embeds)
    if conditions != ("text_time" if sdxl else None, None, None):
        raise Refused("model", model.name, "family", "a model that wants more than text")
    pooled = texts[-1].config.projection_dim + 6 * (unet.addition_time_embed_dim or 0)
    if sdxl and unet.projection_class_embeddings_input_dim != pooled:
        raise Refused("model", model.name, "unreadable", "its UNet wants another pooled text")
    for text, tokenizer in zip(texts, tokenizers, strict=True):
        if len(tokenizer) > text.config.vocab_size:
            detail = "its tokenizer knows more tokens than its text encoder"
            raise Refused("model", model.name, "unreadable", detail)


def noise_schedule(model: Model) -> NoiseSchedule:
    """Return the checkpoint's training schedule; a single file's has Stable Diffusion's betas."""
    betas: Config = {}
    if model.layout == "folder":
        path = model.path / "scheduler" / "scheduler_config.json"
        betas = read_json(path, "model", model.name)
        check_betas(betas, model.name)
    names = {"num_train_timesteps": "count"} | {
        name: name for name in ("beta_start", "beta_end", "beta_schedule")
    }
    alphas_cumprod = trained_alphas(
        **{own: betas[name] for name, own in names.items() if name in betas},
        zero_terminal_snr=model.zero_terminal_snr,
    )
    return NoiseSchedule(alphas_cumprod, model.prediction_type, model.family == "sdxl")
