"""What is done all the time, whatever happens: is the database still there, are tokens erased."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass, field
from typing import Final

from bot.store import Store

log = logging.getLogger(__name__)

# Between two looks at the database's file, and between two erasures.
SECONDS: Final = 10.0
SECONDS_TO_ERASE: Final = 60.0


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

    async def failed(self) -> None:
        """Wait for ever, or raise :class:`~bot.store.database.DatabaseGone`: the bot must stop."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        passed = 0.0
        while True:
            await asyncio.sleep(SECONDS)
            await asyncio.to_thread(self._store.check)
            passed += SECONDS
            if passed >= SECONDS_TO_ERASE:
                passed = 0.0
                await self._erase()

    async def _erase(self) -> None:
        try:
            await self._store.jobs.erase_expired_tokens()
        except sqlite3.Error as error:
            log.error("tokens could not be erased: %s", error)
