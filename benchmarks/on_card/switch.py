"""Changing the checkpoint: reading it, parking it, and bringing it back."""

from __future__ import annotations

from functools import partial

from benchmarks.on_card.bench import Bench, Record, Records
from core.config import EngineConfig
from core.models.loading import Models


def sd1(bench: Bench) -> Records:
    """Change SD 1.5's."""
    return _switch(bench, "sd1")


def sdxl(bench: Bench) -> Records:
    """Change SDXL's."""
    return _switch(bench, "sdxl")


def _switch(bench: Bench, family: str) -> Records:
    model = bench.model(family)
    models = Models(EngineConfig(device=str(bench.device), cache_dir=bench.root))

    def record(what: str, seconds: float) -> Record:
        return {"family": family, "what": what, "seconds": round(seconds, 4)}

    yield record("read ahead", bench.seconds(lambda: models.prepare(model).result()))
    yield record("load after that", bench.seconds(lambda: models.load(model)))
    (resident,) = models._warm.values()
    if resident.master is not None:
        yield {"family": family, "what": "GB parked", "seconds": resident.master.nbytes / 1e9}
        for _ in range(3):
            yield record("park", bench.seconds(resident.park))
            yield record("bring back", bench.seconds(partial(resident.bring_back, bench.device)))
    models.close()
