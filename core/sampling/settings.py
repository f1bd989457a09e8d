"""``SamplerSettings``: what a sampler and its schedule can be told, with A1111's names for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

# A1111's names of its settings, as programs that drive it know them.
A1111_NAMES: Final = {
    "eta_ancestral": "eta",
    "eta_ddim": "eta_ddim",
    "eta_noise_seed_delta": "eta_noise_seed_delta",
    "s_churn": "sigma_churn",
    "s_tmin": "sigma_tmin",
    "s_tmax": "sigma_tmax",
    "s_noise": "sigma_noise",
    "s_min_uncond": "ngms",
    "s_min_uncond_all": "ngms_all_steps",
    "skip_early_cond": "skip_early_cfg",
    "sigma_min": "schedule_min_sigma",
    "sigma_max": "schedule_max_sigma",
    "rho": "schedule_rho",
    "always_discard_next_to_last_sigma": "discard_penultimate",
    "sgm_noise_multiplier": "sgm_noise_multiplier",
    "beta_dist_alpha": "beta_alpha",
    "beta_dist_beta": "beta_beta",
    "img2img_extra_noise": "extra_noise",
    "initial_noise_multiplier": "noise_multiplier",
    "img2img_fix_steps": "fix_steps",
    "use_old_karras_scheduler_sigmas": "old_karras_sigmas",
    "enable_quantization": "quantized",
    "uni_pc_variant": "unipc_variant",
    "uni_pc_skip_type": "unipc_skip_type",
    "uni_pc_order": "unipc_order",
    "uni_pc_lower_order_final": "unipc_lower_order_final",
}


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """The settings that change a sampler's numbers. The defaults are A1111's.

    ``eta`` scales the fresh noise of ancestral and SDE samplers, ``eta_ddim`` DDIM's. The four of
    churn are Karras et al. 2022, algorithm 2 (a ``sigma_tmax`` of 0 is no bound; ``sigma_noise``
    scales all fresh noise). Sigma limits and rho of 0 are the schedule's own. The negative prompt
    is left out on odd calls (or all) below sigma ``ngms``, and during the first
    ``skip_early_cfg`` of the calls.
    """

    eta: float = 1.0
    eta_ddim: float = 0.0
    eta_noise_seed_delta: int = 0
    sigma_churn: float = 0.0
    sigma_tmin: float = 0.0
    sigma_tmax: float = 0.0
    sigma_noise: float = 1.0
    ngms: float = 0.0
    ngms_all_steps: bool = False
    skip_early_cfg: float = 0.0
    schedule_min_sigma: float = 0.0
    schedule_max_sigma: float = 0.0
    schedule_rho: float = 0.0
    discard_penultimate: bool = False
    sgm_noise_multiplier: bool = False
    beta_alpha: float = 0.6
    beta_beta: float = 0.6
    extra_noise: float = 0.0
    noise_multiplier: float = 1.0
    fix_steps: bool = False
    old_karras_sigmas: bool = False
    quantized: bool = False
    unipc_variant: str = "bh1"
    unipc_skip_type: str = "time_uniform"
    unipc_order: int = 3
    unipc_lower_order_final: bool = True

    @classmethod
    def of(cls, request: object) -> Self:
        """Take the settings that a request has, under the same names."""
        names = [each.name for each in fields(cls) if hasattr(request, each.name)]
        return cls(**{name: getattr(request, name) for name in names})

    @classmethod
    def from_a1111(cls, options: Mapping[str, Any]) -> Self:
        """Read A1111's settings; those that do not concern samplers are left out."""
        return cls(
            **{A1111_NAMES[name]: value for name, value in options.items() if name in A1111_NAMES}
        )


A1111_DEFAULTS: Final = SamplerSettings()
