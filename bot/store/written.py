"""Writing for as long as it takes: what was said or sent must not be said or sent again."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger(__name__)

# Seconds before what could not be written is written again.
SECONDS_TO_WRITE: Final = 30.0


async def until_written(write: Callable[[], Awaitable[object]]) -> None:
    """Write, for as long as it takes a full disk or a locked database."""
    while True:
        try:
            await write()
            return
        except (sqlite3.Error, OSError) as error:
            log.error("a job could not be written: %s", error)
        await asyncio.sleep(SECONDS_TO_WRITE)
