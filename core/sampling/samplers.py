"""Sampler names → diffusers schedulers, set up so that a run ends where A1111's does.

The solvers are diffusers'; what is done here is to hand them k-diffusion's (or, for DDIM and UniPC,
A1111's) noise levels, start noise and per-step noise instead of their own.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    UniPCMultistepScheduler,
)

from core.options import AUTOMATIC
from core.sampling.brownian import BrownianNoise
from core.sampling.passes import img2img_start, second_pass_start
from core.sampling.plans import (
    Plan,
    plan_ddim,
    plan_euler,
    plan_heun,
    plan_lcm,
    plan_multistep,
    plan_multistep_sde,
    plan_sde,
    plan_unipc,
)
from core.sampling.sigmas import NoiseSchedule


@dataclass(frozen=True, slots=True)
class Sampler:
    """One name a member may choose.

    ``scheduler`` and ``options`` build the diffusers object, ``plan`` its noise levels, ``source``
    says what it must equal. ``automatic`` is the schedule type A1111 1.10 uses when none is
    chosen. ``second_order`` samplers call the model twice a step, but once in the last.
    ``draws`` is how the scheduler's step gets fresh noise: from the picture's ``generator``, or
    as ``variance`` noise from the Brownian path.
    """

    scheduler: type[Any]
    plan: Callable[[NoiseSchedule, str, int, int | None], Plan]
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    automatic: str = "Uniform"
    second_order: bool = False
    draws: Literal["generator", "variance"] | None = None


SAMPLER_BY_NAME: Final[dict[str, Sampler]] = {
    "Euler": Sampler(
        EulerDiscreteScheduler,
        plan_euler,
        "k-diffusion sample_euler: Karras et al. 2022, algorithm 2 without churn",
    ),
    "Euler a": Sampler(
        EulerAncestralDiscreteScheduler,
        plan_euler,
        "k-diffusion sample_euler_ancestral: Euler down, then fresh noise up, eta 1",
        draws="generator",
    ),
    "Heun": Sampler(
        HeunDiscreteScheduler,
        plan_heun,
        "k-diffusion sample_heun: Karras et al. 2022, algorithm 2 with correction",
        second_order=True,
    ),
    "LMS": Sampler(
        LMSDiscreteScheduler,
        plan_euler,
        "k-diffusion sample_lms: linear multistep (Adams-Bashforth) of order 4",
    ),
    "DPM++ 2M": Sampler(
        DPMSolverMultistepScheduler,
        plan_multistep,
        "k-diffusion sample_dpmpp_2m: DPM-Solver++(2M), Lu et al. 2022",
        automatic="Karras",
    ),
    "DPM++ SDE": Sampler(
        DPMSolverSDEScheduler,
        plan_sde,
        "k-diffusion sample_dpmpp_sde: stochastic DPM-Solver++(2S), r 1/2, eta 1",
        automatic="Karras",
        second_order=True,
    ),
    "DPM++ 2M SDE": Sampler(
        DPMSolverMultistepScheduler,
        plan_multistep_sde,
        "k-diffusion sample_dpmpp_2m_sde: midpoint, eta 1",
        {"algorithm_type": "sde-dpmsolver++"},
        automatic="Exponential",
        draws="variance",
    ),
    "DDIM": Sampler(
        DDIMScheduler,
        plan_ddim,
        "A1111's ddim: Song et al. 2020, eta 0, from the last timestep but to the first",
        {"clip_sample": False, "set_alpha_to_one": False},
    ),
    "UniPC": Sampler(
        UniPCMultistepScheduler,
        plan_unipc,
        "A1111's unipc: Zhao et al. 2023, bh1, order 3, uniform in time, ends at timestep 0",
        {"solver_order": 3, "solver_type": "bh1"},
    ),
    "LCM": Sampler(
        LCMScheduler,
        plan_lcm,
        "diffusers' LCMScheduler as it is: Luo et al. 2023",
        draws="generator",
    ),
}


def conditioning_steps(sampler: str, steps: int) -> int:
    """Return the number of calls a prompt schedule is spread over, as A1111 counts them.

    Twice the steps for second-order samplers, although their last step calls only once.
    """
    return steps * 2 if SAMPLER_BY_NAME[sampler].second_order else steps


class Trajectory:
    """One run of a sampler, from noise to a picture's clean latent.

    The caller owns the model: until :attr:`done`, it calls its UNet on :meth:`model_input` at
    :attr:`timestep` and hands the combined raw output (epsilon or v) to :meth:`advance`. A run
    depends on nothing but its arguments and those outputs. Timesteps and sigmas stay on the CPU
    as plain numbers; only latents live on ``device``, in fp32 throughout.
    """

    def __init__(
        self,
        sampler: str,
        schedule_type: str,
        steps: int,
        schedule: NoiseSchedule,
        *,
        seed: int,
        generator: torch.Generator,
        noise: torch.Tensor,
        init_latents: torch.Tensor | None = None,
        denoising_strength: float = 1.0,
        exact_steps: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        """Set up a run of ``steps`` steps from ``noise`` (C, h, w).

        With ``init_latents`` (C, h, w) it starts from those under as much noise as
        ``denoising_strength`` says: img2img runs that share of the steps, the second pass of
        hires fix (``exact_steps``) all of them from that level. ``generator`` serves ancestral
        noise, ``seed`` the Brownian path of the SDE samplers.
        """
        kind = SAMPLER_BY_NAME[sampler]
        total, t_enc = steps, None
        if init_latents is not None:
            start_at = second_pass_start if exact_steps else img2img_start
            total, t_enc = start_at(steps, denoising_strength)
        chosen = kind.automatic if schedule_type == AUTOMATIC else schedule_type
        self._plan = plan = kind.plan(schedule, chosen, total, t_enc)
        self._scheduler = _scheduler(sampler, schedule, plan, torch.device(device))
        self._last_timestep = schedule.num_train_timesteps - 1
        self._generator = generator
        self._draws = kind.draws
        if plan.pairs:
            self._brownian = BrownianNoise(seed, noise.shape, plan.bounds, plan.pairs)
            # DPMSolverSDEScheduler asks for its noise itself.
            self._scheduler.noise_sampler = self._brownian_noise

        latents = noise.to(device, torch.float32) * plan.noise
        if init_latents is not None:
            latents = init_latents.to(device, torch.float32) * plan.signal + latents
        # diffusers' UniPC wants a batch dimension.
        self._latents = latents[None]
        self._x0 = noise.to(device) if init_latents is None else init_latents.to(device)
        self.call = 0
        # Sampler steps, not model calls: Heun has two calls in each, DDIM rounds their number.
        self.steps = steps if t_enc is None else t_enc + 1

    @property
    def latents(self) -> torch.Tensor:
        """The latent as it is now, (C, h, w) fp32; the picture's latent once :attr:`done`."""
        return self._latents[0]

    @property
    def x0(self) -> torch.Tensor:
        """The last estimate of the clean latent, (C, h, w); the start before the first call."""
        return self._x0

    @property
    def calls(self) -> int:
        """Model calls in all, at least 1."""
        return len(self._plan.timesteps)

    @property
    def done(self) -> bool:
        """Whether no model call is left."""
        return self.call == self.calls

    @property
    def step(self) -> int:
        """Sampler steps done, of :attr:`steps`."""
        return self.call * self.steps // self.calls

    @property
    def timestep(self) -> float:
        """The (fractional) timestep of the next model call."""
        return float(min(self._plan.timesteps[self.call], self._last_timestep))

    def model_input(self) -> torch.Tensor:
        """Return the UNet's next input, (C, h, w) fp32, of about unit variance; read only."""
        scale = self._plan.scales[self.call]
        return self._latents[0] if scale == 1 else self._latents[0] * scale

    def advance(self, prediction: torch.Tensor) -> None:
        """Make a step with the model's ``prediction`` (C, h, w) for :meth:`model_input`."""
        scheduler = self._scheduler
        prev, *denoised = scheduler.step(
            prediction[None].float(),
            self._plan.timesteps[self.call],
            self._latents,
            return_dict=False,
            **self._noise(),
        )
        # The multistep schedulers return no estimate but keep it for their next step.
        self._x0 = (denoised[0] if denoised else scheduler.model_outputs[-1])[0]
        self._latents = prev
        self.call += 1

    def _noise(self) -> dict[str, Any]:
        """Return the arguments with which the scheduler's step adds noise."""
        if self._draws == "generator":
            return {"generator": self._generator}
        if self._draws == "variance":
            # At the last sigma, 0, the noise is multiplied by 0, but one must be given.
            last = self.call == self.calls - 1
            return {"variance_noise": self._latents if last else self._brownian_noise()}
        return {}

    def _brownian_noise(self, *_sigmas: torch.Tensor) -> torch.Tensor:
        return self._brownian.next()[None].to(self._latents.device)


