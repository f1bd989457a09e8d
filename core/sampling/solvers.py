"""A1111's samplers, as their papers or k-diffusion write them.

Each is a generator (:data:`core.sampling.table.Walk`) that works on anything that can be added
and multiplied by numbers: on symbols, for its table, or on latents. ``sigmas`` are falling, and
may stay for some steps, in which no sampler may divide by what it walked; those that count in
timesteps get ``ladder``, falling pairs of (timestep, sigma).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, expm1, inf, log, sqrt
from typing import Any

import torch
from numpy.polynomial import Polynomial

from core.sampling.schedules import karras
from core.sampling.table import Call, Context, Walk
from core.sampling.timesteps import Ladder

Sigmas = Sequence[float]


def down_up(start: float, end: float, eta: float) -> tuple[float, float]:
    """Split a step into one down and noise up again, k-diffusion's ``get_ancestral_step``."""
    up = min(end, eta * sqrt(max(end**2 * (start**2 - end**2) / start**2, 0.0)))
    return sqrt(end**2 - up**2), up


def _churned(x: Any, sigma: float, steps: int, context: Context) -> tuple[Any, float]:
    """Add noise before a step: Karras et al. 2022, algorithm 2, lines 5 and 6."""
    own = context.settings
    if not own.sigma_churn:
        return x, sigma
    inside = own.sigma_tmin <= sigma <= (own.sigma_tmax or inf)
    churned = sigma * (1 + min(own.sigma_churn / steps, sqrt(2) - 1)) if inside else sigma
    # k-diffusion also draws the noise that it does not add.
    return x + context.noise() * own.sigma_noise * sqrt(churned**2 - sigma**2), churned


