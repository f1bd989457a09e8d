"""Whether the bot can do its work: connected to Discord, an engine ready, room on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import discord

from core.serving.client import EngineClient

# Bytes; the doctor calls less than this wrong.
LEAST_FREE: Final = 2**30


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must be well; ``state`` says how it is, in a word or two."""

    well: bool
    state: str


def gateway(client: discord.AutoShardedClient) -> Condition:
    """Every shard has its connection to Discord."""
    if not client.is_ready():
        return Condition(False, "connecting")
    closed = [str(number) for number, shard in client.shards.items() if shard.is_closed()]
    return Condition(
        not closed, f"shard {', '.join(closed)} is disconnected" if closed else "connected"
    )


def engines(clients: Sequence[EngineClient]) -> Condition:
    """At least one engine draws."""
    states = [client.status.state for client in clients]
    return Condition("ready" in states, ", ".join(states))


def disk(folder: Path) -> Condition:
    """There is room for images. Reads the disk."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Condition(False, f"{folder} cannot be read: {error.strerror}")
    return Condition(free >= LEAST_FREE, f"{free / 2**30:.1f} GiB free")
