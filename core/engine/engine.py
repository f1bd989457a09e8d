"""``Engine``: the running set. Pictures join and leave between steps and share UNet calls.

``add`` and ``abort`` change what runs; each ``step`` does a bounded piece of work and returns its
events. Runs in one thread of the engine process; a pool encodes finished pictures and previews.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch

from core.config import EngineConfig
from core.engine.compiled import Compiled
from core.engine.enlarging import Enlarger, Made
from core.engine.graphs import Graphs, cuda_record
from core.engine.knee import Knee
from core.engine.line import Flow, Group, Line
from core.engine.other_phases import OtherPhases
from core.engine.phases import Denoise
from core.engine.rows import RowBatcher
from core.engine.running_job import RunningJob
from core.engine.runs import BatchKey, Run, RunningPicture
from core.engine.writing import write_image
from core.errors import OutOfMemory, PenultimateError
from core.events import Cancelled, Event, Failed, Finished, Image, Progress, Started
from core.models.catalogue import Model
from core.models.loading import Models
from core.models.memory import forget_frames, memory_errors
from core.models.residents import Held
from core.models.vae import LoadedVae
from core.pictures.files import write_png
from core.sampling.trajectory import advance
from core.threads import beside
from core.work import Item, Work

if TYPE_CHECKING:
    from core.pictures.files import Pixels

# Rows of every UNet call in strict mode, by device type.
STRICT_ROWS: Final = {"cpu": 2, "cuda": 8}

# Seconds of loading between two UNet steps, while others run; on a CPU, which encodes the prompts
# with the same cores, of waiting for that too.
ADMITTING_SECONDS: Final = 0.03
# Seconds that an idle engine waits before it looks for other work.
IDLE_SECONDS: Final = 0.1
# Seconds that a model waits for room before nothing is started beside it.
HOLD_SECONDS: Final = 10.0

# Seconds between two previews or two progress events; posts are edited less often than that.
PREVIEW_SECONDS: Final = 2.0
PROGRESS_SECONDS: Final = 0.1


class Engine:
    """The running set, which turns :class:`Work` into pictures, many at a time.

    Pictures start one by one, the least-served owner's first, as far as a call's rows pay. A
    request's own error ends its job with ``Failed``; an unexpected one is raised and should end
    the process. ``alive`` is called often while anything goes on, within a step too; ``clock`` is
    monotonic, in seconds; ``models`` are those of the config where none are given.
    """

    def __init__(
        self,
        config: EngineConfig,
        alive: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
        models: Models | None = None,
    ) -> None:
        # Also where it is torch's own: a thread's number is its own only once it was read.
        torch.set_num_threads(config.threads or torch.get_num_threads())
        self._models = models or Models(config, alive=alive)
        self._alive, self._clock = alive, clock
        fixed = None
        if config.strict:
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False
            fixed = STRICT_ROWS.get(self._models.device.type, 2)
        self._max_rows = config.max_rows
        # Of the last UNet call; 0 while there is none.
        self.rows_in_call = 0
        self._compiled: Compiled | None = None
        if config.compile and not config.strict:
            self._compiled = Compiled(config.cache_dir / "compiled")
        graphs = self._graphs(config)
        self._knee = Knee(config.cache_dir / self._calls_file(graphs), config.max_rows)
        if graphs is not None:
            self._models.also_free = graphs.clear
        self._batcher = RowBatcher(
            config.max_rows,
            fixed,
            knee=self._knee,
            graphs=graphs,
            compiled=self._compiled,
            free=self._models.free,
            clock=clock,
        )
        self._jobs: dict[int, RunningJob] = {}
        self._line = Line()
        # Runs by the group that they are of; those of a flow's first group are made ahead.
        self._runs: dict[Group, Run] = {}
        # Those that are being made in a thread: prompts are encoded there.
        self._making: dict[Group, Future[Run]] = {}
        self._maker = beside(1, "prompts")
        self._running: list[tuple[Run, RunningPicture]] = []
        # Since when a model waits for room, and which.
        self._wanted: tuple[float, Model] | None = None
        self._events: list[Event] = []
        self._turns: dict[BatchKey, float] = {}
        self._threads = beside(2, "encode")
        self._enlarger = Enlarger(self._models.upscaler)
        self._others = OtherPhases(self._threads)
        # Pending work of the pool, and what to do with each result in the engine's thread.
        self._background: dict[Future[Any], Callable[[Any], None]] = {}

    def _calls_file(self, graphs: Graphs | None) -> str:
        """Name the file of the calls' seconds after what these depend on beside the call."""
        dtype = str(self._models.dtype).removeprefix("torch.")
        words = ["rows", self._models.device_name, dtype, torch.__version__]
        words += ["graphs"] * bool(graphs) + ["compiled"] * bool(self._compiled)
        return "".join(each if each.isalnum() else "-" for each in "-".join(words)) + ".json"

    def _graphs(self, config: EngineConfig) -> Graphs | None:
        """Record UNet calls on a card, but in strict mode, whose calls are all of one size."""
        on_card = self._models.device.type == "cuda" and config.graphs and not config.strict
        return Graphs(cuda_record()) if on_card else None

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
    def calls(self) -> dict[str, dict[int, float]]:
        """The measured seconds of UNet calls, by model and size, and by rows; two digits."""
        return {
            name: {rows: float(f"{seconds:.2g}") for rows, seconds in own.items()}
            for name, own in self._knee.calls.items()
        }

    @property
    def busy(self) -> bool:
        """Whether ``step`` has anything to do."""
        return bool(self._jobs or self._background or self._others or self._events)

    @property
    def rows_free(self) -> int:
        """Free rows of the running set; 0 while pictures wait."""
        return 0 if self._line else max(0, self._max_rows - self._rows_taken())

    def _rows_taken(self, key: BatchKey | None = None) -> int:
        """Return the rows of the running pictures, or of those with this key."""
        return sum(
            run.rows_of_a_picture
            for run, picture in self._running
            if picture.denoises and (key is None or run.batch_key(picture.phase) == key)
        )

    def add(self, work: Work) -> None:
        """Add a job; its pictures start one by one, as rows are free and owners are served."""
        job = self._jobs[work.job_id] = RunningJob(work, self._clock())
        self._line.add(job)

    def abort(self, job_id: int) -> None:
        """Cancel a job, waiting or running; one that has just ended is no error."""
        self._drop(job_id)
        self._events.append(Cancelled(job_id))

    def _drop(self, job_id: int) -> None:
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._line.drop(job)
        self._runs = {group: run for group, run in self._runs.items() if run.job is not job}
        self._running = [each for each in self._running if each[0].job is not job]
        if job is not None:
            self._others.drop(job)
            self._stop_making([group for group in self._making if group.job is job])
            for model in {item.model for item in job.work.items}:
                if not self._line.wants(model):
                    self._models.forget(model)
                    if self._wanted is not None and self._wanted[1] == model:
                        self._wanted = None

    def _stop_making(self, groups: Collection[Group]) -> None:
        for group in groups:
            self._making.pop(group).cancel()

    def close(self) -> None:
        """Stop the pool and release the models; unfinished encoding is discarded."""
        self._jobs.clear()
        self._enlarger.close()
        for pool in (self._threads, self._maker):
            pool.shutdown(wait=True, cancel_futures=True)
        if self._compiled is not None:
            self._compiled.close()
        self._models.close()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Start what fits, go on with other phases, run one UNet step; return the events."""
        self._admit()
        others, stepped = self._run_other_phases(), self._denoise()
        worked = others or stepped or bool(self._events)
        if self._collect(wait_for_it=not worked) or worked:
            # Not where a thread is waited for, which may hang; its modules say that they work.
            self._alive()
        events, self._events = self._events, []
        return events

    # Starting

    def _admit(self) -> None:
        """Start pictures while they fit, for a bounded time; prepare the next of each owner."""
        until = self._clock() + ADMITTING_SECONDS
        passed: set[Flow] = set()
        full: set[BatchKey | None] = set()
        while (group := self._line.first(passed)) is not None:
            if group.item.request.only_enlarges:
                if not self._enlarge(group, group.item):
                    passed.add(group.flow)
                continue
            run = self._runs.get(group)
            if run is None:
                if self._running and self._clock() > until:
                    return
                run = self._prepare(group, until)
            if run is None or not self._start(group, run, full):
                passed.add(group.flow)

    def _enlarge(self, group: Group, item: Item) -> bool:
        """Begin to enlarge a finished image, one at a time, which needs no checkpoint."""
        if not self._enlarger.free:
            return False
        job = group.job
        self._begin(job)
        self._line.charge(group, 1)
        self._line.take(group)
        future = self._enlarger.finished(item, partial(self._is_wanted, job))
        key = (group.positions[0], 0)
        self._background[future] = lambda made: self._finish(job, key, made)
        return True

    def _prepare(self, group: Group, until: float) -> Run | None:
        """Load the group's model and encode its prompts; None while that has to wait."""
        try:
            making = self._making.get(group) or self._make(group)
            if making is None or not self._is_made(making, until):
                return None
            del self._making[group]
            with memory_errors():
                run = self._runs[group] = making.result()
        except PenultimateError as error:
            self._fail([group.job], error)
            return None
        except torch.OutOfMemoryError as error:
            forget_frames(error)
            request = group.item.request
            self._fail([group.job], OutOfMemory(request.width, request.height))
            return None
        return run

    def _make(self, group: Group) -> Future[Run] | None:
        """Load the group's model and begin to make its run; None while there is no room."""
        job = group.job
        items = [job.work.items[position] for position in group.positions]
        model = items[0].model
        if self._wanted is not None and self._wanted[1] != model and self._overdue:
            return None
        if self._running and not self._models.prepare(model).done():
            return None
        try:
            with memory_errors():
                loaded = self._models.load(model)
                vaes = [self._models.load_vae(item.vae, loaded) for item in items]
                enlarges = items[0].upscaler
                upscaler = (
                    None if enlarges is None else self._models.load_upscaler(enlarges, loaded)
                )
        except Held:
            self._wait_for(model)
            return None
        if self._wanted is not None and self._wanted[1] == model:
            self._wanted = None
        future = self._maker.submit(Run, job, group.positions, loaded, vaes, upscaler)
        self._making[group] = future
        return future

    def _is_made(self, making: Future[Run], until: float) -> bool:
        """Wait for a run where nothing else is to be done, on a CPU a while in any case."""
        while not (self._running or self._others or self._background or making.done()):
            wait([making], timeout=1.0)
        if self._models.device.type == "cpu" and not making.done():
            wait([making], timeout=max(0.0, until - self._clock()))
        return making.done()

    @property
    def _overdue(self) -> bool:
        """Whether a model has waited for room as long as it should."""
        return self._wanted is not None and self._clock() - self._wanted[0] >= HOLD_SECONDS

    def _wait_for(self, model: Model) -> None:
        """Let a model wait for room; after a while, nothing is started beside it.

        What was prepared and has not started is let go of, for it holds its model.
        """
        self._wanted = self._wanted or (self._clock(), model)
        if self._overdue or not self._running:
            running = {id(run) for run, _ in self._running}
            self._runs = {g: run for g, run in self._runs.items() if id(run) in running}
            self._stop_making(list(self._making))

    def _start(self, group: Group, run: Run, full: set[BatchKey | None]) -> bool:
        """Start the run's next picture if its rows fit."""
        started = run.job.pictures_started
        picture = run.pictures[started[run.positions]]
        if self._wanted is not None and self._overdue and self._wanted[1] != run.loaded.model:
            return False
        if not self._fits(run, picture, full):
            return False
        job = run.job
        self._begin(job)
        job.note(run.notes)
        started[run.positions] += 1
        self._running.append((run, picture))
        self._line.charge(group, len(run.pictures))
        if started[run.positions] == len(run.pictures):
            self._line.take(group)
            del self._runs[group]
        return True

    def _begin(self, job: RunningJob) -> None:
        if not job.begun:
            job.started = self._clock()
            self._events.append(Started(job.id))
        job.begun = True

    def _fits(self, run: Run, picture: RunningPicture, full: set[BatchKey | None]) -> bool:
        """Whether a picture's rows pay beside those that share its calls, or it would be alone.

        ``full`` are the keys in which one before it did not fit, None for the running set: it waits
        for that one, which would wait for ever if smaller ones took the rows that become free.
        """
        key, taken = run.batch_key(picture.phase), self._rows_taken()
        together, rows = self._rows_taken(key), run.rows_of_a_picture
        if taken and taken + rows > self._max_rows:
            full.add(None)
        if together and together + rows > self._batcher.rows(key.name):
            full.add(key)
        return not full & {None, key}

    # Running

    def _run_other_phases(self) -> bool:
        """Go on with all encodes, upscales and decodes that can, and begin one; or say no."""
        worked = False
        while (each := self._others.next(self._running)) is not None:
            begun, worked = each.awaited is None, True
            run, picture = each.run, each.picture
            try:
                with memory_errors():
                    pixels = self._others.go_on(each)
            except PenultimateError as error:
                self._fail([run.job], error)
            except torch.OutOfMemoryError as error:
                forget_frames(error)
                self._fail([run.job], OutOfMemory(*run.request.final_size))
            else:
                if pixels is not None and each.phase is not None:
                    self._write(run, picture, each.phase.vae, pixels)
                if not picture.phases and (run, picture) in self._running:
                    self._running.remove((run, picture))
            if begun:
                break
        return worked

    def _denoise(self) -> bool:
        """Run one UNet step for the group (by :class:`BatchKey`) whose turn it is, or say no.

        Turns are weighed by pictures: a group of many has more of them.
        """
        settled = self._settle()
        groups: dict[BatchKey, list[tuple[Run, RunningPicture]]] = defaultdict(list)
        for run, picture in self._running:
            if isinstance(picture.phase, Denoise) and picture.reading is None:
                groups[run.batch_key(picture.phase)].append((run, picture))
        # A key holds its model, so those of groups that have ended go.
        latest = min((self._turns[key] for key in groups if key in self._turns), default=0.0)
        self._turns = {key: self._turns.get(key, latest) for key in groups}
        if not groups:
            self.rows_in_call = 0
            return settled
        key = min(groups, key=lambda key: self._turns[key])
        members = groups[key]
        self._turns[key] += 1 / len(members)
        jobs = list(dict.fromkeys(run.job for run, _ in members))
        rows = [row for run, picture in members for row in run.rows(picture)]
        self.rows_in_call = len(rows)
        trajectories = [picture.trajectory for _, picture in members if picture.trajectory]
        before = [trajectory.step for trajectory in trajectories]
        loaded = key.checkpoint
        try:
            outputs = self._batcher.predict(
                loaded.unet, rows, loaded.dtype, key.name, loaded.networks
            )
        except OutOfMemory as error:
            self._fail(jobs, error)
            return True
        advance(trajectories, outputs, one_by_one=self._batcher.fixed is not None)
        for (run, picture), trajectory, step in zip(members, trajectories, before, strict=True):
            run.advanced(picture, trajectory.step - step)
        for job in jobs:
            self._report(job)
        return True

    def _settle(self) -> bool:
        """Go on with samplers whose numbers have come from the card, or say no.

        Where all pictures wait for such a number, the first is waited for.
        """
        denoising = [each for each in self._running if isinstance(each[1].phase, Denoise)]
        waiting = [each for each in denoising if each[1].reading is not None]
        arrived = [each for each in waiting if each[1].reading and each[1].reading.done()]
        if not arrived and len(waiting) == len(denoising):
            arrived = waiting[:1]
        for run, picture in arrived:
            trajectory = picture.trajectory
            assert trajectory is not None
            before = trajectory.step
            trajectory.settle()
            run.advanced(picture, trajectory.step - before)
            self._report(run.job)
        return bool(arrived)

    def _fail(self, jobs: list[RunningJob], error: PenultimateError) -> None:
        forget_frames(error)
        for job in jobs:
            self._drop(job.id)
            self._events.append(Failed(job.id, error))

    def _report(self, job: RunningJob) -> None:
        """Send progress at limited rates: a preview, made in the pool, or just the step."""
        now = self._clock()
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
        for run, picture in self._running:
            if run.job is job and picture.trajectory is not None:
                return run.vaes[0], picture.trajectory.denoised
        return None

    def _progress(self, job: RunningJob, preview: bytes | None = None) -> None:
        if self._jobs.get(job.id) is job:
            self._events.append(Progress(job.id, job.step, job.steps, preview, len(job.images)))

    def _write(self, run: Run, picture: RunningPicture, vae: int, pixels: Pixels) -> None:
        """Write the picture's file in the pool: it may have to wait for the model's hash."""
        item = run.items[vae]
        hashes = {each: self._models.addon_hash(each) for each in run.used_addons(item)}
        write = partial(write_image, run, picture, vae, hashes=hashes)
        job, key = run.job, (run.positions[vae], picture.index)
        if item.request.enlarge is None:
            future: Future[Any] = self._threads.submit(write, pixels)
        else:
            wanted = partial(self._is_wanted, job)
            future = self._enlarger.generated(item, pixels, write, wanted)
        self._background[future] = lambda made: self._finish(job, key, made)

    def _is_wanted(self, job: RunningJob) -> bool:
        return self._jobs.get(job.id) is job

    def _finish(self, job: RunningJob, key: tuple[int, int], image: Made) -> None:
        if not isinstance(image, Image):
            if image is not None and self._is_wanted(job):
                self._fail([job], image)
            return
        job.images[key] = image
        if job.done and self._jobs.get(job.id) is job:
            seconds = self._clock() - job.started
            self._drop(job.id)
            self._events.append(Finished(job.id, job.finished_images(), job.notes, seconds))

    def _collect(self, *, wait_for_it: bool) -> bool:
        """Handle the pool's results, or say no; wait for one when there is nothing else to do."""
        if wait_for_it and not self._others.wait():
            awaited = [*self._background, *self._others.futures, *self._making.values()]
            if awaited:
                wait(awaited, timeout=IDLE_SECONDS, return_when=FIRST_COMPLETED)
            else:
                time.sleep(IDLE_SECONDS)
        done = [future for future in self._background if future.done()]
        for future in done:
            self._background.pop(future)(future.result())
        return bool(done)
