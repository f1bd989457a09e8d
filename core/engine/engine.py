"""``Engine``: the running set. Requests join and leave between steps and share UNet calls.

``add`` and ``abort`` change what runs; each ``step`` does a bounded piece of work and returns its
events. Runs in one thread of the engine process; a pool encodes finished pictures and previews.
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
from core.engine.runs import BatchKey, Run, RunningPicture
from core.errors import OutOfMemory, PenultimateError
from core.events import Cancelled, Event, Failed, Finished, Image, Progress, Started
from core.models.loading import Models
from core.models.vae import LoadedVae
from core.pictures import infotext
from core.pictures.files import write_png
from core.sampling.trajectory import advance
from core.work import Work

if TYPE_CHECKING:
    from core.pictures.files import Pixels

# Rows of every UNet call in strict mode, by device type.
STRICT_ROWS: Final = {"cpu": 2, "cuda": 8}

# Seconds between two previews or two progress events; posts are edited less often than that.
PREVIEW_SECONDS: Final = 2.0
PROGRESS_SECONDS: Final = 0.1


class Engine:
    """The running set, which turns :class:`Work` into pictures, many at a time.

    A request's own error ends its job with ``Failed``; an unexpected one is raised and should end
    the process. ``alive`` is called often while a model runs, within a step too.
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
        # Waiting runs, as their job and the positions of its items; the next run, encoded.
        self._waiting: deque[tuple[RunningJob, tuple[int, ...]]] = deque()
        self._prepared: Run | None = None
        self._running: list[Run] = []
        self._events: list[Event] = []
        self._step_count = 0
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="encode")
        # Pending work of the pool, and what to do with each result in the engine's thread.
        self._background: dict[Future[Any], Callable[[Any], None]] = {}

    @property
    def device_name(self) -> str:
        """The device's name."""
        return self._models.device_name

    @property
    def warm(self) -> tuple[str, ...]:
        """Names of the loaded models."""
        return self._models.warm

    @property
    def memory(self) -> tuple[int, int] | None:
        """GPU memory in bytes, (reserved by torch, total); see :attr:`Models.memory`."""
        return self._models.memory

    @property
    def busy(self) -> bool:
        """Whether ``step`` has anything to do."""
        return bool(self._jobs or self._background or self._events)

    @property
    def rows_free(self) -> int:
        """Free rows of the running set; 0 while a request waits for rows."""
        if self._waiting or self._prepared:
            return 0
        return max(0, self._max_rows - self._rows_taken)

    @property
    def _rows_taken(self) -> int:
        return sum(run.rows_needed for run in self._running)

    def add(self, work: Work) -> None:
        """Add a job; each of its requests starts as soon as its rows are free."""
        job = self._jobs[work.job_id] = RunningJob(work)
        self._waiting.extend((job, group) for group in job.groups)

    def abort(self, job_id: int) -> None:
        """Cancel a job, waiting or running; one that has just ended is no error."""
        self._drop(job_id)
        self._events.append(Cancelled(job_id))

    def _drop(self, job_id: int) -> None:
        job = self._jobs.pop(job_id, None)
        self._waiting = deque(waiting for waiting in self._waiting if waiting[0] is not job)
        self._running = [run for run in self._running if run.job is not job]
        if self._prepared is not None and self._prepared.job is job:
            self._prepared = None

    def close(self) -> None:
        """Stop the pool and release the models; unfinished encoding is discarded."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._models.close()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Admit one request, run one other phase and one UNet step; return the events."""
        self._admit()
        self._run_other_phase()
        self._denoise()
        self._collect()
        events, self._events = self._events, []
        return events

    def _admit(self) -> None:
        """Prepare the first waiting request, and start it when its rows are free."""
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
        # A run larger than the whole set runs alone, its rows split over several calls.
        if run is not None and (not taken or taken + run.rows_needed <= self._max_rows):
            if not run.job.begun:
                run.job.started = time.monotonic()
                self._events.append(Started(run.job.id))
            run.job.begun = True
            run.job.note(run.notes)
            self._running.append(run)
            self._prepared = None

    def _pictures(self) -> Iterator[tuple[Run, RunningPicture]]:
        """Yield the unfinished pictures, in the order their runs started."""
        for run in list(self._running):
            for picture in run.pictures:
                if picture.phases:
                    yield run, picture

    def _run_other_phase(self) -> None:
        """Run one encode, upscale or decode."""
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
        """Run one UNet step for the group (by :class:`BatchKey`) that has waited longest."""
        groups: dict[BatchKey, list[tuple[Run, RunningPicture]]] = defaultdict(list)
        for run, picture in self._pictures():
            if isinstance(phase := picture.phase, Denoise):
                groups[run.batch_key(phase)].append((run, picture))
        if not groups:
            return
        members = min(groups.values(), key=lambda group: min(p.served for _, p in group))
        jobs = list(dict.fromkeys(run.job for run, _ in members))
        rows = [row for run, picture in members for row in run.rows(picture)]
        loaded = members[0][0].loaded
        trajectories = [picture.trajectory for _, picture in members if picture.trajectory]
        before = [trajectory.step for trajectory in trajectories]
        try:
            outputs = self._batcher.predict(loaded.unet, rows, loaded.dtype)
        except OutOfMemory as error:
            self._fail(jobs, error)
            return
        self._step_count += 1
        advance(trajectories, outputs, one_by_one=self._batcher.fixed is not None)
        for (run, picture), trajectory, step in zip(members, trajectories, before, strict=True):
            run.advanced(picture, trajectory.step - step)
            picture.served = self._step_count
        for job in jobs:
            self._report(job)

    def _fail(self, jobs: list[RunningJob], error: PenultimateError) -> None:
        for job in jobs:
            self._drop(job.id)
            self._events.append(Failed(job.id, error))

    def _report(self, job: RunningJob) -> None:
        """Send progress at limited rates: a preview, made in the pool, or just the step."""
        now = time.monotonic()
        due = now - job.previewed >= PREVIEW_SECONDS
        if due and (source := self._preview_source(job)) is not None:
            job.previewed = job.reported = now
            vae, latents = source
            future = self._threads.submit(lambda: write_png(vae.preview(latents), ""))
            self._background[future] = lambda png: self._progress(job, png)
        elif now - job.reported >= PROGRESS_SECONDS or job.step == job.steps:
            job.reported = now
            self._progress(job)

    def _preview_source(self, job: RunningJob) -> tuple[LoadedVae, torch.Tensor] | None:
        """Return the VAE and predicted latents (C, h, w) of the job's first denoising picture."""
        for run, picture in self._pictures():
            if run.job is job and picture.trajectory is not None:
                return run.vaes[0], picture.trajectory.denoised
        return None

    def _progress(self, job: RunningJob, preview: bytes | None = None) -> None:
        if self._jobs.get(job.id) is job:
            self._events.append(Progress(job.id, job.step, job.steps, preview))

    def _write(self, run: Run, picture: RunningPicture, vae: int, pixels: Pixels) -> None:
        """Write the picture's file in the pool: it may have to wait for the model's hash."""
        future = self._threads.submit(_image, run, picture, vae, pixels)
        key = (run.positions[vae], picture.index)
        self._background[future] = lambda image: self._finish(run.job, key, image)

    def _finish(self, job: RunningJob, key: tuple[int, int], image: Image) -> None:
        job.images[key] = image
        if job.done and self._jobs.get(job.id) is job:
            seconds = time.monotonic() - job.started
            self._drop(job.id)
            self._events.append(Finished(job.id, job.finished_images(), job.notes, seconds))

    def _collect(self) -> None:
        """Handle the pool's results; wait for one when there is nothing else to do."""
        for run in [run for run in self._running if run.done]:
            self._running.remove(run)
        if self._background and not (self._waiting or self._prepared or self._running):
            wait(self._background, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in [future for future in self._background if future.done()]:
            self._background.pop(future)(future.result())


def _image(run: Run, picture: RunningPicture, vae: int, pixels: Pixels) -> Image:
    """Make the PNG with its infotext."""
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
    return Image(
        write_png(pixels, text), run.request.alone(picture.index).seed, width, height, text
    )
