"""Normal numbers of a noise source: a generator that goes on, and the first draws of fresh ones."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from core.sampling.philox import philox_calls, philox_randn
from core.sampling.sources import CUDA_THREADS, NoiseSource

_THREADS: dict[NoiseSource, int | None] = {"GPU": CUDA_THREADS, "NV": None}


class NormalGenerator:
    """Draws as torch's generator on the CPU or on a graphics card would, or A1111's ``NV``.

    Any integer is a seed, modulo 2⁶⁴; torch's on the CPU uses the lowest 32 bits of it.
    """

    def __init__(self, source: NoiseSource, seed: int, device: torch.device | str = "cpu") -> None:
        self._source, self._seed, self._device = source, seed % 2**64, device
        self._generator = torch.Generator().manual_seed(self._seed)
        self._offset = 0

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next numbers, ``shape`` fp32 on the generator's device."""
        if self._source == "CPU":
            drawn = torch.randn(shape, generator=self._generator, dtype=torch.float32)
            return drawn.to(self._device)
        threads = _THREADS[self._source]
        drawn = philox_randn(
            [self._seed], self._offset, shape, threads=threads, device=self._device
        )
        self._offset += philox_calls(prod(shape), threads)
        return drawn[0]


def first_draws(
    source: NoiseSource,
    seeds: list[int],
    shape: tuple[int, ...],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return what a fresh generator of each seed draws first, (seeds, *shape) fp32."""
    if source == "CPU" or torch.device(device).type == "cpu":
        # One after another stays in the processor's cache.
        return torch.stack([NormalGenerator(source, seed, device).draw(shape) for seed in seeds])
    # All at once: elsewhere the number of operations counts, not their size.
    return philox_randn(seeds, 0, shape, threads=_THREADS[source], device=device)
