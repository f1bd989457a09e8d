"""The server for health and metrics, while the bot runs, where the owner set ``METRICS``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from discord.ext import commands

from bot.client import Penultimate
from bot.watch import health
from bot.watch.health import Condition
from bot.watch.server import NEEDS_EXTRA, WatchServer

log = logging.getLogger(__name__)


class WatchCog(commands.Cog):
    """No command; the server, if there is one."""

    def __init__(self, bot: Penultimate) -> None:
        self.client: commands.AutoShardedBot = bot
        self.engines = bot.engines
        self.folder = bot.settings.data_dir
        self.server: WatchServer | None = None
        if bot.settings.metrics is not None:
            self.server = WatchServer(bot.settings.metrics, self.health, _metrics(bot))

    async def cog_load(self) -> None:
        """Start the server. The bot works without it as well."""
        if self.server is not None:
            try:
                await self.server.start()
            except OSError as error:
                log.error("METRICS: nothing can listen there: %s", error)
                self.server = None

    async def cog_unload(self) -> None:
        """Stop it."""
        if self.server is not None:
            await self.server.close()

    async def health(self) -> dict[str, Condition]:
        """Say how the gateway, the engines and the disk are."""
        return {
            "gateway": health.gateway(self.client),
            "engine": health.engines(self.engines),
            "disk": await asyncio.to_thread(health.disk, self.folder),
        }


def _metrics(bot: Penultimate) -> Callable[[], Awaitable[bytes]] | None:
    """The figures, or None where their package is not installed."""
    try:
        from bot.watch.metrics import Metrics
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        log.warning(NEEDS_EXTRA)
        return None
    return Metrics(
        bot.store.activity, bot.queue, bot.engines, bot.tally, bot.settings.data_dir
    ).text
