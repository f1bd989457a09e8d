"""Padding of a picture to the sizes that an upscaler can work on."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad


def whole(x: Tensor, multiple: int) -> Tensor:
    """Pad (B, C, h, w) on the right and below, so that its sides are multiples."""
    height, width = x.shape[-2:]
    return grown(x, height + -height % multiple, width + -width % multiple)


def grown(x: Tensor, height: int, width: int) -> Tensor:
    """Pad (B, C, h, w) on the right and below, to at least this size."""
    high, wide = x.shape[-2:]
    # A reflection has no more to show than the picture has.
    across, down = min(max(0, width - wide), wide - 1), min(max(0, height - high), high - 1)
    x = pad(x, (0, across, 0, down), mode="reflect")
    high, wide = x.shape[-2:]
    return pad(x, (0, max(0, width - wide), 0, max(0, height - high)), mode="replicate")
