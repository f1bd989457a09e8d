"""``Transport``: what carries messages between the client and one engine, wherever that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.config import EngineConfig
from core.serving.messages import Downward, Upward

# Told of each message from the engine, on the event loop; None is the engine's end.
Heard = Callable[[Upward | None], None]


class Transport(Protocol):
    """One engine, from its start to its end. Keeps no account of what it carries."""

    @property
    def pid(self) -> int | None:
        """The engine's process; None while, or where, it has none on this computer."""
        ...

    def start(self) -> None:
        """Start the engine. May block; does nothing after :meth:`stop`."""
        ...

    def send(self, message: Downward) -> None:
        """Pass ``message`` on. Never blocks."""
        ...

    def stop(self, grace: float) -> str:
        """End the engine: asked for ``grace`` seconds, then by force. Blocks until it is gone.

        Returns how it ended, in words; nothing when it was stopped before.
        """
        ...


MakeTransport = Callable[[EngineConfig, Heard], Transport]
