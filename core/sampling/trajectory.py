"""``Trajectory``: one picture's run, and the batched step of the pictures of a UNet call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Final

import numpy as np
import torch
from torch import Tensor

from core.sampling.plans import Plan
from core.sampling.readback import ReadBack
from core.sampling.table import DENOISED, NOISE, SLOTS, UNCONDITIONAL, Answer, Call
from core.sampling.uploads import upload, upload_together

# CFG++ wants scales from 0 to 1; A1111 maps its own to them so.
PLUS_SCALE: Final = 1 / 12.5
# Rows of a picture's state after its slots: the denoised latent, and the next model input.
_DENOISED, _INPUT = SLOTS, SLOTS + 1


@dataclass(frozen=True, slots=True)
class Mix:
    """How the UNet's rows of a picture become one prediction, classifier-free guidance.

    ``parts`` are the weights of the prompt's AND parts (Liu et al. 2022), each with a row; after
    them comes the negative prompt's, where it is needed.
    """

    parts: tuple[float, ...] = (1.0,)
    scale: float = 1.0

    def weights(self, with_negative: bool) -> list[float]:
        """Return the weight of each row: uncond + Σ wᵢ · scale · (condᵢ − uncond)."""
        scaled = [part * (self.scale if with_negative else 1.0) for part in self.parts]
        rest = 1 - sum(scaled)
        if with_negative:
            return [*scaled, rest]
        # Without it, the first part stands in for the negative prompt, as in A1111.
        return [scaled[0] + rest, *scaled[1:]]

    @property
    def negative_cancels(self) -> bool:
        """Whether uncond + 1 · (cond − uncond) = cond."""
        return self.scale == 1 and self.parts == (1.0,)


class Trajectory:
    """One run of a sampler, from noise to a picture's clean latent.

    Until :attr:`done`, the caller runs the UNet on :attr:`model_input` at :attr:`timestep`, with
    one row for each AND part and one more for the negative prompt where :attr:`with_negative`,
    and hands the raw outputs to :func:`advance`. A run depends on nothing but its arguments and
    those outputs. Latents live on the device in fp32; the numbers of all calls are copied there
    at the start, so that a step waits for nothing. While :attr:`reading` there is no next call,
    and :meth:`settle` ends it.
    """

    # What the next call depends on, on its way from the device.
    reading: ReadBack | None = None

    def __init__(
        self,
        plan: Plan,
        mix: Mix,
        noise: Tensor,
        draw: Callable[[], Tensor],
        init_latents: Tensor | None = None,
    ) -> None:
        """Set up a run from ``noise`` (C, h, w) fp32, or from ``init_latents`` under it.

        Both are on the device. ``draw`` returns fresh noise of that shape, in order, for the
        samplers that want it, on the device or on the CPU.
        """
        self.plan, self.mix, self.draw = plan, mix, draw
        if plan.sampler.plus:
            self.mix = replace(mix, scale=mix.scale * PLUS_SCALE)
        self.call = 0
        x = noise * plan.noise
        if init_latents is not None:
            x += init_latents * plan.signal
        self._shape = noise.shape
        # (rows of the state, C·h·w); and as latents, (rows of the state, C, h, w).
        self._flat = torch.zeros(_INPUT + 1, noise.numel(), device=noise.device)
        self._begin(x)

    @property
    def _state(self) -> Tensor:
        return self._flat.view(-1, *self._shape)

    def _begin(self, x: Tensor) -> None:
        plan, table = self.plan, self.plan.table
        assert table is not None
        if table.noisy[0]:
            x += upload(self.draw(), x.device) * table.matrices[0, 0, NOISE]
        self._state[0] = self._state[_DENOISED] = x
        self._state[_INPUT] = x / sqrt(table.sigmas[0] ** 2 + 1)
        self._negatives = [
            self._needs_negative(call, sigma, timestep)
            for call, (sigma, timestep) in enumerate(zip(table.sigmas, plan.timesteps, strict=True))
        ]
        folded = _fold(plan, self.mix, self._negatives)
        self._coefficients = upload(torch.from_numpy(folded), x.device).unbind()
        self._timesteps = upload(torch.tensor(plan.timesteps), x.device).unbind()

    def _needs_negative(self, call: int, sigma: float, timestep: float) -> bool:
        """Whether a call has a row for the negative prompt, by A1111's two ways to save it."""
        own = self.plan.context.settings
        if self.plan.sampler.plus:
            return True
        # A1111 compares what the sampler counts in.
        level = timestep if self.plan.sampler.levels in ("ddim", "unipc") else sigma
        late = level < own.ngms and (call % 2 == 1 or own.ngms_all_steps)
        early = own.skip_early_cfg > 0 and call / self.plan.total_calls <= own.skip_early_cfg
        return not (self.mix.negative_cancels or late or early)

    @property
    def latents(self) -> Tensor:
        """The latent as it is now, (C, h, w) fp32; the picture's latent once :attr:`done`."""
        return self._flat[0].view(self._shape)

    @property
    def denoised(self) -> Tensor:
        """The last estimate of the clean latent, (C, h, w); the start before the first call."""
        return self._flat[_DENOISED].view(self._shape)

    @property
    def model_input(self) -> Tensor:
        """The UNet's next input, (C, h, w) fp32, of about unit variance; read only."""
        return self._flat[_INPUT].view(self._shape)

    @property
    def timestep(self) -> Tensor:
        """The (fractional) timestep of the next call, () fp32 on the device."""
        return self._timesteps[self.call]

    @property
    def with_negative(self) -> bool:
        """Whether the next call has a row for the negative prompt."""
        return self._negatives[self.call]

    @property
    def rows(self) -> int:
        """The number of UNet rows of the next call."""
        return len(self.mix.parts) + self.with_negative

    @property
    def done(self) -> bool:
        """Whether no model call is left."""
        return self.call == len(self._timesteps)

    @property
    def step(self) -> int:
        """Sampler steps done, of the plan's; a step may be two calls, and DDIM rounds them."""
        return self.call * self.plan.steps // len(self._timesteps)

    @property
    def width(self) -> int:
        """The number of terms of the next state: slots, noise, and rows at most."""
        return SLOTS + 1 + len(self.mix.parts) + 1

    @property
    def noisy(self) -> bool:
        """Whether the next state has fresh noise."""
        assert self.plan.table is not None
        return self.plan.table.noisy[self.call + 1]

    def terms(self, outputs: Tensor, noise: Tensor | None) -> list[Tensor]:
        """Return what the next state is a sum of, (width, C·h·w) in all: slots, noise, outputs.

        Unused places repeat the latent, whose coefficient there is 0.
        """
        own = self._flat
        drawn = own[:1] if noise is None else noise.view(1, -1)
        unused = self.width - SLOTS - 1 - self.rows
        return [own[:SLOTS], drawn, outputs, *([own[:unused]] if unused else [])]

    @property
    def coefficients(self) -> Tensor:
        """Those of the terms in each row of the next state, (rows of the state, width) fp32."""
        return self._coefficients[self.call]

    def settle(self) -> None:
        """Go on with what is :attr:`reading`, waited for."""

    def arrive(self, state: Tensor) -> None:
        """Take the state (rows of the state, C·h·w) after the call."""
        self._flat = state
        self.call += 1


