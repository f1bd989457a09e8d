"""The noise of the SDE samplers: increments of a Brownian path per seed, as in k-diffusion.

The path is always drawn on the CPU in fp32, so that a seed gives the same image on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

# A draw takes a few milliseconds, so the next one is made while the model runs.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="brownian")


class BrownianNoise:
    """Noise of unit variance between pairs of sigmas, which are known beforehand, in order.

    ``shape`` is one image's (C, h, w); ``bounds`` are the lowest and highest sigma of the whole
    schedule: they shape the path, also where only its lower part is used.
    """

    def __init__(
        self,
        seed: int,
        shape: Sequence[int],
        bounds: tuple[float, float],
        pairs: Sequence[tuple[float, float]],
    ) -> None:
        # torchsde keeps the ends rounded to its tolerance of 1e-6 and warns about queries outside.
        self._low, self._high = (round(bound, 6) for bound in bounds)
        self._seed, self._shape = seed, shape
        self._path: BrownianTreeNoiseSampler | None = None
        self._pairs = iter(pairs)
        self._following = self._prepare()

    def next(self) -> torch.Tensor:
        """Return the next pair's noise, (C, h, w) fp32 on the CPU; IndexError past the last."""
        if self._following is None:
            raise IndexError("every pair of sigmas has had its noise")
        noise = self._following.result()
        self._following = self._prepare()
        return noise

    def _prepare(self) -> Future[torch.Tensor] | None:
        pair = next(self._pairs, None)
        return None if pair is None else _threads.submit(self._draw, *pair)

    def _draw(self, sigma: float, following: float) -> torch.Tensor:
        if self._path is None:
            start = torch.zeros(*self._shape)
            ends = (self._low, self._high)
            self._path = BrownianTreeNoiseSampler(start, *ends, self._seed, self._inside)
        noise: torch.Tensor = self._path(sigma, following)
        return noise

    def _inside(self, sigma: Any) -> Any:
        # In double, because the rounded ends have no exact float.
        return sigma.double().clamp(self._low, self._high)
