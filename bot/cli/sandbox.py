"""``python run.py sandbox``: the bot and the engine with a simulated Discord in a browser page.

simcord simulates Discord; :mod:`bot.cli.page` shows it. simcord is made for tests: its time stands
still, and each action waits until the bot is idle. Here time goes on and nothing waits. The bot
itself has no code for it: it takes the engine as an argument.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
import tempfile
import time
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bot.cli import doctor
from bot.client import Penultimate
from bot.settings import Settings
from core.config import EngineConfig
from core.serving.client import EngineClient
from core.serving.queue import GpuQueue

if TYPE_CHECKING:
    from simcord.env import Env

    from bot.cli.page import Page, Stage

HOST: Final = "127.0.0.1"


class WallClock:
    """simcord's clock, going. The time since its start and the date are the computer's."""

    def __init__(self) -> None:
        # Not time.monotonic(), which simcord turns into this clock.
        self._start = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def now(self) -> datetime:
        """The date and time."""
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Do nothing, for time goes by itself."""


def live(bot: Penultimate) -> Env:
    """Return simcord's Discord for the bot, where time goes and no action waits for the bot."""
    from simcord import _settlement
    from simcord.env import Env

    class Live(Env):
        async def _settle_internal(self, **_: Any) -> None:
            # Without the waiting, what is left of it are the timers that are due.
            _settlement._run_due_virtual_callbacks(self._settlement_state(), math.inf)

    env = Live(bot, check_errors=False)
    clock: Any = WallClock()
    env.backend.clock = clock
    return env


@asynccontextmanager
async def opened(settings: Settings, *, port: int = 0) -> AsyncIterator[Page]:
    """Run the page on temporary data, with the owner's models, VAEs and cache."""
    from bot.cli.page import Page

    def engine(config: EngineConfig, queue: GpuQueue) -> EngineClient:
        return EngineClient(replace(config, cache_dir=settings.cache_dir), queue)

    with tempfile.TemporaryDirectory(prefix="penultimate-sandbox-") as folder:
        ours = replace(settings, data_dir=Path(folder), guild_id=None)
        bot = Penultimate(ours, engine=engine, shard_count=1)
        env = live(bot)
        stage = _stage(env)
        env.backend.subscribers.append(stage.speak)
        await env.start()
        bot.queue.release()
        try:
            bot.owner_id = stage.members[0].id
            stage.prompts = _prompts(bot)
            page = Page(stage)
            runner = await page.start(HOST, port)
            try:
                yield page
            finally:
                await runner.cleanup()
        finally:
            await bot.close()
            await env.shutdown()


def _stage(env: Env) -> Stage:
    """Two members, of whom the first owns the server and the bot, and two channels."""
    from bot.cli.page import Stage

    env.backend.bot_user.name = "Penultimate"
    owner, friend = env.create_user("you"), env.create_user("friend")
    guild = env.create_guild("Sandbox", owner=owner)
    pictures = guild.create_text_channel("pictures", topic="Type /imagine, then press buttons.")
    lounge = guild.create_text_channel("lounge", topic="Another channel, to try /config rules in.")
    members = [guild.add_member(owner), guild.add_member(friend)]
    return Stage(env, guild, members, [pictures, lounge])


def _prompts(bot: Penultimate) -> tuple[str, ...]:
    """What the welcome offers: the prompts on the card of the default model."""
    return bot.catalogue.models[0].card.prompts if bot.catalogue.models else ()


async def serve(settings: Settings, *, port: int = 0, browser: bool = True) -> None:
    """Run the sandbox until Ctrl-C."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    async with opened(settings, port=port) as page:
        print(f"The sandbox is open: {page.url}\nCtrl-C ends it.", flush=True)
        if browser and _has_display():
            webbrowser.open(page.url)
        await stop.wait()


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
