"""``GpuQueue``: the one queue of jobs, in the bot's process. No threads, no torch.

It orders the jobs fairly, sends every job its position, and passes the workers' events on to the
job's :class:`Ticket`. Everything here must be called from the event loop's thread.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from core.errors import EngineCrashed, EngineStopped, QueueFull, Refused
from core.events import Cancelled, Ending, Event, Failed, Queued, Restarting, Started
from core.fairness import FairShares
from core.serving.pace import Pace
from core.serving.placing import switch, waits
from core.serving.speed import Speed
from core.serving.station import Entry, Station
from core.serving.ticket import Ticket
from core.work import Work

# Seconds until a worker that lacked a job's file is asked again: it may have been copied there.
LACKING: Final = 60.0


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

    def __init__(self, queue: GpuQueue, station: Station) -> None:
        self.changed = station.changed
        self._queue = queue
        self._station = station

    @property
    def speed(self) -> float | None:
        """Megapixel-steps per second of this worker's jobs together; None while unmeasured."""
        return self._station.speed.value

    @property
    def steps(self) -> float:
        """The sampler steps that this worker was seen to do."""
        return self._station.steps

    @property
    def unstarted(self) -> list[Work]:
        """This worker's jobs that it has not started."""
        return [each.work for each in self._station.jobs.values() if each.state == "taken"]

    def open(self) -> None:
        """Start serving; a closed queue accepts jobs again."""
        self._queue._open(self._station)

    def has(self, models: tuple[str, ...]) -> None:
        """Say which models the worker has loaded: jobs that use them come to it."""
        self._station.models = frozenset(models)
        self._queue._wake()

    def measured(self, calls: Mapping[str, Mapping[int, float]]) -> None:
        """Say how long the worker's UNet calls take, by model and size, and by rows."""
        self._station.pace = Pace(calls)

    def take(self, *, passed: Collection[tuple[int, str]] = ()) -> Work | None:
        """Take the next job that is for this worker; None if there is none.

        Those of ``passed`` flows (priority and owner) are passed over.
        """
        return self._queue._take(self._station, passed)

    def take_aborted(self) -> list[int]:
        """Return this worker's jobs that were cancelled or went to another, each once."""
        aborted, self._station.aborted = self._station.aborted, []
        return aborted

    def publish(self, event: Event) -> None:
        """Pass an event on to the job's ticket; one of a job that the worker lost is ignored."""
        self._queue._publish(self._station, event)

    def lacks(self, job_id: int, files: Iterable[Path]) -> None:
        """Say that these files of a job are not where the worker is: it goes to another.

        Where no worker has them, the job fails with :class:`Refused`.
        """
        self._queue._lacks(self._station, job_id, files)

    def lose(self, *, suspect: bool = True) -> None:
        """Say that the worker's engine died. Its jobs are queued again, each to run alone.

        One that was alone at its second death fails with :class:`EngineCrashed`. Not ``suspect``:
        it was stopped, and no job is to blame.
        """
        self._queue._lose(self._station, suspect)

    def close(self, detail: str = "") -> None:
        """Stop serving. The worker's jobs are queued again, for the other workers.

        When the last worker closes, all jobs fail with :class:`EngineStopped`, and
        :meth:`GpuQueue.submit` raises it; unless the queue is held open.
        """
        self._queue._close(self._station, detail)


