"""Writes the trained networks as diffusers folders, in fp16."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from .networks import Unet, Vae
from .train_unet import noise_schedule

_diffusers: Any = diffusers

LIMIT = 15_000_000  # bytes of the model and its second VAE
EXTRAS_LIMIT = 2_000_000  # bytes of LoRA, embedding and upscaler


def write_vae(vae: Vae, folder: Path) -> None:
    """Write an autoencoder."""
    own = _diffusers.AutoencoderKL.from_config(vae.config)
    own.load_state_dict(vae.state_dict())
    own.half().save_pretrained(folder)


def write_model(
    unet: Unet, text: CLIPTextModel, tokenizer: CLIPTokenizer, vae: Vae, folder: Path
) -> None:
    """Write tokenizer, text encoder, UNet, VAE and scheduler in fp16."""
    own = _diffusers.AutoencoderKL.from_config(vae.config)
    own.load_state_dict(vae.state_dict())
    scheduler = _diffusers.EulerDiscreteScheduler.from_config(noise_schedule().config)
    pipe = _diffusers.StableDiffusionPipeline(
        vae=own,
        text_encoder=copy.deepcopy(text),
        tokenizer=tokenizer,
        unet=copy.deepcopy(unet),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.to("cpu").to(torch.float16).save_pretrained(folder, safe_serialization=True)
    # transformers would load it in the precision of the file, diffusers loads the rest in fp32.
    config = folder / "text_encoder" / "config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**values, "dtype": "float32"}, indent=2) + "\n", "utf-8")


def size_of(*folders: Path) -> int:
    """Bytes of all files in the folders."""
    return sum(f.stat().st_size for d in folders for f in d.rglob("*") if f.is_file())
