"""``Work``: one job as the queue and the engine know it, with its files already found."""

from __future__ import annotations

from dataclasses import dataclass

from core.catalogue import Model, Vae
from core.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class Work:
    """A request on its way to the GPU.

    ``owner`` is an opaque string: who it is fair to. ``vae`` is the external VAE to use, None
    for the checkpoint's own. ``priority`` above 0 goes before every lower one.
    """

    job_id: int
    owner: str
    request: GenerationRequest
    model: Model
    vae: Vae | None = None
    priority: int = 0

    @property
    def cost(self) -> float:
        """Work in megapixel-steps, for fair shares and the ETA."""
        request = self.request
        pixels = request.width * request.height * request.steps
        if request.hires is not None:
            width, height = request.final_size
            pixels += width * height * (request.hires.steps or request.steps)
        return pixels * request.count / 1e6
