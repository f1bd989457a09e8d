"""``EngineActor``: one engine on a computer of the cluster, behind Ray.

It runs the engine in a process of its own, as the bot does on its computer, and passes the messages
on. Ray sends this code to the computer, so that it is always the bot's.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from core.config import EngineConfig
from core.models.weights.hashes import Hashes
from core.serving import worker
from core.serving.cluster import wire
from core.serving.cluster.files import Wanted, find, folders_here
from core.serving.cluster.protocol import NO_TOKEN
from core.serving.messages import Upward
from core.serving.process import EngineProcess, Target


class EngineActor:
    """An engine's process on this computer; its methods are called by Ray, with bytes.

    ``target`` is the process's entry point.
    """

    def __init__(self, target: Target = worker.main) -> None:
        self._target = target
        # What the engine said and the bot has not asked for yet; None is the engine's end.
        self._said: asyncio.Queue[Upward | None] = asyncio.Queue()
        self._cache = Path.home() / ".cache" / "penultimate"
        self._process: EngineProcess | None = None

    async def start(self, config: bytes) -> bytes:
        """Start the engine with an :class:`EngineConfig`; return why it is not, or nothing."""
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
            return NO_TOKEN.encode()
        # Ray sets it to the CPU cores that it reserved, which are none: the engine has the card.
        os.environ.pop("OMP_NUM_THREADS", None)
        asked: EngineConfig = wire.decode(config)
        config_here = replace(asked, cache_dir=self._cache)
        self._process = EngineProcess(self._target, config_here, self._said.put_nowait)
        await asyncio.to_thread(self._process.start)
        return b""

    async def find(self, size: int, path: str, digest: str) -> bytes:
        """Return where a file of the bot's is on this computer; nothing where it is not."""
        wanted = Wanted(Path(path), size, digest)
        search = partial(find, wanted, folders_here(os.environ), Hashes(self._cache))
        found = await asyncio.to_thread(search)
        return b"" if found is None else str(found).encode()

    async def hear(self) -> bytes:
        """Return the engine's next message, once there is one; nothing at its end."""
        message = await self._said.get()
        return b"" if message is None else wire.encode(message)

    async def tell(self, message: bytes) -> None:
        """Pass a message on to the engine."""
        if self._process is not None:
            self._process.send(wire.decode(message))

    async def stop(self, grace: float) -> bytes:
        """End the engine within ``grace`` seconds, by force if need be; return how it ended."""
        if self._process is None:
            return b""
        return (await asyncio.to_thread(self._process.stop, grace)).encode()
