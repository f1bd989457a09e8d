"""The noise a checkpoint was trained on, and the levels a sampler steps through.

Levels are k-diffusion's sigmas (standard deviations of noise over a clean latent) or A1111's
timesteps, computed here so that every sampler gets the same lists as there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from core.options import AUTOMATIC

# What A1111 puts in the last place of a zero-terminal-SNR schedule, where sigma would be infinite.
TERMINAL_ALPHA_CUMPROD = 4.8973451890853435e-08


@dataclass(frozen=True)
class NoiseSchedule:
    """How a checkpoint was trained; the defaults are those of SD 1.x and SDXL.

    ``prediction_type`` is what its UNet gives back; ``zero_terminal_snr`` rescales the betas so
    that the last timestep is pure noise (Lin et al. 2023, algorithm 1).
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["scaled_linear", "linear"] = "scaled_linear"
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"
    zero_terminal_snr: bool = False

    @cached_property
    def alphas_cumprod(self) -> torch.Tensor:
        """ᾱ of every timestep, (num_train_timesteps,) fp32 on the CPU, falling."""
        power = 2 if self.beta_schedule == "scaled_linear" else 1
        ends = self.beta_start ** (1 / power), self.beta_end ** (1 / power)
        betas = torch.linspace(*ends, self.num_train_timesteps, dtype=torch.float64) ** power
        alphas_cumprod = torch.cumprod(1 - betas, dim=0).float()
        if self.zero_terminal_snr:
            root = alphas_cumprod.sqrt()
            root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
            alphas_cumprod = root**2
            alphas_cumprod[-1] = TERMINAL_ALPHA_CUMPROD
        return alphas_cumprod

    @cached_property
    def sigmas(self) -> torch.Tensor:
        """Sigma of every timestep, (num_train_timesteps,) fp32, rising."""
        return ((1 - self.alphas_cumprod) / self.alphas_cumprod) ** 0.5

    @cached_property
    def log_sigmas(self) -> torch.Tensor:
        """Natural logarithm of :attr:`sigmas`."""
        return self.sigmas.log()

    def sigma_at(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Return sigma at (fractional) timesteps, interpolated in log sigma as k-diffusion does."""
        timesteps = timesteps.float()
        low, high, weight = timesteps.floor().long(), timesteps.ceil().long(), timesteps.frac()
        log_sigma = (1 - weight) * self.log_sigmas[low] + weight * self.log_sigmas[high]
        return log_sigma.exp()

    def timestep_at(self, sigmas: torch.Tensor) -> torch.Tensor:
        """Return each sigma's fractional timestep: the inverse of :meth:`sigma_at`, clamped."""
        wanted = sigmas.log()
        low = torch.searchsorted(self.log_sigmas, wanted, right=True) - 1
        low = low.clamp(0, self.num_train_timesteps - 2)
        below, above = self.log_sigmas[low], self.log_sigmas[low + 1]
        weight = ((below - wanted) / (below - above)).clamp(0, 1)
        return (1 - weight) * low + weight * (low + 1)


def sigma_list(schedule: NoiseSchedule, schedule_type: str, steps: int) -> torch.Tensor:
    """Return ``steps`` falling sigmas and a final 0, (steps + 1,): k-diffusion's ``get_sigmas_*``.

    ``schedule_type`` is Uniform (equal steps in time), Karras (rho 7, Karras et al. 2022, eq. 5)
    or Exponential (equal steps in log sigma).
    """
    lowest, highest = schedule.sigmas[0].item(), schedule.sigmas[-1].item()
    if schedule_type == "Karras":
        ramp = torch.linspace(0, 1, steps)
        low, high = lowest ** (1 / 7), highest ** (1 / 7)
        sigmas = (high + ramp * (low - high)) ** 7
    elif schedule_type == "Exponential":
        sigmas = torch.linspace(math.log(highest), math.log(lowest), steps).exp()
    elif schedule_type == "Uniform":
        sigmas = schedule.sigma_at(torch.linspace(schedule.num_train_timesteps - 1, 0, steps))
    else:
        raise ValueError(f"{schedule_type!r} is no schedule type ({AUTOMATIC} is the sampler's)")
    return torch.cat([sigmas, sigmas.new_zeros(1)])
