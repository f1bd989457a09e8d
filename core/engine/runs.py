"""``Run``: one request in the running set, with its pictures, each in one of its phases.

Requests of a job that differ in the VAE only are one run, decoded by several VAEs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from torch import Tensor
from torch.nn.functional import interpolate

from core.engine.phases import Decode, Denoise, Encode, Phase, Upscale, phases
from core.engine.rows import Row
from core.engine.running_job import RunningJob
from core.models.residents import LoadedModel
from core.models.vae import LoadedVae
from core.notes import Note
from core.pictures.files import read_pixels
from core.sampling.noise import initial_noise
from core.sampling.passes import passes
from core.sampling.samplers import Trajectory
from core.text.guidance import Guidance
from core.work import Item

if TYPE_CHECKING:
    from core.pictures.files import Pixels


@dataclass(frozen=True, slots=True)
class BatchKey:
    """What pictures must have in common to share their next UNet call."""

    # A call uses the weights of one UNet.
    checkpoint: LoadedModel
    # A batch is one tensor, so all latents have the same size; here in pixels.
    width: int
    height: int


@dataclass(eq=False)
class RunningPicture:
    """A picture and its remaining phases. ``latents`` are (C, h, w), fp32 on the device.

    ``served`` is the number of the engine's step that it last took part in.
    """

    index: int
    phases: deque[Phase]
    latents: Tensor | None = None
    trajectory: Trajectory | None = None
    served: int = 0

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self.phases[0]


class Run:
    """One request with its model, its encoded prompts and its pictures.

    ``positions`` are the indices in the job's items of the request and of those that differ from
    it in the VAE only; ``vaes`` are their VAEs. The constructor encodes the prompts, and raises
    a :class:`~core.errors.PenultimateError` for an impossible request.
    """

    def __init__(
        self,
        job: RunningJob,
        positions: tuple[int, ...],
        loaded: LoadedModel,
        vaes: list[LoadedVae],
    ) -> None:
        self.job = job
        self.positions = positions
        self.items: list[Item] = [job.work.items[position] for position in positions]
        self.request = request = self.items[0].request
        self.loaded = loaded
        self.vaes = vaes
        guidances = [
            Guidance.encode(
                loaded.conditioner, request, second_pass=number == 1, all_exits=job.all_exits
            )
            for number in range(len(passes(request)))
        ]
        plan = phases(request, guidances, len(vaes))
        self.pictures = [RunningPicture(index, deque(plan)) for index in range(request.count)]
        # Rows of all pictures, in the pass that needs most.
        self.rows_needed = request.count * max(each.rows_needed for each in guidances)
        self.notes: tuple[Note, ...] = guidances[0].positive.notes + guidances[0].negative.notes

    @property
    def done(self) -> bool:
        """Whether no picture has a phase left."""
        return not any(picture.phases for picture in self.pictures)

    # Phases other than denoising

    def perform(self, picture: RunningPicture) -> Pixels | None:
        """Run the picture's encode, upscale or decode; return pixels (H, W, 3) of a decode."""
        phase = picture.phases.popleft()
        match phase:
            case Encode():
                picture.latents = self._start_latents
            case Upscale():
                assert picture.latents is not None
                picture.latents = self._upscale(picture.latents, phase)
            case Decode():
                assert picture.latents is not None
                return self.vaes[phase.vae].decode(picture.latents)
        return None

    @cached_property
    def _start_latents(self) -> Tensor:
        """The start image's latents (C, h, w), the same for all pictures."""
        assert self.request.init_image is not None
        return self._encode(
            read_pixels(self.request.init_image), self.request.width, self.request.height
        )

    def _upscale(self, latents: Tensor, phase: Upscale) -> Tensor:
        if phase.upscaler == "Latent":
            size = (phase.height // 8, phase.width // 8)
            return interpolate(latents[None], size, mode="bilinear", antialias=False)[0]
        pixels = self.vaes[0].decode(latents)
        return self._encode(Pillow.fromarray(pixels), phase.width, phase.height)

    def _encode(self, image: Pillow.Image, width: int, height: int) -> Tensor:
        resized = image.resize((width, height), Pillow.Resampling.LANCZOS)
        return self.vaes[0].encode(np.array(resized))

    # Denoising

    def batch_key(self, phase: Denoise) -> BatchKey:
        """Return the key of a picture in ``phase``; equal ones share their next UNet call."""
        return BatchKey(self.loaded, phase.width, phase.height)

    def rows(self, picture: RunningPicture) -> list[Row]:
        """Return the picture's UNet rows for its next call."""
        phase = picture.phase
        assert isinstance(phase, Denoise)
        trajectory = picture.trajectory = picture.trajectory or self._new_trajectory(picture, phase)
        sample = trajectory.model_input()
        # SDXL's conditioning: original size, crop's top left, target size.
        time_ids = (phase.height, phase.width, 0, 0, phase.height, phase.width)
        return [
            Row(sample, trajectory.timestep, context, pooled, time_ids)
            for context, pooled in phase.guidance.at(trajectory.call)
        ]

    def advance(self, picture: RunningPicture, outputs: list[Tensor]) -> None:
        """Advance the sampler by the UNet's outputs (C, h, w) for the picture's rows."""
        phase, trajectory = picture.phase, picture.trajectory
        assert isinstance(phase, Denoise)
        assert trajectory is not None
        before = trajectory.step
        trajectory.advance(phase.guidance.mix(outputs))
        # Progress counts the steps of every item, also where they share latents.
        self.job.steps_run += len(self.positions) * (trajectory.step - before)
        if trajectory.done:
            picture.latents = trajectory.latents
            picture.trajectory = None
            picture.phases.popleft()

    def _new_trajectory(self, picture: RunningPicture, phase: Denoise) -> Trajectory:
        """Make the sampler's state; a second pass draws new noise from the same seed."""
        request = self.request.alone(picture.index)
        noise, generator = initial_noise(
            request.seed,
            (self.vaes[0].channels, phase.height // 8, phase.width // 8),
            request.variation_seed,
            request.variation_strength,
        )
        return Trajectory(
            request.sampler,
            request.schedule_type,
            phase.steps,
            self.loaded.schedule,
            seed=request.seed,
            generator=generator,
            noise=noise,
            init_latents=picture.latents,
            denoising_strength=1.0 if phase.strength is None else phase.strength,
            exact_steps=phase.second_pass,
            device=self.loaded.device,
        )
