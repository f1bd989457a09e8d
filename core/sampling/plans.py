"""The noise levels of one run: which timesteps the model is called at, and at what scale.

``t_enc`` is A1111's place to start on a schedule of ``steps`` steps: None for text-to-image (the
top), else the step counted from the bottom whose level the initial picture is brought to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from core.sampling.sigmas import NoiseSchedule, sigma_list


@dataclass(frozen=True, slots=True)
class Plan:
    """The noise levels that a sampler steps through, from the noisiest to the cleanest.

    Per model call its timestep and the scale that makes the latents the model's input (a
    timestep one above the last means the last, but DDIM counts its way down from it);
    ``sigmas`` in the form the diffusers scheduler keeps them. The run starts at
    ``signal`` × initial latents + ``noise`` × noise. SDE samplers draw noise for each of
    ``pairs`` of sigmas, in that order, on a path between ``bounds``, the lowest and highest sigma
    of the whole schedule.
    """

    timesteps: Sequence[float]
    scales: Sequence[float]
    sigmas: torch.Tensor | list[float] | None
    signal: float
    noise: float
    bounds: tuple[float, float] = (0.0, 0.0)
    pairs: Sequence[tuple[float, float]] = ()
    num_inference_steps: int = 0


def _k_sigmas(
    schedule: NoiseSchedule, schedule_type: str, steps: int, t_enc: int | None
) -> tuple[torch.Tensor, tuple[float, float]]:
    """Return the sigmas to step through, with the final 0, and the bounds of the whole schedule."""
    sigmas = sigma_list(schedule, schedule_type, steps)
    bounds = sigmas[-2].item(), sigmas[0].item()
    return sigmas if t_enc is None else sigmas[steps - t_enc - 1 :], bounds


def _k_plan(
    schedule: NoiseSchedule,
    called: torch.Tensor,
    sigmas: torch.Tensor | list[float],
    bounds: tuple[float, float],
    pairs: Sequence[tuple[float, float]] = (),
) -> Plan:
    """Make a plan in k-diffusion's space, latents = clean + sigma × noise, called at ``called``."""
    return Plan(
        timesteps=schedule.timestep_at(called).tolist(),
        scales=(1 / (called**2 + 1) ** 0.5).tolist(),
        sigmas=sigmas,
        signal=1.0,
        noise=called[0].item(),
        bounds=bounds,
        pairs=pairs,
    )


def plan_euler(schedule: NoiseSchedule, schedule_type: str, steps: int, t_enc: int | None) -> Plan:
    """Plan Euler, Euler a, LMS: one call a level."""
    sigmas, bounds = _k_sigmas(schedule, schedule_type, steps, t_enc)
    # These schedulers only do arithmetic on their sigmas, which floats do much faster.
    return _k_plan(schedule, sigmas[:-1], sigmas.tolist(), bounds)


def plan_heun(schedule: NoiseSchedule, schedule_type: str, steps: int, t_enc: int | None) -> Plan:
    """Plan Heun: every level but the first is called twice, on arriving and on leaving."""
    sigmas, bounds = _k_sigmas(schedule, schedule_type, steps, t_enc)
    called = sigmas[:-1].repeat_interleave(2)[1:]
    return _k_plan(schedule, called, [*called.tolist(), 0.0], bounds)


def plan_sde(schedule: NoiseSchedule, schedule_type: str, steps: int, t_enc: int | None) -> Plan:
    """Plan DPM++ SDE: a call on leaving each level, and one halfway (in log sigma) to the next."""
    sigmas, bounds = _k_sigmas(schedule, schedule_type, steps, t_enc)
    doubled = sigmas[:-1].repeat_interleave(2)[1:]
    # The path is asked for sigmas that went through the logarithm and back, as in k-diffusion and
    # diffusers: it resolves differences of 1e-6, less than what fp32 rounds away there.
    drawn = doubled.log()
    drawn[1::2] = drawn[:-1:2] + (drawn[2::2] - drawn[:-1:2]) * 0.5
    drawn = drawn.exp()
    called = doubled.clone()
    called[1::2] = drawn[1::2]
    levels = drawn.tolist()
    pairs = [(levels[i], to) for i in range(0, len(levels) - 1, 2) for to in levels[i + 1 : i + 3]]
    return _k_plan(schedule, called, torch.cat([doubled, sigmas[-1:]]), bounds, pairs)


def plan_multistep(
    schedule: NoiseSchedule, schedule_type: str, steps: int, t_enc: int | None
) -> Plan:
    """Plan DPM++ 2M: k-diffusion's levels, but diffusers' latents are of unit variance."""
    sigmas, bounds = _k_sigmas(schedule, schedule_type, steps, t_enc)
    called = sigmas[:-1]
    signal, noise = _unit(sigmas[0])
    return Plan(
        timesteps=schedule.timestep_at(called).tolist(),
        scales=[1.0] * len(called),
        # diffusers takes logarithms of these and their differences; in double they stay exact.
        sigmas=sigmas.double(),
        signal=signal,
        noise=noise,
        bounds=bounds,
    )


def plan_multistep_sde(
    schedule: NoiseSchedule, schedule_type: str, steps: int, t_enc: int | None
) -> Plan:
    """Plan DPM++ 2M SDE: as 2M, with noise on the way to every level but the last 0."""
    plan = plan_multistep(schedule, schedule_type, steps, t_enc)
    assert isinstance(plan.sigmas, torch.Tensor)
    return replace(plan, pairs=list(pairwise(plan.sigmas[:-1].tolist())))


