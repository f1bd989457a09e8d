"""The names that a select or a search offers: samplers, and the VAEs and LoRAs for a model."""

from __future__ import annotations

from typing import Final

from core.models.catalogue import Catalogue, Model
from core.options import AUTOMATIC, NONE, SAMPLERS, SCHEDULE_TYPES

# Discord's limits: the number of choices, and the length of a choice's name and value.
MAX_CHOICES: Final = 25
MAX_CHOICE: Final = 100

SAMPLER_NAMES: Final = tuple(
    name
    for sampler in SAMPLERS
    for name in (sampler, *(f"{sampler} {kind}" for kind in SCHEDULE_TYPES if kind != AUTOMATIC))
)


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
