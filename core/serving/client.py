"""``EngineClient``: owns the engine. Starts it, feeds it from the queue, restarts it.

Runs on the bot's event loop and never keeps it waiting: what can block is in the transport
(:mod:`core.serving.process`), which carries messages and knows nothing of jobs. Nothing here
imports torch; only the engine's process does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from core.config import EngineConfig
from core.errors import EngineCrashed, EngineStopped
from core.events import Ending, Failed, Restarting, Started
from core.serving import worker
from core.serving.life import Life
from core.serving.messages import Abort, Add, Alive, Crashed, Credit, Ready, Upward
from core.serving.process import EngineProcess
from core.serving.queue import GpuQueue
from core.serving.transport import MakeTransport
from core.work import Work

log = logging.getLogger(__name__)

# The engine in a process of its own, on this computer.
OWN_PROCESS: Final[MakeTransport] = partial(EngineProcess, worker.main)

# An engine that dies this many times in a row before it is ready will not get better by itself.
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
    """Return the seconds to wait after so many deaths in a row: 0.5, 1, 2 … 30."""
    return min(0.5 * 2.0 ** (deaths - 1), 30.0)


class EngineClient:
    """Feeds jobs of ``queue`` to an engine set up by ``config``.

    If the engine dies, the jobs it had run again, each alone; one that is alone at a second
    death fails with :class:`EngineCrashed`. One that starts or has jobs, and for
    ``config.timeout`` seconds gives no sign of life, has hung: it is killed, and so has died. An
    engine that cannot be started ends this client's service, until :meth:`start` is called
    again: without another client every job, waiting or new, fails with :class:`EngineStopped`.
    ``transport`` makes what carries messages to a new engine; ``grace`` is how many seconds a
    stopping engine has before it is killed; ``clock`` gives seconds from anywhere.
    """

    def __init__(
        self,
        config: EngineConfig,
        queue: GpuQueue,
        *,
        transport: MakeTransport = OWN_PROCESS,
        backoff: Callable[[int], float] = exponential,
        grace: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._feed = queue.feed()
        self._make_transport = transport
        self._backoff = backoff
        self._grace = grace
        self._clock = clock
        self._state: Literal["starting", "ready", "restarting", "stopped"] = "stopped"
        self._settled = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._life: Life | None = None
        self._device_name = ""
        self._reason = ""
        self._restarts = 0
        self._credit = Credit(0, ())
        # Jobs the engine has (and whether it has started them), jobs to run alone, and both
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
            pid=self._life.transport.pid if self._life and not self._life.ended else None,
            device_name=self._device_name,
            warm=self._credit.warm,
            restarts=self._restarts,
            rows_free=self._credit.rows_free,
            speed=self._feed.speed,
            reason=self._reason,
            memory=self._credit.memory,
        )

    async def start(self) -> None:
        """Start the engine and the service of the queue. Returns before it is ready."""
        if self._supervisor is None or self._supervisor.done():
            self._feed.open()
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
        """Stop the engine, gently first; jobs that are left fail with :class:`EngineStopped`.

        Whoever wants such jobs to be resumed by the next start stops listening before.
        """
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self._life is not None:
            await asyncio.to_thread(self._life.transport.stop, self._grace)
        self._give_up("")

    async def _supervise(self) -> None:
        try:
            await self._keep_alive()
        except Exception as error:
            log.exception("the engine cannot be kept alive")
            if self._life is not None:
                await asyncio.to_thread(self._life.transport.stop, 0.0)
            self._give_up(f"{type(error).__name__}: {error}")

    async def _keep_alive(self) -> None:
        """One life of the engine after another."""
        failed_starts = 0
        deaths = 0
        while True:
            life = self._life = self._begin()
            await asyncio.to_thread(life.transport.start)
            while not life.ended and not self._hung(life):
                self._send_jobs(life)
                await self._news(life)
            if not life.ended:
                life.last_words = f"gave no sign of life for {self._config.timeout:g} s"
            ended = await asyncio.to_thread(life.transport.stop, 0.0)
            self._reason = life.last_words or ended
            deaths = 1 if life.useful else deaths + 1
            failed_starts = 0 if life.ready else failed_starts + 1
            self._bury()
            if failed_starts == ATTEMPTS:
                log.error("the engine cannot start: %s", self._reason)
                self._give_up(self._reason)
                return
            log.warning("the engine died (%s) and is restarted", self._reason)
            await asyncio.sleep(self._backoff(deaths))
            self._restarts += 1

    def _begin(self) -> Life:
        """Make the next engine's transport, not started yet, and the account of its life."""
        transport = self._make_transport(self._config, lambda message: self._heard(life, message))
        life = Life(transport, heard_at=self._clock())
        return life

    def _hung(self, life: Life) -> bool:
        """Whether it owes something and was silent for too long."""
        left = self._patience(life)
        return left is not None and left <= 0

    def _patience(self, life: Life) -> float | None:
        """Seconds that the engine may still be silent; None is for ever."""
        if not self._config.timeout or (life.ready and not life.owes):
            return None
        return life.heard_at + self._config.timeout - self._clock()

    async def _news(self, life: Life) -> None:
        """Wait for something to do or to hear of, as long as the patience lasts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience(life)):
                await self._feed.changed.wait()
        self._feed.changed.clear()

    def _send_jobs(self, life: Life) -> None:
        """Tell the engine what was cancelled, then send jobs as far as its credit goes."""
        for job_id in self._feed.take_aborted():
            if self._sent.pop(job_id, None):
                life.transport.send(Abort(job_id))
            self._forget(job_id)
            self._replay = deque(work for work in self._replay if work.job_id != job_id)
        while life.ready and (work := self._next()):
            self._sent[work.job_id] = work
            if not life.owes:
                # It was idle: its silence was none.
                life.heard_at = self._clock()
            life.owes.add(work.job_id)
            life.transport.send(Add(work))

    def _next(self) -> Work | None:
        """The next job to send, if the credit allows one."""
        if self._replay or self._suspects:
            return self._replay.popleft() if self._replay and not self._sent else None
        unstarted = [work for job_id, work in self._sent.items() if job_id not in self._started]
        # One job may always wait inside the engine, to be prepared ahead.
        if unstarted and sum(work.rows for work in unstarted) >= self._credit.rows_free:
            return None
        return self._feed.take()

    def _heard(self, life: Life, message: Upward | None) -> None:
        """Take in a message from an engine, on the event loop; None is its end."""
        if life is not self._life:
            return  # It could not be killed, and its jobs run elsewhere by now.
        life.heard_at = self._clock()
        match message:
            case None:
                life.ended = True
            case Ready(device_name):
                life.ready = True
                self._device_name = device_name
                self._state = "ready"
                self._settled.set()
            case Credit():
                self._credit = message
            case Alive():
                pass
            case Crashed(reason):
                life.last_words = reason
            case event:
                if isinstance(event, Started):
                    self._started.add(event.job_id)
                elif isinstance(event, Ending):
                    life.useful = True
                    # Also of a job that was aborted: whoever hangs does not tell that either.
                    life.owes.discard(event.job_id)
                    self._sent.pop(event.job_id, None)
                    self._forget(event.job_id)
                self._feed.publish(event)
        self._feed.changed.set()

    def _bury(self) -> None:
        """After a death: its jobs wait to run alone; one that was alone again is given up."""
        self._life = None
        self._state = "restarting"
        self._settled.clear()
        self._credit = Credit(0, ())
        for job_id, work in self._sent.items():
            self._started.discard(job_id)
            if job_id in self._suspects:
                self._forget(job_id)
                self._feed.publish(Failed(job_id, EngineCrashed(job_id)))
            else:
                self._suspects.add(job_id)
                self._replay.append(work)
                self._feed.publish(Restarting(job_id))
        self._sent.clear()

    def _forget(self, job_id: int) -> None:
        self._started.discard(job_id)
        self._suspects.discard(job_id)

    def _give_up(self, reason: str) -> None:
        self._state = "stopped"
        self._reason = reason
        self._life = None
        self._credit = Credit(0, ())
        for jobs in (self._sent, self._started, self._replay, self._suspects):
            jobs.clear()
        self._feed.close(reason)
        self._settled.set()
