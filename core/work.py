"""``Work``: a job as the queue and the engine know it, its files looked up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from core.models.addons import EmbeddingFile, NetworkFile, UpscalerFile
from core.models.catalogue import Model, Vae
from core.models.uses import NO_ADDONS, AddOns
from core.request import GenerationRequest
from core.sampling.passes import passes

# What a pixel of an enlarged image costs, in sampler steps of a generated one: by a model such as
# Real-ESRGAN's, and by Lanczos.
ENLARGING_STEPS: Final = 1.0
RESIZING_STEPS: Final = 0.02

File = Model | Vae | NetworkFile | EmbeddingFile | UpscalerFile


@dataclass(frozen=True, slots=True)
class Item:
    """One request with its files: model, VAE (None is the checkpoint's own), add-ons, the second
    pass's upscaler (None is a built-in mode), and ``enlarger``, that of the finished image.
    """

    request: GenerationRequest
    model: Model
    vae: Vae | None = None
    addons: AddOns = NO_ADDONS
    upscaler: UpscalerFile | None = None
    enlarger: UpscalerFile | None = None

    @property
    def files(self) -> dict[Path, tuple[str, str]]:
        """The files and folders that it reads, each with its kind and name."""
        networks = (*self.addons.networks, *self.addons.second)
        kinds: dict[str, Iterable[File | None]] = {
            "model": [self.model],
            "VAE": [self.vae],
            "LoRA": [each.file for each in networks],
            "embedding": self.addons.embeddings,
            "upscaler": [self.upscaler, self.enlarger],
        }
        found = ((kind, each) for kind, several in kinds.items() for each in several)
        return {each.path: (kind, each.name) for kind, each in found if each is not None}

    @property
    def steps(self) -> int:
        """Sampler steps of one picture over all its passes, the unit of progress; at least one."""
        return sum(one.steps for one in passes(self.request)) or 1

    @property
    def cost(self) -> float:
        """Work in megapixel-steps, of the steps that are run, at each pass's size."""
        pixels: float = sum(one.width * one.height * one.steps for one in passes(self.request))
        if self.request.enlarge is not None:
            steps = RESIZING_STEPS if self.enlarger is None else ENLARGING_STEPS
            pixels += math.prod(self.request.delivered_size) * steps
        return pixels * self.request.count / 1e6


@dataclass(frozen=True)
class Work:
    """One job: a single request, or a sheet's requests in the order to run them.

    ``owner`` is an opaque string, to whom the queue is fair. Jobs of a higher ``priority`` run
    before all of a lower one.
    """

    job_id: int
    owner: str
    items: tuple[Item, ...]
    priority: int = 0

    @classmethod
    def of(
        cls,
        job_id: int,
        owner: str,
        request: GenerationRequest,
        model: Model,
        vae: Vae | None = None,
        priority: int = 0,
    ) -> Work:
        """Make a job of one request."""
        return cls(job_id, owner, (Item(request, model, vae),), priority)

    @property
    def flow(self) -> tuple[int, str]:
        """Its priority and owner; the jobs of a flow are served in their order."""
        return self.priority, self.owner

    @property
    def request(self) -> GenerationRequest:
        """The first request, for most jobs the only one."""
        return self.items[0].request

    @property
    def model(self) -> Model:
        """The first request's model."""
        return self.items[0].model

    @property
    def vae(self) -> Vae | None:
        """The first request's external VAE."""
        return self.items[0].vae

    @cached_property
    def cost(self) -> float:
        """Work in megapixel-steps, used for fairness, the ETA and a member's quota."""
        return sum(item.cost for item in self.items)

    @cached_property
    def row_steps(self) -> dict[tuple[str, int, int], int]:
        """Rows of UNet calls in all its steps, by model, width and height; ``rows`` as below."""
        found: dict[tuple[str, int, int], int] = {}
        for item in self.items:
            for one in passes(item.request):
                key = item.model.name, one.width, one.height
                rows = item.request.rows * item.request.count
                found[key] = found.get(key, 0) + one.steps * rows
        return found

    @cached_property
    def files(self) -> dict[Path, tuple[str, str]]:
        """The files and folders that its requests read, each with its kind and name."""
        return {path: what for item in self.items for path, what in item.files.items()}

    @property
    def rows(self) -> int:
        """UNet rows of its pictures, an estimate: AND parts, which take more, are not parsed."""
        requests = (item.request for item in self.items)
        return sum(request.count * request.rows for request in requests)
