"""The names that a select or a search offers: samplers, sizes, the VAEs and LoRAs for a model."""

from __future__ import annotations

from typing import Final

from bot.ordering.layers import SHAPES, size_of
from bot.settings import Limits
from core.models.catalogue import Catalogue, Model
from core.options import AUTOMATIC, NONE, SAMPLERS, SCHEDULE_TYPES

# Discord's limits: the number of choices, and the length of a choice's name and value.
MAX_CHOICES: Final = 25
MAX_CHOICE: Final = 100

# Sizes that are offered where the limits allow them; any size can be typed.
SIZES: Final = ("512x512", "512x768", "768x512", "640x640", "768x768", "832x1216", "1216x832")

SAMPLER_NAMES: Final = tuple(
    name
    for sampler in SAMPLERS
    for name in (sampler, *(f"{sampler} {kind}" for kind in SCHEDULE_TYPES if kind != AUTOMATIC))
)


def size_names(limits: Limits, model: Model) -> list[str]:
    """List the shapes, which have the model's own area, and the sizes that the limits allow."""
    fits = {name: max(size_of(name, model)) <= limits.max_size for name in (*SHAPES, *SIZES)}
    return [name for name, fitting in fits.items() if fitting]


def lora_names(catalogue: Catalogue, model: Model | None) -> list[str]:
    """List the LoRAs that fit a model, as prompts write them; without a model all."""
    return [
        file.in_text
        for file in catalogue.networks
        if model is None or file.family in (None, model.family)
    ]


def vae_names(catalogue: Catalogue, model: Model | None) -> tuple[str, ...]:
    """List what the VAE select offers for a model; nothing when there is no choice."""
    if model is None:
        return ()
    named = [vae.name for vae in catalogue.fitting_vaes(model)]
    if model.sibling_vae is None and not named:
        return ()
    # Without a sibling file "Automatic" and "None" are the same thing.
    own = (AUTOMATIC, NONE) if model.sibling_vae else (AUTOMATIC,)
    return (*own, *named)
