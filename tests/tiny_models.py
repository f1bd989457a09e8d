"""Models of random weights and a few channels, made in a moment: the real structures, small.

A tiny SD 1 has 12 text layers, a VAE with f = 8 and a four-level UNet, and speaks ordinary
English words as CLIP does. ``tiny_model(tmp_path)`` is a catalogue entry ready to load.
"""

from __future__ import annotations

from pathlib import Path

import torch

from core.families import Family
from core.models.catalogue import Catalogue, Layout, Model, Vae
from tools import random_models

SIZE = 64


def tiny_model(
    folder: Path,
    name: str = "tiny",
    *,
    family: Family = "sd1",
    layout: Layout = "folder",
    prediction_type: str = "epsilon",
    seed: int = 0,
    card: str = f"size = [{SIZE}, {SIZE}]",
) -> Model:
    """Write a model called ``name`` below ``folder`` and return its catalogue entry.

    A single file needs :func:`tiny_configs` to be loaded. ``card`` is its card's TOML.
    """
    recipe = random_models.tiny(family, prediction_type)
    if layout == "folder":
        path = random_models.write_folder(recipe, folder / name, seed, torch.float32)
        (path / "card.toml").write_text(card, encoding="utf-8")
    else:
        path = folder / f"{name}.safetensors"
        random_models.write_file(recipe, path, seed, torch.float32)
        path.with_suffix(".toml").write_text(card, encoding="utf-8")
    return Catalogue.scan(folder, folder / "no-vaes", folder / "no-data").model(name)


def tiny_vae(
    folder: Path, name: str = "tiny-vae", *, family: Family = "sd1", ldm: bool = True, seed: int = 1
) -> Vae:
    """Write a VAE file for tiny models into ``folder`` and return its catalogue entry."""
    recipe = random_models.tiny(family)
    path = folder / f"{name}.safetensors"
    random_models.write_vae_file(recipe, path, seed, torch.float32, ldm)
    return Catalogue.scan(folder / "no-models", folder, folder / "no-data").vae(name)


def tiny_configs(folder: Path, family: Family = "sd1") -> Path:
    """The config folder that goes with tiny single files: ``Models(config, configs=…)``."""
    return random_models.write_configs(random_models.tiny(family), folder)
