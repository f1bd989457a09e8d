"""``Transport``: the connection between the client and one engine, wherever that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.config import EngineConfig
from core.serving.messages import Downward, Upward

# Called with each message from the engine, on the event loop; None is the engine's end.
OnMessage = Callable[[Upward | None], None]


class Transport(Protocol):
    """One engine, from its start to its end, and the messages to and from it."""

    @property
    def pid(self) -> int | None:
        """The engine's process id; None before it starts, or if it runs on another computer."""
        ...

    def start(self) -> None:
        """Start the engine. May block; does nothing after :meth:`stop`."""
        ...

    def send(self, message: Downward) -> None:
        """Send ``message`` to the engine. Never blocks."""
        ...

    def stop(self, grace: float) -> str:
        """Ask the engine to end and kill it after ``grace`` seconds. Blocks until it is gone.

        Returns how it ended, in words; an empty string when it was stopped before.
        """
        ...


MakeTransport = Callable[[EngineConfig, OnMessage], Transport]
