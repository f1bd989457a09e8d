"""A request as a list of phases, which are data: what the engine does with it, one by one.

Text-to-image is denoise → decode; img2img starts with an encode; hires fix puts an enlargement
and a second denoise in between. A picture is in the running set only while it denoises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.request import GenerationRequest
from core.text.guidance import Guidance


@dataclass(frozen=True, slots=True)
class Encode:
    """The start image, brought to size, becomes latents."""


@dataclass(frozen=True, slots=True)
class Denoise:
    """The sampler runs at this size: from noise alone, or from latents at a ``strength``.

    img2img runs a share of ``steps``, a second pass (of hires fix) all of them. ``guidance``
    is this pass's own: its prompts, encoded for its schedule, and their scale.
    """

    width: int
    height: int
    steps: int
    guidance: Guidance
    strength: float | None = None
    second_pass: bool = False


@dataclass(frozen=True, slots=True)
class Upscale:
    """The latents are enlarged for the second pass."""

    width: int
    height: int
    upscaler: str


@dataclass(frozen=True, slots=True)
class Decode:
    """The latents become a picture, through the ``vae``-th of the run's VAEs."""

    vae: int = 0


Phase = Encode | Denoise | Upscale | Decode


def phases(
    request: GenerationRequest, guidances: Sequence[Guidance], vaes: int = 1
) -> tuple[Phase, ...]:
    """Return what each of the request's pictures goes through, in order.

    ``guidances`` has one for each pass of the sampler (:func:`core.sampling.passes.passes`);
    ``vaes`` decode the same latents in turn.
    """
    width, height, steps = request.width, request.height, request.steps
    plan: list[Phase] = []
    if request.init_image is None:
        plan.append(Denoise(width, height, steps, guidances[0]))
    else:
        strength = request.denoising_strength
        plan += [Encode(), Denoise(width, height, steps, guidances[0], strength)]
    if (hires := request.hires) is not None:
        width, height = request.final_size
        steps, strength = hires.steps or steps, hires.denoising_strength
        plan.append(Upscale(width, height, hires.upscaler))
        plan.append(Denoise(width, height, steps, guidances[1], strength, second_pass=True))
    return (*plan, *(Decode(vae) for vae in range(vaes)))


def needs_vae_before_decode(request: GenerationRequest) -> bool:
    """Tell whether the VAE has a part in the latents: then another VAE means other latents."""
    hires = request.hires
    return request.init_image is not None or (hires is not None and hires.upscaler != "Latent")
