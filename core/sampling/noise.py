"""The initial noise of an image, bit for bit what A1111 draws on its CPU.

One generator per image, always on the CPU and in fp32, so that a seed gives the same image on
every device, alone or in a batch; ancestral samplers draw on from the same generator.
"""

from __future__ import annotations

import torch

# Above this mean cosine two noises are so close that slerp divides by almost nothing.
PARALLEL = 0.9995


def initial_noise(
    seed: int,
    shape: tuple[int, int, int],
    variation_seed: int = 0,
    variation_strength: float = 0.0,
) -> tuple[torch.Tensor, torch.Generator]:
    """Draw noise of ``shape`` (C, h, w), fp32 on the CPU; also return the generator that drew it.

    With a ``variation_strength`` above 0 the noise is turned towards that of ``variation_seed``,
    which it reaches at 1; the generator stays that of ``seed`` and has drawn exactly once.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = torch.randn(shape, generator=generator, dtype=torch.float32)
    if variation_strength > 0:
        other = torch.Generator("cpu").manual_seed(variation_seed)
        variation = torch.randn(shape, generator=other, dtype=torch.float32)
        noise = slerp(variation_strength, noise, variation)
    return noise, generator


def slerp(weight: float, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Interpolate spherically from ``low`` (weight 0) to ``high`` (weight 1), both (C, h, w).

    As in A1111, the angles are between the columns of each channel (dimension 1), not between the
    whole tensors, so that variation seeds give the same noise.
    """
    low_unit = low / torch.linalg.vector_norm(low, dim=1, keepdim=True)
    high_unit = high / torch.linalg.vector_norm(high, dim=1, keepdim=True)
    cosine = (low_unit * high_unit).sum(1)
    if cosine.mean() > PARALLEL:
        return torch.lerp(low, high, weight)
    omega = torch.acos(cosine)
    sine = torch.sin(omega)
    towards_low = (torch.sin((1.0 - weight) * omega) / sine).unsqueeze(1)
    towards_high = (torch.sin(weight * omega) / sine).unsqueeze(1)
    return towards_low * low + towards_high * high
