"""The messages between the bot's process and the engine's: frozen and picklable.

``Add``, ``Abort`` and ``Stop`` go to the engine; ``Ready``, ``Measured``, ``Credit``, ``Alive``,
``Crashed``, ``Lacks`` and the events of :mod:`core.events` come from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.events import Event
from core.work import Work


@dataclass(frozen=True, slots=True)
class Add:
    """A job to run as soon as its rows are free."""

    work: Work


@dataclass(frozen=True, slots=True)
class Abort:
    """The cancellation of a job, waiting or running."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The request to end the engine; running jobs are dropped."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine is initialised and has its device."""

    device_name: str


@dataclass(frozen=True, slots=True)
class Measured:
    """The seconds of UNet calls, by model and size, and by rows; sent when they change."""

    calls: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Credit:
    """The engine's free capacity: ``rows_free`` rows; ``warm`` names the loaded models.

    ``memory`` is the device's in bytes, (used, total), None where it has none of its own; rounded,
    so that small changes send no message. ``rows_in_call`` are those of the last UNet call, 0 while
    there is none. Sent before the events of the same step, so that the
    rows of a job that starts never count as free.
    """

    rows_free: int
    warm: tuple[str, ...]
    memory: tuple[int, int] | None = None
    rows_in_call: int = 0


@dataclass(frozen=True, slots=True)
class Alive:
    """The heartbeat during a long step (:mod:`core.heartbeat`)."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The engine ends because of an unexpected exception; its last message.

    ``final``: another start at once would end likewise, because its device is not there.
    """

    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Lacks:
    """A job was not begun: these of its files are not on the engine's computer."""

    job_id: int
    files: tuple[Path, ...]


Downward = Add | Abort | Stop
Upward = Ready | Measured | Credit | Alive | Crashed | Lacks | Event
