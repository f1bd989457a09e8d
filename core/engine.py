"""``Engine``: the running set. Requests join and leave between steps and share UNet calls.

``add`` and ``abort`` say what should run; every ``step`` does one bounded piece of work for
whoever's turn it is and returns what happened. It lives in the engine process, in one thread;
only the encoding of finished pictures and previews runs beside it.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Final

import torch

from core import infotext
from core.config import EngineConfig
from core.errors import OutOfMemory, PenultimateError
from core.events import Cancelled, Event, Failed, Finished, Image, Progress, Started
from core.models import Models
from core.picture import write_png
from core.rows import RowBatcher
from core.runner import Denoise, Picture, Pixels, Run
from core.work import Work

# Rows of every UNet call in the strict setting, by device type.
STRICT_ROWS: Final = {"cpu": 2, "cuda": 8}

# A member's post is edited every few seconds at most; more often would be work for nothing.
PREVIEW_SECONDS: Final = 2.0
PROGRESS_SECONDS: Final = 0.1


class Engine:
    """Runs :class:`Work` to pictures, many at a time.

    Errors of one request end that request with ``Failed``; anything unknown is raised, and the
    process should die of it.
    """

    def __init__(self, config: EngineConfig) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self._models = Models(config)
        fixed = None
        if config.strict:
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False
            fixed = STRICT_ROWS.get(self._models.device.type, 2)
        self._batcher = RowBatcher(config.max_rows, fixed)
        self._max_rows = config.max_rows
        self._waiting: deque[Work] = deque()
        self._prepared: Run | None = None
        self._running: dict[int, Run] = {}
        self._events: list[Event] = []
        self._turn = 0
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="encode")
        # Work in the threads, and what to do here with each result.
        self._background: dict[Future[Any], Callable[[Any], None]] = {}

    @property
    def device_name(self) -> str:
        """What it runs on, in words."""
        return self._models.device_name

    @property
    def warm(self) -> tuple[str, ...]:
        """Names of the models that are loaded."""
        return self._models.warm

    @property
    def busy(self) -> bool:
        """Whether ``step`` has anything to do."""
        return bool(
            self._waiting or self._prepared or self._running or self._background or self._events
        )

    @property
    def rows_free(self) -> int:
        """Rows of the running set that nobody has; 0 while somebody waits for them."""
        if self._waiting or self._prepared:
            return 0
        return max(0, self._max_rows - self._rows_taken)

    @property
    def _rows_taken(self) -> int:
        return sum(run.rows_needed for run in self._running.values())

    def add(self, work: Work) -> None:
        """Take a job; it starts as soon as its rows are free."""
        self._waiting.append(work)

    def abort(self, job_id: int) -> None:
        """Let a job go wherever it is; an unknown one has just ended, and is no error."""
        self._waiting = deque(work for work in self._waiting if work.job_id != job_id)
        if self._prepared is not None and self._prepared.work.job_id == job_id:
            self._prepared = None
        self._running.pop(job_id, None)
        self._events.append(Cancelled(job_id))

    def close(self) -> None:
        """Wait for nothing more."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._models.close()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Admit one job, decode one picture, and step one group; what happened meanwhile."""
        self._admit()
        self._perform()
        self._denoise()
        self._collect()
        events, self._events = self._events, []
        return events

    def _admit(self) -> None:
        """Prepare the first job in line, and start it when its rows are free."""
        if self._prepared is None and self._waiting:
            work = self._waiting.popleft()
            try:
                loaded = self._models.load(work.model)
                self._prepared = Run(work, loaded, self._models.load_vae(work.vae, loaded))
            except PenultimateError as error:
                self._events.append(Failed(work.job_id, error))
        run, taken = self._prepared, self._rows_taken
        # One that is larger than the whole set runs alone, its rows split over calls.
        if run is not None and (not taken or taken + run.rows_needed <= self._max_rows):
            run.started = time.monotonic()
            self._running[run.work.job_id] = run
            self._events.append(Started(run.work.job_id))
            self._prepared = None

    def _pictures(self) -> Iterator[tuple[Run, Picture]]:
        """Those with phases left to go through, in the order their jobs came."""
        for run in list(self._running.values()):
            for picture in run.pictures:
                if picture.phases:
                    yield run, picture

    def _perform(self) -> None:
        """One encode, enlargement or decode, between the steps of the others."""
        for run, picture in self._pictures():
            if not isinstance(picture.phase, Denoise):
                try:
                    pixels = run.perform(picture)
                except PenultimateError as error:
                    self._fail([run], error)
                except torch.OutOfMemoryError:
                    self._fail([run], OutOfMemory(*run.request.final_size))
                else:
                    if pixels is not None:
                        self._write(run, picture, pixels)
                return

    def _denoise(self) -> None:
        """One model call for the group that has waited longest: same UNet, same latent shape."""
        groups: dict[tuple[int, int, int], list[tuple[Run, Picture]]] = defaultdict(list)
        for run, picture in self._pictures():
            if isinstance(phase := picture.phase, Denoise):
                groups[id(run.loaded), phase.width, phase.height].append((run, picture))
        if not groups:
            return
        members = min(groups.values(), key=lambda group: min(p.served for _, p in group))
        runs = list(dict.fromkeys(run for run, _ in members))
        rows = [run.rows(picture) for run, picture in members]
        loaded = runs[0].loaded
        together = [row for own in rows for row in own]
        try:
            outputs = iter(self._batcher.predict(loaded.unet, together, loaded.dtype))
        except OutOfMemory as error:
            self._fail(runs, error)
            return
        self._turn += 1
        for (run, picture), own in zip(members, rows, strict=True):
            run.advance(picture, [next(outputs) for _ in own])
            picture.served = self._turn
        for run in runs:
            self._report(run)

    def _fail(self, runs: list[Run], error: PenultimateError) -> None:
        for run in runs:
            del self._running[run.work.job_id]
            self._events.append(Failed(run.work.job_id, error))

    def _report(self, run: Run) -> None:
        """Progress now and then, and a preview now and then, made in a thread."""
        now = time.monotonic()
        if now - run.previewed >= PREVIEW_SECONDS and (x0 := run.x0) is not None:
            run.previewed = run.reported = now
            vae, latents = run.vae, x0.cpu()
            future = self._threads.submit(lambda: write_png(vae.preview(latents), ""))
            self._background[future] = lambda png: self._progress(run, png)
        elif now - run.reported >= PROGRESS_SECONDS or run.step == run.steps:
            run.reported = now
            self._progress(run)

    def _progress(self, run: Run, preview: bytes | None = None) -> None:
        if self._running.get(run.work.job_id) is run:
            self._events.append(Progress(run.work.job_id, run.step, run.steps, preview))

    def _write(self, run: Run, picture: Picture, pixels: Pixels) -> None:
        """Turn pixels into a finished file in a thread; a large model's hash may take a while."""
        future = self._threads.submit(_image, run, picture, pixels)
        self._background[future] = lambda image: self._finish(run, picture, image)

    def _finish(self, run: Run, picture: Picture, image: Image) -> None:
        run.images[picture.index] = image
        if len(run.images) == len(run.pictures) and self._running.get(run.work.job_id) is run:
            del self._running[run.work.job_id]
            images = tuple(run.images[index] for index in range(len(run.pictures)))
            seconds = time.monotonic() - run.started
            self._events.append(Finished(run.work.job_id, images, run.notes, seconds))

    def _collect(self) -> None:
        """Take in what the threads have done; wait for it when there is nothing else to do."""
        waiting = self._waiting or self._prepared or next(self._pictures(), None)
        if self._background and not waiting:
            wait(self._background, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in [future for future in self._background if future.done()]:
            self._background.pop(future)(future.result())


def _image(run: Run, picture: Picture, pixels: Pixels) -> Image:
    """The PNG with its parameters inside."""
    external = run.work.vae is not None
    text = infotext.format(
        run.request,
        index=picture.index,
        model_hash=run.loaded.hash,
        vae=run.vae.name if external else "",
        vae_hash=run.vae.hash if external else "",
    )
    height, width = pixels.shape[:2]
    return Image(write_png(pixels, text), run.seed(picture), width, height, text)
