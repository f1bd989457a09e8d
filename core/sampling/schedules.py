"""The noise a checkpoint was trained on, and the levels a sampler steps through.

Levels are k-diffusion's sigmas (standard deviations of noise over a clean latent), computed here
so that every sampler gets the same lists as in A1111.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

import torch
from scipy.special import betaincinv
from torch import Tensor

from core.sampling.settings import A1111_DEFAULTS, SamplerSettings

# What A1111 puts in the last place of a zero-terminal-SNR schedule, where sigma would be infinite.
TERMINAL_ALPHA_CUMPROD: Final = 4.8973451890853435e-08


class Levels:
    """Sigma of every timestep, and conversion between the two in log sigma as in k-diffusion."""

    def __init__(self, alphas_cumprod: Tensor) -> None:
        """``alphas_cumprod`` is ᾱ of every timestep, (T,) fp32, falling."""
        self.alphas_cumprod = alphas_cumprod
        self.sigmas = ((1 - alphas_cumprod) / alphas_cumprod) ** 0.5
        self.log_sigmas = self.sigmas.log()

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest sigma."""
        return self.sigmas[0].item(), self.sigmas[-1].item()

    def sigma_at(self, timesteps: Tensor) -> Tensor:
        """Return sigma at (fractional) timesteps."""
        timesteps = timesteps.float()
        low, high, weight = timesteps.floor().long(), timesteps.ceil().long(), timesteps.frac()
        log_sigma = (1 - weight) * self.log_sigmas[low] + weight * self.log_sigmas[high]
        return log_sigma.exp()

    def timestep_at(self, sigmas: Tensor, quantized: bool = False) -> Tensor:
        """Return each sigma's fractional timestep, the inverse of :meth:`sigma_at`, clamped.

        ``quantized`` is the nearest whole one.
        """
        wanted = sigmas.log()
        if quantized:
            return (wanted - self.log_sigmas[:, None]).abs().argmin(dim=0).float()
        low = torch.searchsorted(self.log_sigmas, wanted, right=True) - 1
        low = low.clamp(0, len(self.sigmas) - 2)
        below, above = self.log_sigmas[low], self.log_sigmas[low + 1]
        weight = ((below - wanted) / (below - above)).clamp(0, 1)
        return (1 - weight) * low + weight * (low + 1)


