"""``GpuQueue``: the one queue of jobs, in the bot's process. No threads, no torch.

It orders the jobs fairly, sends every job its position, and passes the workers' events on to the
job's :class:`Ticket`. Everything here must be called from the event loop's thread.
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
class QueuePlace:
    """One job in :meth:`GpuQueue.snapshot`.

    ``prompt`` is its first request's. ``position`` counts from 1, None while the job runs;
    ``eta`` is the seconds until its picture, None while the speed is unmeasured.
    """

    job_id: int
    owner: str
    prompt: str
    state: Literal["queued", "running"]
    position: int | None
    eta: float | None


class Feed:
    """One worker's interface to the queue, made by :meth:`GpuQueue.feed`.

    The worker opens it, waits for ``changed``, clears that, then takes jobs and aborts.
    """

    def __init__(self, queue: GpuQueue) -> None:
        self.changed = asyncio.Event()
        self._queue = queue
        self._aborted: list[int] = []

    @property
    def speed(self) -> float | None:
        """The speed of the whole queue, :attr:`GpuQueue.speed`."""
        return self._queue.speed

    def open(self) -> None:
        """Start serving; a closed queue accepts jobs again."""
        self._queue._open(self)

    def take(self) -> Work | None:
        """Take the next job; None if none is waiting."""
        return self._queue._take(self)

    def take_aborted(self) -> list[int]:
        """Return this worker's cancelled jobs, each once."""
        aborted, self._aborted = self._aborted, []
        return aborted

    def publish(self, event: Event) -> None:
        """Pass an event on to the job's ticket; one of a job that the worker lost is ignored."""
        self._queue._publish(self, event)

    def close(self, detail: str = "") -> None:
        """Stop serving. The worker's jobs are queued again, for the other workers.

        When the last worker closes, all jobs fail with :class:`EngineStopped`, and
        :meth:`GpuQueue.submit` raises it.
        """
        self._queue._close(self, detail)
        self._aborted.clear()


@dataclass(slots=True, eq=False)
class _Entry:
    """A job: ``waiting``, ``taken`` by a feed but not started, or ``running``.

    ``done`` is the finished part, 0 to 1; ``sent`` is the last position sent, and whether its
    ETA was unknown.
    """

    work: Work
    ticket: Ticket
    state: Literal["waiting", "taken", "running"] = "waiting"
    feed: Feed | None = None
    done: float = 0.0
    sent: tuple[int, bool] | None = None

    @property
    def flow(self) -> tuple[int, str]:
        return self.work.priority, self.work.owner

    @property
    def remaining(self) -> float:
        """Remaining work, in megapixel-steps."""
        return self.work.cost * (1 - self.done)


