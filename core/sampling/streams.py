"""An image's noise: what it starts from, and every later draw of its sampler's.

The order of the draws is A1111's, and so are variations, seed resize and the eta noise seed delta.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from core.sampling.generators import NormalGenerator
from core.sampling.sources import NoiseSource

# Above this mean cosine two noises are so close that slerp divides by almost nothing.
PARALLEL = 0.9995


def noise_stream(
    source: NoiseSource,
    seed: int,
    shape: tuple[int, int, int],
    *,
    variation_seed: int = 0,
    variation_strength: float = 0.0,
    seed_resize: tuple[int, int] | None = None,
    eta_noise_seed_delta: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """Yield an image's noise without end, each draw ``shape`` (C, h, w) fp32 on ``device``.

    The first draw is the noise to start from. A ``variation_strength`` turns it towards that of
    ``variation_seed``, which it reaches at 1. With ``seed_resize`` (width, height in pixels; 0
    and less for none) its middle is the noise of an image of that size.

    The later draws go on from the seed's generator, which has then drawn exactly once; with an
    ``eta_noise_seed_delta`` from a new one, of the seed plus that. A second pass takes a new
    stream.
    """
    generator = NormalGenerator(source, seed, device)
    width, height = (side // 8 for side in seed_resize or (0, 0))
    drawn = (shape[0], height, width) if width > 0 and height > 0 else shape
    surround = noise = generator.draw(shape)
    if drawn != shape:
        noise = NormalGenerator(source, seed, device).draw(drawn)
    if variation_strength:
        variation = NormalGenerator(source, variation_seed, device).draw(drawn)
        noise = slerp(variation_strength, noise, variation)
    if drawn != shape:
        noise = _paste(noise, surround)
    yield noise
    if eta_noise_seed_delta:
        generator = NormalGenerator(source, seed + eta_noise_seed_delta, device)
    while True:
        yield generator.draw(shape)


def start_noise(
    seed: int,
    shape: tuple[int, int, int],
    *,
    source: NoiseSource = "CPU",
    variation_seed: int = 0,
    variation_strength: float = 0.0,
    seed_resize: tuple[int, int] | None = None,
) -> Tensor:
    """Return the first draw of :func:`noise_stream`, ``shape`` (C, h, w) fp32 on the CPU."""
    stream = noise_stream(
        source,
        seed,
        shape,
        variation_seed=variation_seed,
        variation_strength=variation_strength,
        seed_resize=seed_resize,
    )
    return next(stream)


def slerp(weight: float, low: Tensor, high: Tensor) -> Tensor:
    """Interpolate spherically from ``low`` (weight 0) to ``high`` (weight 1), both (C, h, w).

    As in A1111, the angles are between the columns of each channel (dimension 1), not between the
    whole tensors, so that variation seeds give the same noise. Where that has no answer, between
    columns in one line, it is a straight mix: A1111 swaps the weights there, or gets NaN.
    """
    low_unit = low / torch.linalg.vector_norm(low, dim=1, keepdim=True)
    high_unit = high / torch.linalg.vector_norm(high, dim=1, keepdim=True)
    cosine = (low_unit * high_unit).sum(1, keepdim=True)
    straight = torch.lerp(low, high, weight)
    if cosine.mean() > PARALLEL:
        return straight
    omega = torch.acos(cosine)
    sine = torch.sin(omega)
    towards_low = torch.sin((1.0 - weight) * omega) / sine
    towards_high = torch.sin(weight * omega) / sine
    # In fp32 a cosine of just below 1 has a sine of 3e-4; that of π is -9e-8.
    return torch.where(sine > 1e-4, towards_low * low + towards_high * high, straight)


def _paste(noise: Tensor, surround: Tensor) -> Tensor:
    """Return ``surround`` (C, h, w) with the ``noise`` of another size in its middle.

    Where that is larger its own middle is taken. Odd differences are halved downwards, as A1111
    does, so that a column may be left over.
    """
    pasted = surround.clone()
    into: list[slice] = [slice(None)]
    out_of: list[slice] = [slice(None)]
    for whole, part in zip(surround.shape[1:], noise.shape[1:], strict=True):
        before = (whole - part) // 2
        taken = part if before >= 0 else part + 2 * before
        into.append(slice(max(before, 0), max(before, 0) + taken))
        out_of.append(slice(max(-before, 0), max(-before, 0) + taken))
    pasted[tuple(into)] = noise[tuple(out_of)]
    return pasted
