"""``EngineClient``: owns the engine process. Starts it, feeds it from the queue, restarts it.

Runs on the bot's event loop and never keeps it waiting: what can block is in
:mod:`core.serving.process`. Nothing here imports torch; only the child does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from core.config import EngineConfig
from core.errors import EngineCrashed, EngineStopped
from core.events import Ending, Failed, Restarting, Started
from core.serving import worker
from core.serving.messages import Abort, Add, Alive, Crashed, Credit, Ready, Upward
from core.serving.process import EngineProcess, Target
from core.serving.queue import GpuQueue
from core.work import Work

log = logging.getLogger(__name__)

# A child that dies this many times in a row before it is ready will not get better by itself.
ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What `/admin status` and `doctor` show.

    ``speed`` is in megapixel-steps per second, None while unmeasured; ``reason`` says why the
    engine last died or could not start, empty if it never did; ``memory`` is the device's in
    bytes, (used, total), None where it shares the computer's.
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


def exponential(deaths: int) -> float:
    """Seconds to wait after so many deaths in a row: 0.5, 1, 2 … 30."""
    return min(0.5 * 2.0 ** (deaths - 1), 30.0)


class EngineClient:
    """Feeds ``queue`` to an engine process set up by ``config``.

    If the process dies, the jobs it had run again, each alone; one that is alone at a second
    death fails with :class:`EngineCrashed`. One that starts or has jobs, and for
    ``config.timeout`` seconds gives no sign of life, has hung: it is killed, and so has died. A
    process that cannot be started fails every job, waiting or new, with :class:`EngineStopped`
    until :meth:`start` is called again.
    ``grace`` is how many seconds a stopping child has before it is killed; ``clock`` gives
    seconds from anywhere.
    """

    def __init__(
        self,
        config: EngineConfig,
        queue: GpuQueue,
        *,
        target: Target = worker.main,
        backoff: Callable[[int], float] = exponential,
        grace: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._queue = queue
        self._target = target
        self._backoff = backoff
        self._grace = grace
        self._clock = clock
        self._state: Literal["starting", "ready", "restarting", "stopped"] = "stopped"
        self._settled = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._child: EngineProcess | None = None
        self._device_name = ""
        self._reason = ""
        self._restarts = 0
        self._credit = Credit(0, ())
        # Jobs the child has (and whether it has started them), jobs to run alone, and both
        # kinds' ids that have already seen one death.
        self._sent: dict[int, Work] = {}
        self._started: set[int] = set()
        self._replay: deque[Work] = deque()
        self._suspects: set[int] = set()

    @property
    def status(self) -> EngineStatus:
        """Where the engine stands now."""
        return EngineStatus(
            state=self._state,
            pid=self._child.pid if self._child and not self._child.ended else None,
            device_name=self._device_name,
            warm=self._credit.warm,
            restarts=self._restarts,
            rows_free=self._credit.rows_free,
            speed=self._queue.speed,
            reason=self._reason,
            memory=self._credit.memory,
        )

    async def start(self) -> None:
        """Start the engine process, and the queue's service. Returns before it is ready."""
        if self._supervisor is None or self._supervisor.done():
            self._queue.open()
            self._state = "starting"
            self._settled.clear()
            self._supervisor = asyncio.create_task(self._supervise())

    async def ready(self) -> EngineStatus:
        """Wait until the engine can work. Raises :class:`EngineStopped` if it cannot."""
        await self._settled.wait()
        if self._state == "stopped":
            raise EngineStopped(self._reason)
        return self.status

    async def close(self) -> None:
        """Stop the process, gently first; jobs that are left fail with :class:`EngineStopped`.

        Whoever wants such jobs to be resumed by the next start stops listening before.
        """
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self._child is not None:
            await asyncio.to_thread(self._child.stop, self._grace)
        self._give_up("")

    async def _supervise(self) -> None:
        try:
            await self._keep_alive()
        except Exception as error:
            log.exception("the engine cannot be kept alive")
            if self._child is not None:
                await asyncio.to_thread(self._child.stop, 0.0)
            self._give_up(f"{type(error).__name__}: {error}")

    async def _keep_alive(self) -> None:
        """One life of the engine after another."""
        failed_starts = 0
        deaths = 0
        while True:
            child = self._child = EngineProcess(self._target, self._config, self._heard)
            child.heard_at = self._clock()
            await asyncio.to_thread(child.start)
            while not child.ended and not self._hung(child):
                self._feed(child)
                await self._news(child)
            if not child.ended:
                child.last_words = f"gave no sign of life for {self._config.timeout:g} s"
            await asyncio.to_thread(child.stop, 0.0)
            self._reason = child.last_words or child.exit_reason
            deaths = 1 if child.useful else deaths + 1
            failed_starts = 0 if child.ready else failed_starts + 1
            self._bury(child)
            if failed_starts == ATTEMPTS:
                log.error("the engine cannot start: %s", self._reason)
                self._give_up(self._reason)
                return
            log.warning("the engine died (%s) and is restarted", self._reason)
            await asyncio.sleep(self._backoff(deaths))
            self._restarts += 1

    def _hung(self, child: EngineProcess) -> bool:
        """Whether it owes something and was silent for too long."""
        left = self._patience(child)
        return left is not None and left <= 0

    def _patience(self, child: EngineProcess) -> float | None:
        """Seconds that the child may still be silent; None is for ever."""
        if not self._config.timeout or (child.ready and not child.owes):
            return None
        return child.heard_at + self._config.timeout - self._clock()

    async def _news(self, child: EngineProcess) -> None:
        """Wait for something to do or to hear of, as long as the patience lasts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience(child)):
                await self._queue.changed.wait()
        self._queue.changed.clear()

    def _feed(self, child: EngineProcess) -> None:
        """Tell the child what was cancelled, then send jobs as far as its credit goes."""
        for job_id in self._queue.take_aborted():
            if self._sent.pop(job_id, None):
                child.send(Abort(job_id))
            self._forget(job_id)
            self._replay = deque(work for work in self._replay if work.job_id != job_id)
        while child.ready and (work := self._next()):
            self._sent[work.job_id] = work
            if not child.owes:
                # It was idle: its silence was none.
                child.heard_at = self._clock()
            child.owes.add(work.job_id)
            child.send(Add(work))

    def _next(self) -> Work | None:
        """The next job to send, if the credit allows one."""
        if self._replay or self._suspects:
            return self._replay.popleft() if self._replay and not self._sent else None
        unstarted = [work for job_id, work in self._sent.items() if job_id not in self._started]
        # One job may always wait inside the child, to be prepared ahead.
        if unstarted and sum(work.rows for work in unstarted) >= self._credit.rows_free:
            return None
        return self._queue.take()

    def _heard(self, child: EngineProcess, message: Upward | None) -> None:
        """A message from the child, on the event loop; None is its end."""
        child.heard_at = self._clock()
        match message:
            case None:
                child.ended = True
            case Ready(device_name):
                child.ready = True
                self._device_name = device_name
                self._state = "ready"
                self._settled.set()
            case Credit():
                self._credit = message
            case Alive():
                pass
            case Crashed(reason):
                child.last_words = reason
            case event:
                if isinstance(event, Started):
                    self._started.add(event.job_id)
                elif isinstance(event, Ending):
                    child.useful = True
                    # Also of a job that was aborted: whoever hangs does not tell that either.
                    child.owes.discard(event.job_id)
                    self._sent.pop(event.job_id, None)
                    self._forget(event.job_id)
                self._queue.publish(event)
        self._queue.changed.set()

    def _bury(self, child: EngineProcess) -> None:
        """After a death: its jobs wait to run alone; one that was alone again is given up."""
        self._state = "restarting"
        self._settled.clear()
        self._credit = Credit(0, ())
        for job_id, work in self._sent.items():
            self._started.discard(job_id)
            if job_id in self._suspects:
                self._forget(job_id)
                self._queue.publish(Failed(job_id, EngineCrashed(job_id)))
            else:
                self._suspects.add(job_id)
                self._replay.append(work)
                self._queue.publish(Restarting(job_id))
        self._sent.clear()

    def _forget(self, job_id: int) -> None:
        self._started.discard(job_id)
        self._suspects.discard(job_id)

    def _give_up(self, reason: str) -> None:
        self._state = "stopped"
        self._reason = reason
        self._child = None
        self._credit = Credit(0, ())
        for jobs in (self._sent, self._started, self._replay, self._suspects):
            jobs.clear()
        self._queue.close(reason)
        self._settled.set()
