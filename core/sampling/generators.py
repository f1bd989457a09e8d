"""Normal numbers of a noise source: a generator that goes on, and the first draws of fresh ones."""

from __future__ import annotations

from math import prod
from typing import Final

import torch
from torch import Tensor

from core.sampling.philox import philox_calls, philox_randn
from core.sampling.sources import CUDA_THREADS, NoiseSource

# Draws that a card makes at once, after a generator's first.
AHEAD: Final = 8
_THREADS: dict[NoiseSource, int | None] = {"GPU": CUDA_THREADS, "NV": None}


class NormalGenerator:
    """Draws as torch's generator on the CPU or on a graphics card would, or A1111's ``NV``.

    Any integer is a seed, modulo 2⁶⁴; torch's on the CPU uses the lowest 32 bits of it.
    """

    def __init__(self, source: NoiseSource, seed: int, device: torch.device | str = "cpu") -> None:
        self._source, self._seed, self._device = source, seed % 2**64, device
        self._generator = torch.Generator().manual_seed(self._seed)
        self._offset = 0
        # What a card has drawn ahead, all of one shape.
        self._ahead: list[Tensor] = []

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next numbers, ``shape`` fp32 on the generator's device."""
        if self._source == "CPU":
            drawn = torch.randn(shape, generator=self._generator, dtype=torch.float32)
            return drawn.to(self._device)
        threads = _THREADS[self._source]
        calls = philox_calls(prod(shape), threads)
        if not self._ahead or self._ahead[0].shape != shape:
            # A card's draw is 130 small operations, however many numbers. Most runs take only one.
            count = AHEAD if self._offset and torch.device(self._device).type == "cuda" else 1
            offsets = [self._offset + calls * number for number in range(count)]
            seeds = [self._seed] * count
            drawn = philox_randn(seeds, offsets, shape, threads=threads, device=self._device)
            self._ahead = list(drawn.unbind())
        self._offset += calls
        return self._ahead.pop(0)


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
    return philox_randn(seeds, [0] * len(seeds), shape, threads=_THREADS[source], device=device)
