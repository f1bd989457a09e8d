"""What fails: the faults that can be had one at a time, in an order that the seed decides."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.engine import PID
from tests.chaos.gateway import Gateway
from tests.chaos.process import Process
from tests.chaos.state import CHANNELS, GUILD_ID, State

# How each of Discord's answers goes wrong, of those that do.
KINDS: Final = ("429", "429", "500", "503", "lost", "lost", "refused")


@dataclass
class Trouble:
    """What Discord's side does wrong at this moment: the stand-in asks before each answer."""

    random: random.Random
    rate: float = 0.0
    outage: bool = False
    closed_channels: set[int] = field(default_factory=set)
    closed_messages: bool = False

    def kind(self) -> str | None:
        """How the next request fails, if it does."""
        if self.outage:
            return "503"
        return self.random.choice(KINDS) if self.random.random() < self.rate else None


@dataclass
class Faults:
    """Makes things fail, one after another, ``seconds`` apart on average."""

    random: random.Random
    state: State
    trouble: Trouble
    gateway: Gateway
    process: Process
    seconds: float = 3.0
    done: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Go on until cancelled; then nothing fails any more."""
        weights = dict.fromkeys(self._kinds(), 2) | {"kill the engine": 3, "noise": 4}
        try:
            while True:
                await asyncio.sleep(self.seconds * self.random.uniform(0.2, 1.8))
                name = self.random.choices([*weights], [*weights.values()])[0]
                self.done[name] += 1
                await self._kinds()[name]()
        finally:
            self.trouble.rate, self.trouble.outage = 0.0, False
            self.trouble.closed_channels.clear()
            self.trouble.closed_messages = False
            self._limit_files(resource.RLIM_INFINITY)

    def _kinds(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "kill the engine": self._kill_engine,
            "kill the bot": lambda: self.process.end(signal.SIGKILL),
            "stop the bot": lambda: self.process.end(signal.SIGTERM),
            "drop the gateway": self.gateway.drop,
            "ask for a reconnect": self.gateway.ask_to_reconnect,
            "end the session": self.gateway.forget,
            "outage": self._outage,
            "noise": self._noise,
            "end tokens": self._end_tokens,
            "delete posts": self._delete_posts,
            "close channels": self._close_channels,
            "close direct messages": self._close_messages,
            "lock the database": self._lock,
            "fill the disk": self._fill,
        }

    async def _while(self, least: float, most: float) -> None:
        await asyncio.sleep(self.random.uniform(least, most))

    async def _kill_engine(self) -> None:
        try:
            pid = int((self.process.cache / PID).read_text("ascii"))
            # The number may be another's by now.
            if _parent(pid) != self.process.pid:
                raise ProcessLookupError(pid)
            os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError):
            # It is starting, or gone already.
            self.done["kill the engine"] -= 1

    async def _outage(self) -> None:
        self.trouble.outage = True
        await self.gateway.drop()
        await self._while(1, 5)
        self.trouble.outage = False

    async def _noise(self) -> None:
        self.trouble.rate = self.random.uniform(0.05, 0.3)
        await self._while(1, 5)
        self.trouble.rate = 0.0

    async def _end_tokens(self) -> None:
        for interaction in self.state.interactions.values():
            interaction.dead = True

    async def _delete_posts(self) -> None:
        # A moderator, with Discord's own means.
        public = [each for each in self.state.alive() if each.sees is None][-30:]
        for message in self.random.sample(public, min(3, len(public))):
            message.deleted = "member"

    async def _close_channels(self) -> None:
        own = [channel for channel, guild in CHANNELS.items() if guild == GUILD_ID]
        self.trouble.closed_channels.update(self.random.sample(own, self.random.randint(1, 2)))
        await self._while(1, 4)
        self.trouble.closed_channels.clear()

    async def _close_messages(self) -> None:
        self.trouble.closed_messages = True
        await self._close_channels()
        self.trouble.closed_messages = False

    async def _lock(self) -> None:
        seconds = self.random.uniform(0.5, 4)
        await asyncio.to_thread(_hold, self.process, seconds)

    async def _fill(self) -> None:
        """Let the bot write no file further than it is, as on a full disk."""
        self._limit_files(0)
        await self._while(0.5, 3)
        self._limit_files(resource.RLIM_INFINITY)

    def _limit_files(self, size: int) -> None:
        if self.process.pid is not None:
            resource.prlimit(
                self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)
            )


def _parent(pid: int) -> int:
    """A process's parent. Raises :class:`OSError` when there is no such process."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return int(fields[1])


def _hold(process: Process, seconds: float) -> None:
    """Another program that writes into the database for a while."""
    try:
        with closing(sqlite3.connect(process.database, timeout=1)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.rollback()
    except sqlite3.OperationalError:
        # There is none yet, or the bot is writing.
        return