def euler(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """Karras et al. 2022, algorithm 2 without correction."""
    for sigma, following in pairwise(sigmas):
        x, sigma = _churned(x, sigma, len(sigmas) - 1, context)
        x, denoised, _ = yield Call(x, sigma)
        x += (x - denoised) * (following / sigma - 1)
    return x


def euler_ancestral(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_euler_ancestral``: Euler down, then fresh noise up."""
    for sigma, following in pairwise(sigmas):
        x, denoised, _ = yield Call(x, sigma)
        down, up = down_up(sigma, following, context.settings.eta)
        x += (x - denoised) * (down / sigma - 1)
        if following > 0:
            x += context.noise() * up
    return x


def heun(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """Karras et al. 2022, algorithm 2."""
    for sigma, following in pairwise(sigmas):
        x, sigma = _churned(x, sigma, len(sigmas) - 1, context)
        x = yield from _heun_step(x, sigma, following)
    return x


def _heun_step(x: Any, sigma: float, following: float) -> Walk:
    """A step by the mean of the slopes at both ends; to 0, Euler's."""
    x, denoised, _ = yield Call(x, sigma)
    slope = (x - denoised) / sigma
    if following > 0:
        ahead, denoised, _ = yield Call(x + slope * (following - sigma), following)
        slope = (slope + (ahead - denoised) / following) / 2
    return x + slope * (following - sigma)


def dpm_2(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_dpm_2``: DPM-Solver-2 (Lu et al. 2022) with Karras' churn."""
    for sigma, following in pairwise(sigmas):
        x, sigma = _churned(x, sigma, len(sigmas) - 1, context)
        x = yield from _midpoint(x, sigma, following)
    return x


def dpm_2_ancestral(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_dpm_2_ancestral``: DPM-Solver-2 down, then fresh noise up."""
    for sigma, following in pairwise(sigmas):
        down, up = down_up(sigma, following, context.settings.eta)
        x = yield from _midpoint(x, sigma, down)
        if following > 0:
            x += context.noise() * context.settings.sigma_noise * up
    return x


def _midpoint(x: Any, sigma: float, end: float) -> Walk:
    """A step by the slope halfway in log sigma; to 0, Euler's."""
    x, denoised, _ = yield Call(x, sigma)
    slope = (x - denoised) / sigma
    if end > 0:
        middle = sqrt(sigma * end)
        halfway, denoised, _ = yield Call(x + slope * (middle - sigma), middle)
        slope = (halfway - denoised) / middle
    return x + slope * (end - sigma)


def lms(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_lms``: linear multistep (Adams-Bashforth in sigma) of order 4."""
    slopes: dict[float, Any] = {}
    for sigma, following in pairwise(sigmas):
        x, denoised, _ = yield Call(x, sigma)
        slopes[sigma] = context.keep((x - denoised) / sigma)
        slopes = dict(list(slopes.items())[-4:])
        for node, slope in slopes.items():
            # Lagrange's polynomial through the nodes, in sigma from here, for precision.
            basis = Polynomial([1.0])
            for other in slopes:
                if other != node:
                    basis *= Polynomial([sigma - other, 1.0])
            integral = basis.integ()(following - sigma) / basis(node - sigma)
            x += slope * float(integral)
    return x


def dpmpp_2s_ancestral(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_dpmpp_2s_ancestral``: DPM-Solver++(2S), then fresh noise up."""
    for sigma, following in pairwise(sigmas):
        down, up = down_up(sigma, following, context.settings.eta)
        x, denoised, _ = yield Call(x, sigma)
        if down == 0:
            x = denoised
        else:
            middle = sqrt(sigma * down)
            halfway = x * (middle / sigma) + denoised * (1 - middle / sigma)
            _, denoised, _ = yield Call(halfway, middle)
            x = x * (down / sigma) + denoised * (1 - down / sigma)
        if following > 0:
            x += context.noise() * context.settings.sigma_noise * up
    return x


def dpmpp_2m(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_dpmpp_2m``: DPM-Solver++(2M), Lu et al. 2022."""
    old, last_h = None, 0.0
    for sigma, following in pairwise(sigmas):
        x, denoised, _ = yield Call(x, sigma)
        h = log(sigma / following) if following > 0 else inf
        ahead = denoised
        if old is not None and following > 0:
            ahead += (denoised - old) * (h / last_h / 2)
        x = x * (following / sigma) + ahead * (1 - following / sigma)
        if h:
            old, last_h = denoised, h
    return x


def dpmpp_sde(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_dpmpp_sde``: stochastic DPM-Solver++(2S) with r = 1/2."""
    eta, scale = context.settings.eta, context.settings.sigma_noise
    for sigma, following in pairwise(sigmas):
        x, denoised, _ = yield Call(x, sigma)
        if following == 0:
            x = denoised
            continue
        # In fp32 and through the logarithm, as k-diffusion does: the Brownian path resolves
        # differences of 1e-6, which is less than what gets lost.
        t, t_next = -torch.tensor((sigma, following)).log()
        middle, leaving, arriving = (
            torch.stack((t + (t_next - t) * 0.5, t, t_next)).neg().exp().tolist()
        )
        down, up = down_up(sigma, middle, eta)
        halfway = x * (down / sigma) + denoised * (1 - down / sigma)
        halfway += context.noise(leaving, middle) * (scale * up)
        _, denoised, _ = yield Call(halfway, middle)
        down, up = down_up(sigma, following, eta)
        x = x * (down / sigma) + denoised * (1 - down / sigma)
        x += context.noise(leaving, arriving) * (scale * up)
    return x


def dpmpp_2m_sde(x: Any, sigmas: Sigmas, context: Context, heun: bool = False) -> Walk:
    """k-diffusion's ``sample_dpmpp_2m_sde``: the SDE solver of DPM-Solver++, midpoint or Heun."""
    old, last_h = None, 0.0
    for sigma, following in pairwise(sigmas):
        x, denoised, _ = yield Call(x, sigma)
        if following == 0:
            x = denoised
        if following in (0, sigma):
            continue
        h = log(sigma / following)
        eta_h = context.settings.eta * h
        share = -expm1(-h - eta_h)
        x = x * (following / sigma * exp(-eta_h)) + denoised * share
        if old is not None:
            factor = 1 - share / (h + eta_h) if heun else share / 2
            x += (denoised - old) * (factor * h / last_h)
        if eta_h:
            up = following * sqrt(-expm1(-2 * eta_h)) * context.settings.sigma_noise
            x += context.noise(sigma, following) * up
        old, last_h = denoised, h
    return x


def dpmpp_2m_sde_heun(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """:func:`dpmpp_2m_sde` with k-diffusion's ``solver_type="heun"``."""
    return dpmpp_2m_sde(x, sigmas, context, heun=True)


def dpmpp_3m_sde(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_dpmpp_3m_sde``: the SDE solver of order 3."""
    eta = context.settings.eta
    old: list[tuple[Any, float]] = []
    for sigma, following in pairwise(sigmas):
        x, denoised, _ = yield Call(x, sigma)
        if following == 0:
            x = denoised
        if following in (0, sigma):
            continue
        h = log(sigma / following)
        h_eta = h * (eta + 1)
        x = x * exp(-h_eta) + denoised * -expm1(-h_eta)
        phi_2 = expm1(-h_eta) / h_eta + 1
        if old:
            older, r0 = old[0][0], old[0][1] / h
            slope = (denoised - older) / r0
            if len(old) == 2:
                r1 = old[1][1] / h
                bend = (slope - (older - old[1][0]) / r1) / (r0 + r1)
                slope += bend * r0
                x -= bend * (phi_2 / h_eta - 0.5)
            x += slope * phi_2
        if eta:
            up = following * sqrt(-expm1(-2 * h * eta)) * context.settings.sigma_noise
            x += context.noise(sigma, following) * up
        old = [(denoised, h), *old[:1]]
    return x


def restart(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """Restart (Xu et al. 2023) as in A1111: Heun, walking one stretch of the levels again."""
    steps, levels = len(sigmas) - 1, list(sigmas)
    again, times = (9, 1) if steps < 36 else (steps // 4, 2)
    if steps >= 20:
        levels = karras(steps - again * times, sigmas[-2], sigmas[0])
    stretch = list(pairwise(levels))
    bottom, top = (
        min(range(len(levels)), key=lambda i: abs(levels[i] - goal)) for goal in (0.1, 2.0)
    )
    if steps >= 20 and top < bottom:
        loop = karras(again + 1, levels[bottom], levels[top])[:-1]
        stretch[bottom:bottom] = list(pairwise(loop)) * times
    reached = levels[0]
    for sigma, following in stretch:
        if sigma > reached:
            x += context.noise() * sqrt(sigma**2 - reached**2)
        x = yield from _heun_step(x, sigma, following)
        reached = following
    return x


def ddim(x: Any, ladder: Ladder, context: Context, plus: bool = False) -> Walk:
    """Song et al. 2020; ``plus`` is CFG++ (Chung et al. 2024), straight to the negative prompt."""
    eta = context.settings.eta_ddim
    for (timestep, sigma), (_, following) in pairwise(ladder):
        x, denoised, unconditional = yield Call(x, sigma, timestep)
        # ᾱ is 1 / (sigma² + 1); all of it in latents that are divided by √ᾱ.
        variance = eta**2 * following**2 * (1 - (following**2 + 1) / (sigma**2 + 1))
        variance *= (sigma**2 + 1) / sigma**2
        towards = unconditional if plus else denoised
        slope = (x - towards) / sigma
        x = denoised + slope * sqrt(max(following**2 - variance, 0.0))
        if variance > 0:
            x += context.noise() * sqrt(variance)
    return x / sqrt(ladder[-1][1] ** 2 + 1)


def ddim_cfg_pp(x: Any, ladder: Ladder, context: Context) -> Walk:
    """:func:`ddim` with CFG++."""
    return ddim(x, ladder, context, plus=True)


def plms(x: Any, ladder: Ladder, context: Context) -> Walk:
    """Liu et al. 2022: DDIM with Adams-Bashforth of its noise predictions, up to order 4."""
    weights = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12))
    slopes: list[Any] = []
    for (timestep, sigma), (ahead, following) in pairwise(ladder):
        x, denoised, _ = yield Call(x, sigma, timestep)
        slopes = [context.keep((x - denoised) / sigma), *slopes[:3]]
        if len(slopes) == 1:
            second, denoised, _ = yield Call(x + slopes[0] * (following - sigma), following, ahead)
            slope = (slopes[0] + (second - denoised) / following) / 2
        else:
            order = (*weights, (55 / 24, -59 / 24, 37 / 24, -9 / 24))[len(slopes) - 1]
            slope = slopes[0] * order[0]
            for each, weight in zip(slopes[1:], order[1:], strict=True):
                slope += each * weight
        x += slope * (following - sigma)
    return x / sqrt(ladder[-1][1] ** 2 + 1)


def lcm(x: Any, ladder: Ladder, context: Context) -> Walk:
    """Luo et al. 2023, as A1111 runs it: the consistency model's estimate, then noise again."""
    for (timestep, sigma), (_, following) in pairwise(ladder):
        x, denoised, _ = yield Call(x, sigma, timestep)
        scaled = 10 * timestep
        x = denoised * (scaled / sqrt(scaled**2 + 0.25)) + x * (0.25 / (scaled**2 + 0.25))
        if following > 0:
            x += context.noise() * following
    return x
