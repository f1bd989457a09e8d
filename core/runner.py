"""What the engine runs: a request's pictures, each walking through its phases.

The phases are data: text-to-image is denoise → decode, img2img starts with an encode, hires fix
puts an enlargement and a second denoise in between. A picture is in the running set only while
it denoises.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor
from torch.nn.functional import interpolate

from core.conditioning import Conditioning
from core.events import Image
from core.models import LoadedModel
from core.noise import initial_noise
from core.notes import Note
from core.picture import read_pixels
from core.request import MAX_SEED, GenerationRequest
from core.rows import Row
from core.samplers import Trajectory, conditioning_steps, img2img_extent
from core.vae import LoadedVae
from core.work import Work


@dataclass(frozen=True, slots=True)
class Encode:
    """The start image, brought to size, becomes latents."""


@dataclass(frozen=True, slots=True)
class Denoise:
    """The sampler's walk at this size: from noise alone, or from latents at a ``strength``.

    img2img runs a share of ``steps``, a second pass (of hires fix) all of them.
    """

    width: int
    height: int
    steps: int
    strength: float | None = None
    second_pass: bool = False

    @property
    def walk_steps(self) -> int:
        """Sampler steps that are really run."""
        if self.strength is None or self.second_pass:
            return self.steps
        return img2img_extent(self.steps, self.strength)[1] + 1


@dataclass(frozen=True, slots=True)
class Upscale:
    """The latents are enlarged for the second pass."""

    width: int
    height: int
    upscaler: str


@dataclass(frozen=True, slots=True)
class Decode:
    """The latents become a picture."""


Pixels = NDArray[np.uint8]
Phase = Encode | Denoise | Upscale | Decode


def phases(request: GenerationRequest) -> tuple[Phase, ...]:
    """The way of each of the request's pictures."""
    width, height, steps = request.width, request.height, request.steps
    plan: list[Phase] = []
    if request.init_image is None:
        plan.append(Denoise(width, height, steps))
    else:
        plan += [Encode(), Denoise(width, height, steps, request.denoising_strength)]
    if (hires := request.hires) is not None:
        width, height = request.final_size
        plan.append(Upscale(width, height, hires.upscaler))
        passes = hires.steps or steps
        plan.append(Denoise(width, height, passes, hires.denoising_strength, second_pass=True))
    return (*plan, Decode())


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


@dataclass(frozen=True, slots=True)
class Prompts:
    """A request's two prompts, encoded, and how their predictions are mixed."""

    positive: Conditioning
    negative: Conditioning
    cfg_scale: float

    @property
    def _weights(self) -> list[float]:
        return [weight * self.cfg_scale for weight, _ in self.positive.parts]

    @property
    def _positive_alone(self) -> bool:
        """The negative prompt cancels out: uncond + 1·(cond − uncond) = cond."""
        return self._weights == [1.0]

    @property
    def rows_needed(self) -> int:
        """One row for each AND part, and one for the negative prompt."""
        return len(self.positive.parts) + (not self._positive_alone)

    def at(self, call: int) -> list[tuple[Tensor, Tensor | None]]:
        """The rows' (context, pooled) at a model call: AND parts, then the negative prompt."""
        rows = self.positive.at(call)
        if not self._positive_alone:
            rows += self.negative.at(call)
        longest = max(context.shape[0] for _, context, _ in rows)
        return [(_repeated(context, longest), pooled) for _, context, pooled in rows]

    def guide(self, outputs: Sequence[Tensor]) -> Tensor:
        """Classifier-free guidance (Ho & Salimans 2022) over the rows' outputs.

        AND parts are mixed by their weights (composable diffusion, Liu et al. 2022).
        """
        if self._positive_alone:
            return outputs[0]
        *positives, uncond = outputs
        prediction = uncond
        for weight, cond in zip(self._weights, positives, strict=True):
            prediction = torch.add(prediction, cond - uncond, alpha=weight)
        return prediction


def _repeated(context: Tensor, length: int) -> Tensor:
    """A context (T, width) brought to ``length`` when that is a whole number of times T.

    Cross-attention over a context repeated k times is exactly that over the context; anything
    between would weigh its tokens unequally, so such rows go in UNet calls of their own.
    """
    times, rest = divmod(length, context.shape[0])
    return context if rest or times == 1 else context.repeat(times, 1)


