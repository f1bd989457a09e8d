"""An engine in a process of its own that draws small pictures, a word of the prompt a step."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from typing import Any, Final

from core.config import EngineConfig
from core.events import Event, Finished, Image, Progress
from core.serving import worker
from core.serving.messages import Alive
from core.work import Work
from tests.fake_engine import infotext, png
from tests.stub_engine import StubEngine

SECONDS_A_STEP: Final = 0.02
# Where its process id is, for who wants to kill it.
PID: Final = "engine.pid"


def main(connection: Connection, config: EngineConfig) -> None:
    drawing: Any = DrawingEngine
    worker.run(connection, lambda: drawing(config, lambda: connection.send(Alive())))


class DrawingEngine(StubEngine):
    """What :class:`StubEngine` does, with pictures."""

    def __init__(self, config: EngineConfig, alive: Any) -> None:
        super().__init__(config, alive)
        config.cache_dir.mkdir(parents=True, exist_ok=True)
        (config.cache_dir / PID).write_text(str(os.getpid()), "ascii")
        self._works: dict[int, Work] = {}

    def add(self, work: Work) -> None:
        self._works[work.job_id] = work
        super().add(work)

    def step(self) -> list[Event]:
        time.sleep(SECONDS_A_STEP)
        events = super().step()
        for job_id in [each for each in self._works if not self._knows(each)]:
            del self._works[job_id]
        return events

    def _knows(self, job_id: int) -> bool:
        return job_id in self._running or any(work.job_id == job_id for work in self._waiting)

    def _act(self, job_id: int, word: str) -> list[Event]:
        events = super()._act(job_id, word)
        work = self._works[job_id]
        if word == "done":
            return [Finished(job_id, _images(work), seconds=1.0)]
        step = work.request.steps - min(len(self._running.get(job_id, ())), work.request.steps)
        return events or [Progress(job_id, step, work.request.steps, png(work, size=8))]


def _images(work: Work) -> tuple[Image, ...]:
    return tuple(
        Image(png(item, i), item.request.seed + i, *item.request.final_size, infotext(item, i))
        for item in work.items
        for i in range(item.request.count)
    )
