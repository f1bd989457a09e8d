"""The levels of DDIM, PLMS and UniPC, which A1111 counts in timesteps, and of LCM.

``t_enc`` is A1111's place to start at: None for text-to-image (the top), else the step counted
from the bottom whose level the initial picture is brought to. A ladder is pairs of (timestep,
sigma), falling; the last is where the walk ends and is not called.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from core.sampling.schedules import NoiseSchedule
from core.sampling.settings import SamplerSettings

Ladder = Sequence[tuple[float, float]]


def shares(sigma: float) -> tuple[float, float]:
    """Return the shares of signal and noise at ``sigma`` in latents of unit variance."""
    return 1 / sqrt(sigma**2 + 1), sigma / sqrt(sigma**2 + 1)


def _rungs(steps: int, count: int, discard: bool) -> list[int]:
    """Return A1111's timesteps, rising from 1: a whole number apart, so there may be more."""
    skip = max(count // (steps + discard), 1)
    return [min(t + 1, count - 1) for t in range(0, count, skip)]


def ddim_ladder(
    schedule: NoiseSchedule, steps: int, t_enc: int | None, settings: SamplerSettings
) -> tuple[Ladder, float | None]:
    """Return the ladder of DDIM and PLMS, and in img2img the sigma the picture is brought to.

    A1111 uses the lowest timestep as the end of the last step, not for a call. For img2img it
    also leaves out the one whose level the picture is brought to, so t_enc − 1 calls are made.
    Where that leaves none at all, one is made at that level.
    """
    sigmas = schedule.levels.sigmas.tolist()
    rungs = _rungs(steps, len(sigmas), settings.discard_penultimate)
    top = len(sigmas) - 1 if t_enc is None else rungs[min(t_enc, len(rungs) - 1)]
    called = rungs[::-1] if t_enc is None else rungs[:t_enc][::-1]
    if len(called) < 2:
        called = [top, 0]
    start = None if t_enc is None else sigmas[top]
    return [(t, sigmas[t]) for t in called], start


def unipc_ladder(
    schedule: NoiseSchedule, steps: int, t_enc: int | None, settings: SamplerSettings
) -> tuple[Ladder, float | None]:
    """Return UniPC's ladder, down to timestep 0, with as many steps as DDIM has timesteps.

    Sigma is interpolated in log ᾱ, as UniPC's own code does.
    """
    log_alphas = 0.5 * schedule.alphas_cumprod.double().log()
    count = len(log_alphas)
    rungs = _rungs(steps, count, settings.discard_penultimate)
    top, n, start = count - 1, len(rungs), None
    if t_enc is not None:
        level = rungs[min(t_enc, len(rungs) - 1)]
        top, n, start = (
            rungs[max(t_enc - 1, 0)],
            max(t_enc, 1),
            schedule.levels.sigmas[level].item(),
        )
    timesteps = _spaced(log_alphas, top, n, settings.unipc_skip_type)
    low, high, weight = timesteps.floor().long(), timesteps.ceil().long(), timesteps.frac()
    log_alpha = log_alphas[low] + weight * (log_alphas[high] - log_alphas[low])
    sigmas = torch.expm1(-2 * log_alpha).sqrt()
    return list(zip(timesteps.tolist(), sigmas.tolist(), strict=True)), start


def _spaced(log_alphas: Tensor, top: int, n: int, skip_type: str) -> Tensor:
    """Return ``n`` + 1 timesteps from ``top`` to 0, as UniPC's ``skip_type`` spaces them."""
    count = len(log_alphas)
    if skip_type == "logSNR":
        half_log_snr = log_alphas - 0.5 * torch.log(-torch.expm1(2 * log_alphas))
        wanted = torch.linspace(half_log_snr[top].item(), half_log_snr[0].item(), n + 1).double()
        log_alpha = -0.5 * torch.logaddexp(torch.zeros(()), -2 * wanted)
        above = torch.searchsorted(-log_alphas, -log_alpha).clamp(1, count - 1)
        span = log_alphas[above] - log_alphas[above - 1]
        return (above - 1 + (log_alpha - log_alphas[above - 1]) / span).clamp(0, count - 1)
    power = 2 if skip_type == "time_quadratic" else 1
    ends = ((top + 1) / count) ** (1 / power), (1 / count) ** (1 / power)
    times = torch.linspace(*ends, n + 1).double() ** power
    return (times * count - 1).clamp(0, count - 1)
