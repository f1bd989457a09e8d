"""UniPC (Zhao et al. 2023): a predictor and corrector of clean latents, of any order."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, expm1, factorial, log, sqrt
from typing import Any

import numpy as np

from core.sampling.table import SLOTS, Call, Context, Walk


def unipc(x: Any, ladder: Sequence[tuple[float, float]], context: Context) -> Walk:
    """Zhao et al. 2023 as in A1111: it predicts clean latents, and corrects with each new one."""
    own, steps = context.settings, len(ladder) - 1
    # Of a higher order, there are too few slots for its estimates.
    order = min(own.unipc_order, SLOTS - 2, steps)
    lambdas = [-log(sigma) for _, sigma in ladder]
    x, denoised, _ = yield Call(x, ladder[0][1], ladder[0][0])
    # The estimates so far, the latest first.
    estimates = [denoised]
    for i in range(1, steps + 1):
        used = (
            i if i < order else min(order, steps + 1 - i if own.unipc_lower_order_final else order)
        )
        h = lambdas[i] - lambdas[i - 1]
        base = x * exp(-h) - estimates[0] * expm1(-h)
        distances = [(lambdas[i - 1 - j] - lambdas[i - 1]) / h for j in range(1, used)]
        slopes = [
            (estimate - estimates[0]) / distance
            for estimate, distance in zip(estimates[1:], distances, strict=False)
        ]
        predictor, corrector = _unipc_weights(own.unipc_variant, h, distances)
        predicted = base
        for weight, slope in zip(predictor, slopes, strict=True):
            predicted += slope * weight
        timestep, sigma = ladder[i]
        if i == steps:
            return predicted / sqrt(sigma**2 + 1)
        _, denoised, _ = yield Call(predicted, sigma, timestep)
        corrected = base + (denoised - estimates[0]) * corrector[-1]
        for weight, slope in zip(corrector, slopes, strict=False):
            corrected += slope * weight
        x = context.keep(corrected)
        estimates = [denoised, *estimates[: order - 1]]
    return x


def _unipc_weights(
    variant: str, h: float, distances: list[float]
) -> tuple[list[float], list[float]]:
    """Return the weights of the slopes in UniPC's predictor, and in its corrector with the newest.

    ``variant`` is bh1, bh2 or vary_coeff, as the authors' code names them.
    """
    nodes = np.array([*distances, 1.0])
    order = len(nodes)
    # phi_k of the paper at -h, times h.
    phis, phi = [expm1(-h)], expm1(-h) / -h - 1
    for k in range(1, order + 1):
        phis.append(phi)
        phi = phi / -h - 1 / factorial(k + 1)
    powers = np.vander(nodes, order, increasing=True).T
    factorials = np.array([factorial(k) for k in range(1, order + 1)])
    if variant == "vary_coeff":
        matrix = (powers / factorials[:, None]).T
        ahead = np.linalg.inv(matrix[:-1, :-1])
        whole = np.linalg.inv(matrix)
        predictor = -(np.array(phis[1:order]) @ ahead)
        corrector = -(np.array(phis[1:order]) @ whole[:-1])
        newest = -phis[order] * whole[max(order - 2, 0), -1]
        return predictor.tolist(), [*corrector[:-1].tolist(), float(newest)]
    right = np.array(phis[1:]) * factorials
    whole_step = -h if variant == "bh1" else expm1(-h)
    predictor = -np.linalg.solve(powers[:-1, :-1], right[:-1])
    # The authors' code takes its limit where the order is lowest.
    if order == 2:
        predictor = np.array([-0.5 * whole_step])
    corrector = -np.linalg.solve(powers, right) if order > 1 else np.array([-0.5 * whole_step])
    return predictor.tolist(), corrector.tolist()
