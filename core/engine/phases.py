"""The phases of a request, as data.

Text-to-image is denoise → decode; img2img starts with an encode; hires fix adds an upscale and
a second denoise before the decode. Only denoising shares UNet calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.hires import LATENT_UPSCALERS, HiresSize
from core.request import GenerationRequest
from core.text.guidance import Guidance


@dataclass(frozen=True, slots=True)
class Encode:
    """The encoding of the start image, resized, to latents."""


@dataclass(frozen=True, slots=True)
class Denoise:
    """A run of a sampler at this size in pixels: from noise, or from latents at a ``strength``.

    img2img runs that fraction of ``steps``, the second pass of hires fix runs all of them.
    ``guidance`` is this pass's: its prompts, encoded for its steps, and their CFG scale.
    """

    width: int
    height: int
    sampler: str
    schedule_type: str
    steps: int
    guidance: Guidance
    strength: float | None = None
    second_pass: bool = False


@dataclass(frozen=True, slots=True)
class Upscale:
    """The upscaling of the latents to this size in pixels, for the second pass.

    The picture reaches exactly this ``size``; the latents are as many as are whole, and cut.
    """

    size: HiresSize
    upscaler: str


@dataclass(frozen=True, slots=True)
class Decode:
    """The decoding of the latents by the run's VAE of this index."""

    vae: int = 0


Phase = Encode | Denoise | Upscale | Decode


def phases(
    request: GenerationRequest, guidances: Sequence[Guidance], vaes: int = 1
) -> tuple[Phase, ...]:
    """Return the phases of each of the request's pictures, in order.

    ``guidances`` has one for each pass (:func:`core.sampling.passes.passes`); ``vaes`` is the
    number of VAEs that decode the same latents.
    """
    guided = guidances[0]
    sampler, kind = request.sampler, request.schedule_type
    strength = None if request.init_image is None else request.denoising_strength
    plan: list[Phase] = [] if request.init_image is None else [Encode()]
    plan.append(
        Denoise(request.width, request.height, sampler, kind, request.steps, guided, strength)
    )
    if (hires := request.hires) is not None:
        larger = hires.size(request.width, request.height)
        plan.append(Upscale(larger, hires.upscaler))
        sampler, kind = hires.sampler or sampler, hires.schedule_type or kind
        steps, strength = request.second_steps, hires.denoising_strength
        again = Denoise(*larger.picture, sampler, kind, steps, guidances[1], strength, True)
        plan.append(again)
    return (*plan, *(Decode(vae) for vae in range(vaes)))


def needs_vae_before_decode(request: GenerationRequest) -> bool:
    """Return whether the latents depend on the VAE, so that requests cannot share them."""
    hires = request.hires
    by_pixels = hires is not None and hires.upscaler not in LATENT_UPSCALERS
    return request.init_image is not None or by_pixels
