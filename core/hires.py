"""Hires fix by A1111's names and numbers: the upscalers that need no file, and the sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Pixels of a latent's side.
LATENT: Final = 8
# Upscalers of the latent: torch's interpolation mode, and whether it is antialiased.
LATENT_UPSCALERS: Final[Mapping[str, tuple[str, bool]]] = {
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}
# Upscalers of the decoded picture. None goes to the size at once, by Lanczos as well.
PIXEL_UPSCALERS: Final = ("None", "Lanczos", "Nearest")
UPSCALERS: Final = (*LATENT_UPSCALERS, *PIXEL_UPSCALERS)


def enlarged_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Multiply a size in pixels for A1111's upscalers, which come to multiples of 8."""
    across, down = (max(LATENT, int(side * scale // LATENT) * LATENT) for side in (width, height))
    return across, down


@dataclass(frozen=True, slots=True)
class HiresSize:
    """The sizes of a second pass. A picture becomes ``width`` × ``height`` pixels, no multiple of 8
    necessarily; of its latent ``cut_x`` columns and ``cut_y`` rows are cut, half on either side.
    """

    width: int
    height: int
    cut_x: int = 0
    cut_y: int = 0

    @classmethod
    def of(
        cls, width: int, height: int, scale: float, resize: tuple[int, int] = (0, 0)
    ) -> HiresSize:
        """Make the sizes for a first pass of ``width`` × ``height`` pixels.

        ``resize`` is A1111's ``Hires resize``: a side of 0 follows the other one, two sides are
        covered and what is over is cut; with 0 for both ``scale`` counts.
        """
        to_width, to_height = resize
        if not to_width and not to_height:
            return cls(int(width * scale), int(height * scale))
        if not to_height or (to_width and width / height < to_width / to_height):
            larger = (to_width, to_width * height // width)
        else:
            larger = (to_height * width // height, to_height)
        cuts = (
            (side - to) // LATENT if to_width and to_height else 0
            for side, to in zip(larger, resize, strict=True)
        )
        return cls(*larger, *cuts)

    @property
    def rows(self) -> slice:
        """The rows of the enlarged latent that stay."""
        return slice(self.cut_y // 2, self.height // LATENT - (self.cut_y + 1) // 2)

    @property
    def columns(self) -> slice:
        """The columns of the enlarged latent that stay."""
        return slice(self.cut_x // 2, self.width // LATENT - (self.cut_x + 1) // 2)

    @property
    def enlarged(self) -> tuple[int, int]:
        """Rows and columns of the enlarged latent, before it is cut."""
        return self.height // LATENT, self.width // LATENT

    @property
    def picture(self) -> tuple[int, int]:
        """Width and height in pixels of the finished image."""
        rows, columns = self.enlarged
        return (columns - self.cut_x) * LATENT, (rows - self.cut_y) * LATENT
