"""The bot's process, started again whenever it ends, as a service manager does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bot.settings import READERS, ROOT
from tests.chaos.state import TOKEN

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
# Seconds in which a bot that was asked to must have stopped.
TO_STOP: Final = 30.0


@dataclass
class Life:
    """One process of the bot, from its start. ``memory`` is in MiB, a sample a second."""

    pid: int
    began: float
    memory: list[float] = field(default_factory=list)
    code: int | None = None
    # The signal that we sent it.
    ended_by: signal.Signals | None = None


@dataclass
class Process:
    """Keeps a bot alive against the Discord at ``address``, with all its files in ``folder``."""

    folder: Path
    address: str = ""
    lives: list[Life] = field(default_factory=list)
    # The moments at which there was no bot, or none for long.
    gaps: list[float] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def cache(self) -> Path:
        return self.data / "cache"

    @property
    def database(self) -> Path:
        return self.data / "penultimate.sqlite3"

    @property
    def log(self) -> Path:
        return self.folder / "bot.log"

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    async def run(self) -> None:
        """Start it, and start it again, until cancelled; then stop it."""
        try:
            while True:
                await self._live()
                await asyncio.sleep(0.2)
        finally:
            await self.end(signal.SIGTERM)

    async def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        self.lives[-1].ended_by = number
        self.gaps.append(time.monotonic())
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            await asyncio.wait_for(process.wait(), TO_STOP)
        except TimeoutError:
            # Its log says then what it waits for.
            process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(1)
            process.kill()
            await process.wait()
        self.lives[-1].code = process.returncode

    async def _live(self) -> None:
        environment = {name.upper(): "" for name in READERS} | {
            "DISCORD_TOKEN": TOKEN,
            "DATA_DIR": str(self.data),
            "QUEUE_PER_MEMBER": "10",
            "PYTHONPATH": str(ROOT),
        }
        with self.log.open("ab") as log:
            # A pipe and not the file itself: a full disk must not swallow what is said about it.
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.chaos.bot", self.address),
                env=os.environ | environment,
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            life = Life(process.pid, time.monotonic())
            self.lives.append(life)
            measuring = asyncio.create_task(_measure(life))
            assert process.stdout is not None
            try:
                while said := await process.stdout.read(65_536):
                    log.write(said)
                life.code = await process.wait()
                self.gaps.append(time.monotonic())
                log.write(f"--- ended with {life.code}\n".encode())
            finally:
                measuring.cancel()


async def _measure(life: Life) -> None:
    statm = Path(f"/proc/{life.pid}/statm")
    with contextlib.suppress(OSError, ValueError, IndexError):
        while True:
            pages = (await asyncio.to_thread(statm.read_text, "ascii")).split()[1]
            life.memory.append(int(pages) * PAGE / 2**20)
            await asyncio.sleep(1)
