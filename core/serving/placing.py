"""Which engine a job goes to: the one where it is expected to begin first.

An engine that has the job's models loaded is worth waiting for as long as the wait is shorter than
loading them elsewhere takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

# Seconds that loading a model takes while none was measured: 2 GB from a solid-state disk.
SWITCH: Final = 5.0
# Megapixel-steps a second of engines while none is measured: slow, so that no job waits for a
# busy one while another is idle.
UNMEASURED: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine has to do before the next job.

    ``models`` are the names of those loaded or being loaded; ``backlog`` is the work of its jobs,
    in megapixel-steps, done at ``speed`` a second (None while unmeasured); ``loading`` is the
    seconds until the models of its jobs are loaded, not above 0 where they are.
    """

    models: frozenset[str] = frozenset()
    backlog: float = 0.0
    speed: float | None = None
    loading: float = 0.0


def switch(models: frozenset[str], load: Load, measured: Mapping[str, float]) -> float:
    """Return the seconds an engine loads those of ``models`` that it lacks.

    ``measured`` has the seconds that loading each model took, as far as they are known.
    """
    return sum(measured.get(model, SWITCH) for model in models - load.models)


def waits(
    models: frozenset[str], loads: Sequence[Load], measured: Mapping[str, float]
) -> list[float]:
    """Return the seconds until a job that uses ``models`` would begin, for each engine."""
    usual = fmean([load.speed for load in loads if load.speed] or [UNMEASURED])
    return [
        max(0.0, load.loading)
        + load.backlog / (load.speed or usual)
        + switch(models, load, measured)
        for load in loads
    ]
