"""A model whose best prediction is known in closed form: data from a mixture of Gaussians."""

from __future__ import annotations

import torch

from core.sampling.draws import run_noise
from core.sampling.plans import plan
from core.sampling.schedules import NoiseSchedule
from core.sampling.trajectory import Mix, Trajectory, begin
from core.sampling.trajectory import advance as advance_batch


class MixtureModel:
    """Predicts epsilon or v (as ``schedule`` says) for latents drawn from a Gaussian mixture.

    ``means`` is (components, C, h, w), ``width`` the standard deviation around each. It notes the
    timesteps it was called at.
    """

    def __init__(
        self, means: torch.Tensor, width: float, schedule: NoiseSchedule | None = None
    ) -> None:
        self.means, self.width = means.double(), width
        self.schedule = schedule or NoiseSchedule()
        self.timesteps: list[float] = []

    def __call__(self, sample: torch.Tensor, timestep: float) -> torch.Tensor:
        self.timesteps.append(timestep)
        sigma = self.schedule.levels.sigma_at(torch.tensor(timestep)).double()
        signal = 1 / (sigma**2 + 1).sqrt()
        noise = sigma * signal
        variance = (signal * self.width) ** 2 + noise**2
        offset = sample.double() - signal * self.means
        weights = torch.softmax(-(offset**2).flatten(1).sum(1) / (2 * variance), 0)
        estimates = self.means + signal * self.width**2 / variance * offset
        x0 = (weights[:, None, None, None] * estimates).sum(0)
        epsilon = (sample - signal * x0) / noise
        if self.schedule.prediction_type == "v_prediction":
            return (signal * epsilon - noise * x0).float()
        return epsilon.float()


def start(
    model: MixtureModel,
    sampler: str,
    steps: int,
    schedule_type: str = "Automatic",
    *,
    seed: int = 1234,
    init_latents: torch.Tensor | None = None,
    denoising_strength: float = 1.0,
    exact_steps: bool = False,
    device: str = "cpu",
) -> Trajectory:
    """A run of ``sampler`` on the model's schedule, from the noise of ``seed``."""
    planned = plan(
        sampler,
        schedule_type,
        steps,
        model.schedule,
        strength=None if init_latents is None else denoising_strength,
        exact_steps=exact_steps,
    )
    _, channels, height, width = model.means.shape
    there = torch.device(device)
    noise, draw = run_noise(planned, "CPU", seed, (channels, height, width), there)
    given = None if init_latents is None else init_latents.to(there)
    return begin(planned, Mix(), noise, draw, given)


def advance_all(trajectories: list[Trajectory], model: MixtureModel) -> None:
    """One model call further, all in one batched step."""
    rows = []
    for each in trajectories:
        prediction = model(each.model_input.cpu(), each.timestep.item())
        rows += [prediction] * each.rows
    advance_batch(trajectories, torch.stack(rows).to(trajectories[0].latents.device))


def advance(trajectory: Trajectory, model: MixtureModel) -> None:
    """One model call further."""
    advance_all([trajectory], model)


def finish(trajectory: Trajectory, model: MixtureModel) -> torch.Tensor:
    """Run to the end; the finished latents (C, h, w) on the CPU."""
    while not trajectory.done:
        advance(trajectory, model)
    return trajectory.latents.cpu()


def error(result: torch.Tensor, expected: torch.Tensor) -> float:
    """The root mean square difference, in standard deviations of what is expected."""
    difference = (result - expected).double()
    return (difference.square().mean().sqrt() / expected.double().std()).item()