class Run:
    """One request in the engine: its models, its encoded prompts and its pictures.

    Building one encodes the prompts, and raises what makes the request impossible
    (:class:`~core.errors.InvalidRequest`, :class:`~core.errors.UnreadablePicture`).
    """

    def __init__(self, work: Work, loaded: LoadedModel, vae: LoadedVae) -> None:
        self.work = work
        self.request = work.request
        self.loaded = loaded
        self.vae = vae
        self.images: dict[int, Image] = {}
        # time.monotonic() of its start, its last progress and its last preview.
        self.started = self.reported = self.previewed = time.monotonic()
        self._prompts = [self._encode_prompts()]
        if (hires := self.request.hires) is not None:
            passes = hires.steps or self.request.steps
            self._prompts.append(
                self._encode_prompts(conditioning_steps(self.request.sampler, passes))
            )
        plan = phases(self.request)
        self.pictures = [Picture(index, deque(plan)) for index in range(self.request.count)]
        self.steps = sum(phase.walk_steps for phase in plan if isinstance(phase, Denoise))

    def _encode_prompts(self, hires_steps: int | None = None) -> Prompts:
        """Both prompts at the request's clip skip, for the first pass or the second."""
        request, encode = self.request, self.loaded.conditioner.encode
        steps = conditioning_steps(request.sampler, request.steps)
        return Prompts(
            encode(request.prompt, request.clip_skip, steps, hires_steps=hires_steps),
            encode(
                request.negative_prompt,
                request.clip_skip,
                steps,
                negative=True,
                hires_steps=hires_steps,
            ),
            request.cfg_scale,
        )

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the member should know about the prompts, each once."""
        prompts = self._prompts[0]
        return tuple(dict.fromkeys(prompts.positive.notes + prompts.negative.notes))

    @property
    def rows_needed(self) -> int:
        """Rows of the running set that its pictures take."""
        return self._prompts[0].rows_needed * len(self.pictures)

    @property
    def step(self) -> int:
        """Sampler steps done of ``steps``, the mean of its pictures."""
        done = (
            picture.steps_done + (picture.trajectory.step if picture.trajectory else 0)
            for picture in self.pictures
        )
        return sum(done) // len(self.pictures)

    @property
    def x0(self) -> Tensor | None:
        """The first unfinished picture as the model sees it now: latents (C, h, w)."""
        walks = (picture.trajectory for picture in self.pictures)
        return next((walk.x0 for walk in walks if walk is not None), None)

    def seed(self, picture: Picture) -> int:
        """The picture's own seed; with a variation strength only the variation seed moves."""
        varied = self.request.variation_strength > 0
        return (self.request.seed + (0 if varied else picture.index)) % (MAX_SEED + 1)

    # Outside the running set

    def perform(self, picture: Picture) -> Pixels | None:
        """Do the picture's encode, enlargement or decode; its pixels (H, W, 3) at the end."""
        phase = picture.phases.popleft()
        match phase:
            case Encode():
                picture.latents = self._start_latents
            case Upscale():
                assert picture.latents is not None
                picture.latents = self._enlarge(picture.latents, phase)
            case Decode():
                assert picture.latents is not None
                return self.vae.decode(picture.latents)
        return None

    @cached_property
    def _start_latents(self) -> Tensor:
        """The start image in latents (C, h, w), the same for every picture of the batch."""
        assert self.request.init_image is not None
        image = read_pixels(self.request.init_image)
        size = (self.request.width, self.request.height)
        return self.vae.encode(np.array(image.resize(size, Pillow.Resampling.LANCZOS)))

    def _enlarge(self, latents: Tensor, phase: Upscale) -> Tensor:
        if phase.upscaler == "Latent":
            size = (phase.height // 8, phase.width // 8)
            return interpolate(latents[None], size, mode="bilinear", antialias=False)[0]
        pixels = Pillow.fromarray(self.vae.decode(latents))
        size = (phase.width, phase.height)
        return self.vae.encode(np.array(pixels.resize(size, Pillow.Resampling.LANCZOS)))

    # Inside it

    def begin(self, picture: Picture) -> Trajectory:
        """The walk of the picture's denoising phase, started if it has not been."""
        if picture.trajectory is None:
            request, phase = self.request, picture.phase
            assert isinstance(phase, Denoise)
            seed = self.seed(picture)
            noise, generator = initial_noise(
                seed,
                (self.vae.channels, phase.height // 8, phase.width // 8),
                (request.variation_seed + picture.index) % (MAX_SEED + 1),
                request.variation_strength,
            )
            picture.trajectory = Trajectory(
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
        return picture.trajectory

    def rows(self, picture: Picture) -> list[Row]:
        """What the UNet must predict for the picture's next call."""
        trajectory, phase = self.begin(picture), picture.phase
        assert isinstance(phase, Denoise)
        sample = trajectory.model_input()
        # SDXL is told its picture's size, crop and target size.
        time_ids = (phase.height, phase.width, 0, 0, phase.height, phase.width)
        return [
            Row(sample, trajectory.timestep, context, pooled, time_ids)
            for context, pooled in self._prompts[phase.second_pass].at(trajectory.call)
        ]

    def advance(self, picture: Picture, outputs: list[Tensor]) -> None:
        """Take the sampler one call further with what the UNet predicted for its rows."""
        trajectory = self.begin(picture)
        prediction = self._prompts[0].guide(outputs)
        trajectory.advance(prediction)
        if trajectory.done:
            picture.latents = trajectory.latents
            picture.steps_done += trajectory.steps
            picture.trajectory = None
            picture.phases.popleft()
