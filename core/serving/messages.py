"""The messages between the bot's process and the engine's: frozen and picklable.

Down go ``Add``, ``Abort`` and ``Stop``; up come ``Ready``, ``Credit``, ``Alive``, ``Crashed`` and
the events of :mod:`core.events`.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event
from core.work import Work


@dataclass(frozen=True, slots=True)
class Add:
    """Take this job into the running set when there is room."""

    work: Work


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop this job, wherever it is."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End; whatever runs is dropped."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine is imported and has its device."""

    device_name: str


@dataclass(frozen=True, slots=True)
class Credit:
    """``rows_free`` rows of the running set wait for work; ``warm`` names the loaded models.

    ``memory`` is the device's memory in bytes, (used, total), where it has its own; coarse, so
    that small changes are no news. Goes ahead of the events of the same step, so that a job is
    never missing from both counts.
    """

    rows_free: int
    warm: tuple[str, ...]
    memory: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Alive:
    """Work goes on, though there may be no news of it for long."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The engine dies of an exception that it does not know: its last message."""

    reason: str


Downward = Add | Abort | Stop
Upward = Ready | Credit | Alive | Crashed | Event
