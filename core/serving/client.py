"""``EngineClient``: starts the engine, sends it jobs from the queue, and restarts it.

Runs on the bot's event loop and never blocks it: blocking calls are in the transport
(:mod:`core.serving.process`), which carries messages and knows nothing of jobs. No torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from core.config import EngineConfig
from core.errors import EngineStopped
from core.events import Cancelled, Ending
from core.serving import worker
from core.serving.instance import EngineInstance
from core.serving.messages import (
    Abort,
    Add,
    Alive,
    Crashed,
    Credit,
    Lacks,
    Measured,
    Ready,
    Upward,
)
from core.serving.process import EngineProcess
from core.serving.queue import GpuQueue
from core.serving.transport import MakeTransport
from core.work import Work

log = logging.getLogger(__name__)

# Runs the engine in a child process.
OWN_PROCESS: Final[MakeTransport] = partial(EngineProcess, worker.main)

# Jobs that the engine has beside those that fit into its running set; and beside those, the first
# of each owner, up to so many in all: the engine itself serves the least-served owner first.
AHEAD: Final = 4
AHEAD_OF_OWNERS: Final = 32

# Failed starts in a row after which jobs wait no longer for the engine, and it is tried slowly.
ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The engine's state, as shown by ``/admin status``.

    ``speed`` is in megapixel-steps per second, None while unmeasured; ``reason`` is why the
    engine last died or could not start, empty if it never did; ``memory`` is the device's in
    bytes, (used, total), None where it has none of its own; ``device`` is the setting, or where a
    cluster has it. ``steps`` are the sampler steps done since the bot's start, ``rows_in_call``
    those of the last UNet call.
    """

    state: Literal["starting", "ready", "restarting", "stopped"]
    pid: int | None
    device_name: str
    warm: tuple[str, ...]
    restarts: int
    rows_free: int
    speed: float | None
    reason: str
    memory: tuple[int, int] | None = None
    device: str = "auto"
    steps: float = field(default=0.0, compare=False)
    rows_in_call: int = 0


def exponential(deaths: int) -> float:
    """Return the seconds to wait after ``deaths`` in a row: 0.5, 1, 2 … 600.

    The first :data:`ATTEMPTS` come within seconds; later ones wait for somebody to mend something.
    """
    return min(0.5 * 2.0 ** (deaths - 1), 30.0) if deaths < ATTEMPTS * 2 else 600.0


