"""``Work``: a job as the queue and the engine know it, its files looked up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from core.models.addons import UpscalerFile
from core.models.catalogue import Model, Vae
from core.models.uses import NO_ADDONS, AddOns
from core.request import GenerationRequest
from core.sampling.passes import passes


@dataclass(frozen=True, slots=True)
class Item:
    """One request with its files: model, VAE (None is the checkpoint's own), add-ons and, for the
    second pass, an upscaler (None is a built-in mode).
    """

    request: GenerationRequest
    model: Model
    vae: Vae | None = None
    addons: AddOns = NO_ADDONS
    upscaler: UpscalerFile | None = None

    @property
    def steps(self) -> int:
        """Sampler steps of one picture over all its passes, the unit of progress."""
        return sum(one.steps for one in passes(self.request))

    @property
    def cost(self) -> float:
        """Work in megapixel-steps, of the steps that are run, at each pass's size."""
        pixels = sum(one.width * one.height * one.steps for one in passes(self.request))
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

    @property
    def rows(self) -> int:
        """UNet rows of its pictures, an estimate: AND parts, which take more, are not parsed."""
        requests = (item.request for item in self.items)
        return sum(request.count * request.rows for request in requests)