def _fold(plan: Plan, mix: Mix, negatives: Sequence[bool]) -> np.ndarray:
    """Fold guidance, prediction type and input scaling into a table's matrices.

    Returns (calls, rows of the state, width) fp32: the state after each call as a sum of slots,
    noise and the UNet's rows. In double, where what cancels out does so exactly.
    """
    table = plan.table
    assert table is not None
    sigmas = np.array(table.sigmas)
    matrices, rows = table.matrices[1:], len(mix.parts) + 1
    mixing, alone = np.zeros((2, len(sigmas), rows))
    for call, with_negative in enumerate(negatives):
        weights = mix.weights(with_negative)
        mixing[call, : len(weights)] = weights
        alone[call, len(weights) - 1] = 1
    # clean = latent · kept + prediction · taken
    kept, taken = np.ones_like(sigmas), -sigmas
    # A1111's LCM takes every prediction for one of noise.
    if plan.schedule.prediction_type == "v_prediction" and plan.sampler.levels != "lcm":
        kept = 1 / (sigmas**2 + 1)
        taken = -sigmas * np.sqrt(kept)
    folded = np.zeros((len(sigmas), _INPUT + 1, SLOTS + 1 + rows))
    denoised, unconditional = matrices[:, :, DENOISED], matrices[:, :, UNCONDITIONAL]
    folded[:, :SLOTS, :SLOTS] = matrices[:, :, :SLOTS]
    folded[:, :SLOTS, 0] += (denoised + unconditional) * kept[:, None]
    folded[:, :SLOTS, SLOTS] = matrices[:, :, NOISE]
    folded[:, :SLOTS, SLOTS + 1 :] = taken[:, None, None] * (
        denoised[..., None] * mixing[:, None] + unconditional[..., None] * alone[:, None]
    )
    folded[:, _DENOISED, 0] = kept
    folded[:, _DENOISED, SLOTS + 1 :] = taken[:, None] * mixing
    # The next call's input is its latent, scaled to about unit variance.
    folded[:-1, _INPUT] = folded[:-1, 0] / np.sqrt(sigmas[1:, None] ** 2 + 1)
    return folded.astype(np.float32)