class EngineClient:
    """The supervisor of an engine with the settings ``config``, which runs the jobs of ``queue``.

    When the engine dies, its jobs go back to the queue. An engine that is starting or has jobs, and
    sends nothing for ``config.timeout`` seconds, has hung and is killed. When it cannot be
    started, the client closes its feed and goes on trying slowly; if no other client serves the
    queue, all jobs fail with :class:`EngineStopped` until an attempt succeeds.

    ``name`` is where the engine is, for people; ``transport`` connects to a new engine;
    ``backoff`` gives the seconds before a restart, by deaths in a row; ``grace`` is the seconds a
    stopping engine has before it is killed; ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        config: EngineConfig,
        queue: GpuQueue,
        *,
        name: str = "",
        transport: MakeTransport = OWN_PROCESS,
        backoff: Callable[[int], float] = exponential,
        grace: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._name = name or config.device
        self._feed = queue.feed()
        self._connect = transport
        self._backoff = backoff
        self._grace = grace
        self._clock = clock
        self._state: Literal["starting", "ready", "restarting", "stopped"] = "stopped"
        self._resolved = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._engine: EngineInstance | None = None
        self._device_name = ""
        self._reason = ""
        self._restarts = 0
        self._credit = Credit(0, ())
        # Somebody asked for a restart.
        self._asked = asyncio.Event()

    @property
    def status(self) -> EngineStatus:
        """The engine's current state."""
        return EngineStatus(
            state=self._state,
            pid=self._engine.transport.pid if self._engine and not self._engine.ended else None,
            device_name=self._device_name,
            warm=self._credit.warm,
            restarts=self._restarts,
            rows_free=self._credit.rows_free,
            speed=self._feed.speed,
            reason=self._reason,
            memory=self._credit.memory,
            device=self._name,
            steps=self._feed.steps,
            rows_in_call=self._credit.rows_in_call,
        )

    async def start(self) -> None:
        """Start the engine and serve the queue. Returns before the engine is ready."""
        self._begin()

    def _begin(self) -> None:
        if self._supervisor is None or self._supervisor.done():
            self._feed.open()
            self._state = "starting"
            self._resolved.clear()
            self._supervisor = asyncio.create_task(self._supervise())

    async def ready(self) -> EngineStatus:
        """Wait until the engine is ready. Raises :class:`EngineStopped` if it cannot start."""
        await self._resolved.wait()
        if self._state == "stopped":
            raise EngineStopped(self._reason)
        return self.status

    def restart(self) -> None:
        """Start the engine anew, at once: one that runs, or one whose next attempt is far off.

        Its jobs begin again in the next one.
        """
        self._begin()
        self._asked.set()
        self._feed.changed.set()

    async def close(self) -> None:
        """Stop the engine, by force after ``grace``; its jobs fail with :class:`EngineStopped`.

        To resume them at the next start, a caller must stop reading their events first.
        """
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self._engine is not None:
            await asyncio.to_thread(self._engine.transport.stop, self._grace)
        self._give_up("")

    async def _supervise(self) -> None:
        try:
            await self._keep_alive()
        except Exception as error:
            log.exception("the engine cannot be kept alive")
            if self._engine is not None:
                await asyncio.to_thread(self._engine.transport.stop, 0.0)
            self._give_up(f"{type(error).__name__}: {error}")

    async def _keep_alive(self) -> None:
        """Run one engine after another."""
        failed_starts = 0
        deaths = 0
        while True:
            self._asked.clear()
            engine = self._engine = self._new_engine()
            await asyncio.to_thread(engine.transport.start)
            while not (engine.ended or self._hung(engine) or self._asked.is_set()):
                self._send_jobs(engine)
                await self._wait(engine)
            asked = self._asked.is_set() and not engine.ended
            if asked:
                engine.crash = "restarted by the bot's owner"
            elif not engine.ended:
                engine.crash = f"did not respond for {self._config.timeout:g} s"
            ended = await asyncio.to_thread(engine.transport.stop, 0.0)
            before, self._reason = self._reason, engine.crash or ended
            deaths = 1 if engine.productive or asked else deaths + 1
            # A device that was there may be back in seconds; another is hardly plugged in by then.
            absent = engine.final and not self._device_name
            failed_starts = 0 if engine.ready else failed_starts + (ATTEMPTS if absent else 1)
            self._engine = None
            self._credit = Credit(0, ())
            self._feed.lose(suspect=not asked)
            if failed_starts >= ATTEMPTS:
                if (self._state, before) != ("stopped", self._reason):
                    log.error("the engine on %s cannot start: %s", self._name, self._reason)
                self._give_up(self._reason)
            else:
                log.warning("the engine on %s died (%s); it is restarted", self._name, self._reason)
                self._state = "restarting"
                self._resolved.clear()
            await self._pause(self._backoff(deaths))
            self._restarts += 1

    async def _pause(self, seconds: float) -> None:
        """Wait before the next start, at most until somebody asks for it."""
        if not self._asked.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._asked.wait()

    def _new_engine(self) -> EngineInstance:
        """Make the next engine and its transport, not started yet."""
        transport = self._connect(self._config, lambda message: self._receive(engine, message))
        engine = EngineInstance(transport, last_message=self._clock())
        return engine

    def _hung(self, engine: EngineInstance) -> bool:
        """Return whether the engine should have sent something by now."""
        seconds = self._time_left(engine)
        return seconds is not None and seconds <= 0

    def _time_left(self, engine: EngineInstance) -> float | None:
        """Return the seconds until the engine counts as hung; None if it never does."""
        if not self._config.timeout or (engine.ready and not engine.pending):
            return None
        return engine.last_message + self._config.timeout - self._clock()

    async def _wait(self, engine: EngineInstance) -> None:
        """Wait for a job, a message or the engine's timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._time_left(engine)):
                await self._feed.changed.wait()
        self._feed.changed.clear()

    def _send_jobs(self, engine: EngineInstance) -> None:
        """Send aborts, then jobs as far as the credit goes."""
        for job_id in self._feed.take_aborted():
            engine.transport.send(Abort(job_id))
        while engine.ready and (work := self._next()):
            if not engine.pending:
                # The timeout starts with the first job of an idle engine.
                engine.last_message = self._clock()
            engine.pending.add(work.job_id)
            engine.transport.send(Add(work))

    def _next(self) -> Work | None:
        """Return the next job to send, None if there is none or no credit."""
        unstarted = self._feed.unstarted
        # A few jobs more than fit: the engine prepares them ahead, and one may wait for a model.
        fits = sum(work.rows for work in unstarted) < self._credit.rows_free
        if fits or len(unstarted) < AHEAD:
            return self._feed.take()
        if len(unstarted) < AHEAD_OF_OWNERS:
            return self._feed.take(passed={work.flow for work in unstarted})
        return None

    def _receive(self, engine: EngineInstance, message: Upward | None) -> None:
        """Handle a message from an engine, on the event loop; None is its end."""
        if engine is not self._engine:
            return  # An engine that could not be killed; its jobs run in the next one.
        engine.last_message = self._clock()
        match message:
            case None:
                engine.ended = True
            case Ready(device_name):
                engine.ready = True
                self._device_name = device_name
                if self._state == "stopped":
                    self._feed.open()
                self._state = "ready"
                self._resolved.set()
            case Credit():
                self._credit = message
                self._feed.has(message.warm)
            case Measured(calls):
                self._feed.measured(calls)
            case Alive():
                pass
            case Lacks(job_id, files):
                log.warning("%s has not %s", self._name, ", ".join(map(str, files)))
                engine.pending.discard(job_id)
                self._feed.lacks(job_id, files)
            case Crashed(reason, final):
                engine.crash, engine.final = reason, final
            case event:
                if isinstance(event, Ending):
                    engine.productive = True
                    # Aborted jobs are pending as well: a hung engine does not confirm them.
                    engine.pending.discard(event.job_id)
                # The queue knows of those, and the job may be here again since.
                if not isinstance(event, Cancelled):
                    self._feed.publish(event)
        self._feed.changed.set()

    def _give_up(self, reason: str) -> None:
        self._state = "stopped"
        self._reason = reason
        self._engine = None
        self._credit = Credit(0, ())
        self._feed.close(reason)
        self._resolved.set()
