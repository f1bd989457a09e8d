"""The noise of the SDE samplers: increments of a Brownian path per seed.

The path is k-diffusion's, which asks torchsde 0.2.6 for it (Kidger et al., "Efficient and accurate
gradients for neural SDEs", 2021): a tree halves the range of sigmas again and again, and each
node's seed says how its increment is shared out between its halves. So a sigma has the same noise
at any number of steps. Bit for bit torchsde's on the CPU, without its search for every draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import sqrt
from operator import add

import numpy as np
import torch
from torch import Tensor

from core.sampling.generators import first_draws
from core.sampling.sources import NoiseSource

# All sigmas are rounded to so many decimals, about 24 halvings of a usual range.
DECIMALS = 6
# The words of SeedSequence's pool.
_POOL = 24


@dataclass(slots=True, eq=False)
class _Span:
    """Part of the path: the ``number``-th of its ``depth``'s, between two sigmas."""

    start: float
    end: float
    depth: int
    number: int
    increment: Tensor = field(init=False)  # (C, h, w)
    halves: tuple[_Span, _Span] | None = None

    def seed(self, entropy: int) -> int:
        """Return the seed of the normal numbers that share it out."""
        key = (self.number, self.depth)
        return _first_word(np.random.SeedSequence(entropy, spawn_key=key, pool_size=_POOL))

    def halve(self) -> None:
        """Make its halves, without their increments."""
        middle = round(0.5 * (self.end + self.start), DECIMALS)
        depth, number = self.depth + 1, 2 * self.number
        self.halves = (
            _Span(self.start, middle, depth, number),
            _Span(middle, self.end, depth, number + 1),
        )

    def share_out(self, drawn: Tensor) -> None:
        """Give each half its increment: its share, and so much more or less as is ``drawn``."""
        assert self.halves is not None
        left, right = self.halves
        before, after, whole = left.end - self.start, self.end - left.end, self.end - self.start
        reciprocal = 1 / whole
        left.increment = before * self.increment * reciprocal
        left.increment += sqrt(before * after * reciprocal) * drawn
        right.increment = self.increment - left.increment


def brownian_noise(
    source: NoiseSource,
    seed: int,
    shape: tuple[int, int, int],
    bounds: tuple[float, float],
    pairs: Sequence[tuple[float, float]],
    *,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """Yield noise of unit variance for each of the ``pairs`` of sigmas, (C, h, w) fp32 each.

    ``bounds`` are the lowest and highest sigma of the whole schedule: they shape the path, also
    where only its lower part is used. Sigmas are taken as fp32, which they are in k-diffusion.
    """
    entropy = seed % 2**64
    low, high = (float(np.float32(bound)) for bound in bounds)
    top = _Span(round(low, DECIMALS), round(high, DECIMALS), depth=0, number=0)
    seeds = [_first_word(np.random.SeedSequence(entropy, pool_size=_POOL))]
    top.increment = first_draws(source, seeds, shape, device)[0] * sqrt(high - low)
    for index, (sigma, following) in enumerate(pairs):
        start, end = sorted((np.float32(sigma), np.float32(following)))
        covering: list[_Span] = []
        shared: list[_Span] = []
        _cover(top, _inside(start, top), _inside(end, top), covering, shared)
        if shared:
            seeds = [span.seed(entropy) for span in shared]
            for span, drawn in zip(shared, first_draws(source, seeds, shape, device), strict=True):
                span.share_out(drawn)
        if covering:
            # Summed in order and divided by torch's own root: bits depend on both.
            noise = reduce(add, (span.increment for span in covering))
            noise = noise / torch.tensor(end - start).sqrt()
        else:
            noise = torch.zeros(shape, device=device)
        yield noise if sigma < following else -noise
        _forget(top, max(map(max, pairs[index + 1 :]), default=low))


def _first_word(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1)[0])


def _inside(sigma: np.float32, top: _Span) -> float:
    """Return the sigma within the path's ends, rounded as those are."""
    return round(min(max(float(sigma), top.start), top.end), DECIMALS)


def _cover(
    span: _Span, start: float, end: float, covering: list[_Span], shared: list[_Span]
) -> None:
    """Add to ``covering``, in order, the fewest spans that make up ``start`` to ``end``.

    Those that are halved for it are added to ``shared``, each before its halves.
    """
    if start == end:
        return
    if start <= span.start and span.end <= end:
        covering.append(span)
        return
    if span.halves is None:
        span.halve()
        shared.append(span)
    assert span.halves is not None
    left, right = span.halves
    if start < left.end:
        _cover(left, start, end, covering, shared)
    if right.start < end:
        _cover(right, start, end, covering, shared)


def _forget(span: _Span, above: float) -> None:
    """Drop the halves of what lies ``above`` any later sigma; asked again it would be the same."""
    if span.start >= above:
        span.halves = None
    for half in span.halves or ():
        _forget(half, above)
