"""Registers the commands with Discord, again and again until it takes them.

A bot that was never registered has no commands at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import Final

from bot.answers import DISCORD_ERRORS

log = logging.getLogger(__name__)

# Seconds before each further attempt; the last for ever.
RETRIES: Final = (10.0, 60.0)
SLOWLY: Final = 600.0


class Registration:
    """The attempts. ``sync`` registers; ``error`` is why the last one failed, else empty."""

    def __init__(self, sync: Callable[[], Awaitable[object]]) -> None:
        self.error = ""
        self._sync = sync
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Try once, and go on in the background if that failed."""
        if not await self._try():
            self._task = asyncio.create_task(self._go_on(), name="registration")

    async def close(self) -> None:
        """Stop trying."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        for wait in chain(RETRIES, repeat(SLOWLY)):
            await asyncio.sleep(wait)
            if await self._try():
                log.info("Discord took the commands")
                return

    async def _try(self) -> bool:
        try:
            await self._sync()
        except DISCORD_ERRORS as error:
            # Those registered by the last start still work.
            self.error = str(error) or type(error).__name__
            log.error("Discord did not take the commands, which is tried again: %s", self.error)
            return False
        self.error = ""
        return True
