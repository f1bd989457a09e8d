"""The whole bot in a browser page, without Discord: the unmodified client and the real engine.

simcord plays Discord and serves the page. It lets an action of the page end only when the bot has
nothing left to do, so waiting for the engine is declared to it as waiting for something outside.
All of that is here: the bot takes its engine and its queue as arguments and knows nothing of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import sys
import tempfile
import time
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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

# When an action of the page is under way it publishes the page itself; else try again so soon.
SECONDS_TO_RETRY: Final = 0.1

WELCOME: Final = (
    "This is an offline Discord with the real bot in it.\n"
    "Type `/imagine` below, give it a prompt, and turn the knobs under the picture."
)


class OutsideEngine(EngineClient):
    """The engine client, its tasks in a context of their own: simcord does not wait for them."""

    async def start(self) -> None:
        """As always."""
        await contextvars.Context().run(asyncio.create_task, super().start())


class OutsideQueue(GpuQueue):
    """The queue, whose tickets' waits ``declare`` to simcord."""

    def __init__(self, per_owner: int, total: int, declare: Callable[[Any], Any]) -> None:
        super().__init__(per_owner, total)
        self._declare = declare

    def submit(self, work: Work, *, resumed: bool = False) -> Ticket:
        """As always, with a ticket of another kind."""
        ticket: Any = DeclaredTicket(super().submit(work, resumed=resumed), self._declare)
        return ticket  # type: ignore[no-any-return]


class DeclaredTicket:
    """A ticket that declares each wait for the next event."""

    def __init__(self, ticket: Ticket, declare: Callable[[Any], Any]) -> None:
        self._ticket = ticket
        self._declare = declare

    def __aiter__(self) -> DeclaredTicket:
        return self

    async def __anext__(self) -> Event:
        event: Event = await self._declare(anext(self._ticket))
        return event


class Page:
    """Keeps the browser page up to date, right after the bot has posted or edited something.

    Never by a timer: each refresh makes what a person is about to press a little stale.
    """

    def __init__(self, env: Env, preview: Preview) -> None:
        self._env = env
        self._preview = preview
        self._news = asyncio.Event()
        self._seen = 0

    def look(self) -> None:
        """Called whenever the bot has dealt with an event."""
        self._news.set()

    async def keep_fresh(self) -> None:
        """Refresh after news, until cancelled."""
        from simcord.backend.errors import SetupError

        while True:
            await self._news.wait()
            self._news.clear()
            requests = len(self._env.http_requests)
            if requests == self._seen:
                continue
            try:
                await self._preview.refresh()
                self._seen = requests
            except (SetupError, TimeoutError):
                await asyncio.sleep(SECONDS_TO_RETRY)
                self._news.set()


@asynccontextmanager
async def opened(settings: Settings, *, port: int = 0) -> AsyncIterator[Preview]:
    """The running page. Its data is gone afterwards; models, VAEs and hashes are the owner's."""
    import simcord

    with tempfile.TemporaryDirectory(prefix="penultimate-sandbox-") as folder:
        env: Env
        page: Page | None = None
        ahead = 0.0

        def clock() -> float:
            return time.time() - ahead

        async def declare(wait: Any) -> Any:
            if page is not None:
                page.look()
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
            # The page's time stands still, on a day of simcord's own.
            ahead = time.time() - env.now().timestamp()
            env.backend.bot_user.name = "Penultimate"
            try:
                user = env.create_user("you")
                bot.owner_id = user.id
                async with await _preview(env, user, port) as preview:
                    page = Page(env, preview)
                    refresher = asyncio.create_task(page.keep_fresh())
                    yield preview
                    refresher.cancel()
            finally:
                await bot.close()


async def _preview(env: Env, user: UserHandle, port: int) -> Preview:
    """One server that is yours, one channel, and a word of welcome."""
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
    """Without one, a text browser would take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def main(settings: Settings, *, port: int = 0, browser: bool = True) -> int:
    """``python run.py sandbox``; returns the exit code."""
    # simcord tries discord.py out with a client of no intents, which warns.
    logging.getLogger("discord.state").setLevel(logging.ERROR)
    try:
        import simcord  # noqa: F401
    except ImportError:
        print('The sandbox needs one more package: python -m pip install -e ".[sandbox]"')
        return 2
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(settings, port=port, browser=browser))
    return 0
