"""A Discord of a few answers, over a real socket: enough to log in, too little to stay."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp.web

TOKEN = "MTE.Gabc.x-yz_123"

Handler = Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]]
ME = {"id": "11", "username": "Penultimate", "discriminator": "0", "avatar": None}


@asynccontextmanager
async def small_discord(handler: Handler) -> AsyncIterator[str]:
    """The address of a server that answers every request with ``handler``."""
    application = aiohttp.web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answer(value: object, status: int = 200) -> aiohttp.web.Response:
    # discord.py reads JSON only where the type is this and nothing more.
    body = json.dumps(value).encode()
    return aiohttp.web.Response(body=body, status=status, content_type="application/json")


async def accepts_the_token(request: aiohttp.web.Request) -> aiohttp.web.Response:
    """Logs the bot in and takes its commands, but has no gateway."""
    if request.path.endswith("/users/@me"):
        return answer(ME)
    if request.path.endswith("/applications/@me"):
        return answer(
            {
                "id": "12",
                "name": "Penultimate",
                "icon": None,
                "description": "",
                "bot_public": True,
                "bot_require_code_grant": False,
                "verify_key": "",
                "owner": ME,
                "flags": 0,
            }
        )
    if request.path.endswith("/commands"):
        return answer([])
    return answer({"message": "none", "code": 0}, 404)


def ends_the_connection(code: int) -> Handler:
    """Accepts the token, and has a gateway that answers each IDENTIFY with a close code."""

    async def handler(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        if request.path.endswith("/gateway/bot"):
            url = f"ws://{request.host}/gateway"
            return answer({"url": url, "shards": 1, "session_start_limit": {}})
        if request.path != "/gateway":
            return await accepts_the_token(request)
        socket = aiohttp.web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 20_000}})
        await socket.receive()
        await socket.close(code=code)
        return socket

    return handler


async def refuses_the_token(request: aiohttp.web.Request) -> aiohttp.web.Response:
    return answer({"message": "401: Unauthorized", "code": 0}, 401)
