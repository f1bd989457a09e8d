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
from typing import TYPE_CHECKING, Any, Final

import torch

from core.config import EngineConfig
from core.engine.phases import Decode, Denoise
from core.engine.rows import RowBatcher
from core.engine.running_job import RunningJob
from core.engine.runs import BatchKey, Picture, Run
from core.errors import OutOfMemory, PenultimateError
from core.events import Cancelled, Event, Failed, Finished, Image, Progress, Started
from core.models.loading import Models
from core.models.vae import LoadedVae
from core.pictures import infotext
from core.pictures.files import write_png
from core.work import Work

if TYPE_CHECKING:
    from core.pictures.files import Pixels

# Rows of every UNet call in the strict setting, by device type.
STRICT_ROWS: Final = {"cpu": 2, "cuda": 8}

# A member's post is edited every few seconds at most; more often would be work for nothing.
PREVIEW_SECONDS: Final = 2.0
PROGRESS_SECONDS: Final = 0.1


class Engine:
    """Runs :class:`Work` to pictures, many at a time.

    Errors of one request end that request with ``Failed``; anything unknown is raised, and the
    process should die of it. ``alive`` is called often while a model works, also within a step.
    """

    def __init__(self, config: EngineConfig, alive: Callable[[], None] = lambda: None) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self._models = Models(config, alive=alive)
        fixed = None
        if config.strict:
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False
            fixed = STRICT_ROWS.get(self._models.device.type, 2)
        self._batcher = RowBatcher(config.max_rows, fixed)
        self._max_rows = config.max_rows
        self._jobs: dict[int, RunningJob] = {}
        # Runs to come, each as its job and the items it serves; the next one, already encoded.
        self._waiting: deque[tuple[RunningJob, tuple[int, ...]]] = deque()
        self._prepared: Run | None = None
        self._running: list[Run] = []
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
    def memory(self) -> tuple[int, int] | None:
        """The device's memory in bytes, (used by torch, total); see :class:`Models`."""
        return self._models.memory

    @property
    def busy(self) -> bool:
        """Whether ``step`` has anything to do."""
        return bool(self._jobs or self._background or self._events)

    @property
    def rows_free(self) -> int:
        """Rows of the running set that nobody has; 0 while somebody waits for them."""
        if self._waiting or self._prepared:
            return 0
        return max(0, self._max_rows - self._rows_taken)

    @property
    def _rows_taken(self) -> int:
        return sum(run.rows_needed for run in self._running)

    def add(self, work: Work) -> None:
        """Take a job; each of its requests starts as soon as its rows are free."""
        job = self._jobs[work.job_id] = RunningJob(work)
        self._waiting.extend((job, group) for group in job.groups)

    def abort(self, job_id: int) -> None:
        """Drop a job wherever it is; an unknown one has just ended, and is no error."""
        self._drop(job_id)
        self._events.append(Cancelled(job_id))

    def _drop(self, job_id: int) -> None:
        job = self._jobs.pop(job_id, None)
        self._waiting = deque(waiting for waiting in self._waiting if waiting[0] is not job)
        self._running = [run for run in self._running if run.job is not job]
        if self._prepared is not None and self._prepared.job is job:
            self._prepared = None

    def close(self) -> None:
        """End the threads and let go of the models; what was not written is lost."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._models.close()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Admit one job, decode one picture, step one group; return what happened meanwhile."""
        self._admit()
        self._perform()
        self._denoise()
        self._collect()
        events, self._events = self._events, []
        return events

    def _admit(self) -> None:
        """Prepare the first request in line, and start it when its rows are free."""
        if self._prepared is None and self._waiting:
            job, positions = self._waiting.popleft()
            items = [job.work.items[position] for position in positions]
            try:
                loaded = self._models.load(items[0].model)
                vaes = [self._models.load_vae(item.vae, loaded) for item in items]
                self._prepared = Run(job, positions, loaded, vaes)
            except PenultimateError as error:
                self._fail([job], error)
        run, taken = self._prepared, self._rows_taken
        # One that is larger than the whole set runs alone, its rows split over calls.
        if run is not None and (not taken or taken + run.rows_needed <= self._max_rows):
            if not run.job.begun:
                run.job.started = time.monotonic()
                self._events.append(Started(run.job.id))
            run.job.begun = True
            run.job.note(run.notes)
            self._running.append(run)
            self._prepared = None

    def _pictures(self) -> Iterator[tuple[Run, Picture]]:
        """Those with phases left to go through, in the order their jobs came."""
        for run in list(self._running):
            for picture in run.pictures:
                if picture.phases:
                    yield run, picture

    def _perform(self) -> None:
        """One encode, enlargement or decode, between the steps of the others."""
        for run, picture in self._pictures():
            if not isinstance(picture.phase, Denoise):
                phase = picture.phase
                try:
                    pixels = run.perform(picture)
                except PenultimateError as error:
                    self._fail([run.job], error)
                except torch.OutOfMemoryError:
                    self._fail([run.job], OutOfMemory(*run.request.final_size))
                else:
                    if pixels is not None and isinstance(phase, Decode):
                        self._write(run, picture, phase.vae, pixels)
                return

    def _denoise(self) -> None:
        """Make one step of the pictures with one :class:`BatchKey` that have waited longest."""
        groups: dict[BatchKey, list[tuple[Run, Picture]]] = defaultdict(list)
        for run, picture in self._pictures():
            if isinstance(phase := picture.phase, Denoise):
                groups[run.batch_key(phase)].append((run, picture))
        if not groups:
            return
        members = min(groups.values(), key=lambda group: min(p.served for _, p in group))
        jobs = list(dict.fromkeys(run.job for run, _ in members))
        rows = [run.rows(picture) for run, picture in members]
        loaded = members[0][0].loaded
        together = [row for own in rows for row in own]
        try:
            outputs = iter(self._batcher.predict(loaded.unet, together, loaded.dtype))
        except OutOfMemory as error:
            self._fail(jobs, error)
            return
        self._turn += 1
        for (run, picture), own in zip(members, rows, strict=True):
            run.advance(picture, [next(outputs) for _ in own])
            picture.served = self._turn
        for job in jobs:
            self._report(job)

    def _fail(self, jobs: list[RunningJob], error: PenultimateError) -> None:
        for job in jobs:
            self._drop(job.id)
            self._events.append(Failed(job.id, error))

    def _report(self, job: RunningJob) -> None:
        """Progress now and then, and a preview now and then, made in a thread."""
        now = time.monotonic()
        if now - job.previewed >= PREVIEW_SECONDS and (seen := self._seen(job)) is not None:
            job.previewed = job.reported = now
            vae, latents = seen[0], seen[1].cpu()
            future = self._threads.submit(lambda: write_png(vae.preview(latents), ""))
            self._background[future] = lambda png: self._progress(job, png)
        elif now - job.reported >= PROGRESS_SECONDS or job.step == job.steps:
            job.reported = now
            self._progress(job)

    def _seen(self, job: RunningJob) -> tuple[LoadedVae, torch.Tensor] | None:
        """The job's first unfinished picture as the model sees it: its VAE, latents (C, h, w)."""
        for run, picture in self._pictures():
            if run.job is job and picture.trajectory is not None:
                return run.vaes[0], picture.trajectory.x0
        return None

    def _progress(self, job: RunningJob, preview: bytes | None = None) -> None:
        if self._jobs.get(job.id) is job:
            self._events.append(Progress(job.id, job.step, job.steps, preview))

    def _write(self, run: Run, picture: Picture, vae: int, pixels: Pixels) -> None:
        """Turn pixels into a finished file in a thread; a large model's hash may take a while."""
        future = self._threads.submit(_image, run, picture, vae, pixels)
        place = (run.positions[vae], picture.index)
        self._background[future] = lambda image: self._finish(run.job, place, image)

    def _finish(self, job: RunningJob, place: tuple[int, int], image: Image) -> None:
        job.images[place] = image
        if job.done and self._jobs.get(job.id) is job:
            seconds = time.monotonic() - job.started
            self._drop(job.id)
            self._events.append(Finished(job.id, job.finished_images(), job.notes, seconds))

    def _collect(self) -> None:
        """Take in what the threads have done; wait for it when there is nothing else to do."""
        for run in [run for run in self._running if run.done]:
            self._running.remove(run)
        if self._background and not (self._waiting or self._prepared or self._running):
            wait(self._background, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in [future for future in self._background if future.done()]:
            self._background.pop(future)(future.result())


def _image(run: Run, picture: Picture, vae: int, pixels: Pixels) -> Image:
    """The PNG with its parameters inside."""
    item, loaded = run.items[vae], run.vaes[vae]
    external = item.vae is not None
    text = infotext.format(
        item.request,
        index=picture.index,
        model_hash=run.loaded.hash,
        vae=loaded.name if external else "",
        vae_hash=loaded.hash if external else "",
    )
    height, width = pixels.shape[:2]
    return Image(write_png(pixels, text), run.seed(picture), width, height, text)
