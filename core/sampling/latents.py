"""Latents at another size, as A1111's latent upscalers make them."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from core.hires import LATENT_UPSCALERS


def latent_upscale(latents: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize latents (B, C, h, w) to ``size``, rows and columns, larger or smaller.

    ``mode`` is one of :data:`~core.hires.LATENT_UPSCALERS`.
    """
    interpolation, antialias = LATENT_UPSCALERS[mode]
    return interpolate(latents, size, mode=interpolation, antialias=antialias)
