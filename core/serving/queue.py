"""``GpuQueue``: the one waiting line, in the bot's process. Pure asyncio, no threads, no torch.

It knows whose turn it is, tells every job its place, and carries the workers' events to the
job's :class:`Ticket`. Everything here must be called from the event loop's own thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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
from core.serving.speed import Speed
from core.serving.ticket import Ticket
from core.work import Work


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


class Feed:
    """One worker's side of the queue: what it takes from there, and what it tells.

    The worker opens it, waits for ``changed``, clears that, then asks; :meth:`GpuQueue.feed`
    makes it.
    """

    def __init__(self, queue: GpuQueue) -> None:
        self.changed = asyncio.Event()
        self._queue = queue
        self._aborted: list[int] = []

    @property
    def speed(self) -> float | None:
        """That of the whole queue; see :attr:`GpuQueue.speed`."""
        return self._queue.speed

    def open(self) -> None:
        """Begin to serve; the queue accepts jobs again if it did not."""
        self._queue._open(self)

    def take(self) -> Work | None:
        """Give the worker the job whose turn it is; None if nobody waits."""
        return self._queue._take(self)

    def take_aborted(self) -> list[int]:
        """Return the jobs of this worker that were cancelled, each told once."""
        aborted, self._aborted = self._aborted, []
        return aborted

    def publish(self, event: Event) -> None:
        """Carry the worker's event to the job's ticket; of a job that it does not have: nothing."""
        self._queue._publish(self, event)

    def close(self, detail: str = "") -> None:
        """End the service. The worker's jobs go back to the line, for the other workers.

        The last one to close fails every job with :class:`EngineStopped`, and new ones are
        refused with the same.
        """
        self._queue._close(self, detail)
        self._aborted.clear()


@dataclass(slots=True, eq=False)
class _Entry:
    """``waiting`` in line → ``taken`` by a feed, still queued to its owner → ``running``."""

    work: Work
    ticket: Ticket
    state: Literal["waiting", "taken", "running"] = "waiting"
    feed: Feed | None = None
    done: float = 0.0
    told: tuple[int, bool] | None = None

    @property
    def flow(self) -> tuple[int, str]:
        return self.work.priority, self.work.owner

    @property
    def left(self) -> float:
        """Work that is still to be done."""
        return self.work.cost * (1 - self.done)


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
        # In order of arrival; a job moves to the end when it is taken.
        self._entries: dict[int, _Entry] = {}
        # Virtual time, in cost: when each flow's next job is due, and what is due now.
        self._due: dict[tuple[int, str], float] = {}
        self._now: dict[int, float] = {}
        self._speed = Speed(clock)
        self._feeds: list[Feed] = []
        self._closed: str | None = None

    # What a job's owner does.

    def submit(self, work: Work, *, resumed: bool = False) -> Ticket:
        """Put ``work`` in line. ``resumed`` jobs were accepted before a restart: no bounds.

        Raises :class:`QueueFull`, or :class:`EngineStopped` once closed; nothing is queued then.
        """
        if self._closed is not None:
            raise EngineStopped(self._closed)
        if work.job_id in self._entries:
            raise ValueError(f"job {work.job_id} is in the queue already")
        if not resumed:
            self._check_room(work.owner)
        if not self._entries:
            self._due.clear()
            self._now.clear()
        entry = self._entries[work.job_id] = _Entry(work, Ticket(work.job_id))
        self._join(entry, self._due.get(entry.flow, 0.0))
        self._tell_places()
        return entry.ticket

    def cancel(self, job_id: int) -> bool:
        """End a job that waits or runs with ``Cancelled``, at once; False if it is not here."""
        entry = self._entries.get(job_id)
        if entry is None:
            return False
        if entry.feed is not None:
            entry.feed._aborted.append(job_id)
            entry.feed.changed.set()
        self._tell(entry, Cancelled(job_id))
        return True

    def position(self, job_id: int) -> int | None:
        """Return the place in line from 1; None when the job runs or is not here."""
        line = [entry.work.job_id for entry in self._line()]
        return line.index(job_id) + 1 if job_id in line else None

    def snapshot(self) -> tuple[Place, ...]:
        """Return every job: the running ones, then the line in its order."""
        running = [entry for entry in self._entries.values() if entry.state == "running"]
        places = [_place(entry.work, None, self._seconds(entry.left)) for entry in running]
        ahead = sum(entry.left for entry in running)
        for position, entry in enumerate(self._line(), 1):
            ahead += entry.work.cost
            places.append(_place(entry.work, position, self._seconds(ahead)))
        return tuple(places)

    @property
    def speed(self) -> float | None:
        """Measured megapixel-steps per second, all running jobs together; None at first."""
        return self._speed.value

    def feed(self) -> Feed:
        """Make one more worker's side of this queue. It serves once it is opened."""
        return Feed(self)

    # What a feed does.

    def _open(self, feed: Feed) -> None:
        if feed not in self._feeds:
            self._feeds.append(feed)
        self._closed = None
        feed.changed.set()

    def _take(self, feed: Feed) -> Work | None:
        entry = next((entry for entry in self._line() if entry.state == "waiting"), None)
        if entry is None:
            return None
        work = entry.work
        self._now[work.priority] = self._due[entry.flow]
        self._due[entry.flow] += work.cost
        entry.state, entry.feed = "taken", feed
        self._entries[work.job_id] = self._entries.pop(work.job_id)
        self._forget_idle_flows()
        return work

    def _publish(self, feed: Feed, event: Event) -> None:
        entry = self._entries.get(event.job_id)
        if entry is not None and entry.feed is feed:
            self._tell(entry, event)

    def _close(self, feed: Feed, detail: str) -> None:
        if feed in self._feeds:
            self._feeds.remove(feed)
        if self._feeds:
            self._give_back(feed)
            return
        self._closed = detail
        for entry in list(self._entries.values()):
            self._end(entry, Failed(entry.work.job_id, EngineStopped(detail)))

    # Inside.

    def _give_back(self, feed: Feed) -> None:
        """Put a worker's jobs in line again, before what their owners sent later."""
        back = {i: entry for i, entry in self._entries.items() if entry.feed is feed}
        for entry in back.values():
            if entry.state == "running":
                self._tell(entry, Restarting(entry.work.job_id))
            entry.state, entry.feed, entry.told = "waiting", None, None
            # It was charged when it was taken, and will be again.
            self._join(entry, self._due.get(entry.flow, 0.0) - entry.work.cost)
        self._entries = back | self._entries
        self._tell_places()

    def _tell(self, entry: _Entry, event: Event) -> None:
        """Put an event on the job's ticket, and do what follows from it here."""
        self._measure(entry, event)
        if isinstance(event, Ending):
            self._end(entry, event)
            return
        if isinstance(event, Started):
            entry.state = "running"
        entry.ticket.put(event)
        if isinstance(event, Started):
            self._tell_places()

    def _check_room(self, owner: str) -> None:
        if len(self._entries) >= self.total:
            raise QueueFull("total", self.total)
        if sum(entry.work.owner == owner for entry in self._entries.values()) >= self.per_owner:
            raise QueueFull("owner", self.per_owner)

    def _join(self, entry: _Entry, due: float) -> None:
        """Let its flow wait from ``due`` on, or from now on if that has passed; wake everybody."""
        self._due[entry.flow] = max(due, self._now.get(entry.work.priority, 0.0))
        for feed in self._feeds:
            feed.changed.set()

    def _line(self) -> list[_Entry]:
        """Every job that is still queued to its owner, next one first."""
        due = dict(self._due)
        waiting: list[tuple[int, float, _Entry]] = []
        for entry in self._entries.values():
            if entry.state == "waiting":
                waiting.append((-entry.work.priority, due[entry.flow], entry))
                due[entry.flow] += entry.work.cost
        # A stable sort: equals stay in order of arrival.
        waiting.sort(key=lambda each: each[:2])
        taken = [entry for entry in self._entries.values() if entry.state == "taken"]
        return taken + [entry for *_, entry in waiting]

    def _tell_places(self) -> None:
        """To everybody whose place, or whose first ETA, is news."""
        queued = [place for place in self.snapshot() if place.state == "queued"]
        for position, place in enumerate(queued, 1):
            entry = self._entries[place.job_id]
            if entry.told != (position, place.eta is None):
                entry.told = position, place.eta is None
                entry.ticket.put(Queued(place.job_id, position, len(queued), place.eta))

    def _end(self, entry: _Entry, event: Ending) -> None:
        del self._entries[entry.work.job_id]
        entry.ticket.put(event)
        self._tell_places()

    def _measure(self, entry: _Entry, event: Event) -> None:
        before = entry.done
        if isinstance(event, Progress):
            entry.done = event.step / event.steps
        elif isinstance(event, Finished):
            entry.done = 1.0
            self._speed.measured = True
        elif isinstance(event, Restarting):
            entry.done = 0.0
        busy = any(entry.state == "running" for entry in self._entries.values())
        self._speed.add(max(0.0, entry.done - before) * entry.work.cost, busy=busy)

    def _seconds(self, cost: float) -> float | None:
        return cost / self.speed if self.speed else None

    def _forget_idle_flows(self) -> None:
        waiting = {entry.flow for entry in self._entries.values() if entry.state == "waiting"}
        for flow, due in list(self._due.items()):
            if flow not in waiting and due <= self._now.get(flow[0], 0.0):
                del self._due[flow]


def _place(work: Work, position: int | None, eta: float | None) -> Place:
    state: Literal["queued", "running"] = "running" if position is None else "queued"
    return Place(work.job_id, work.owner, work.request.prompt, state, position, eta)
