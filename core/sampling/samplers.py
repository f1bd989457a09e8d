"""The samplers that a member may choose, by A1111's names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from core.sampling import solvers
from core.sampling.dpm_solver import dpm_adaptive, dpm_fast
from core.sampling.table import Context, Walk
from core.sampling.unipc import unipc


@dataclass(frozen=True, slots=True)
class Sampler:
    """One name a member may choose, with its ``walk``.

    ``levels`` it walks: sigmas of a schedule type; an LCM's; or A1111's timesteps, which no
    schedule type changes. ``draws`` is where its fresh noise comes from: the picture's own
    ``stream`` of noise, or the Brownian ``path`` of its seed. ``second_order`` samplers call the
    model twice a step, but mostly once in the last. ``discards`` the penultimate sigma;
    ``adaptive`` ones look at the latents, so they have no table; ``plus`` is CFG++.
    """

    walk: Callable[[Any, Any, Context], Walk]
    levels: Literal["sigmas", "lcm", "ddim", "unipc"] = "sigmas"
    draws: Literal["", "stream", "path"] = ""
    second_order: bool = False
    discards: bool = False
    adaptive: bool = False
    plus: bool = False


SAMPLERS: Final[dict[str, Sampler]] = {
    "Euler": Sampler(solvers.euler),
    "Euler a": Sampler(solvers.euler_ancestral, draws="stream"),
    "LMS": Sampler(solvers.lms),
    "Heun": Sampler(solvers.heun, second_order=True),
    "DPM2": Sampler(solvers.dpm_2, second_order=True, discards=True),
    "DPM2 a": Sampler(solvers.dpm_2_ancestral, draws="stream", second_order=True, discards=True),
    "DPM++ 2S a": Sampler(solvers.dpmpp_2s_ancestral, draws="stream", second_order=True),
    "DPM++ 2M": Sampler(solvers.dpmpp_2m),
    "DPM++ SDE": Sampler(solvers.dpmpp_sde, draws="path", second_order=True),
    "DPM++ 2M SDE": Sampler(solvers.dpmpp_2m_sde, draws="path"),
    "DPM++ 2M SDE Heun": Sampler(solvers.dpmpp_2m_sde_heun, draws="path"),
    "DPM++ 3M SDE": Sampler(solvers.dpmpp_3m_sde, draws="path", discards=True),
    "DPM fast": Sampler(dpm_fast, draws="stream"),
    "DPM adaptive": Sampler(dpm_adaptive, draws="stream", adaptive=True),
    "Restart": Sampler(solvers.restart, draws="stream", second_order=True),
    "DDIM": Sampler(solvers.ddim, levels="ddim", draws="stream"),
    "DDIM CFG++": Sampler(solvers.ddim_cfg_pp, levels="ddim", draws="stream", plus=True),
    "PLMS": Sampler(solvers.plms, levels="ddim"),
    "UniPC": Sampler(unipc, levels="unipc"),
    "LCM": Sampler(solvers.lcm, levels="lcm", draws="stream"),
}


def conditioning_steps(sampler: str, steps: int) -> int:
    """Return the number of calls a prompt schedule is spread over, as A1111 counts them.

    Twice the steps for second-order samplers, although their last step calls only once.
    """
    return steps * 2 if SAMPLERS[sampler].second_order else steps
