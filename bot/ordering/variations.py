"""Requests made from a picture that is there already: upscaled, varied, used as a start image.

Pure: a request comes in, another goes out.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from bot.exceptions import TooLarge
from bot.ordering.attachments import StartImage
from bot.ordering.resolve import Resolved
from core.notes import Note
from core.options import RANGES
from core.request import GenerationRequest, HiresFix, Inputs, draw_seed

# Lanczos and a mild second pass: the picture stays the one that was chosen.
UPSCALER: Final = "Lanczos"
UPSCALE_DENOISING: Final = 0.35

SUBTLY: Final = 0.15
STRONGLY: Final = 0.45

# A size said by somebody is kept; one that is only a default gives way to the picture's shape.
SAID: Final = ("option", "pasted", "preset")


def upscaled(request: GenerationRequest, scale: float, max_size: int) -> GenerationRequest:
    """The same picture and a second pass at ``scale`` times its size.

    Raises :class:`~bot.exceptions.TooLarge` when a side would be over ``max_size`` pixels.
    """
    width, height = (int(side * scale) // 8 * 8 for side in (request.width, request.height))
    if max(width, height) > min(max_size, RANGES["width"].high):
        raise TooLarge(width, height, max_size)
    hires = HiresFix(scale, denoising_strength=UPSCALE_DENOISING, upscaler=UPSCALER)
    return replace(request, hires=hires)


def varied(request: GenerationRequest, strength: float) -> GenerationRequest:
    """A neighbour of the request's picture: its noise turned a little towards another seed's."""
    return replace(request, variation_seed=draw_seed(), variation_strength=strength)


def started_from(request: GenerationRequest, png: bytes, strength: float) -> GenerationRequest:
    """The request as img2img from ``png``, of the same size; one pass, no variation."""
    return replace(
        request,
        inputs=Inputs(init_image=png),
        denoising_strength=strength,
        hires=None,
        variation_seed=0,
        variation_strength=0.0,
    )


def with_start(
    resolved: Resolved, start: StartImage, strength: float | None, max_size: int
) -> Resolved:
    """What a command resolved to, from a start image; its size in the picture's shape unless
    somebody said one."""
    request = resolved.request
    if strength is None:
        strength = request.denoising_strength
    width, height = request.width, request.height
    if resolved.sources["size"] not in SAID:
        width, height = shaped(start.width, start.height, width * height, max_size)
    request = replace(
        request,
        inputs=Inputs(init_image=start.png),
        denoising_strength=strength,
        width=width,
        height=height,
    )
    return replace(resolved, request=request, notes=resolved.notes + start.notes)


def without_start(resolved: Resolved, strength: float | None) -> Resolved:
    """The same where there is no start image: a strength that was given does nothing."""
    if strength is None:
        return resolved
    return replace(resolved, notes=(*resolved.notes, Note.of("denoising_unused")))


def shaped(width: int, height: int, area: int, max_size: int) -> tuple[int, int]:
    """A picture's shape at an area in pixels, as a size that can be drawn."""
    step, low = RANGES["width"].multiple, int(RANGES["width"].low)
    high = min(max_size, int(RANGES["width"].high)) // step * step
    unit = math.sqrt(area / (width * height))
    across, down = (round(side * unit / step) * step for side in (width, height))
    return min(max(across, low), high), min(max(down, low), high)