def _unit(sigma: torch.Tensor) -> tuple[float, float]:
    """Return the shares of signal and noise at ``sigma`` in latents of unit variance."""
    signal = 1 / (sigma**2 + 1) ** 0.5
    return signal.item(), (sigma * signal).item()


def _whole(schedule: NoiseSchedule, steps: int, t_enc: int | None) -> tuple[int, int | None]:
    """Bound ``steps`` and ``t_enc`` for samplers that only take whole timesteps.

    A second pass at a small strength would need more of them than there are; the strength stays
    and there are fewer steps.
    """
    most = schedule.num_train_timesteps
    if steps <= most:
        return steps, t_enc
    return most, None if t_enc is None else t_enc * most // steps


def _ladder(schedule: NoiseSchedule, steps: int) -> list[int]:
    """Return A1111's timesteps for DDIM and UniPC, rising from 1.

    A whole number of timesteps apart, so there may be more of them than ``steps``, and the
    highest may lie one above the last that was trained; see :class:`Plan`.
    """
    count = schedule.num_train_timesteps
    return [t + 1 for t in range(0, count, count // steps)]


def plan_ddim(schedule: NoiseSchedule, _schedule_type: str, steps: int, t_enc: int | None) -> Plan:
    """Plan DDIM on A1111's timesteps; it has one schedule type only.

    A1111 uses the lowest timestep as the end of the last step, not for a call. For img2img it
    also leaves out the one whose level the picture is brought to, so t_enc − 1 calls are made.
    Where that leaves none at all, one is made at that level.
    """
    steps, t_enc = _whole(schedule, steps, t_enc)
    ladder = _ladder(schedule, steps)
    start = schedule.num_train_timesteps - 1 if t_enc is None else ladder[t_enc]
    called = ladder[:0:-1] if t_enc is None else ladder[:t_enc][:0:-1]
    signal, noise = (0.0, 1.0) if t_enc is None else _shares(schedule, start)
    timesteps = called or [start]
    return Plan(
        timesteps=timesteps,
        scales=[1.0] * len(timesteps),
        sigmas=None,
        signal=signal,
        noise=noise,
        num_inference_steps=steps,
    )


def _shares(schedule: NoiseSchedule, timestep: int) -> tuple[float, float]:
    """Return the shares of signal and noise at a whole timestep in latents of unit variance."""
    alpha_cumprod = schedule.alphas_cumprod[min(timestep, schedule.num_train_timesteps - 1)]
    return alpha_cumprod.sqrt().item(), (1 - alpha_cumprod).sqrt().item()


def plan_unipc(schedule: NoiseSchedule, _schedule_type: str, steps: int, t_enc: int | None) -> Plan:
    """Plan UniPC: uniform in time to timestep 0, with as many steps as DDIM has timesteps.

    A1111's "time_uniform"; it has one schedule type only. Sigma is interpolated in log ᾱ.
    """
    steps, t_enc = _whole(schedule, steps, t_enc)
    ladder = _ladder(schedule, steps)
    last = schedule.num_train_timesteps
    if t_enc is None:
        highest, count, (signal, noise) = last - 1, len(ladder), (0.0, 1.0)
    else:
        highest, count = ladder[max(t_enc - 1, 0)], max(t_enc, 1)
        signal, noise = _shares(schedule, ladder[t_enc])
    times = torch.linspace((highest + 1) / last, 1 / last, count + 1)
    timesteps = ((times - 1 / last) * last).clamp(0, last - 1)
    sigmas = _sigma_in_log_alpha(schedule, timesteps)
    return Plan(
        timesteps=timesteps[:-1].tolist(),
        scales=[1.0] * count,
        sigmas=sigmas,
        signal=signal,
        noise=noise,
    )


def _sigma_in_log_alpha(schedule: NoiseSchedule, timesteps: torch.Tensor) -> torch.Tensor:
    """Return sigma at fractional timesteps, interpolated in log ᾱ as UniPC's own code does."""
    log_alphas = 0.5 * schedule.alphas_cumprod.log()
    low, high, weight = timesteps.floor().long(), timesteps.ceil().long(), timesteps.frac()
    log_alpha = log_alphas[low] + weight * (log_alphas[high] - log_alphas[low])
    return (torch.exp(-2 * log_alpha) - 1).sqrt()


# The steps an LCM is distilled for; more steps need a finer grid that still divides the whole.
LCM_STEPS = 50


def plan_lcm(schedule: NoiseSchedule, _schedule_type: str, steps: int, t_enc: int | None) -> Plan:
    """Plan LCM on diffusers' own timesteps: evenly skipped from its distillation grid."""
    last = schedule.num_train_timesteps
    steps, t_enc = _whole(schedule, steps, t_enc)
    grid_size = next(n for n in range(max(LCM_STEPS, steps), last + 1) if last % n == 0)
    grid = range(last - 1, -1, -last // grid_size)
    timesteps = [grid[i * grid_size // steps] for i in range(steps)]
    if t_enc is not None:
        timesteps = timesteps[steps - t_enc - 1 :]
    signal, noise = (0.0, 1.0) if t_enc is None else _shares(schedule, timesteps[0])
    return Plan(
        timesteps=timesteps,
        scales=[1.0] * len(timesteps),
        sigmas=None,
        signal=signal,
        noise=noise,
    )
