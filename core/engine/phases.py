"""A request as a list of phases, which are data: what the engine does with it, one by one.

Text-to-image is denoise → decode; img2img starts with an encode; hires fix puts an enlargement
and a second denoise in between. A picture is in the running set only while it denoises.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.request import GenerationRequest
from core.sampling.samplers import img2img_extent


@dataclass(frozen=True, slots=True)
class Encode:
    """The start image, brought to size, becomes latents."""


@dataclass(frozen=True, slots=True)
class Denoise:
    """The sampler's walk at this size: from noise alone, or from latents at a ``strength``.

    img2img runs a share of ``steps``, a second pass (of hires fix) all of them.
    """

    width: int
    height: int
    steps: int
    strength: float | None = None
    second_pass: bool = False

    @property
    def walk_steps(self) -> int:
        """Sampler steps that are really run."""
        if self.strength is None or self.second_pass:
            return self.steps
        return img2img_extent(self.steps, self.strength)[1] + 1


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


def phases(request: GenerationRequest, vaes: int = 1) -> tuple[Phase, ...]:
    """The way of each of the request's pictures; ``vaes`` decode the same latents in turn."""
    width, height, steps = request.width, request.height, request.steps
    plan: list[Phase] = []
    if request.init_image is None:
        plan.append(Denoise(width, height, steps))
    else:
        plan += [Encode(), Denoise(width, height, steps, request.denoising_strength)]
    if (hires := request.hires) is not None:
        width, height = request.final_size
        plan.append(Upscale(width, height, hires.upscaler))
        passes = hires.steps or steps
        plan.append(Denoise(width, height, passes, hires.denoising_strength, second_pass=True))
    return (*plan, *(Decode(vae) for vae in range(vaes)))


def walk_steps(request: GenerationRequest) -> int:
    """Sampler steps of one picture, over all its phases."""
    return sum(phase.walk_steps for phase in phases(request) if isinstance(phase, Denoise))


def needs_vae_before_decode(request: GenerationRequest) -> bool:
    """Whether the VAE has a part in the latents, so that another VAE would mean other latents."""
    hires = request.hires
    return request.init_image is not None or (hires is not None and hires.upscaler != "Latent")