class AdaptiveTrajectory(Trajectory):
    """A run of DPM adaptive, which looks at its latents to choose its steps.

    Its sampler is run on the latents themselves, each in a few operations of its own.
    """

    def _begin(self, x: Tensor) -> None:
        def noise(*_sigmas: float) -> Tensor:
            return upload(self.draw(), x.device)

        context = replace(self.plan.context, noise=noise)
        self._walk = self.plan.walk(x, context)
        self._await(next(self._walk))

    def _await(self, call: Call) -> None:
        self._sigma = call.sigma
        self._state[0] = call.x
        self._state[_INPUT] = call.x / sqrt(call.sigma**2 + 1)
        self._at = self.plan.schedule.levels.timestep_at(torch.tensor([call.sigma]))
        self._timestep = upload(self._at, call.x.device)[0]

    @property
    def with_negative(self) -> bool:  # noqa: D102
        return self._needs_negative(self.call, self._sigma, self._at.item())

    @property
    def timestep(self) -> Tensor:  # noqa: D102
        return self._timestep

    @property
    def done(self) -> bool:  # noqa: D102
        return self._sigma == 0

    @property
    def step(self) -> int:  # noqa: D102
        if self.done:
            return self.plan.steps
        low, high = self.plan.context.ends
        return int(self.plan.steps * log(high / self._sigma) / log(high / low))

    def answer(self, outputs: Tensor) -> None:
        """Advance by the ``outputs`` (rows, C·h·w) of the call."""
        weights, x, sigma = self.mix.weights(self.with_negative), self._state[0], self._sigma
        prediction = sum((row * w for row, w in zip(outputs, weights, strict=True))).view_as(x)
        denoised = x - prediction * sigma
        if self.plan.schedule.prediction_type == "v_prediction":
            denoised = x / (sigma**2 + 1) - prediction * (sigma / sqrt(sigma**2 + 1))
        self._flat = self._flat.clone()
        self._state[_DENOISED] = denoised
        self.call += 1
        self._send(Answer(x, denoised, denoised))

    def settle(self) -> None:  # noqa: D102
        if (reading := self.reading) is not None:
            self.reading = None
            self._send(reading.result().item())

    def _send(self, value: Answer | float) -> None:
        try:
            asked = self._walk.send(value)
        except StopIteration as stop:
            self._state[0], self._sigma = stop.value, 0.0
            return
        if isinstance(asked, Call):
            self._await(asked)
            return
        self.reading = ReadBack(asked)
        if self.reading.done():
            self.settle()


def begin(
    plan: Plan,
    mix: Mix,
    noise: Tensor,
    draw: Callable[[], Tensor],
    init_latents: Tensor | None = None,
) -> Trajectory:
    """Make the trajectory of a plan; see :class:`Trajectory`."""
    kind = AdaptiveTrajectory if plan.sampler.adaptive else Trajectory
    return kind(plan, mix, noise, draw, init_latents)


def advance(
    trajectories: Sequence[Trajectory], outputs: Tensor, *, one_by_one: bool = False
) -> None:
    """Advance pictures of one latent shape by the UNet's raw ``outputs`` (rows, C, h, w).

    The rows are the pictures', in order. All pictures of a width are one batched product,
    whatever their samplers; ``one_by_one`` keeps a picture's bits from depending on the others.
    """
    parts = outputs.float().flatten(1).split([each.rows for each in trajectories])  # type: ignore[no-untyped-call]
    groups: dict[object, list[tuple[Trajectory, Tensor]]] = defaultdict(list)
    for trajectory, own in zip(trajectories, parts, strict=True):
        if isinstance(trajectory, AdaptiveTrajectory):
            trajectory.answer(own)
        else:
            groups[trajectory if one_by_one else trajectory.width].append((trajectory, own))
    noisy = [each for members in groups.values() for each, _ in members if each.noisy]
    noise = upload_together([each.draw() for each in noisy], outputs.device)
    drawn = dict(zip(noisy, noise, strict=True))
    for members in groups.values():
        terms = torch.cat(
            [term for each, own in members for term in each.terms(own, drawn.get(each))]
        )
        coefficients = torch.stack([each.coefficients for each, _ in members])
        states = coefficients.bmm(terms.view(len(members), coefficients.shape[2], -1))
        for (trajectory, _), state in zip(members, states.unbind(), strict=True):
            trajectory.arrive(state)
