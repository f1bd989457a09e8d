"""The passes of a request: how often the sampler is run, at what size, for how many steps.

Arithmetic without torch: the bot's process computes the cost of a request with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class Pass:
    """A run of the sampler at a size in pixels; ``steps`` are those that are run."""

    width: int
    height: int
    steps: int


def passes(request: GenerationRequest) -> tuple[Pass, ...]:
    """Return the sampler's runs for one image: one, and with hires fix a second, larger one.

    None where nothing is generated.
    """
    if request.only_enlarges:
        return ()
    steps = request.steps
    if request.init_image is not None:
        steps = img2img_start(steps, request.denoising_strength)[1] + 1
    first = Pass(request.width, request.height, steps)
    if request.hires is None:
        return (first,)
    return first, Pass(*request.final_size, request.second_steps)


def img2img_start(steps: int, denoising_strength: float) -> tuple[int, int]:
    """Return the steps of the whole schedule, and the one that img2img starts at.

    That one is A1111's ``t_enc``: counted from the schedule's end, so that ``t_enc`` + 1 steps
    are run.
    """
    return steps, int(min(denoising_strength, 0.999) * steps)


def second_pass_start(steps: int, denoising_strength: float) -> tuple[int, int]:
    """Return what :func:`img2img_start` does, for a second pass that runs exactly ``steps`` steps.

    The schedule is so much longer that its last ``steps`` steps start at that strength. A1111
    runs nothing at strength 0; from 0.001 down the noise is as good as none, so it stays there.
    """
    return int(steps / min(max(denoising_strength, 0.001), 0.999)), steps - 1
