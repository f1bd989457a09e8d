"""The bot's process: the real ``run.py start``, with a stub of the engine and shorter pauses.

``python -m tests.chaos.bot ADDRESS`` logs in at ADDRESS; everything else is in the environment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from typing import Any

# Seconds in the place of the real ones, so that an hour has what would take days.
PAUSES: dict[str, dict[str, Any]] = {
    "bot.jobs.following": {"RETRIES": (0.3, 1.0, 2.0), "SLOWLY": 3.0},
    "bot.store.written": {"SECONDS_TO_WRITE": 1.0},
    # A refusal each few seconds means less than one each half hour.
    "bot.posts.farewells": {"PAUSE": 3.0, "REFUSALS": 10},
    "bot.posts.sender": {"SECONDS_TO_NOTICE": 3.0},
    "bot.upkeep.registration": {"RETRIES": (1.0, 2.0), "SLOWLY": 5.0},
    "bot.upkeep.upkeep": {"SECONDS": 2.0, "SECONDS_TO_ERASE": 4.0},
}


def _say_what_waits(*_: object) -> None:
    """Print where each task waits: for a bot that does not stop."""
    for task in asyncio.tasks._all_tasks:  # type: ignore[attr-defined]
        task.print_stack(file=sys.stderr)


def main(address: str) -> int:
    # Here, not above: the engine's process imports this file too.
    from discord.gateway import DiscordWebSocket
    from discord.http import Route
    from yarl import URL

    from bot.cli import start
    from bot.client import Penultimate
    from bot.settings import Settings
    from core.config import EngineConfig
    from core.serving.client import EngineClient
    from core.serving.process import EngineProcess
    from core.serving.queue import GpuQueue
    from tests.chaos import engine
    from tests.simulation import stocked

    def stub(config: EngineConfig, queue: GpuQueue) -> EngineClient:
        return EngineClient(
            config,
            queue,
            transport=partial(EngineProcess, engine.main),
            backoff=lambda deaths: min(0.1 * deaths, 1.0),
        )

    signal.signal(signal.SIGUSR1, _say_what_waits)
    Route.BASE = address
    DiscordWebSocket.DEFAULT_GATEWAY = URL(address.replace("http", "ws") + "/gateway")
    for module, values in PAUSES.items():
        for name, value in values.items():
            assert hasattr(sys.modules[module], name), (module, name)
            setattr(sys.modules[module], name, value)
    made: Any = partial(Penultimate, engine=stub, catalogue=lambda _: stocked())
    setattr(start, "Penultimate", made)  # noqa: B010
    return start.main(Settings.load(os.environ, dotenv_path=None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
