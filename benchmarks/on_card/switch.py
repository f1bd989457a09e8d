"""Changing the checkpoint: the first load, parking it, and bringing it back."""

from __future__ import annotations

from benchmarks.on_card.bench import Bench, Records
from core.config import EngineConfig
from core.models.loading import Models


def sd1(bench: Bench) -> Records:
    """SD 1.5's."""
    return _switch(bench, "sd1")


def sdxl(bench: Bench) -> Records:
    """SDXL's."""
    return _switch(bench, "sdxl")


def _switch(bench: Bench, family: str) -> Records:
    models = Models(EngineConfig(device=str(bench.device), cache_dir=bench.root))
    model = bench.model(family)
    yield {
        "family": family,
        "what": "load from file",
        "seconds": bench.seconds(lambda: models.load(model)),
    }
    resident = next(iter(models._warm.values()))
    for _ in range(2):
        yield {"family": family, "what": "park", "seconds": bench.seconds(resident.offload)}
        yield {"family": family, "what": "bring back", "seconds": bench.seconds(resident.reload)}
    models.close()
