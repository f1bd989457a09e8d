"""What is done now and then without being asked: keeping to the owner's KEEP_DAYS and KEEP_GB.

Copies of the data from before an update or a restore go by themselves after a while.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from discord.ext import commands, tasks

from bot.client import Penultimate

log = logging.getLogger(__name__)

HOURS: Final = 6.0


class RetentionCog(commands.Cog):
    """No command, but a loop: at the start, then every :data:`HOURS`."""

    def __init__(self, bot: Penultimate) -> None:
        self.settings = bot.settings
        self.retention = bot.store.retention

    async def cog_load(self) -> None:
        """Start the loop."""
        self._keep.start()

    async def cog_unload(self) -> None:
        """Stop it; what it was at is done at the next start."""
        self._keep.cancel()

    @tasks.loop(hours=HOURS)
    async def _keep(self) -> None:
        try:
            await self.keep()
        except (sqlite3.Error, OSError) as error:
            log.warning("old images could not be deleted, and will be later: %s", error)

    async def keep(self) -> None:
        """Delete what is older, or takes more room, than the settings allow, and old copies."""
        settings = self.settings
        if settings.keep_days and (jobs := await self.retention.delete_old(settings.keep_days)):
            log.info("%d jobs older than KEEP_DAYS=%d were deleted", jobs, settings.keep_days)
        if settings.keep_gb and any(removed := await self.retention.shrink(settings.keep_gb)):
            text = "beyond KEEP_GB=%d: the images of %d jobs and %d start images were removed"
            log.info(text, settings.keep_gb, *removed)
        # Last, for the files may be another user's, who restored.
        await self.retention.delete_copies()
