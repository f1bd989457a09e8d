"""Normal numbers of CUDA's generator, computed on any device: Philox 4x32, 10 rounds.

From Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011), and from how torch's
``randn`` uses it on a graphics card: a thread's counter is (offset, 0, thread, 0), the key is the
seed, and each counter gives four normal numbers by Box and Muller. An H100's own differ by 3e-7
(root mean square; 2e-5 at most, in numbers near 0): it computes in float32 with a fast sine. We
do in float64, as A1111's imitation does, and differ from that by the rounding to float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any, Final

import torch
from torch import Tensor

from core.sampling.uploads import upload

_MASK: Final = 2**32 - 1
_MULTIPLIERS: Final = 0xD2511F53, 0xCD9E8D57
_KEY_STEPS: Final = 0x9E3779B9, 0xBB67AE85
# Threads in a block of CUDA's kernel; there are whole blocks only.
_BLOCK: Final = 256
# 2⁻³² and 2π · 2⁻³² as float32, as CUDA has them.
_TO_UNIT, _TO_ANGLE = torch.tensor([2**-32, 2**-32 * 6.2831855], dtype=torch.float32).tolist()


def philox_randn(
    seeds: Sequence[int],
    offsets: Sequence[int],
    shape: tuple[int, ...],
    *,
    threads: int | None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return what a generator of each seed (64 bits) draws at its offset: (seeds, *shape) fp32.

    ``threads`` are those that the card runs at once: an element beyond them is its thread's
    second number, and so on. None means one for each element, which is A1111's ``NV``.
    """
    count = prod(shape)
    threads = count if threads is None else min(threads, ceil(count / _BLOCK) * _BLOCK)
    drawn: list[Tensor] = []
    for call in range(philox_calls(count, threads)):
        left = count - threads * len(drawn)
        words = _philox(seeds, [each + call for each in offsets], min(threads, left), device)
        numbers = min(4, ceil(left / threads))
        for pair in range(0, numbers, 2):
            drawn += _box_muller(words[pair], words[pair + 1], numbers - pair)
    return torch.cat(drawn, dim=1)[:, :count].reshape(len(seeds), *shape)


def philox_calls(count: int, threads: int | None) -> int:
    """Return by how much a draw of ``count`` numbers moves a generator's offset."""
    return 1 if threads is None else ceil(count / (4 * threads))


def _philox(
    seeds: Sequence[int], offsets: Sequence[int], threads: int, device: torch.device | str
) -> list[Tensor]:
    """Return the four random words, each (seeds, threads) int64, of the threads' counters."""
    # Tensors, or arrays: numpy's whole numbers are twice as fast on the CPU.
    word_2: Any = torch.arange(threads, device=device).expand(len(seeds), threads)
    beginnings = zip(offsets, seeds, strict=True)
    counts = torch.tensor([[each, seed & _MASK, seed >> 32] for each, seed in beginnings])
    offset: Any
    key_0: Any
    key_1: Any
    if len(seeds) == 1 and word_2.is_cpu:
        word_2, (offset, key_0, key_1) = word_2.numpy(), counts[0].tolist()
    else:
        offset, key_0, key_1 = upload(counts, torch.device(device)).T[..., None]
    word_1 = word_3 = word_2 * 0
    word_0 = word_1 + offset
    for _ in range(10):
        # 64-bit products of 32-bit words. Words 1 and 3 are their lower halves, and stay uncut:
        # what is above goes where words 0 and 2 are cut.
        product_0, product_2 = word_0 * _MULTIPLIERS[0], word_2 * _MULTIPLIERS[1]
        word_0, word_2 = product_2 >> 32, product_0 >> 32
        word_0 ^= word_1
        word_0 ^= key_0
        word_0 &= _MASK
        word_2 ^= word_3
        word_2 ^= key_1
        word_2 &= _MASK
        word_1, word_3 = product_2, product_0
        key_0, key_1 = (key_0 + _KEY_STEPS[0]) & _MASK, (key_1 + _KEY_STEPS[1]) & _MASK
    return [torch.as_tensor(word) for word in (word_0, word_1 & _MASK, word_2, word_3 & _MASK)]


def _box_muller(of_radius: Tensor, of_angle: Tensor, numbers: int) -> list[Tensor]:
    """Return the first one or two normal ``numbers`` of two random words, fp32."""
    unit = of_radius.double().mul_(_TO_UNIT).add_(_TO_UNIT / 2)
    angle = of_angle.double().mul_(_TO_ANGLE).add_(_TO_ANGLE / 2)
    radius = unit.log_().mul_(-2).sqrt_()
    return [(radius * turn(angle)).float() for turn in (torch.sin, torch.cos)[:numbers]]
