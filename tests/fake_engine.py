"""An engine with ``EngineClient``'s face and no process: every step happens when a test says so.

``FakeEngine(config, queue)`` finishes each job at once. After :meth:`FakeEngine.hold` the jobs it
takes stay ``Started`` until the test calls ``progress``, ``finish``, ``fail`` or ``release``.
"""

from __future__ import annotations

import asyncio
import io
import re

from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from core.config import EngineConfig
from core.errors import PenultimateError
from core.events import Event, Failed, Finished, Image, Progress, Restarting, Started
from core.notes import Note
from core.serving.client import EngineStatus
from core.serving.queue import GpuQueue
from core.work import Item, Work


def png(work: Work | Item, index: int = 0, size: int = 16) -> bytes:
    """A real PNG in a colour of its seed, with a line of parameters inside."""
    seed = work.request.seed + index
    colour = (seed * 53 % 256, seed * 97 % 256, work.request.clip_skip * 20 % 256)
    info = PngInfo()
    info.add_text("parameters", infotext(work, index))
    file = io.BytesIO()
    PillowImage.new("RGB", (size, size), colour).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def infotext(work: Work | Item, index: int = 0) -> str:
    request = work.request
    return (
        f"{request.prompt}\nSteps: {request.steps}, Sampler: {request.sampler}, "
        f"CFG scale: {request.cfg_scale:g}, Seed: {request.seed + index}, "
        f"Size: {request.width}x{request.height}, Model: {work.model.name}, "
        f"Clip skip: {request.clip_skip}" + _used(work)
    )


def _used(work: Work | Item) -> str:
    """The embeddings whose names are in the texts, as the engine writes them."""
    item = work if isinstance(work, Item) else work.items[0]
    words = re.findall(r"\w+", f"{item.request.prompt} {item.request.negative_prompt}".casefold())
    used = [each.name for each in item.addons.embeddings if each.name.casefold() in words]
    return f', TI hashes: "{", ".join(f"{name}: 0123456789ab" for name in used)}"' if used else ""


class FakeEngine:
    """Pulls from the queue like ``EngineClient``, up to ``rows`` jobs at a time.

    ``running`` holds the jobs that are started and not ended, by id; ``seen`` every job it was
    ever given, in order.
    """

    def __init__(self, config: EngineConfig, queue: GpuQueue, *, rows: int = 8) -> None:
        self._feed = queue.feed()
        self.rows = rows
        self.running: dict[int, Work] = {}
        self.seen: list[Work] = []
        self.notes: tuple[Note, ...] = ()
        self._holding = False
        self._failures: list[PenultimateError] = []
        self._restarts = 0
        self._moved = asyncio.Condition()
        self._feeder: asyncio.Task[None] | None = None

    # EngineClient's face.

    async def start(self) -> None:
        if self._feeder is None:
            self._feed.open()
            self._feeder = asyncio.create_task(self._serve())

    async def ready(self) -> EngineStatus:
        return self.status

    async def close(self) -> None:
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.gather(self._feeder, return_exceptions=True)
            self._feeder = None
            self.running.clear()
            self._feed.close()

    @property
    def status(self) -> EngineStatus:
        up = self._feeder is not None
        return EngineStatus(
            state="ready" if up else "stopped",
            pid=4242 if up else None,
            device_name="fake" if up else "",
            warm=tuple(dict.fromkeys(work.model.name for work in self.seen)) if up else (),
            restarts=self._restarts,
            rows_free=self.rows - len(self.running) if up else 0,
            speed=self._feed.speed,
            reason="",
        )

    # What a test does.

    def hold(self) -> None:
        """Keep jobs running from now on, until told."""
        self._holding = True

    def release(self) -> None:
        """Finish what runs, and whatever comes, at once again."""
        self._holding = False
        for job_id in list(self.running):
            self.finish(job_id)

    def fail_next(self, error: PenultimateError) -> None:
        """The next job to start fails with ``error`` (call again for the one after it)."""
        self._failures.append(error)

    async def started(self, job_id: int) -> Work:
        """Wait until the job has been started (now or before)."""
        async with self._moved:
            await self._moved.wait_for(lambda: any(w.job_id == job_id for w in self.seen))
        return next(work for work in self.seen if work.job_id == job_id)

    def progress(self, job_id: int, step: int, *, preview: bool = False) -> None:
        """Step ``step`` of the job's steps is done, with a small picture if ``preview``."""
        work = self.running[job_id]
        picture = png(work, size=8) if preview else None
        self._feed.publish(Progress(job_id, step, work.request.steps, picture))

    def finish(self, job_id: int) -> None:
        work = self.running[job_id]
        images = tuple(
            Image(png(item, i), item.request.seed + i, *item.request.final_size, infotext(item, i))
            for item in work.items
            for i in range(item.request.count)
        )
        self._end(Finished(job_id, images, self.notes, seconds=1.0))

    def fail(self, job_id: int, error: PenultimateError) -> None:
        self._end(Failed(job_id, error))

    def restart(self) -> None:
        """The engine dies and comes back: what ran is told, and starts from its seed again."""
        self._restarts += 1
        for job_id in self.running:
            self._feed.publish(Restarting(job_id))

    def start_again(self) -> None:
        """After :meth:`restart`: the jobs run again (they are ended as any other)."""
        for job_id in self.running:
            self._feed.publish(Started(job_id))

    # Inside.

    async def _serve(self) -> None:
        while True:
            await self._feed.changed.wait()
            self._feed.changed.clear()
            for job_id in self._feed.take_aborted():
                self.running.pop(job_id, None)
            while len(self.running) < self.rows and (work := self._feed.take()):
                self._start(work)
            async with self._moved:
                self._moved.notify_all()

    def _start(self, work: Work) -> None:
        self.running[work.job_id] = work
        self.seen.append(work)
        self._feed.publish(Started(work.job_id))
        if self._failures:
            self.fail(work.job_id, self._failures.pop(0))
        elif not self._holding:
            self.progress(work.job_id, work.request.steps)
            self.finish(work.job_id)

    def _end(self, event: Event) -> None:
        del self.running[event.job_id]
        self._feed.publish(event)
        self._feed.changed.set()
