"""A UNet's upsampling at sizes that cannot be halved evenly, in the order of ldm and sgm.

There a map is doubled and convolved, and what the skip connection lacks is then left away.
diffusers brings it to the skip connection's size first, so that its convolution sees another map.
"""

from __future__ import annotations

from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn


class DoublingUpsample(Upsample2D):
    """Doubles, convolves, then cuts to the asked size. Even sizes take diffusers' own way."""

    # diffusers declares the size as an int, and passes the last two of a tensor's shape.
    def forward(  # type: ignore[override]
        self, hidden_states: Tensor, output_size: tuple[int, int] | None = None
    ) -> Tensor:
        """Upsample (B, C, h, w) to (B, C, *output_size), by default to (B, C, 2h, 2w).

        A skip connection is as large as its double or one less: the nearest neighbours that A1111
        takes there are the first ones.
        """
        doubled: Tensor = super().forward(hidden_states)
        if output_size is None:
            return doubled
        height, width = output_size
        return doubled[..., :height, :width]


def double_then_cut(unet: nn.Module) -> None:
    """Make every upsampling of ``unet`` go in ldm's order."""
    for module in unet.modules():
        if isinstance(module, Upsample2D):
            # The layer's weights and settings stay; only its method changes.
            module.__class__ = DoublingUpsample
