"""What is done once a minute, whatever happens: tokens past their time are erased."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass, field
from typing import Final

from bot.store import Store

log = logging.getLogger(__name__)

SECONDS: Final = 60.0


@dataclass(eq=False)
class Upkeep:
    """The task that does it."""

    _store: Store
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="upkeep")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self._store.jobs.erase_expired_tokens()
            except sqlite3.Error as error:
                log.error("tokens could not be erased: %s", error)
