"""``EngineClient``: owns the engine process. Starts it, feeds it from the queue, restarts it.

Runs on the bot's event loop, which it never keeps waiting: two threads of :class:`_Child` do
what can block. Nothing here imports torch; only the child does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Literal

from core import worker
from core.config import EngineConfig
from core.errors import EngineCrashed, EngineStopped
from core.events import Ending, Failed, Restarting, Started
from core.messages import Abort, Add, Crashed, Credit, Ready, Stop
from core.queue import GpuQueue
from core.work import Work

log = logging.getLogger(__name__)

# A child that dies this many times in a row before it is ready will not get better by itself.
ATTEMPTS: Final = 3

Target = Callable[[Connection, EngineConfig], None]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What `/admin status` and `doctor` show.

    ``speed`` is in megapixel-steps per second, None while unmeasured; ``reason`` says why the
    engine last died or could not start, empty if it never did.
    """

    state: Literal["starting", "ready", "restarting", "stopped"]
    pid: int | None
    device_name: str
    warm: tuple[str, ...]
    restarts: int
    rows_free: int
    speed: float | None
    reason: str


def exponential(deaths: int) -> float:
    """Seconds to wait after so many deaths in a row: 0.5, 1, 2 … 30."""
    return min(0.5 * 2.0 ** (deaths - 1), 30.0)


class EngineClient:
    """Feeds ``queue`` to an engine process set up by ``config``.

    If the process dies, the jobs it had run again, each alone; one that is alone at a second
    death fails with :class:`EngineCrashed`. A process that cannot be started fails every job,
    waiting or new, with :class:`EngineStopped` until :meth:`start` is called again.
    ``grace`` is how many seconds a stopping child has before it is killed.
    """

    def __init__(
        self,
        config: EngineConfig,
        queue: GpuQueue,
        *,
        target: Target = worker.main,
        backoff: Callable[[int], float] = exponential,
        grace: float = 5.0,
    ) -> None:
        self._config = config
        self._queue = queue
        self._target = target
        self._backoff = backoff
        self._grace = grace
        self._state: Literal["starting", "ready", "restarting", "stopped"] = "stopped"
        self._settled = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._child: _Child | None = None
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
            child = self._child = _Child(self._target, self._config, self._heard)
            await asyncio.to_thread(child.start)
            while not child.ended:
                self._feed(child)
                await self._queue.changed.wait()
                self._queue.changed.clear()
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

    def _feed(self, child: _Child) -> None:
        """Tell the child what was cancelled, then send jobs as far as its credit goes."""
        for job_id in self._queue.take_aborted():
            if self._sent.pop(job_id, None):
                child.send(Abort(job_id))
            self._forget(job_id)
            self._replay = deque(work for work in self._replay if work.job_id != job_id)
        while child.ready and (work := self._next()):
            self._sent[work.job_id] = work
            child.send(Add(work))

    def _next(self) -> Work | None:
        """The next job to send, if the credit allows one."""
        if self._replay or self._suspects:
            return self._replay.popleft() if self._replay and not self._sent else None
        unstarted = [work for job_id, work in self._sent.items() if job_id not in self._started]
        # One job may always wait inside the child, to be prepared ahead.
        if unstarted and sum(map(_rows, unstarted)) >= self._credit.rows_free:
            return None
        return self._queue.take()

    def _heard(self, child: _Child, message: Any) -> None:
        """A message from the child, on the event loop; None is its end."""
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
            case Crashed(reason):
                child.last_words = reason
            case event:
                if isinstance(event, Started):
                    self._started.add(event.job_id)
                elif isinstance(event, Ending):
                    child.useful = True
                    self._sent.pop(event.job_id, None)
                    self._forget(event.job_id)
                self._queue.publish(event)
        self._queue.changed.set()

    def _bury(self, child: _Child) -> None:
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


def _rows(work: Work) -> int:
    """About how many UNet rows the job takes; the engine counts exactly (AND takes more)."""
    return work.request.count * (2 if work.request.cfg_scale > 1 else 1)


class _Child:
    """One life of the engine process, and the two threads on this side of its pipe."""

    def __init__(
        self, target: Target, config: EngineConfig, heard: Callable[[_Child, Any], None]
    ) -> None:
        self.ready = False
        self.useful = False
        self.ended = False
        self.last_words = ""
        self.exit_reason = ""
        self.pid: int | None = None
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._stopped = False
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        context = multiprocessing.get_context("spawn")
        self._connection, self._theirs = context.Pipe()
        # A daemon is ended with this process even when nobody calls stop().
        self._process = context.Process(
            target=target, args=(self._theirs, config), name="penultimate-engine", daemon=True
        )
        self._threads = [
            threading.Thread(target=self._read, name="engine-reader", daemon=True),
            threading.Thread(target=self._write, name="engine-writer", daemon=True),
        ]

    def start(self) -> None:
        """Blocks while the process is made. Does nothing after :meth:`stop`."""
        with self._lock:
            if self._stopped:
                return
            self._process.start()
            self.pid = self._process.pid
            # Only then does the pipe end for us when the child's end is closed.
            self._theirs.close()
            for thread in self._threads:
                thread.start()

    def send(self, message: Any) -> None:
        """Never blocks."""
        self._outbox.put(message)

    def stop(self, grace: float) -> None:
        """Blocks until the process is gone: asked for ``grace`` seconds, then killed."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            if self.pid is not None:
                self.send(Stop())
                self._process.join(grace)
                self._process.kill()
                self._process.join()
                self.exit_reason = _exit_reason(self._process.exitcode)
                self.send(None)
                for thread in self._threads:
                    thread.join(1.0)
            self._theirs.close()
            self._connection.close()
            self._process.close()

    def _read(self) -> None:
        try:
            # Both are watched: something the child started may hold its end of the pipe open.
            while self._connection in wait([self._connection, self._process.sentinel]):
                self._tell(self._connection.recv())
        except (EOFError, OSError):
            pass  # The pipe's end is the child's; the last line says so.
        finally:
            self._tell(None)

    def _write(self) -> None:
        # A broken pipe: the child died, which the reader tells.
        with contextlib.suppress(OSError):
            while (message := self._outbox.get()) is not None:
                self._connection.send(message)

    def _tell(self, message: Any) -> None:
        # RuntimeError: the loop is closed already, nobody is left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._heard, self, message)


def _exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by signal {-code}, {signal.strsignal(-code)}"
    return f"exit code {code}"
