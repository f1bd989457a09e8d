"""``Plan``: a sampler's run over a checkpoint's levels, from its start to its table of numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import sqrt
from typing import Any

import torch

from core.options import AUTOMATIC, AUTOMATIC_SCHEDULE
from core.sampling.passes import img2img_start, second_pass_start
from core.sampling.samplers import SAMPLERS, Sampler
from core.sampling.schedules import NoiseSchedule, sigma_list
from core.sampling.settings import A1111_DEFAULTS, SamplerSettings
from core.sampling.table import Context, Table, Walk, tabulate
from core.sampling.timesteps import ddim_ladder, shares, unipc_ladder


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a run does; all of it is known beforehand, but for DPM adaptive, which has no table.

    It starts at ``signal`` × initial latents + ``noise`` × noise, in k-diffusion's space.
    ``walk`` is the sampler over its levels. ``timesteps`` are the table's calls'. ``path`` are the
    lowest and highest sigma that the Brownian path runs between: of the whole schedule, also in
    img2img. ``steps`` are sampler steps, for progress; ``total_calls`` as A1111 counts them.
    """

    sampler: Sampler
    walk: Callable[[Any, Context], Walk]
    context: Context
    schedule: NoiseSchedule
    table: Table | None
    timesteps: list[float]
    signal: float
    noise: float
    path: tuple[float, float]
    steps: int

    @property
    def total_calls(self) -> int:
        """The number of model calls as A1111 counts them, though the last step may have one."""
        return self.steps * (2 if self.sampler.second_order else 1)


@lru_cache(maxsize=256)
def plan(
    sampler: str,
    schedule_type: str,
    steps: int,
    schedule: NoiseSchedule,
    settings: SamplerSettings = A1111_DEFAULTS,
    *,
    strength: float | None = None,
    exact_steps: bool = False,
) -> Plan:
    """Plan a run of ``steps`` steps: from noise, or at a ``strength`` from initial latents.

    img2img runs that share of the steps, the second pass of hires fix (``exact_steps``) all of
    them from that level.
    """
    kind, t_enc, run = SAMPLERS[sampler], None, steps
    if strength is not None:
        start_at = second_pass_start if exact_steps or settings.fix_steps else img2img_start
        steps, t_enc = start_at(steps, strength)
        run = t_enc + 1
    if kind.levels in ("ddim", "unipc"):
        levels, path, signal, noise = _on_timesteps(kind, steps, t_enc, schedule, settings)
        ends = path
    else:
        source = schedule.consistency_levels if kind.levels == "lcm" else schedule.levels
        if schedule_type == AUTOMATIC:
            schedule_type = AUTOMATIC_SCHEDULE.get(sampler, "Uniform")
        sigmas = sigma_list(
            source, schedule_type, steps, settings, discard=kind.discards, sdxl=schedule.sdxl
        )
        path = min(sigma for sigma in sigmas if sigma > 0), max(sigmas)
        signal, ends = 0.0, source.ends
        noise = sqrt(sigmas[0] ** 2 + 1) if settings.sgm_noise_multiplier else sigmas[0]
        if t_enc is not None:
            first = max(steps - t_enc - 1, 0)
            if first > len(sigmas) - 2:
                # A second pass at a small strength, and a list that ends at the last timestep.
                first = first * (len(sigmas) - 1) // steps
            sigmas = sigmas[first:]
            signal, noise, ends = 1.0, sigmas[0] + settings.extra_noise, (sigmas[-2], sigmas[0])
        levels = tuple(sigmas)
        if kind.levels == "lcm":
            timesteps = source.timestep_at(torch.tensor(sigmas)).tolist()
            levels = tuple(zip(timesteps, sigmas, strict=True))
    count = run if t_enc is None else len(levels) - 1
    context = Context(settings, ends, count)
    walk = partial(_walk, kind.walk, levels)
    table = None if kind.adaptive else tabulate(walk, context)
    timesteps = [] if table is None else _timesteps(table, schedule, settings)
    return Plan(kind, walk, context, schedule, table, timesteps, signal, noise, path, run)


def _walk(walk: Callable[[Any, Any, Context], Walk], levels: Any, x: Any, context: Context) -> Walk:
    return walk(x, levels, context)


def _timesteps(table: Table, schedule: NoiseSchedule, settings: SamplerSettings) -> list[float]:
    own = schedule.levels.timestep_at(torch.tensor(table.sigmas), settings.quantized).tolist()
    return [
        timestep if given is None else given
        for given, timestep in zip(table.timesteps, own, strict=True)
    ]


def _on_timesteps(
    kind: Sampler, steps: int, t_enc: int | None, schedule: NoiseSchedule, settings: SamplerSettings
) -> tuple[tuple[Any, ...], tuple[float, float], float, float]:
    """Return the ladder, its ends, and the shares of signal and noise to start with."""
    ladder = ddim_ladder if kind.levels == "ddim" else unipc_ladder
    most = len(schedule.levels.sigmas)
    if steps > most:
        # A second pass at a small strength: it stays, and there are fewer steps.
        t_enc = None if t_enc is None else t_enc * most // steps
        steps = most
    levels, start = ladder(schedule, steps, t_enc, settings)
    # The latents of these samplers are of unit variance; those of the walk are larger by this.
    unit = sqrt(levels[0][1] ** 2 + 1)
    signal, noise = (0.0, 1.0) if start is None else shares(start)
    noise += settings.extra_noise * signal
    return tuple(levels), (levels[-1][1], levels[0][1]), signal * unit, noise * unit
