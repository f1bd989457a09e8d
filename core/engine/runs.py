"""``Run``: one request in the running set, with its pictures, each in one of its phases.

Requests of a job that differ in the VAE only are one run, decoded by several VAEs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Hashable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from core.engine.knee import call_name
from core.engine.phases import Decode, Denoise, Encode, Phase, Upscale, phases
from core.engine.rows import Row
from core.engine.running_job import RunningJob
from core.hires import LATENT_UPSCALERS
from core.models.addons import EmbeddingFile, NetworkFile
from core.models.networks.network_set import NetworkSet
from core.models.residents import LoadedModel
from core.models.upscalers import LoadedUpscaler
from core.models.vae import Arriving, LoadedVae
from core.notes import Note
from core.pictures import upscale
from core.pictures.files import read_pixels
from core.pictures.upscaling import resize
from core.sampling.draws import run_noise
from core.sampling.latents import latent_upscale
from core.sampling.passes import passes
from core.sampling.plans import plan
from core.sampling.readback import ReadBack
from core.sampling.settings import SamplerSettings
from core.sampling.sources import NoiseSource, differs_by_card
from core.sampling.streams import start_noise
from core.sampling.trajectory import Trajectory, begin
from core.sampling.uploads import upload
from core.text.guidance import Guidance
from core.work import Item

if TYPE_CHECKING:
    from core.pictures.files import Pixels

# What a phase waits for: a thread, or the card.
Awaited = Future[Any] | Arriving[Any]
# A phase that gives what it waits for; a decode returns its pixels.
Performing = Generator[Awaited, None, "Pixels | None"]


@dataclass(frozen=True, slots=True)
class BatchKey:
    """What pictures must have in common to share their next UNet call."""

    # A call uses the weights of one UNet.
    checkpoint: LoadedModel
    # A batch is one tensor, so all latents have the same size; here in pixels.
    width: int
    height: int
    # What is merged into the weights for a call is in all of its rows.
    merged: Hashable = ()

    @property
    def name(self) -> str:
        """What calls of this key are measured as: a model at a size."""
        return call_name(self.checkpoint.model.name, self.width, self.height)


@dataclass(eq=False)
class RunningPicture:
    """A picture and its remaining phases. ``latents`` are (C, h, w), fp32 on the device."""

    index: int
    phases: deque[Phase]
    latents: Tensor | None = None
    trajectory: Trajectory | None = None

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self.phases[0]

    @property
    def reading(self) -> ReadBack | None:
        """What its sampler waits for, on its way from the card."""
        return self.trajectory.reading if self.trajectory else None

    @property
    def denoises(self) -> bool:
        """Whether it takes, or will take, rows of UNet calls."""
        return any(isinstance(phase, Denoise) for phase in self.phases)


class Run:
    """One request with its model, its encoded prompts and its pictures.

    ``positions`` are the indices in the job's items of the request and of those that differ from
    it in the VAE only; ``vaes`` are their VAEs. The constructor reads the networks and the start
    image and encodes the prompts, in whatever thread; it raises a
    :class:`~core.errors.PenultimateError` for an impossible request.
    """

    @torch.inference_mode()
    def __init__(
        self,
        job: RunningJob,
        positions: tuple[int, ...],
        loaded: LoadedModel,
        vaes: list[LoadedVae],
        upscaler: LoadedUpscaler | None = None,
    ) -> None:
        self.job = job
        self.positions = positions
        self.items: list[Item] = [job.work.items[position] for position in positions]
        self.request = request = self.items[0].request
        self.loaded = loaded
        self.vaes = vaes
        self._upscaler = upscaler
        addons = self.items[0].addons
        loaded.conditioner.use_embeddings({each.name: each.path for each in addons.embeddings})
        # The networks of each pass, which hires fix's own prompt may replace.
        self._networks: list[NetworkSet | None] = []
        guidances = []
        for number, used in zip(
            range(len(passes(request))), (addons.networks, addons.second), strict=False
        ):
            own = loaded.networks.set_of([each.use for each in used])
            self._networks.append(own)
            with loaded.networks.encoding(own):
                guidances.append(
                    Guidance.encode(
                        loaded.conditioner,
                        request,
                        second_pass=number == 1,
                        all_exits=job.all_exits,
                    )
                )
        self._embeddings = {each.name for own in guidances for each in own.embeddings}
        ways = phases(request, guidances, len(vaes))
        self.pictures = [RunningPicture(index, deque(ways)) for index in range(request.count)]
        # The start image in the request's size; its latents are the same for all pictures.
        self._start = None if request.init_image is None else self._resized(request.init_image)
        self._encoding: Arriving[Tensor] | None = None
        self._sizes: dict[tuple[int, int], Tensor] = {}
        # Rows of a picture, in the pass that needs most.
        self.rows_of_a_picture = max(each.rows_needed for each in guidances)
        self.notes: tuple[Note, ...] = tuple(
            dict.fromkeys(
                note for each in (*guidances, *self._networks) if each for note in each.notes
            )
        )
        sizes = [self._latent_shape(each.width, each.height) for each in passes(request)]
        if request.noise_source == "GPU" and any(map(differs_by_card, sizes)):
            self.notes += (Note.of("card_noise"),)

    def _latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        return self.vaes[0].channels, height // 8, width // 8

    def used_addons(self, item: Item) -> list[NetworkFile | EmbeddingFile]:
        """List the networks and embeddings that an item really used, once each."""
        networks = (each.file for each in (*item.addons.networks, *item.addons.second))
        embeddings = (each for each in item.addons.embeddings if each.name in self._embeddings)
        return list(dict.fromkeys((*networks, *embeddings)))

    # Phases other than denoising

    def perform(self, picture: RunningPicture, threads: Executor) -> Performing:
        """Run the picture's encode, upscale or decode, and leave the phase.

        A decode leaves it at once, so that the next one need not wait.
        """
        match phase := picture.phase:
            case Encode():
                if self._encoding is None:
                    assert self._start is not None
                    self._encoding = self.vaes[0].encode_later(self._start)
                yield self._encoding
                picture.latents = self._encoding.result()
                picture.phases.popleft()
            case Upscale():
                assert picture.latents is not None
                picture.latents = yield from self._upscale(
                    picture.latents, phase, picture.index, threads
                )
                picture.phases.popleft()
            case Decode():
                assert picture.latents is not None
                picture.phases.popleft()
                pixels = self.vaes[phase.vae].decode_later(picture.latents)
                yield pixels
                return pixels.result()
        return None

    def _upscale(
        self, latents: Tensor, phase: Upscale, index: int, threads: Executor
    ) -> Generator[Awaited, None, Tensor]:
        larger = yield from self._enlarged(latents, phase, index, threads)
        return larger[:, phase.size.rows, phase.size.columns]

    def _enlarged(
        self, latents: Tensor, phase: Upscale, index: int, threads: Executor
    ) -> Generator[Awaited, None, Tensor]:
        """Enlarge latents to those of the whole picture, before it is cut."""
        if phase.upscaler in LATENT_UPSCALERS:
            return latent_upscale(latents[None], phase.size.enlarged, phase.upscaler)[0]
        size = phase.size.width, phase.size.height
        decoded = self.vaes[0].decode_later(latents)
        yield decoded
        larger = threads.submit(self._larger_pixels, decoded.result(), size, phase.upscaler)
        yield larger
        # A1111 samples the posterior, here from the same seed. With NV its noise is anyone's.
        noise, request = None, self.request.alone(index)
        if request.noise_source != "NV":
            shape = self._latent_shape(*size)
            noise = start_noise(request.seed, shape)
        encoded = self.vaes[0].encode_later(larger.result(), noise)
        yield encoded
        return encoded.result()

    def _larger_pixels(self, pixels: Pixels, size: tuple[int, int], upscaler: str) -> Pixels:
        if (model := self._upscaler) is None:
            return resize(pixels, *size, upscaler)
        return upscale(pixels, *size, model, model.scale, tile=model.tile, average=model.averages)

    def _resized(self, image: bytes) -> Pixels:
        size = self.request.width, self.request.height
        return np.array(read_pixels(image).resize(size, Pillow.Resampling.LANCZOS))

    # Denoising

    def batch_key(self, phase: Phase) -> BatchKey:
        """Return the key of a picture in ``phase``; equal ones share their next UNet call.

        In other phases it is that of the first pass, which a start image is encoded for.
        """
        if isinstance(phase, Denoise):
            own = self._networks[phase.second_pass]
            merged = own.merged_key if own else ()
            return BatchKey(self.loaded, phase.width, phase.height, merged)
        return BatchKey(self.loaded, self.request.width, self.request.height)

    def rows(self, picture: RunningPicture) -> list[Row]:
        """Return the picture's UNet rows for its next call."""
        phase = picture.phase
        assert isinstance(phase, Denoise)
        trajectory = picture.trajectory = picture.trajectory or self._new_trajectory(picture, phase)
        sample, timestep = trajectory.model_input, trajectory.timestep
        time_ids = self._time_ids(phase.width, phase.height)
        own = self._networks[phase.second_pass]
        return [
            Row(sample, timestep, context, pooled, time_ids, own)
            for context, pooled in phase.guidance.at(trajectory.call, trajectory.with_negative)
        ]

    def _time_ids(self, width: int, height: int) -> Tensor | None:
        """SDXL's conditioning: original size, crop's top left, target size; (6,)."""
        if self.loaded.family != "sdxl":
            return None
        if (width, height) not in self._sizes:
            sizes = torch.tensor((height, width, 0, 0, height, width), dtype=torch.float32)
            self._sizes[width, height] = upload(sizes, self.loaded.device)
        return self._sizes[width, height]

    def advanced(self, picture: RunningPicture, steps: int) -> None:
        """Count the ``steps`` that the picture's sampler made, and leave the phase at its end."""
        # Progress counts the steps of every item, also where they share latents.
        self.job.steps_run += len(self.positions) * steps
        assert picture.trajectory is not None
        if picture.trajectory.done:
            picture.latents = picture.trajectory.latents.clone()
            picture.trajectory = None
            picture.phases.popleft()

    def _new_trajectory(self, picture: RunningPicture, phase: Denoise) -> Trajectory:
        """Make the sampler's state; a second pass draws new noise from the same seed."""
        request = self.request.alone(picture.index)
        settings = SamplerSettings.of(request)
        how = phase.sampler, phase.schedule_type, phase.steps, self.loaded.schedule, settings
        planned = plan(*how, strength=phase.strength, exact_steps=phase.second_pass)
        shape = self._latent_shape(phase.width, phase.height)
        first, draw = run_noise(
            planned,
            cast(NoiseSource, request.noise_source),
            request.seed,
            shape,
            self.loaded.device,
            variation_seed=request.variation_seed,
            variation_strength=request.variation_strength,
            seed_resize=(request.seed_resize_width, request.seed_resize_height),
        )
        if phase.strength is not None and not phase.second_pass:
            first = first * settings.noise_multiplier
        return begin(planned, phase.guidance.mix, first, draw, picture.latents)
