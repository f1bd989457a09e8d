"""Make a request from one that is drawn already: upscaled, varied, from its image.

Pure functions, from one request to another.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from core.errors import TooLarge
from core.options import RANGES
from core.request import Enlarge, GenerationRequest, HiresFix, Inputs, draw_seed, enlarged

# Lanczos and a low strength: the second pass keeps the image that was chosen.
UPSCALER: Final = "Lanczos"
UPSCALE_DENOISING: Final = 0.35

SUBTLY: Final = 0.15
STRONGLY: Final = 0.45


def upscaled(request: GenerationRequest, scale: float, max_size: int) -> GenerationRequest:
    """Add a second pass at ``scale`` times the size.

    Raises :class:`~core.errors.TooLarge` when a side would be over ``max_size`` pixels.
    """
    width, height = enlarged(request.width, request.height, scale)
    if max(width, height) > min(max_size, RANGES["width"].high):
        raise TooLarge(width, height, max_size)
    hires = HiresFix(scale, denoising_strength=UPSCALE_DENOISING, upscaler=UPSCALER)
    return replace(request, hires=hires)


def only_enlarged(request: GenerationRequest, png: bytes, enlarge: Enlarge) -> GenerationRequest:
    """Enlarge ``png``, the request's only image, without generating it again."""
    return replace(request, inputs=Inputs(finished=png), enlarge=enlarge)


def varied(request: GenerationRequest, strength: float) -> GenerationRequest:
    """Add a variation seed, drawn here, at ``strength`` from 0 to 1."""
    return replace(request, variation_seed=draw_seed(), variation_strength=strength)


def started_from(request: GenerationRequest, png: bytes, strength: float) -> GenerationRequest:
    """Turn the request into img2img from ``png``, of the same size: one pass, no variation."""
    return replace(
        request,
        inputs=Inputs(init_image=png),
        denoising_strength=strength,
        hires=None,
        enlarge=None,
        variation_seed=0,
        variation_strength=0.0,
    )


def shaped(width: int, height: int, area: int, max_size: int) -> tuple[int, int]:
    """Scale ``width`` × ``height`` to ``area`` pixels, as a size that a request can have."""
    step, low = RANGES["width"].multiple, int(RANGES["width"].low)
    high = min(max_size, int(RANGES["width"].high)) // step * step
    unit = math.sqrt(area / (width * height))
    across, down = (round(side * unit / step) * step for side in (width, height))
    return min(max(across, low), high), min(max(down, low), high)
