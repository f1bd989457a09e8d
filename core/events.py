"""The events of a job, frozen and picklable; the engine process sends them over a pipe.

A job has ``Queued`` (again whenever its position changes), ``Started``, ``Progress`` …, then
exactly one of ``Finished``, ``Failed`` and ``Cancelled``. ``Restarting`` may come in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import PenultimateError
from core.notes import Note


@dataclass(frozen=True, slots=True)
class Queued:
    """The job is in the queue, at ``position`` (from 1) of ``total``.

    ``eta`` is the seconds until its picture, None while the speed is unmeasured.
    """

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
    """``step`` of ``steps`` sampler steps are done; ``preview`` is a small PNG, or None.

    ``images`` of the job's pictures are finished.
    """

    job_id: int
    step: int
    steps: int
    preview: bytes | None = field(default=None, repr=False)
    images: int = 0


@dataclass(frozen=True, slots=True)
class Restarting:
    """The engine died; the job runs again from its seed."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Image:
    """One finished picture: PNG bytes that contain ``infotext`` as ``parameters``."""

    png: bytes = field(repr=False)
    seed: int
    width: int
    height: int
    infotext: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The job's pictures, notes for the member, and the seconds since ``Started``."""

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
    """The job was cancelled."""

    job_id: int


Ending = Finished | Failed | Cancelled
Event = Queued | Started | Progress | Restarting | Ending
