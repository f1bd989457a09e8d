"""``GpuQueue``: the one waiting line, in the bot's process. Pure asyncio, no threads, no torch.

It knows whose turn it is, tells every job its place, and carries the engine's events to the
job's :class:`Ticket`. Everything here must be called from the event loop's own thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from core.errors import EngineStopped, QueueFull
from core.events import (
    Cancelled,
    Ending,
    Event,
    Failed,
    Finished,
    Progress,
    Queued,
    Restarting,
    Started,
)
from core.work import Work

# Unread events which a newer one makes pointless, so that a slow reader never has a backlog.
_OUTDATES: Final[dict[type[Event], tuple[type[Event], ...]]] = {
    Queued: (Queued,),
    Started: (Queued, Started),
    Progress: (Progress,),
    Restarting: (Queued, Started, Progress, Restarting),
    Finished: (Queued, Progress, Restarting),
    Failed: (Queued, Progress, Restarting),
    Cancelled: (Queued, Progress, Restarting),
}


class Ticket:
    """What a job's owner holds: an async iterator over its events, to the one that ends it.

    For one reader. A slow one gets only the newest ``Queued`` and ``Progress`` (with the newest
    preview); one that goes away costs nothing and may come back.
    """

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        self._unread: list[Event] = []
        self._ended = False
        self._news = asyncio.Event()

    def __aiter__(self) -> Ticket:
        return self

    async def __anext__(self) -> Event:
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._unread.pop(0)

    def _put(self, event: Event) -> None:
        if isinstance(event, Progress) and event.preview is None:
            for old in self._unread:
                if isinstance(old, Progress):
                    event = Progress(event.job_id, event.step, event.steps, old.preview)
        outdated = _OUTDATES[type(event)]
        self._unread = [old for old in self._unread if not isinstance(old, outdated)]
        self._unread.append(event)
        self._ended = isinstance(event, Ending)
        self._news.set()


@dataclass(frozen=True, slots=True)
class Place:
    """One job in :meth:`GpuQueue.snapshot`.

    ``prompt`` is that of its first request. ``position`` counts from 1 and is None once the job
    runs; ``eta`` is the seconds until its picture, None while the speed is unmeasured.
    """

    job_id: int
    owner: str
    prompt: str
    state: Literal["queued", "running"]
    position: int | None
    eta: float | None


@dataclass(slots=True, eq=False)
class _Job:
    """``waiting`` in line → ``taken`` by the engine, still queued to its owner → ``running``."""

    work: Work
    ticket: Ticket
    state: Literal["waiting", "taken", "running"] = "waiting"
    done: float = 0.0
    told: tuple[int, bool] | None = None

    @property
    def flow(self) -> tuple[int, str]:
        return self.work.priority, self.work.owner


class _Speed:
    """Work per second of a busy engine, old seconds counting half every ``HALF_LIFE``.

    A ratio of two decaying sums, so that pictures which finish together are one measurement.
    """

    HALF_LIFE: Final = 120.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._work = self._seconds = 0.0
        self.measured = False

    def add(self, work: float, *, busy: bool) -> None:
        """``work`` was done since the last call; the time counts if the engine was ``busy``."""
        now = self._clock()
        elapsed, self._last = now - self._last, now
        if busy:
            decay = 0.5 ** (elapsed / self.HALF_LIFE)
            self._work = self._work * decay + work
            self._seconds = self._seconds * decay + elapsed

    @property
    def value(self) -> float | None:
        return self._work / self._seconds if self.measured and self._seconds > 0 else None


class GpuQueue:
    """Who runs next, fairly.

    Within one priority the line is start-time fair queueing (Goyal, Vin, Cheng 1996): an
    owner's next job is due when the work served to that owner says so, and an owner who comes
    new starts at the present, before anybody's second job. Cost is ``Work.cost``.

    ``per_owner`` and ``total`` bound the jobs waiting or running.
    """

    def __init__(
        self, per_owner: int, total: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_owner = per_owner
        self.total = total
        self.changed = asyncio.Event()
        # In order of arrival; a job moves to the end when it is taken.
        self._jobs: dict[int, _Job] = {}
        # Virtual time, in cost: when each flow's next job is due, and what is due now.
        self._due: dict[tuple[int, str], float] = {}
        self._now: dict[int, float] = {}
        self._speed = _Speed(clock)
        self._aborted: list[int] = []
        self._closed: str | None = None

    # What a job's owner does.

    def submit(self, work: Work, *, resumed: bool = False) -> Ticket:
        """Put ``work`` in line. ``resumed`` jobs were accepted before a restart: no bounds.

        Raises :class:`QueueFull`, or :class:`EngineStopped` once closed; nothing is queued then.
        """
        if self._closed is not None:
            raise EngineStopped(self._closed)
        if work.job_id in self._jobs:
            raise ValueError(f"job {work.job_id} is in the queue already")
        if not resumed:
            self._check_room(work.owner)
        if not self._jobs:
            self._due.clear()
            self._now.clear()
        job = self._jobs[work.job_id] = _Job(work, Ticket(work.job_id))
        self._due[job.flow] = max(self._due.get(job.flow, 0.0), self._now.get(work.priority, 0.0))
        self._tell_places()
        self.changed.set()
        return job.ticket

    def cancel(self, job_id: int) -> bool:
        """End a job that waits or runs with ``Cancelled``, at once; False if it is not here."""
        job = self._jobs.get(job_id)
        if job is None:
            return False
        if job.state != "waiting":
            self._aborted.append(job_id)
        self.publish(Cancelled(job_id))
        self.changed.set()
        return True

    def position(self, job_id: int) -> int | None:
        """Place in line from 1; None when the job runs or is not here."""
        line = [job.work.job_id for job in self._line()]
        return line.index(job_id) + 1 if job_id in line else None

    def snapshot(self) -> tuple[Place, ...]:
        """Every job: the running ones, then the line in its order."""
        running = [job for job in self._jobs.values() if job.state == "running"]
        places = [_place(job.work, None, self._seconds(self._left(job))) for job in running]
        ahead = sum(map(self._left, running))
        for position, job in enumerate(self._line(), 1):
            ahead += job.work.cost
            places.append(_place(job.work, position, self._seconds(ahead)))
        return tuple(places)

    @property
    def speed(self) -> float | None:
        """Measured megapixel-steps per second, all running jobs together; None at first."""
        return self._speed.value

    # What the engine's side does. It waits for ``changed``, clears it, then asks.

    def take(self) -> Work | None:
        """The job whose turn it is, which now belongs to the engine; None if nobody waits."""
        job = next((job for job in self._line() if job.state == "waiting"), None)
        if job is None:
            return None
        work = job.work
        self._now[work.priority] = self._due[job.flow]
        self._due[job.flow] += work.cost
        job.state = "taken"
        self._jobs[work.job_id] = self._jobs.pop(work.job_id)
        self._forget_idle_flows()
        return work

    def take_aborted(self) -> list[int]:
        """Jobs cancelled after they were taken, each told once."""
        aborted, self._aborted = self._aborted, []
        return aborted

    def publish(self, event: Event) -> None:
        """Carry the engine's event to the job's ticket. Of a job that has ended: nothing."""
        job = self._jobs.get(event.job_id)
        if job is None:
            return
        self._measure(job, event)
        if isinstance(event, Ending):
            self._end(job, event)
            return
        if isinstance(event, Started):
            job.state = "running"
        job.ticket._put(event)
        if isinstance(event, Started):
            self._tell_places()

    def open(self) -> None:
        """Accept jobs again after :meth:`close`."""
        self._closed = None

    def close(self, detail: str = "") -> None:
        """Fail every job with :class:`EngineStopped` and refuse new ones with the same."""
        self._closed = detail
        for job in list(self._jobs.values()):
            self._end(job, Failed(job.work.job_id, EngineStopped(detail)))
        self._aborted.clear()

    # Inside.

    def _check_room(self, owner: str) -> None:
        if len(self._jobs) >= self.total:
            raise QueueFull("total", self.total)
        if sum(job.work.owner == owner for job in self._jobs.values()) >= self.per_owner:
            raise QueueFull("owner", self.per_owner)

    def _line(self) -> list[_Job]:
        """Every job that is still queued to its owner, next one first."""
        due = dict(self._due)
        waiting: list[tuple[int, float, _Job]] = []
        for job in self._jobs.values():
            if job.state == "waiting":
                waiting.append((-job.work.priority, due[job.flow], job))
                due[job.flow] += job.work.cost
        # A stable sort: equals stay in order of arrival.
        waiting.sort(key=lambda entry: entry[:2])
        taken = [job for job in self._jobs.values() if job.state == "taken"]
        return taken + [job for *_, job in waiting]

    def _tell_places(self) -> None:
        """To everybody whose place, or whose first ETA, is news."""
        queued = [place for place in self.snapshot() if place.state == "queued"]
        for position, place in enumerate(queued, 1):
            job = self._jobs[place.job_id]
            if job.told != (position, place.eta is None):
                job.told = position, place.eta is None
                job.ticket._put(Queued(place.job_id, position, len(queued), place.eta))

    def _end(self, job: _Job, event: Ending) -> None:
        del self._jobs[job.work.job_id]
        job.ticket._put(event)
        self._tell_places()

    def _measure(self, job: _Job, event: Event) -> None:
        before = job.done
        if isinstance(event, Progress):
            job.done = event.step / event.steps
        elif isinstance(event, Finished):
            job.done = 1.0
            self._speed.measured = True
        elif isinstance(event, Restarting):
            job.done = 0.0
        busy = any(job.state == "running" for job in self._jobs.values())
        self._speed.add(max(0.0, job.done - before) * job.work.cost, busy=busy)

    def _left(self, job: _Job) -> float:
        return job.work.cost * (1 - job.done)

    def _seconds(self, cost: float) -> float | None:
        return cost / self.speed if self.speed else None

    def _forget_idle_flows(self) -> None:
        waiting = {job.flow for job in self._jobs.values() if job.state == "waiting"}
        for flow, due in list(self._due.items()):
            if flow not in waiting and due <= self._now.get(flow[0], 0.0):
                del self._due[flow]


def _place(work: Work, position: int | None, eta: float | None) -> Place:
    state: Literal["queued", "running"] = "running" if position is None else "queued"
    return Place(work.job_id, work.owner, work.request.prompt, state, position, eta)