class ConsistencyLevels(Levels):
    """The 50 timesteps that an LCM is distilled for, of 1000; others count as the nearest."""

    def __init__(self, alphas_cumprod: Tensor) -> None:
        self._skip = max(len(alphas_cumprod) // 50, 1)
        super().__init__(alphas_cumprod[self._skip - 1 :: self._skip])

    def sigma_at(self, timesteps: Tensor) -> Tensor:  # noqa: D102
        places = (timesteps - (self._skip - 1)) / self._skip
        return super().sigma_at(places.clamp(0, len(self.sigmas) - 1))

    def timestep_at(self, sigmas: Tensor, quantized: bool = True) -> Tensor:  # noqa: D102
        return super().timestep_at(sigmas.reshape(-1), True).view(sigmas.shape) * self._skip + (
            self._skip - 1
        )


def trained_alphas(
    count: int = 1000,
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    beta_schedule: Literal["scaled_linear", "linear"] = "scaled_linear",
    *,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """Return ᾱ of ``count`` timesteps, fp32 on the CPU; the defaults are SD 1.x's and SDXL's.

    ``zero_terminal_snr`` rescales the betas so that the last timestep is pure noise (Lin et al.
    2023, algorithm 1).
    """
    power = 2 if beta_schedule == "scaled_linear" else 1
    ends = beta_start ** (1 / power), beta_end ** (1 / power)
    betas = torch.linspace(*ends, count, dtype=torch.float64) ** power
    alphas_cumprod = torch.cumprod(1 - betas, dim=0).float()
    if zero_terminal_snr:
        root = alphas_cumprod.sqrt()
        root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
        alphas_cumprod = root**2
        alphas_cumprod[-1] = TERMINAL_ALPHA_CUMPROD
    return alphas_cumprod


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """How a checkpoint was trained: ᾱ of every timestep, (T,) fp32, and what its UNet gives back.

    ``sdxl`` chooses among the levels of Align Your Steps.
    """

    alphas_cumprod: Tensor = field(default_factory=trained_alphas)
    prediction_type: str = "epsilon"
    sdxl: bool = False

    @cached_property
    def levels(self) -> Levels:
        """Its levels, as all samplers but LCM see them."""
        return Levels(self.alphas_cumprod)

    @cached_property
    def consistency_levels(self) -> Levels:
        """Its levels, as LCM sees them."""
        return ConsistencyLevels(self.alphas_cumprod)


# n levels between the lowest and highest sigma. Each with its final 0, but KL Optimal has none.


def _uniform(levels: Levels, n: int, _low: float, _high: float, _rho: float) -> list[float]:
    """Space equally in time; for an LCM, in its own timesteps."""
    first, last = levels.timestep_at(levels.sigmas[[-1, 0]]).tolist()
    return [*levels.sigma_at(torch.linspace(first, last, n)).tolist(), 0.0]


def karras(n: int, low: float, high: float, rho: float = 7.0) -> list[float]:
    """Return ``n`` sigmas from ``high`` to ``low`` and a 0: Karras et al. 2022, equation 5.

    A ``rho`` below 0.1, A1111's smallest, counts as 0.1: its powers are too large for fp32.
    """
    rho = max(rho, 0.1)
    root_low, root_high = low ** (1 / rho), high ** (1 / rho)
    ramp = torch.linspace(0, 1, n)
    return [*((root_high + ramp * (root_low - root_high)) ** rho).tolist(), 0.0]


# The next two are one rule, but in fp32 not to the last digit, and Brownian noise shows it.
def _exponential(_levels: Levels, n: int, low: float, high: float, _rho: float) -> list[float]:
    """k-diffusion's: equally in log sigma."""
    return [*torch.linspace(math.log(high), math.log(low), n).exp().tolist(), 0.0]


def _polyexponential(_levels: Levels, n: int, low: float, high: float, rho: float) -> list[float]:
    """k-diffusion's: in log sigma, bent by ``rho``."""
    ramp = torch.linspace(1, 0, n) ** rho
    sigmas = (ramp * (math.log(high) - math.log(low)) + math.log(low)).exp()
    return [*sigmas.tolist(), 0.0]


def _sgm_uniform(levels: Levels, n: int, low: float, high: float, _rho: float) -> list[float]:
    """Stability's generative-models: equally in time, one level short of the lowest."""
    first, last = levels.timestep_at(torch.tensor([high, low])).tolist()
    return [*levels.sigma_at(torch.linspace(first, last, n + 1)[:-1]).tolist(), 0.0]


def _normal(levels: Levels, n: int, low: float, high: float, _rho: float) -> list[float]:
    """ComfyUI's normal: equally in time between the two ends."""
    first, last = levels.timestep_at(torch.tensor([high, low])).tolist()
    return [*levels.sigma_at(torch.linspace(first, last, n)).tolist(), 0.0]


def _kl_optimal(_levels: Levels, n: int, low: float, high: float, _rho: float) -> list[float]:
    """Align Your Steps (Sabour et al. 2024), theorem 3.1; it ends at ``low``, not at 0."""
    place = torch.arange(n + 1) / n
    return (place * math.atan(low) + (1 - place) * math.atan(high)).tan().tolist()


def _simple(levels: Levels, n: int, _low: float, _high: float, _rho: float) -> list[float]:
    """ComfyUI's simple: evenly skipped timesteps from the highest."""
    total = len(levels.sigmas)
    return [*(levels.sigmas[-(1 + int(i * total / n))].item() for i in range(n)), 0.0]


def _ddim(levels: Levels, n: int, _low: float, _high: float, _rho: float) -> list[float]:
    """DDIM's timesteps: a whole number apart, so there may be one more than ``n``."""
    skip = max(len(levels.sigmas) // n, 1)
    return [*levels.sigmas[1::skip].flip(0).tolist(), 0.0]


_ALIGNED: Final = {
    False: (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    True: (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}


def _align_your_steps(n: int, sdxl: bool) -> list[float]:
    """Align Your Steps (Sabour et al. 2024): levels found for 10 steps, interpolated in log."""
    log = torch.tensor(_ALIGNED[sdxl], dtype=torch.float64).log().flip(0)
    place = torch.linspace(0, len(log) - 1, n, dtype=torch.float64)
    low = place.floor().long().clamp(max=len(log) - 2)
    sigmas = (log[low] + (place - low) * (log[low + 1] - log[low])).exp()
    return [*sigmas.flip(0).float().tolist(), 0.0]


def _beta(n: int, low: float, high: float, settings: SamplerSettings) -> list[float]:
    """Lee et al. 2024, "Beta Sampling is All You Need", as A1111 applies it to sigmas."""
    quantiles = 1 - torch.linspace(0, 1, n, dtype=torch.float64)
    shares = torch.from_numpy(
        betaincinv(settings.beta_alpha, settings.beta_beta, quantiles.numpy())
    )
    return [*(low + shares * (high - low)).float().tolist(), 0.0]


_Rule = Callable[[Levels, int, float, float, float], list[float]]

# Each schedule type's rule, and its rho, 0 where a setting cannot change it.
_RULES: Final[dict[str, tuple[_Rule, float]]] = {
    "Uniform": (_uniform, 0),
    "Karras": (lambda _levels, n, low, high, rho: karras(n, low, high, rho), 7),
    "Exponential": (_exponential, 0),
    "Polyexponential": (_polyexponential, 1),
    "SGM Uniform": (_sgm_uniform, 0),
    "KL Optimal": (_kl_optimal, 0),
    "Simple": (_simple, 0),
    "Normal": (_normal, 0),
    "DDIM": (_ddim, 0),
}


def sigma_list(
    levels: Levels,
    schedule_type: str,
    steps: int,
    settings: SamplerSettings = A1111_DEFAULTS,
    *,
    discard: bool = False,
    sdxl: bool = False,
) -> list[float]:
    """Return the falling sigmas of ``steps`` steps, mostly ``steps`` + 1 with a final 0.

    ``schedule_type`` is resolved, not Automatic. ``discard`` drops the penultimate sigma of one
    step more, as some samplers want it. The settings' sigma limits and rho are obeyed where A1111
    obeys them.
    """
    discard = discard or settings.discard_penultimate
    n = steps + discard
    low, high = (0.1, 10.0) if settings.old_karras_sigmas else levels.ends
    low = settings.schedule_min_sigma or low
    high = settings.schedule_max_sigma or high
    if schedule_type == "Align Your Steps":
        sigmas = _align_your_steps(n, sdxl)
    elif schedule_type == "Beta":
        sigmas = _beta(n, low, high, settings)
    else:
        rule, rho = _RULES[schedule_type]
        sigmas = rule(levels, n, low, high, (rho and settings.schedule_rho) or rho or 1)
    # At a small rho fp32 has nothing left of the lowest.
    sigmas = [*(sigma or low for sigma in sigmas[:-1]), sigmas[-1]]
    return sigmas[:-2] + sigmas[-1:] if discard else sigmas
