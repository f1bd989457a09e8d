"""A scripted engine for a real child process: a job's prompt says what happens at each step.

``step`` does nothing, ``wait`` runs until aborted (``wait once`` only in the first process that
sees the job), ``die`` is a kill -9 of itself (``die once`` likewise), ``raise`` an unknown
exception, ``fail`` a known error, ``flood`` 32 MB of previews, ``deaf`` a step that lasts until
``hear`` is in ``config.cache_dir`` (the job fails if that takes 20 s), ``hang`` one that never ends
(``hang once`` likewise), ``work`` one that tells nothing but that it is at it, until aborted.
After its last word the job is finished.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from core.config import EngineConfig
from core.errors import EngineStopped, OutOfMemory
from core.events import Cancelled, Event, Failed, Finished, Progress, Started
from core.serving import worker
from core.serving.messages import Alive
from core.work import Work


def main(connection: Connection, config: EngineConfig) -> None:
    engine: Any = StubEngine
    worker.run(connection, lambda: engine(config, lambda: connection.send(Alive())))


def beating(connection: Connection, config: EngineConfig) -> None:
    """A target where another thread gives signs of life all the time, as the one for prompts."""
    engine: Any = StubEngine
    shared = worker.Shared(connection)

    def make() -> Any:
        def beat() -> None:
            while True:
                shared.send(Alive())

        threading.Thread(target=beat, daemon=True).start()
        return engine(config, lambda: None)

    worker.run(shared, make)


def broken(connection: Connection, config: EngineConfig) -> None:
    """A target whose engine cannot be made."""

    def import_engine() -> NoReturn:
        raise ImportError("no torch here")

    worker.run(connection, import_engine)


def missing(connection: Connection, config: EngineConfig) -> None:
    """A target whose device is not there."""

    def find_device() -> NoReturn:
        raise EngineStopped("the device 'cuda:7' cannot be used")

    worker.run(connection, find_device)


def broken_for_now(connection: Connection, config: EngineConfig) -> None:
    """A target whose engine cannot be made until there is a file ``mended``."""
    (main if (config.cache_dir / "mended").exists() else broken)(connection, config)


def long_farewell(connection: Connection, config: EngineConfig) -> None:
    """A target whose interpreter has something to take apart at its end."""
    atexit.register((config.cache_dir / "taken apart.txt").touch)
    main(connection, config)


def stuck(connection: Connection, config: EngineConfig) -> None:
    """A target that never gets ready."""
    (config.cache_dir / "stuck.txt").touch()
    _hang()


def _hang() -> NoReturn:
    while True:
        time.sleep(3600)


def silent(connection: Connection, config: EngineConfig) -> None:
    """A target that dies before its first word."""
    os._exit(7)


class StubEngine:
    """The face of ``core.engine.engine.Engine``. ``config.max_rows`` bounds it.

    ``log.txt`` in ``config.cache_dir`` gets a line at each start: what runs from then on.
    """

    def __init__(self, config: EngineConfig, alive: Callable[[], None]) -> None:
        self.device_name = "stub"
        self.warm: tuple[str, ...] = ()
        self.memory: tuple[int, int] | None = None
        self.calls: dict[str, dict[int, float]] = {}
        self.rows_in_call = 0
        self._folder = config.cache_dir
        self._max_rows = config.max_rows
        self._alive = alive
        self._events: list[Event] = []
        self._waiting: list[Work] = []
        self._running: dict[int, list[str]] = {}

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running or self._events)

    @property
    def rows_free(self) -> int:
        return self._max_rows - 2 * len(self._running)

    def add(self, work: Work) -> None:
        self._waiting.append(work)

    def abort(self, job_id: int) -> None:
        self._running.pop(job_id, None)
        self._waiting = [work for work in self._waiting if work.job_id != job_id]
        self._events.append(Cancelled(job_id))

    def close(self) -> None:
        (self._folder / "closed.txt").touch()

    def step(self) -> list[Event]:
        events, self._events = self._events, []
        for job_id in list(self._running):
            events += self._act(job_id, self._running[job_id].pop(0))
        while self._waiting and self.rows_free > 0:
            work = self._waiting.pop(0)
            self._running[work.job_id] = [*self._words(work), "done"]
            self.warm = (work.model.name,)
            with (self._folder / "log.txt").open("a") as file:
                print(*self._running, file=file)
            events.append(Started(work.job_id))
        return events

    def _act(self, job_id: int, word: str) -> list[Event]:
        match word:
            case "done":
                del self._running[job_id]
                return [Finished(job_id, ())]
            case "fail":
                del self._running[job_id]
                return [Failed(job_id, OutOfMemory(64, 64))]
            case "wait":
                self._running[job_id].insert(0, "wait")
                time.sleep(0.002)
            case "die":
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
            case "hang":
                _hang()
            case "work":
                self._running[job_id].insert(0, "work")
                self._alive()
                time.sleep(0.002)
            case "raise":
                raise RuntimeError("nobody knows this")
            case "deaf":
                return self._be_deaf(job_id)
            case "flood":
                return [Progress(job_id, 1, 2, bytes(2**20)) for _ in range(32)]
        return []

    def _be_deaf(self, job_id: int) -> list[Event]:
        for _ in range(2000):
            if (self._folder / "hear").exists():
                return []
            time.sleep(0.01)
        return self._act(job_id, "fail")

    def _words(self, work: Work) -> list[str]:
        words = work.request.prompt.split(", ")
        marker = self._folder / f"{work.job_id}.seen"
        if marker.exists():
            return [word for word in words if not word.endswith(" once")]
        marker.touch()
        return [word.removesuffix(" once") for word in words]
