"""``EngineInstance``: the client's state of one engine, from its start to its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.serving.transport import Transport


@dataclass(slots=True, eq=False)
class EngineInstance:
    """The client's state of one engine.

    ``last_message`` is the time of it, by the client's clock. ``ready``: it has its device.
    ``productive``: it has ended a job. ``ended``: no more messages come. ``crash``: the reason of
    its death, if known; ``final``: its device is not there. ``pending``: ids of jobs sent to it
    that have not ended.
    """

    transport: Transport
    last_message: float
    ready: bool = False
    productive: bool = False
    ended: bool = False
    crash: str = ""
    final: bool = False
    pending: set[int] = field(default_factory=set)