@cache
def _prototype(sampler: str, prediction_type: str) -> Any:
    kind = SAMPLER_BY_NAME[sampler]
    with warnings.catch_warnings():
        # Some of diffusers 0.42's constructors call np.array on tensors, deprecated in NumPy 2.
        warnings.simplefilter("ignore", DeprecationWarning)
        return kind.scheduler(prediction_type=prediction_type, **kind.options)


def _scheduler(sampler: str, schedule: NoiseSchedule, plan: Plan, device: torch.device) -> Any:
    """Make a fresh diffusers scheduler that steps through ``plan`` from its beginning."""
    scheduler = copy.deepcopy(_prototype(sampler, schedule.prediction_type))
    # One more at the end for a DDIM run that starts one above the last timestep.
    alphas_cumprod = schedule.alphas_cumprod
    scheduler.alphas_cumprod = torch.cat([alphas_cumprod, alphas_cumprod[-1:]])
    scheduler.final_alpha_cumprod = alphas_cumprod[0]
    scheduler.num_inference_steps = plan.num_inference_steps or len(plan.timesteps)
    scheduler.timesteps = torch.tensor(plan.timesteps)
    scheduler.sigmas = plan.sigmas
    if isinstance(plan.sigmas, torch.Tensor) and device.type == "mps":
        # MPS knows no double, not even in a scalar.
        scheduler.sigmas = plan.sigmas.float()
    # The scaling is model_input's; without this diffusers warns at every step.
    scheduler.is_scale_input_called = True
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    return scheduler