class GpuQueue:
    """A fair queue of jobs.

    Within a priority the order is start-time fair queueing (Goyal, Vin, Cheng 1996) with one
    flow per owner and the cost ``Work.cost``: a job's start tag is the cost served to its owner
    so far, but at least the virtual time, so a new owner comes before everybody's second job.

    Of several workers, a job goes to the one where it is expected to begin first
    (:mod:`core.serving.placing`); one without jobs also takes over what waits longer at another.

    ``per_owner`` and ``total`` bound the jobs waiting or running; ``clock`` is monotonic, in
    seconds.
    """

    def __init__(
        self, per_owner: int, total: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_owner = per_owner
        self.total = total
        self._clock = clock
        # In order of arrival, but a job moves to the end when it is taken.
        self._entries: dict[int, Entry] = {}
        self._shares: defaultdict[int, FairShares] = defaultdict(FairShares)
        # The seconds that loading each model took, where nothing else was done.
        self._switches: dict[str, float] = {}
        self._stations: list[Station] = []
        self._closed: str | None = None
        self._held = False
        # Jobs that have started, and the seconds that they waited together.
        self.started = 0
        self.waited = 0.0

    # Called for a job's owner.

    def submit(self, work: Work, *, resumed: bool = False) -> Ticket:
        """Queue ``work``. ``resumed`` jobs were accepted before a restart, and skip the bounds.

        Raises :class:`QueueFull`, or :class:`EngineStopped` once closed; nothing is queued then.
        """
        if resumed and self._closed is not None:
            raise EngineStopped(self._closed)
        if work.job_id in self._entries:
            raise ValueError(f"job {work.job_id} is in the queue already")
        if not resumed:
            self.check_room(work.owner)
        if not self._entries:
            self._shares.clear()
        entry = Entry(work, Ticket(work.job_id), since=self._clock())
        self._entries[work.job_id] = entry
        self._wake()
        self._send_positions()
        return entry.ticket

    def check_room(self, owner: str, coming: Mapping[str, int] = MappingProxyType({})) -> None:
        """Raise what :meth:`submit` would raise for an owner's job, beside the ``coming`` ones."""
        if self._closed is not None:
            raise EngineStopped(self._closed)
        if len(self._entries) + sum(coming.values()) >= self.total:
            raise QueueFull("total", self.total)
        own = sum(entry.work.owner == owner for entry in self._entries.values())
        if own + coming.get(owner, 0) >= self.per_owner:
            raise QueueFull("owner", self.per_owner)

    def cancel(self, job_id: int) -> bool:
        """Cancel a job, waiting or running, at once; False if there is none of this id."""
        entry = self._entries.get(job_id)
        if entry is None:
            return False
        if entry.station is not None:
            entry.station.drop(entry)
        self._handle(entry, Cancelled(job_id))
        return True

    def position(self, job_id: int) -> int | None:
        """Return the position from 1; None when the job is running or unknown."""
        order = [entry.work.job_id for entry in self._order()]
        return order.index(job_id) + 1 if job_id in order else None

    def snapshot(self) -> tuple[QueuePlace, ...]:
        """Return all jobs: the running ones, then the queued ones in their order."""
        running = [entry for entry in self._entries.values() if entry.state == "running"]
        rows = sum(entry.work.rows for entry in self._entries.values())
        left = [self._seconds(entry, rows) for entry in running]
        places = [
            _queue_place(entry.work, None, seconds)
            for entry, seconds in zip(running, left, strict=True)
        ]
        ahead = _sum(left)
        for position, entry in enumerate(self._order(), 1):
            ahead = _sum((ahead, self._seconds(entry, rows)))
            places.append(_queue_place(entry.work, position, ahead))
        return tuple(places)

    @property
    def speed(self) -> float | None:
        """Megapixel-steps per second of all workers together; None while unmeasured."""
        return sum(station.speed.value or 0.0 for station in self._stations) or None

    def feed(self) -> Feed:
        """Make a feed for another worker. It serves once it is opened."""
        return Feed(self, Station(Speed(self._clock)))

    def hold(self) -> None:
        """Stay open though nobody serves: workers are expected to come."""
        self._held, self._closed = True, None

    def release(self) -> None:
        """End :meth:`hold`; where nobody serves, the queue closes."""
        self._held = False
        self._close_unserved("")

    # Called by a feed.

    def _open(self, station: Station) -> None:
        if station not in self._stations:
            self._stations.append(station)
        self._closed = None
        station.changed.set()

    def _take(self, station: Station, passed: Collection[tuple[int, str]]) -> Work | None:
        station.ready = True
        if any(entry.suspect for entry in station.jobs.values()):
            return None
        now = self._clock()
        for entry in self._order():
            if entry.work.flow in passed or station.lacks(entry, now):
                continue
            if entry.suspect and entry.station is None:
                if not station.jobs:
                    return self._give(entry, station)
                able = [each for each in self._stations if not each.lacks(entry, now)]
                if station is min(able, key=lambda each: each.backlog):
                    return None  # It takes nothing else, to have it alone.
                continue
            free = entry.station is None or not (entry.suspect or station.jobs)
            if free and station is self._place(entry):
                return self._give(entry, station)
        return None

    def _place(self, entry: Entry) -> Station | None:
        """Return where the job is expected to begin first; None if it has a place as good."""
        now = self._clock()
        stations = [each for each in self._stations if each.ready and not each.lacks(entry, now)]
        loads = [each.load(now, without=entry) for each in stations]
        expected = dict(zip(stations, waits(entry.models, loads, self._switches), strict=True))
        best = min(expected, key=expected.__getitem__)
        here = entry.station
        return None if here and expected.get(here, 0.0) <= expected[best] else best

    def _give(self, entry: Entry, station: Station) -> Work:
        """Give a job to a worker, from the line or from the worker that has it."""
        work = entry.work
        if entry.station is None:
            self._shares[work.priority].charge(work.owner, work.cost)
        else:
            entry.station.drop(entry)
        entry.taken_at = self._clock()
        load = station.load(entry.taken_at, without=entry)
        entry.loading = switch(entry.models, load, self._switches)
        entry.state, entry.station = "taken", station
        station.jobs[work.job_id] = entry
        self._entries[work.job_id] = self._entries.pop(work.job_id)
        # What is next may be for another.
        self._wake(but=station)
        return work

    def _publish(self, station: Station, event: Event) -> None:
        if entry := station.jobs.get(event.job_id):
            self._handle(entry, event)

    def _lacks(self, station: Station, job_id: int, files: Iterable[Path]) -> None:
        """Queue a job again that a worker has not the files for, for others; or fail it."""
        now = self._clock()
        station.lacking |= dict.fromkeys(files, now + LACKING)
        entry = station.jobs.get(job_id)
        if entry is None:
            return
        if all(each.lacks(entry, now) for each in self._stations):
            kind, name = next(
                what for path, what in entry.work.files.items() if path in station.lacking
            )
            self._handle(entry, Failed(job_id, Refused(kind, name, "nowhere")))
        else:
            self._return({job_id: station.jobs.pop(job_id)})

    def _lose(self, station: Station, suspect: bool) -> None:
        for entry in list(station.jobs.values()):
            job_id = entry.work.job_id
            if suspect and entry.suspect:
                self._handle(entry, Failed(job_id, EngineCrashed(job_id)))
            else:
                self._handle(entry, Restarting(job_id))
                entry.suspect = entry.suspect or suspect
        self._requeue(station)

    def _close(self, station: Station, detail: str) -> None:
        if station in self._stations:
            self._stations.remove(station)
        self._close_unserved(detail)
        for entry in station.jobs.values():
            if entry.state == "running":
                self._handle(entry, Restarting(entry.work.job_id))
        self._requeue(station)

    def _close_unserved(self, detail: str) -> None:
        """Fail all jobs, and those to come, where nobody serves the queue or is expected to."""
        if not self._stations and not self._held:
            self._closed = detail
            for entry in list(self._entries.values()):
                self._end(entry, Failed(entry.work.job_id, EngineStopped(detail)))

    def _requeue(self, station: Station) -> None:
        """Queue the jobs of a worker that lost them."""
        back, station.jobs = station.jobs, {}
        station.ready, station.models = False, frozenset()
        station.aborted.clear()
        self._return(back)

    def _return(self, back: dict[int, Entry]) -> None:
        """Queue jobs again, before later ones of the same owners."""
        for entry in back.values():
            entry.state, entry.station, entry.sent = "waiting", None, None
            # The cost is charged again when the job is taken.
            self._shares[entry.work.priority].refund(entry.work.owner, entry.work.cost)
        self._entries = back | self._entries
        self._wake()
        self._send_positions()

    def _handle(self, entry: Entry, event: Event) -> None:
        """Update the queue by an event, and put it on the job's ticket."""
        if entry.station is not None:
            entry.station.measure(entry, event)
        if isinstance(event, Ending):
            self._end(entry, event)
            return
        if isinstance(event, Started):
            self._measure_switch(entry)
            self._measure_wait(entry)
            entry.state = "running"
        entry.ticket.put(event)
        if isinstance(event, Started):
            self._send_positions()

    def _measure_switch(self, entry: Entry) -> None:
        """Note how long a model was loaded for a job that starts, if nothing else was done."""
        alone = entry.station is not None and len(entry.station.jobs) == len(entry.models) == 1
        if entry.state == "taken" and entry.loading and alone:
            [model] = entry.models
            self._switches[model] = self._clock() - entry.taken_at

    def _measure_wait(self, entry: Entry) -> None:
        """Add the time that a job waited for its first start."""
        if entry.since is not None:
            self.started += 1
            self.waited += self._clock() - entry.since
            entry.since = None

    def _wake(self, but: Station | None = None) -> None:
        for station in self._stations:
            if station is not but:
                station.changed.set()

    def _order(self) -> list[Entry]:
        """Return all jobs that are not running, the next one first."""
        tags: dict[tuple[int, str], float] = {}
        waiting: list[tuple[bool, int, float, Entry]] = []
        for entry in self._entries.values():
            if entry.state == "waiting":
                flow = priority, owner = entry.work.priority, entry.work.owner
                tag = tags.get(flow, self._shares[priority].tag(owner))
                waiting.append((not entry.suspect, -priority, tag, entry))
                tags[flow] = tag + entry.work.cost
        # The sort is stable: equals stay in order of arrival.
        waiting.sort(key=lambda each: each[:3])
        taken = [entry for entry in self._entries.values() if entry.state == "taken"]
        return taken + [entry for *_, entry in waiting]

    def _send_positions(self) -> None:
        """Send ``Queued`` to all jobs whose position changed, or that have their first ETA."""
        queued = [place for place in self.snapshot() if place.state == "queued"]
        for position, place in enumerate(queued, 1):
            entry = self._entries[place.job_id]
            # One that an engine died with is told that, not its place.
            if not entry.suspect and entry.sent != (position, place.eta is None):
                entry.sent = position, place.eta is None
                entry.ticket.put(Queued(place.job_id, position, len(queued), place.eta))

    def _end(self, entry: Entry, event: Ending) -> None:
        del self._entries[entry.work.job_id]
        if entry.station is not None:
            entry.station.jobs.pop(entry.work.job_id, None)
        if entry.suspect:
            self._wake()  # Nobody need keep free for it.
        entry.ticket.put(event)
        self._send_positions()

    def _seconds(self, entry: Entry, rows: int) -> float | None:
        """Return how long the rest of a job takes all workers, by what their calls take.

        ``rows`` share those. Before any are measured, by the speed of the jobs so far.
        """
        paces = [station.pace.seconds(entry.work, rows) for station in self._stations]
        a_second = sum(1 / seconds for seconds in paces if seconds)
        if a_second:
            return (1 - entry.done) / a_second
        return entry.remaining / self.speed if self.speed else None


def _sum(seconds: Iterable[float | None]) -> float | None:
    """Return the sum; None if one of them is not known."""
    total = 0.0
    for each in seconds:
        if each is None:
            return None
        total += each
    return total


def _queue_place(work: Work, position: int | None, eta: float | None) -> QueuePlace:
    state: Literal["queued", "running"] = "running" if position is None else "queued"
    return QueuePlace(work.job_id, work.owner, work.request.prompt, state, position, eta)
