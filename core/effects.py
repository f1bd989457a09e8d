"""Which options change a request's image.

As in A1111, a text has only the options that its samplers use; an axis over another one would
compare nothing.
"""

from __future__ import annotations

from typing import Final

from core.notes import Note
from core.options import AUTOMATIC, own_schedule
from core.request import GenerationRequest

# A1111's ways of taking the options: from the signature of each k-diffusion sampler.
ANCESTRAL: Final = frozenset({"Euler a", "DPM2 a", "DPM++ 2S a", "DPM fast", "DPM adaptive"})
BROWNIAN: Final = frozenset({"DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE"})
CHURNING: Final = frozenset({"Euler", "Heun", "DPM2"})
NOISED: Final = CHURNING | BROWNIAN | {"DPM2 a", "DPM++ 2S a", "DPM fast"}
# They step through timesteps of their own, whatever the schedule type.
TIMESTEPS: Final = frozenset({"DDIM", "DDIM CFG++", "PLMS", "UniPC"})
DDIM: Final = frozenset({"DDIM", "DDIM CFG++"})
# They drop the second-last sigma in any case.
DISCARDING: Final = frozenset({"DPM2", "DPM2 a", "DPM++ 3M SDE"})


def passes(request: GenerationRequest) -> list[tuple[str, str]]:
    """List the sampler and the schedule type of each pass, Automatic resolved where it is one."""
    found = [(request.sampler, request.schedule_type)]
    if (hires := request.hires) is not None:
        second = hires.sampler or request.sampler, hires.schedule_type or request.schedule_type
        found.append(second)
    return [(sampler, own_schedule(sampler, kind)) for sampler, kind in found]


def has_effect(name: str, request: GenerationRequest) -> bool:
    """Whether another value of the option ``name`` would change the image."""
    both = passes(request)
    samplers = {sampler for sampler, _ in both}
    kinds = {kind for sampler, kind in both if sampler not in TIMESTEPS}
    match name:
        case "eta":
            return bool(samplers & (ANCESTRAL | BROWNIAN))
        case "eta_ddim":
            return bool(samplers & DDIM)
        case "sigma_churn" | "sigma_tmin" | "sigma_tmax":
            return bool(samplers & CHURNING)
        case "sigma_noise":
            return bool(samplers & NOISED)
        case "eta_noise_seed_delta":
            return any(draws_on(sampler, request) for sampler in samplers)
        case "discard_penultimate":
            return not samplers <= DISCARDING
        case "schedule_type":
            return bool(kinds)
        case "schedule_min_sigma" | "schedule_max_sigma":
            return bool(kinds - {AUTOMATIC})
        case "schedule_rho":
            return bool(kinds & {"Karras", "Polyexponential"})
        case "beta_alpha" | "beta_beta":
            return "Beta" in kinds
        case "unipc_variant" | "unipc_skip_type" | "unipc_order" | "unipc_lower_order_final":
            return "UniPC" in samplers
        case "sgm_noise_multiplier":
            return request.init_image is None and request.sampler not in TIMESTEPS
        case "noise_multiplier":
            return request.init_image is not None
        case "extra_noise" | "denoising_strength":
            return request.init_image is not None or request.hires is not None
        case "variation_seed":
            return request.variation_strength > 0
        case "ngms_all_steps":
            return request.ngms > 0
        case "old_timelines":
            return any("[" in text for text in prompts(request))
        case "emphasis":
            return any("(" in text or "[" in text for text in prompts(request))
        case _:
            return True


def draws_on(sampler: str, request: GenerationRequest) -> bool:
    """Whether the sampler draws from the image's stream of noise after the start noise."""
    return (
        (sampler in ANCESTRAL and request.eta > 0)
        or (sampler in DDIM and request.eta_ddim > 0)
        or (sampler in CHURNING and request.sigma_churn > 0)
        or sampler in ("LCM", "Restart")
    )


def prompts(request: GenerationRequest) -> tuple[str, ...]:
    """List every text that is encoded, of both passes; "" where the second has none of its own."""
    first = request.prompt, request.negative_prompt
    hires = request.hires
    return first if hires is None else (*first, hires.prompt, hires.negative_prompt)


def unused(request: GenerationRequest) -> tuple[Note, ...]:
    """Note a schedule type that its sampler does not use."""
    if request.schedule_type == AUTOMATIC or has_effect("schedule_type", request):
        return ()
    return (Note.of("schedule_unused", sampler=request.sampler, name=request.schedule_type),)