class GpuQueue:
    """A fair queue of jobs.

    Within a priority the order is start-time fair queueing (Goyal, Vin, Cheng 1996) with one
    flow per owner and the cost ``Work.cost``: a job's start tag is the cost served to its owner
    so far, but at least the virtual time, so a new owner comes before everybody's second job.

    ``per_owner`` and ``total`` bound the jobs waiting or running; ``clock`` is monotonic, in
    seconds.
    """

    def __init__(
        self, per_owner: int, total: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_owner = per_owner
        self.total = total
        # In order of arrival, but a job moves to the end when it is taken.
        self._entries: dict[int, _Entry] = {}
        # The start tag of each flow's next job, and each priority's virtual time; both in cost.
        self._start_tags: dict[tuple[int, str], float] = {}
        self._virtual_time: dict[int, float] = {}
        self._speed = Speed(clock)
        self._feeds: list[Feed] = []
        self._closed: str | None = None

    # Called for a job's owner.

    def submit(self, work: Work, *, resumed: bool = False) -> Ticket:
        """Queue ``work``. ``resumed`` jobs were accepted before a restart, and skip the bounds.

        Raises :class:`QueueFull`, or :class:`EngineStopped` once closed; nothing is queued then.
        """
        if self._closed is not None:
            raise EngineStopped(self._closed)
        if work.job_id in self._entries:
            raise ValueError(f"job {work.job_id} is in the queue already")
        if not resumed:
            self._check_room(work.owner)
        if not self._entries:
            self._start_tags.clear()
            self._virtual_time.clear()
        entry = self._entries[work.job_id] = _Entry(work, Ticket(work.job_id))
        self._tag(entry, self._start_tags.get(entry.flow, 0.0))
        self._send_positions()
        return entry.ticket

    def cancel(self, job_id: int) -> bool:
        """Cancel a job, waiting or running, at once; False if there is none of this id."""
        entry = self._entries.get(job_id)
        if entry is None:
            return False
        if entry.feed is not None:
            entry.feed._aborted.append(job_id)
            entry.feed.changed.set()
        self._handle(entry, Cancelled(job_id))
        return True

    def position(self, job_id: int) -> int | None:
        """Return the position from 1; None when the job is running or unknown."""
        order = [entry.work.job_id for entry in self._order()]
        return order.index(job_id) + 1 if job_id in order else None

    def snapshot(self) -> tuple[QueuePlace, ...]:
        """Return all jobs: the running ones, then the queued ones in their order."""
        running = [entry for entry in self._entries.values() if entry.state == "running"]
        places = [_queue_place(entry.work, None, self._eta(entry.remaining)) for entry in running]
        ahead = sum(entry.remaining for entry in running)
        for position, entry in enumerate(self._order(), 1):
            ahead += entry.work.cost
            places.append(_queue_place(entry.work, position, self._eta(ahead)))
        return tuple(places)

    @property
    def speed(self) -> float | None:
        """Megapixel-steps per second of all running jobs together; None while unmeasured."""
        return self._speed.value

    def feed(self) -> Feed:
        """Make a feed for another worker. It serves once it is opened."""
        return Feed(self)

    # Called by a feed.

    def _open(self, feed: Feed) -> None:
        if feed not in self._feeds:
            self._feeds.append(feed)
        self._closed = None
        feed.changed.set()

    def _take(self, feed: Feed) -> Work | None:
        entry = next((entry for entry in self._order() if entry.state == "waiting"), None)
        if entry is None:
            return None
        work = entry.work
        self._virtual_time[work.priority] = self._start_tags[entry.flow]
        self._start_tags[entry.flow] += work.cost
        entry.state, entry.feed = "taken", feed
        self._entries[work.job_id] = self._entries.pop(work.job_id)
        self._drop_idle_flows()
        return work

    def _publish(self, feed: Feed, event: Event) -> None:
        entry = self._entries.get(event.job_id)
        if entry is not None and entry.feed is feed:
            self._handle(entry, event)

    def _close(self, feed: Feed, detail: str) -> None:
        if feed in self._feeds:
            self._feeds.remove(feed)
        if self._feeds:
            self._requeue(feed)
            return
        self._closed = detail
        for entry in list(self._entries.values()):
            self._end(entry, Failed(entry.work.job_id, EngineStopped(detail)))

    def _requeue(self, feed: Feed) -> None:
        """Queue a worker's jobs again, before later ones of the same owners."""
        back = {i: entry for i, entry in self._entries.items() if entry.feed is feed}
        for entry in back.values():
            if entry.state == "running":
                self._handle(entry, Restarting(entry.work.job_id))
            entry.state, entry.feed, entry.sent = "waiting", None, None
            # Refund the cost, which is charged again when the job is taken.
            self._tag(entry, self._start_tags.get(entry.flow, 0.0) - entry.work.cost)
        self._entries = back | self._entries
        self._send_positions()

    def _handle(self, entry: _Entry, event: Event) -> None:
        """Update the queue by an event, and put it on the job's ticket."""
        self._update_speed(entry, event)
        if isinstance(event, Ending):
            self._end(entry, event)
            return
        if isinstance(event, Started):
            entry.state = "running"
        entry.ticket.put(event)
        if isinstance(event, Started):
            self._send_positions()

    def _check_room(self, owner: str) -> None:
        if len(self._entries) >= self.total:
            raise QueueFull("total", self.total)
        if sum(entry.work.owner == owner for entry in self._entries.values()) >= self.per_owner:
            raise QueueFull("owner", self.per_owner)

    def _tag(self, entry: _Entry, start: float) -> None:
        """Set the flow's start tag, not below the virtual time, and wake all workers."""
        now = self._virtual_time.get(entry.work.priority, 0.0)
        self._start_tags[entry.flow] = max(start, now)
        for feed in self._feeds:
            feed.changed.set()

    def _order(self) -> list[_Entry]:
        """Return all jobs that are not running, the next one first."""
        tags = dict(self._start_tags)
        waiting: list[tuple[int, float, _Entry]] = []
        for entry in self._entries.values():
            if entry.state == "waiting":
                waiting.append((-entry.work.priority, tags[entry.flow], entry))
                tags[entry.flow] += entry.work.cost
        # The sort is stable: equals stay in order of arrival.
        waiting.sort(key=lambda each: each[:2])
        taken = [entry for entry in self._entries.values() if entry.state == "taken"]
        return taken + [entry for *_, entry in waiting]

    def _send_positions(self) -> None:
        """Send ``Queued`` to all jobs whose position changed, or that have their first ETA."""
        queued = [place for place in self.snapshot() if place.state == "queued"]
        for position, place in enumerate(queued, 1):
            entry = self._entries[place.job_id]
            if entry.sent != (position, place.eta is None):
                entry.sent = position, place.eta is None
                entry.ticket.put(Queued(place.job_id, position, len(queued), place.eta))

    def _end(self, entry: _Entry, event: Ending) -> None:
        del self._entries[entry.work.job_id]
        entry.ticket.put(event)
        self._send_positions()

    def _update_speed(self, entry: _Entry, event: Event) -> None:
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

    def _eta(self, cost: float) -> float | None:
        return cost / self.speed if self.speed else None

    def _drop_idle_flows(self) -> None:
        """Remove flows that a new one would equal: nothing waits, and the tag has passed."""
        waiting = {entry.flow for entry in self._entries.values() if entry.state == "waiting"}
        for flow, tag in list(self._start_tags.items()):
            if flow not in waiting and tag <= self._virtual_time.get(flow[0], 0.0):
                del self._start_tags[flow]


def _queue_place(work: Work, position: int | None, eta: float | None) -> QueuePlace:
    state: Literal["queued", "running"] = "running" if position is None else "queued"
    return QueuePlace(work.job_id, work.owner, work.request.prompt, state, position, eta)
