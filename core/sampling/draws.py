"""The noise of a run: what it starts from, and what its sampler adds on the way, drawn ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Final

import torch
from torch import Tensor

from core.sampling.brownian import brownian_noise
from core.sampling.plans import Plan
from core.sampling.sources import NoiseSource
from core.sampling.streams import noise_stream
from core.sampling.uploads import upload
from core.threads import beside

# A draw takes up to a few milliseconds, so the next one is made while the model runs.
_threads: Final = beside(2, "noise")


def run_noise(
    plan: Plan,
    source: NoiseSource,
    seed: int,
    shape: tuple[int, int, int],
    device: torch.device,
    **variation: Any,
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Return a run's start noise, (C, h, w) on the device, and what draws its sampler's noise.

    ``variation`` are the further arguments of :func:`~core.sampling.streams.noise_stream`. A seed
    draws the same on every device; Philox, of which a card computes all numbers at once, there.
    What the CPU draws stays on it, for :func:`~core.sampling.uploads.upload_together`.
    """
    delta = plan.context.settings.eta_noise_seed_delta
    there = torch.device("cpu") if source == "CPU" or device.type != "cuda" else device
    stream = noise_stream(
        source, seed, shape, eta_noise_seed_delta=delta, device=there, **variation
    )
    first = upload(next(stream), device)
    if plan.sampler.draws == "path":
        assert plan.table is not None
        stream = brownian_noise(source, seed, shape, plan.path, plan.table.pairs, device=there)
    return first, _Ahead(stream)


class _Ahead:
    """Draws from a stream, each made while the one before is used."""

    def __init__(self, stream: Iterator[Tensor]) -> None:
        self._stream = stream
        self._following: Future[Tensor | None] | None = None

    def __call__(self) -> Tensor:
        drawn = (self._following or _threads.submit(self._next)).result()
        assert drawn is not None, "every pair of sigmas has had its noise"
        self._following = _threads.submit(self._next)
        return drawn

    def _next(self) -> Tensor | None:
        return next(self._stream, None)
