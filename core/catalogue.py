"""What models and VAEs there are, known without torch: names, families, cards, refusals."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Family = Literal["sd1", "sd2", "sdxl"]
Layout = Literal["folder", "file"]


@dataclass(frozen=True, slots=True)
class Card:
    """What the card file beside a model or VAE recommends; None where it is silent.

    ``card.toml`` inside a diffusers folder, ``NAME.toml`` beside ``NAME.safetensors``.
    """

    name: str | None = None
    description: str = ""
    licence: str = ""
    latent_space: str | None = None
    clip_skip: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler: str | None = None
    size: tuple[int, int] | None = None
    negative_prompt: str | None = None
    vae: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint that can be loaded. ``size`` is its native picture size, (width, height).

    ``latent_space`` says which VAEs fit: equal strings fit. ``sibling_vae`` is the file
    ``NAME.vae.safetensors`` beside it, which A1111 calls automatic.
    """

    name: str
    path: Path
    layout: Layout
    family: Family
    prediction_type: Literal["epsilon", "v_prediction"]
    latent_space: str
    size: tuple[int, int]
    zero_terminal_snr: bool = False
    sibling_vae: Vae | None = None
    card: Card = field(default_factory=Card)


@dataclass(frozen=True, slots=True)
class Vae:
    """An external VAE that can be loaded."""

    name: str
    path: Path
    layout: Layout
    latent_space: str
    card: Card = field(default_factory=Card)
