"""``Station``: one worker as the queue sees it, with its jobs; ``Entry``: one job."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from core.events import Event, Finished, Progress, Restarting
from core.serving.pace import Pace
from core.serving.placing import Load
from core.serving.speed import Speed
from core.serving.ticket import Ticket
from core.work import Work


@dataclass(eq=False)
class Entry:
    """A job: ``waiting``, ``taken`` by a worker but not started, or ``running``.

    ``done`` is the finished part, 0 to 1; ``sent`` is the last position sent, and whether its
    ETA was unknown. A ``suspect`` was with an engine that died, and runs alone. ``taken_at`` is
    the time, and ``loading`` the seconds that its models were expected to need from then on.
    ``since`` is when it was queued, None once it has started.
    """

    work: Work
    ticket: Ticket
    state: Literal["waiting", "taken", "running"] = "waiting"
    station: Station | None = None
    done: float = 0.0
    sent: tuple[int, bool] | None = None
    suspect: bool = False
    taken_at: float = 0.0
    loading: float = 0.0
    since: float | None = None

    @property
    def remaining(self) -> float:
        """Remaining work, in megapixel-steps."""
        return self.work.cost * (1 - self.done)

    @cached_property
    def models(self) -> frozenset[str]:
        """Names of the models that it uses; none where it only enlarges."""
        items = (item for item in self.work.items if not item.request.only_enlarges)
        return frozenset(item.model.name for item in items)


@dataclass(eq=False)
class Station:
    """A worker's jobs, in the order in which it took them, and what it says of itself.

    ``ready``: it takes jobs; ``models`` are the names of those it has loaded; ``pace`` is measured.
    ``changed`` wakes it; ``aborted`` are the ids of jobs that it should drop. ``lacking`` are files
    that are not on its computer, and until when that is believed. ``steps`` counts the sampler
    steps that it was seen to do.
    """

    speed: Speed
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    jobs: dict[int, Entry] = field(default_factory=dict)
    aborted: list[int] = field(default_factory=list)
    models: frozenset[str] = frozenset()
    ready: bool = False
    pace: Pace = field(default_factory=Pace)
    steps: float = 0.0
    lacking: dict[Path, float] = field(default_factory=dict)

    def lacks(self, entry: Entry, now: float) -> bool:
        """Whether a file of the job is not on its computer, as far as is known."""
        return any(self.lacking.get(path, now) > now for path in entry.work.files)

    @property
    def backlog(self) -> float:
        """The work left of its jobs, in megapixel-steps."""
        return sum(entry.remaining for entry in self.jobs.values())

    def load(self, now: float, *, without: Entry) -> Load:
        """Return what it has to do at the time ``now`` but for one job."""
        jobs = [entry for entry in self.jobs.values() if entry is not without]
        loading = [e.taken_at + e.loading - now for e in jobs if e.state == "taken" and e.loading]
        return Load(
            models=self.models.union(*(entry.models for entry in jobs)),
            backlog=sum(entry.remaining for entry in jobs),
            speed=self.speed.value,
            loading=max(loading, default=0.0),
        )

    def drop(self, entry: Entry) -> None:
        """Take a job away from it, which it aborts."""
        del self.jobs[entry.work.job_id]
        self.aborted.append(entry.work.job_id)
        self.changed.set()

    def measure(self, entry: Entry, event: Event) -> None:
        """Update a job's finished part and the speed by an event."""
        before = entry.done
        if isinstance(event, Progress):
            entry.done = event.step / event.steps
            self.steps += max(0.0, entry.done - before) * event.steps
        elif isinstance(event, Finished):
            entry.done = 1.0
            self.speed.measured = True
        elif isinstance(event, Restarting):
            entry.done = 0.0
        busy = any(each.state == "running" for each in self.jobs.values())
        self.speed.add(max(0.0, entry.done - before) * entry.work.cost, busy=busy)
