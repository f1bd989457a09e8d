"""DPM-Solver (Lu et al. 2022) with levels of its own: DPM fast and DPM adaptive."""

from __future__ import annotations

from itertools import pairwise
from math import atan, exp, expm1, log, sqrt
from typing import Any

from core.sampling.solvers import Sigmas, down_up, euler
from core.sampling.table import Call, Context, Walk


def dpm_fast(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_dpm_fast``: DPM-Solver (Lu et al. 2022) in blocks of order 3, 2, 1.

    It spaces its own levels between the context's bounds, equally in log sigma.
    """
    low, high = context.ends
    if low >= high:
        return (yield from euler(x, (high, 0.0), context))
    blocks, rest = divmod(context.steps, 3)
    orders = [3] * blocks + [rest] if rest else [3] * (blocks - 1) + [2, 1]
    times = [-log(high) + i / len(orders) * (log(high) - log(low)) for i in range(len(orders) + 1)]
    for (t, t_next), order in zip(pairwise(times), orders, strict=True):
        down, up = down_up(exp(-t), exp(-t_next), context.settings.eta)
        t_down = min(times[-1], -log(down)) if down else times[-1]
        up = sqrt(max(exp(-t_next) ** 2 - exp(-t_down) ** 2, 0.0)) if context.settings.eta else 0
        x, denoised, _ = yield Call(x, exp(-t))
        slope = context.keep((x - denoised) / exp(-t))
        x, _ = yield from _dpm_solver(x, slope, t, t_down, order)
        if up:
            x += context.noise() * (up * context.settings.sigma_noise)
    return x


def _dpm_solver(x: Any, slope: Any, t: float, t_next: float, order: int) -> Any:
    """A step of DPM-Solver-1, -2 or -3, from ``x`` with noise prediction ``slope`` at ``t``.

    Returns its end and, of order 3, also that of the order 2 with the same first call.
    """
    h = t_next - t
    sigma_next, whole = exp(-t_next), expm1(h)
    straight = x - slope * (sigma_next * whole)
    if order == 1:
        return straight, None
    r1 = 1 / order if order == 3 else 0.5
    first = t + r1 * h
    ahead, denoised, _ = yield Call(x - slope * (exp(-first) * expm1(r1 * h)), exp(-first))
    bend = (ahead - denoised) / exp(-first) - slope
    lower = straight - bend * (sigma_next / (2 * r1) * whole)
    if order == 2:
        return lower, None
    r2 = 2 / 3
    second = t + r2 * h
    factor = exp(-second) * (r2 / r1) * (expm1(r2 * h) / (r2 * h) - 1)
    ahead, denoised, _ = yield Call(
        x - slope * (exp(-second) * expm1(r2 * h)) - bend * factor, exp(-second)
    )
    bend = (ahead - denoised) / exp(-second) - slope
    return straight - bend * (sigma_next / r2 * (whole / h - 1)), lower


def dpm_adaptive(x: Any, sigmas: Sigmas, context: Context) -> Walk:
    """k-diffusion's ``sample_dpm_adaptive``: DPM-Solver-3 with steps by its error; latents only.

    It yields the error of each step, and is sent its value.
    """
    low, high = context.ends
    if low >= high:
        return (yield from euler(x, (high, 0.0), context))
    s, end, h = -log(high), -log(low), 0.05
    last = x
    eta = context.settings.eta
    exponent = 1 / (1.5 if eta else 3)
    while s < end - 1e-5:
        t = min(end, s + h)
        down, up = down_up(exp(-s), exp(-t), eta)
        t_down = min(end, -log(down)) if eta and down else t
        up = sqrt(max(exp(-t) ** 2 - exp(-t_down) ** 2, 0.0))
        x, denoised, _ = yield Call(x, exp(-s))
        slope = (x - denoised) / exp(-s)
        higher, lower = yield from _dpm_solver(x, slope, s, t_down, 3)
        allowed = lower.abs().maximum(last.abs()).mul(0.05).clamp(min=0.0078)
        error = (yield ((lower - higher) / allowed).norm()) / sqrt(x.numel())
        factor = 1 + atan((1 / (error + 1e-8)) ** exponent - 1)
        if factor >= 0.81:
            last, s = lower, t
            x = higher + context.noise() * (up * context.settings.sigma_noise)
        h *= factor
    return x
