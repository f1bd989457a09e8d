"""``python run.py sandbox``: the bot and the engine with a simulated Discord in a browser page.

simcord simulates Discord and serves the page. It waits after each action until the bot is idle, so
waits for the engine are declared to it as external. The bot itself has no code for it: it takes the
engine and the queue as arguments.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bot.cli import doctor
from bot.client import Penultimate
from bot.settings import Settings
from core.config import EngineConfig
from core.events import Event
from core.serving.client import EngineClient
from core.serving.queue import GpuQueue
from core.serving.ticket import Ticket
from core.work import Work

if TYPE_CHECKING:
    from simcord.builders import UserHandle
    from simcord.env import Env
    from simcord.preview import Preview

# simcord refuses a refresh during an action of the page.
SECONDS_TO_RETRY: Final = 0.1

HOST: Final = "127.0.0.1"

WELCOME: Final = (
    "This is an offline Discord with the real bot in it.\n"
    "Type `/imagine` below, give it a prompt, and press the buttons under the image."
)


class OutsideEngine(EngineClient):
    """The engine client, its tasks in a context of their own, so that simcord ignores them."""

    async def start(self) -> None:
        """Start in an empty context."""
        await contextvars.Context().run(asyncio.create_task, super().start())


class OutsideQueue(GpuQueue):
    """The queue, whose tickets declare each wait for the next event to simcord."""

    def __init__(self, per_owner: int, total: int, declare: Callable[[Any], Any]) -> None:
        super().__init__(per_owner, total)
        self._declare = declare

    def submit(self, work: Work, *, resumed: bool = False) -> Ticket:
        """Submit, and return an iterator in place of the ticket, which the bot only iterates."""
        events: Any = self._events(super().submit(work, resumed=resumed))
        return events  # type: ignore[no-any-return]

    async def _events(self, ticket: Ticket) -> AsyncIterator[Event]:
        with suppress(StopAsyncIteration):
            while True:
                yield await self._declare(anext(ticket))


async def keep_fresh(env: Env, preview: Preview, changed: asyncio.Event) -> None:
    """Refresh the page after each request of the bot, until cancelled.

    Without a timer, for controls that are clicked during a refresh are out of date.
    """
    from simcord.backend.errors import SetupError

    shown = 0
    while True:
        await changed.wait()
        changed.clear()
        requests = len(env.http_requests)
        if requests == shown:
            continue
        try:
            await preview.refresh()
            shown = requests
        except (SetupError, TimeoutError):
            await asyncio.sleep(SECONDS_TO_RETRY)
            changed.set()


@asynccontextmanager
async def opened(settings: Settings, *, port: int = 0) -> AsyncIterator[Preview]:
    """Run the page on temporary data, with the owner's models, VAEs and cache."""
    import simcord

    with tempfile.TemporaryDirectory(prefix="penultimate-sandbox-") as folder:
        env: Env
        changed = asyncio.Event()
        ahead = 0.0

        def clock() -> float:
            return time.time() - ahead

        async def declare(wait: Any) -> Any:
            changed.set()
            return await env.external_wait(wait, reason="the engine draws")

        def engine(config: EngineConfig, queue: GpuQueue) -> EngineClient:
            return OutsideEngine(replace(config, cache_dir=settings.cache_dir), queue)

        bot = Penultimate(
            replace(settings, data_dir=Path(folder), guild_id=None),
            engine=engine,
            queue=lambda per_owner, total: OutsideQueue(per_owner, total, declare),
            clock=clock,
            shard_count=1,
        )
        async with simcord.run(bot, check_errors=False) as env:
            # simcord's clock stands still at a date of its own.
            ahead = time.time() - env.now().timestamp()
            env.backend.bot_user.name = "Penultimate"
            try:
                user = env.create_user("you")
                bot.owner_id = user.id
                async with await _preview(env, user, port) as preview:
                    refresher = asyncio.create_task(keep_fresh(env, preview, changed))
                    yield preview
                    refresher.cancel()
            finally:
                await bot.close()


async def _preview(env: Env, user: UserHandle, port: int) -> Preview:
    """Create the user's server with one channel and a welcome."""
    guild = env.create_guild("Sandbox", owner=user)
    channel = guild.create_text_channel("pictures")
    you = guild.add_member(user)
    guide = guild.add_member(env.create_user("guide"))
    await guide.send(channel, WELCOME)
    return env.preview(channel, viewers=[you], layout="channel", port=port)


async def serve(settings: Settings, *, port: int = 0, browser: bool = True) -> None:
    """Run the sandbox until Ctrl-C, or until "End preview session" is pressed in the page."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    async with opened(settings, port=port) as preview:
        print(f"The sandbox is open: {preview.url}\nCtrl-C ends it.", flush=True)
        if browser and _has_display():
            webbrowser.open(preview.url)
        ends = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(preview.wait_closed())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()


def _has_display() -> bool:
    """Whether there is a display; without one a text browser would occupy the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def main(settings: Settings, *, port: int = 0, browser: bool = True) -> int:
    """Run the sandbox; return the exit code."""
    # simcord starts a discord.py client without intents, which logs a warning.
    logging.getLogger("discord.state").setLevel(logging.ERROR)
    try:
        import simcord  # noqa: F401
    except ImportError:
        print('The sandbox needs one more package: python -m pip install -e ".[sandbox]"')
        return 2
    if problem := _problem(settings, port):
        print(f"{problem}.", file=sys.stderr)
        return 2
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(settings, port=port, browser=browser))
    return 0


def _problem(settings: Settings, port: int) -> str | None:
    """Return what would only show after a while: a port in use, a device that is not there."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        return f"The port {port} cannot be used ({why}); give --port another one"
    if {each.partition(":")[0] for each in settings.device} <= {"auto", "cpu"}:
        return None
    found = doctor.device(settings, doctor.ask_torch(), ())
    return next((finding.text for finding in found if finding.level == "wrong"), None)
