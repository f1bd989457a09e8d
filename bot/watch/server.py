"""The small HTTP server of ``METRICS``: ``/healthz`` and ``/metrics``, for this machine alone.

It has no password: an address that others reach needs a firewall, or a proxy that asks for one.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from bot.watch.health import Condition

NEEDS_EXTRA = 'The figures need one more package: python -m pip install -e ".[metrics]"'


class WatchServer:
    """Answers on ``address``, (host, port). ``metrics`` is None where the extra is missing."""

    def __init__(
        self,
        address: tuple[str, int],
        health: Callable[[], Awaitable[Mapping[str, Condition]]],
        metrics: Callable[[], Awaitable[bytes]] | None,
    ) -> None:
        self._address = address
        self._health = health
        self._metrics = metrics
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/metrics", self._figures)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self) -> None:
        """Listen. Raises :class:`OSError`, say for a port that is in use."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, *self._address).start()
        except OSError:
            await self._runner.cleanup()
            raise

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that it listens on, where the one asked for was 0."""
        return int(self._runner.addresses[0][1])

    async def _healthz(self, _: web.Request) -> web.Response:
        """200 where all is well, else 503, and each part's state."""
        parts = await self._health()
        well = all(part.well for part in parts.values())
        said = {name: {"well": part.well, "state": part.state} for name, part in parts.items()}
        text = json.dumps({"well": well} | said)
        status = 200 if well else 503
        return web.Response(text=text, status=status, content_type="application/json")

    async def _figures(self, _: web.Request) -> web.Response:
        if self._metrics is None:
            return web.Response(text=NEEDS_EXTRA, status=501)
        body = await self._metrics()
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})
