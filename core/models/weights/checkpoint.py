"""What a checkpoint consists of on disk, in both layouts: configs, weights, tokenizers, schedule.

A diffusers folder brings its own; for a single file the structure is its family's, shipped in
``data/configs``.
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
from core.models.weights.components import Config, DiffusersTensors, LdmTensors, Tensors
from core.models.weights.diffusers_folder import (
    COMPONENTS,
    check_betas,
    check_vae_config,
    read_json,
    weight_files,
)
from core.models.weights.safetensors_header import read_header
from core.sampling.sigmas import NoiseSchedule

Parts = Iterator[tuple[str, Config, Tensors]]


def folder_parts(model: Model) -> Parts:
    """Each component of a diffusers folder: its name, config and weights."""
    for component in COMPONENTS[model.family]:
        folder = model.path / component
        config = read_json(folder / "config.json", "model", model.name)
        if component == "vae":
            check_vae_config(config, "model", model.name)
        paths = weight_files(folder, "model", model.name)
        yield component, config, DiffusersTensors(paths, "model", model.name)


def file_parts(model: Model, configs: Path) -> Parts:
    """Each component of a single file, in the structure its family has."""
    header = read_header(model.path, "model")
    for component, (standard, key_of) in ldm_keys.LAYOUTS[model.family].items():
        path = configs / model.family / component / "config.json"
        config = read_json(path, "model", model.name)
        prefix = single_file.text_prefix(header, standard)
        yield component, config, LdmTensors(header, prefix, key_of, config, model.name, "model")


def weights(entry: Model | Vae) -> tuple[Path, ...]:
    """The files of weights, the one whose hash names it first: a folder's is its UNet's."""
    if entry.layout == "file":
        return (entry.path,)
    if isinstance(entry, Vae):
        return weight_files(entry.path, "VAE", entry.name)
    folders = (entry.path / component for component in COMPONENTS[entry.family])
    return tuple(path for folder in folders for path in weight_files(folder, "model", entry.name))


def parameters(model: Model) -> int:
    """How many numbers the model's files hold."""
    headers = (read_header(path, "model") for path in weights(model))
    return sum(math.prod(info.shape) for header in headers for info in header.tensors.values())


def tokenizer(model: Model, encoder: str, configs: Path) -> CLIPTokenizer:
    """The tokenizer that goes with the text encoder; a single file's is CLIP's own."""
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
    """Raise :class:`Refused` when the parts are whole but were not made for each other."""
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
    """What the checkpoint was trained on; only a folder may differ from SD's own betas."""
    betas: Config = {}
    if model.layout == "folder":
        path = model.path / "scheduler" / "scheduler_config.json"
        betas = read_json(path, "model", model.name)
        check_betas(betas, model.name)
    known = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
    return NoiseSchedule(
        **{name: betas[name] for name in known if name in betas},
        prediction_type=model.prediction_type,
        zero_terminal_snr=model.zero_terminal_snr,
    )
