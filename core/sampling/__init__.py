"""Sigmas, samplers and noise, and a door to them for other programs.

The functions import what they need when called, for the package is also imported where torch
is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.options import AUTOMATIC
from core.sampling.sources import NoiseSource

if TYPE_CHECKING:
    from torch import Tensor


def sigmas(
    schedule_type: str,
    steps: int,
    alphas_cumprod: Tensor,
    *,
    options: Mapping[str, Any] | None = None,
    sdxl: bool = False,
) -> Tensor:
    """Return a schedule's falling sigmas, fp32, with the final 0 where there is one.

    ``alphas_cumprod`` is the model's ᾱ, (timesteps,); ``options`` are settings under A1111's
    names. Automatic is Uniform.
    """
    import torch

    from core.sampling.schedules import Levels, sigma_list
    from core.sampling.settings import SamplerSettings

    if schedule_type == AUTOMATIC:
        schedule_type = "Uniform"
    settings = SamplerSettings.from_a1111(options or {})
    levels = Levels(alphas_cumprod.float())
    return torch.tensor(sigma_list(levels, schedule_type, steps, settings, sdxl=sdxl))


def sample(
    model: Callable[[Tensor, Tensor], Tensor],
    *,
    sampler: str,
    schedule_type: str = AUTOMATIC,
    steps: int,
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    alphas_cumprod: Tensor,
    prediction_type: str = "epsilon",
    cfg_scale: float = 1.0,
    uncond: Callable[[Tensor, Tensor], Tensor] | None = None,
    init_latents: Tensor | None = None,
    denoising_strength: float | None = None,
    exact_steps: int | None = None,
    noise_source: NoiseSource = "CPU",
    options: Mapping[str, Any] | None = None,
    sdxl: bool = False,
) -> Tensor:
    """Run a sampler whole, one picture a seed, as the engine steps it; return (seeds, C, h, w).

    ``model`` takes inputs (B, C, h, w) and timesteps (B,) and returns raw predictions; ``uncond``
    is it for the negative prompt. ``init_latents`` (C, h, w) are img2img's; with ``exact_steps``
    that many steps are run, as in hires fix. ``options`` are settings under A1111's names; its
    ``randn_source`` goes before ``noise_source``.
    """
    from core.sampling.door import run
    from core.sampling.plans import plan
    from core.sampling.schedules import NoiseSchedule
    from core.sampling.settings import SamplerSettings
    from core.sampling.trajectory import Mix

    planned = plan(
        sampler,
        schedule_type,
        steps if exact_steps is None else exact_steps,
        NoiseSchedule(alphas_cumprod.float(), prediction_type, sdxl),
        SamplerSettings.from_a1111(options or {}),
        strength=None if init_latents is None else denoising_strength,
        exact_steps=exact_steps is not None,
    )
    return run(
        planned,
        model,
        uncond,
        seeds=seeds,
        shape=shape,
        mix=Mix((1.0,), cfg_scale),
        init_latents=init_latents,
        noise_source=(options or {}).get("randn_source", noise_source),
    )


def noise(
    seed: int,
    shape: tuple[int, int, int],
    *,
    source: NoiseSource = "CPU",
    variation_seed: int = 0,
    variation_strength: float = 0.0,
    seed_resize: tuple[int, int] | None = None,
) -> Tensor:
    """Return the noise that an image starts from, ``shape`` (C, h, w) fp32 on the CPU.

    ``seed_resize`` is a width and height in pixels.
    """
    from core.sampling.streams import start_noise

    return start_noise(
        seed,
        shape,
        source=source,
        variation_seed=variation_seed,
        variation_strength=variation_strength,
        seed_resize=seed_resize,
    )
