"""``run``: a whole run of a few pictures, stepped as the engine steps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.sampling.draws import run_noise
from core.sampling.plans import Plan
from core.sampling.sources import NoiseSource
from core.sampling.trajectory import Mix, Trajectory, advance, begin

# model(inputs (B, C, h, w), timesteps (B,)) -> predictions (B, C, h, w)
Predict = Callable[[Tensor, Tensor], Tensor]


def run(
    plan: Plan,
    model: Predict,
    uncond: Predict | None,
    *,
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    mix: Mix,
    init_latents: Tensor | None,
    noise_source: NoiseSource,
) -> Tensor:
    """Run ``plan`` from the noise of each seed; return the finished latents (seeds, C, h, w)."""
    runs: list[Trajectory] = []
    for seed in seeds:
        noise, draw = run_noise(plan, noise_source, seed, shape, torch.device("cpu"))
        if init_latents is not None:
            noise = noise * plan.context.settings.noise_multiplier
        runs.append(begin(plan, mix, noise, draw, init_latents))
    while going := [each for each in runs if not each.done]:
        inputs = torch.stack([each.model_input for each in going])
        timesteps = torch.stack([each.timestep for each in going])
        predictions = model(inputs, timesteps)
        negatives = predictions
        if uncond is not None and any(each.with_negative for each in going):
            negatives = uncond(inputs, timesteps)
        rows: list[Tensor] = []
        for each, prediction, negative in zip(going, predictions, negatives, strict=True):
            rows += [prediction, negative] if each.with_negative else [prediction]
        advance(going, torch.stack(rows))
    return torch.stack([each.latents for each in runs])
