"""The messages between the bot's process and the one that is connected to the cluster.

``Begin``, ``Tell`` and ``End`` go to it, each about the engine with a number ``key``; ``Nodes``,
``Said``, ``Ended`` and ``Lost`` come from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.config import EngineConfig
from core.serving.messages import Downward, Upward

NO_TOKEN: Final = (
    "Ray there takes commands from anybody; start it with RAY_AUTH_MODE=token on every computer"
)


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """An existing Ray cluster: ``auto`` or ``ray://host:port``, and its token ("": Ray's own file).

    ``cache_dir`` has the hashes of the bot's files.
    """

    address: str
    token: str = field(default="", repr=False)
    cache_dir: Path = Path("data/cache")


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A computer of the cluster with ``cards`` graphics cards."""

    node_id: str
    host: str
    cards: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Start an engine on a computer."""

    key: int
    node_id: str
    config: EngineConfig


@dataclass(frozen=True, slots=True)
class Tell:
    """Pass a message on to an engine."""

    key: int
    message: Downward


@dataclass(frozen=True, slots=True)
class End:
    """End an engine, by force after ``grace`` seconds."""

    key: int
    grace: float


@dataclass(frozen=True, slots=True)
class Nodes:
    """The computers with cards that there are now."""

    nodes: tuple[ClusterNode, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A message from an engine; None is its end."""

    key: int
    message: Upward | None


@dataclass(frozen=True, slots=True)
class Ended:
    """An engine is gone, and how it ended, in words."""

    key: int
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no connection to the cluster, and why; the last message."""

    reason: str


ToDriver = Begin | Tell | End
FromDriver = Nodes | Said | Ended | Lost
