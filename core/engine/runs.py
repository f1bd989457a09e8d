"""What the engine runs: a job's requests, and each picture of theirs on its way through phases.

A run is what shares latents: one request, decoded by as many VAEs as the job asks for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor
from torch.nn.functional import interpolate

from core.engine.phases import (
    Decode,
    Denoise,
    Encode,
    Phase,
    Upscale,
    needs_vae_before_decode,
    phases,
    walk_steps,
)
from core.engine.rows import Row
from core.events import Image
from core.models.loading import LoadedModel
from core.models.vae import LoadedVae
from core.notes import Note
from core.pictures.files import read_pixels
from core.request import MAX_SEED
from core.sampling.noise import initial_noise
from core.sampling.samplers import Trajectory
from core.text.guidance import Guidance
from core.work import Item, Work

Pixels = NDArray[np.uint8]


class Job:
    """One job in the engine: how far it is, and the pictures that are finished.

    ``groups`` are the positions of items that differ in their VAE only, in the order to run.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.id = work.job_id
        # Those under way: one that is done is let go of, and with it its model.
        self.runs: list[Run] = []
        self.begun = False
        self.images: dict[tuple[int, int], Image] = {}
        # time.monotonic() of its start, its last progress and its last preview.
        self.started = self.reported = self.previewed = time.monotonic()
        requests = [item.request for item in work.items]
        self.steps = max(walk_steps(request) for request in requests)
        self._steps_in_all = sum(walk_steps(request) * request.count for request in requests)
        self._pictures = sum(request.count for request in requests)
        self._steps_done = 0
        self._notes: dict[Note, None] = {}
        self.all_exits = len({request.clip_skip for request in requests}) > 1

    @property
    def groups(self) -> Iterator[tuple[int, ...]]:
        """Positions in ``work.items``, together where one set of latents serves them all."""
        groups: dict[object, list[int]] = {}
        for position, item in enumerate(self.work.items):
            shared = not needs_vae_before_decode(item.request)
            neutral = item.request.to_dict() | {"vae": None}
            key = (repr(neutral), item.model) if shared else position
            groups.setdefault(key, []).append(position)
        yield from map(tuple, groups.values())

    def begin(self, run: Run) -> None:
        """One of its runs joins the running set."""
        self.begun = True
        self.runs.append(run)
        self._notes |= dict.fromkeys(run.notes)

    def end(self, run: Run) -> None:
        """One of its runs is done."""
        self.runs.remove(run)
        self._steps_done += run.steps_done

    @property
    def step(self) -> int:
        """How far it is, out of ``steps``: all its pictures together."""
        done = self._steps_done + sum(run.steps_done for run in self.runs)
        return self.steps * done // self._steps_in_all

    @property
    def x0(self) -> tuple[LoadedVae, Tensor] | None:
        """The first unfinished picture as the model sees it now: latents (C, h, w), their VAE."""
        for run in self.runs:
            for picture in run.pictures:
                if picture.trajectory is not None:
                    return run.vaes[0], picture.trajectory.x0
        return None

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the member should know about the prompts, each once."""
        return tuple(self._notes)

    @property
    def done(self) -> bool:
        """Whether every picture is there."""
        return len(self.images) == self._pictures

    def finished_images(self) -> tuple[Image, ...]:
        """The pictures in the order of the items, a batch's one after the other."""
        return tuple(self.images[place] for place in sorted(self.images))


@dataclass(eq=False)
class Picture:
    """One of a request's pictures on its way. ``latents`` are (C, h, w) fp32 on the device."""

    index: int
    phases: deque[Phase]
    latents: Tensor | None = None
    trajectory: Trajectory | None = None
    steps_done: int = 0
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
        self, job: Job, positions: tuple[int, ...], loaded: LoadedModel, vaes: list[LoadedVae]
    ) -> None:
        self.job = job
        self.positions = positions
        self.items: list[Item] = [job.work.items[position] for position in positions]
        self.request = request = self.items[0].request
        self.loaded = loaded
        self.vaes = vaes
        passes = (False,) if request.hires is None else (False, True)
        self._guidance = [
            Guidance.encode(
                loaded.conditioner, request, second_pass=second, all_exits=job.all_exits
            )
            for second in passes
        ]
        plan = phases(request, len(vaes))
        self.pictures = [Picture(index, deque(plan)) for index in range(request.count)]

    @property
    def notes(self) -> tuple[Note, ...]:
        """Remarks on both prompts."""
        guidance = self._guidance[0]
        return guidance.positive.notes + guidance.negative.notes

    @property
    def rows_needed(self) -> int:
        """Rows of the running set that its pictures take."""
        return self._guidance[0].rows_needed * len(self.pictures)

    @property
    def steps_done(self) -> int:
        """Sampler steps done, of all its pictures, once for each item that they serve."""
        return len(self.positions) * sum(
            picture.steps_done + (picture.trajectory.step if picture.trajectory else 0)
            for picture in self.pictures
        )

    @property
    def done(self) -> bool:
        """Whether no picture has a phase left."""
        return not any(picture.phases for picture in self.pictures)

    def seed(self, picture: Picture) -> int:
        """The picture's own seed; with a variation strength only the variation seed moves."""
        varied = self.request.variation_strength > 0
        return (self.request.seed + (0 if varied else picture.index)) % (MAX_SEED + 1)

    # Outside the running set

    def perform(self, picture: Picture) -> Pixels | None:
        """Do the picture's encode, enlargement or decode; pixels (H, W, 3) where it decoded."""
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

    def rows(self, picture: Picture) -> list[Row]:
        """What the UNet must predict for the picture's next call."""
        phase = picture.phase
        assert isinstance(phase, Denoise)
        trajectory = picture.trajectory = picture.trajectory or self._begin(picture, phase)
        sample = trajectory.model_input()
        # SDXL is told its picture's size, crop and target size.
        time_ids = (phase.height, phase.width, 0, 0, phase.height, phase.width)
        return [
            Row(sample, trajectory.timestep, context, pooled, time_ids)
            for context, pooled in self._guidance[phase.second_pass].at(trajectory.call)
        ]

    def advance(self, picture: Picture, outputs: list[Tensor]) -> None:
        """Take the sampler one call further with what the UNet predicted for its rows."""
        trajectory = picture.trajectory
        assert trajectory is not None
        trajectory.advance(self._guidance[0].mix(outputs))
        if trajectory.done:
            picture.latents = trajectory.latents
            picture.steps_done += trajectory.steps
            picture.trajectory = None
            picture.phases.popleft()

    def _begin(self, picture: Picture, phase: Denoise) -> Trajectory:
        """The walk of a denoising phase. A second pass starts from fresh noise of the same seed."""
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
