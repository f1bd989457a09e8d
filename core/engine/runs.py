"""What shares latents: one request with its pictures, each at one of its phases.

A run is decoded by as many VAEs as its job asks for.
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
from core.options import MAX_SEED
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
    """What pictures must have in common to take their next step in one UNet call."""

    # A call goes through the weights of one UNet.
    checkpoint: LoadedModel
    # A batch is one tensor, so its latents have one width and one height; here in pixels.
    width: int
    height: int


@dataclass(eq=False)
class Picture:
    """One of a request's pictures on its way. ``latents`` are (C, h, w) fp32 on the device."""

    index: int
    phases: deque[Phase]
    latents: Tensor | None = None
    trajectory: Trajectory | None = None
    served: int = 0

    @property
    def phase(self) -> Phase:
        """The phase it is in."""
        return self.phases[0]


class Run:
    """One request with its model, its encoded prompts and its pictures.

    ``positions`` are those in the job's items of the request, and of those which differ from it
    in their VAE only; ``vaes`` has each one's. Building a run encodes the prompts, and raises
    what makes the request impossible (:class:`~core.errors.InvalidRequest` …).
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
        self.pictures = [Picture(index, deque(plan)) for index in range(request.count)]
        # Rows of the running set that its pictures take, in the pass that takes most.
        self.rows_needed = request.count * max(each.rows_needed for each in guidances)
        # Remarks on both prompts.
        self.notes: tuple[Note, ...] = guidances[0].positive.notes + guidances[0].negative.notes

    @property
    def done(self) -> bool:
        """Whether no picture has a phase left."""
        return not any(picture.phases for picture in self.pictures)

    def seed(self, picture: Picture) -> int:
        """Return the picture's own seed; a variation strength moves the variation seed only."""
        varied = self.request.variation_strength > 0
        return (self.request.seed + (0 if varied else picture.index)) % (MAX_SEED + 1)

    # Outside the running set

    def perform(self, picture: Picture) -> Pixels | None:
        """Do the picture's encode, enlargement or decode; return pixels (H, W, 3) of a decode."""
        phase = picture.phases.popleft()
        match phase:
            case Encode():
                picture.latents = self._start_latents
            case Upscale():
                assert picture.latents is not None
                picture.latents = self._enlarge(picture.latents, phase)
            case Decode():
                assert picture.latents is not None
                return self.vaes[phase.vae].decode(picture.latents)
        return None

    @cached_property
    def _start_latents(self) -> Tensor:
        """The start image in latents (C, h, w), the same for every picture of the batch."""
        assert self.request.init_image is not None
        return self._encode(
            read_pixels(self.request.init_image), self.request.width, self.request.height
        )

    def _enlarge(self, latents: Tensor, phase: Upscale) -> Tensor:
        if phase.upscaler == "Latent":
            size = (phase.height // 8, phase.width // 8)
            return interpolate(latents[None], size, mode="bilinear", antialias=False)[0]
        pixels = self.vaes[0].decode(latents)
        return self._encode(Pillow.fromarray(pixels), phase.width, phase.height)

    def _encode(self, image: Pillow.Image, width: int, height: int) -> Tensor:
        resized = image.resize((width, height), Pillow.Resampling.LANCZOS)
        return self.vaes[0].encode(np.array(resized))

    # Inside it

    def batch_key(self, phase: Denoise) -> BatchKey:
        """Return what decides with whom a picture in ``phase`` shares its next UNet call."""
        return BatchKey(self.loaded, phase.width, phase.height)

    def rows(self, picture: Picture) -> list[Row]:
        """Return what the UNet must predict for the picture's next call."""
        phase = picture.phase
        assert isinstance(phase, Denoise)
        trajectory = picture.trajectory = picture.trajectory or self._begin(picture, phase)
        sample = trajectory.model_input()
        # SDXL is told its picture's size, crop and target size.
        time_ids = (phase.height, phase.width, 0, 0, phase.height, phase.width)
        return [
            Row(sample, trajectory.timestep, context, pooled, time_ids)
            for context, pooled in phase.guidance.at(trajectory.call)
        ]

    def advance(self, picture: Picture, outputs: list[Tensor]) -> None:
        """Take the sampler one call further with what the UNet predicted for its rows."""
        phase, trajectory = picture.phase, picture.trajectory
        assert isinstance(phase, Denoise)
        assert trajectory is not None
        before = trajectory.step
        trajectory.advance(phase.guidance.mix(outputs))
        # Each item that the picture serves counts it.
        self.job.steps_run += len(self.positions) * (trajectory.step - before)
        if trajectory.done:
            picture.latents = trajectory.latents
            picture.trajectory = None
            picture.phases.popleft()

    def _begin(self, picture: Picture, phase: Denoise) -> Trajectory:
        """Set the sampler up. A second pass starts from fresh noise of the same seed."""
        request, seed = self.request, self.seed(picture)
        noise, generator = initial_noise(
            seed,
            (self.vaes[0].channels, phase.height // 8, phase.width // 8),
            (request.variation_seed + picture.index) % (MAX_SEED + 1),
            request.variation_strength,
        )
        return Trajectory(
            request.sampler,
            request.schedule_type,
            phase.steps,
            self.loaded.schedule,
            seed=seed,
            generator=generator,
            noise=noise,
            init_latents=picture.latents,
            denoising_strength=1.0 if phase.strength is None else phase.strength,
            exact_steps=phase.second_pass,
            device=self.loaded.device,
        )
