"""What happens to a job, as frozen messages. They cross the pipe from the engine process.

A job's life in events: ``Queued`` (again whenever its place in line changes), ``Started``,
``Progress`` …, then exactly one of ``Finished``, ``Failed`` or ``Cancelled``.
``Restarting`` may come in between: the engine died and the job runs again from its seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import PenultimateError
from core.notes import Note


@dataclass(frozen=True, slots=True)
class Queued:
    """``position`` counts from 1; ``eta`` is in seconds from now, None while unmeasured."""

    job_id: int
    position: int
    total: int
    eta: float | None


@dataclass(frozen=True, slots=True)
class Started:
    """The engine took the job into its running set."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Progress:
    """``step`` of ``steps`` sampler steps are done; ``preview`` is a small PNG, if one is due."""

    job_id: int
    step: int
    steps: int
    preview: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Restarting:
    """The engine died; the job will be run again from its seed."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Image:
    """One finished picture: PNG bytes with ``infotext`` inside as ``parameters``."""

    png: bytes = field(repr=False)
    seed: int
    width: int
    height: int
    infotext: str


@dataclass(frozen=True, slots=True)
class Finished:
    """``notes`` are things the member should know (a part of the prompt that was ignored …);

    ``seconds`` is the time from ``Started`` to here.
    """

    job_id: int
    images: tuple[Image, ...]
    notes: tuple[Note, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The job ended without a picture, because of ``error``."""

    job_id: int
    error: PenultimateError


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody took the job back."""

    job_id: int


Ending = Finished | Failed | Cancelled
Event = Queued | Started | Progress | Restarting | Ending
