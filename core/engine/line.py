"""``Line``: the pictures that wait in the engine, the least-served owner's first.

A sheet is one job of many pictures. Taken picture by picture, it never stands before the single
picture of somebody else.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass

from core.engine.running_job import RunningJob
from core.fairness import FairShares
from core.models.catalogue import Model
from core.work import Item

# Higher priorities come first, then owners by what they were served.
Flow = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Items of a job that share latents: ``positions`` in its work. See :mod:`core.engine.runs`."""

    job: RunningJob
    positions: tuple[int, ...]

    @property
    def flow(self) -> Flow:
        """Whom it is served to."""
        return -self.job.work.priority, self.job.work.owner

    @property
    def item(self) -> Item:
        """The first of its items, from which the others differ in their VAE only."""
        return self.job.work.items[self.positions[0]]

    @property
    def model(self) -> Model | None:
        """The checkpoint that it needs; a finished image that is only enlarged needs none."""
        return None if self.item.request.only_enlarges else self.item.model

    @property
    def cost(self) -> float:
        """Megapixel-steps of all its pictures."""
        return self.item.cost


class Line:
    """Groups of pictures, in order of arrival for each owner."""

    def __init__(self) -> None:
        self._groups: dict[Flow, deque[Group]] = {}
        # By priority: what one was served does not move the present of another.
        self._shares: dict[int, FairShares] = defaultdict(FairShares)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, job: RunningJob) -> None:
        """Add a job's groups."""
        for positions in job.groups:
            group = Group(job, positions)
            self._groups.setdefault(group.flow, deque()).append(group)

    def drop(self, job: RunningJob) -> None:
        """Remove a job's groups."""
        self._keep({flow: deque(g for g in own if g.job is not job) for flow, own in self._items()})

    def first(self, passed: Collection[Flow] = ()) -> Group | None:
        """Return the group to serve next, of flows that are not ``passed`` over."""
        flows = [flow for flow in self._groups if flow not in passed]
        if not flows:
            return None
        return self._groups[min(flows, key=lambda flow: (flow[0], self._tag(flow)))][0]

    def wants(self, model: Model) -> bool:
        """Whether a picture of this model waits."""
        return any(group.model == model for own in self._groups.values() for group in own)

    def take(self, group: Group) -> None:
        """Remove a group that is first in its flow, for all of its pictures have started."""
        self._groups[group.flow].popleft()
        self._keep(self._groups)

    def charge(self, group: Group, pictures: int) -> None:
        """Count one picture of a group of ``pictures`` as served."""
        self._shares[group.flow[0]].charge(group.flow, group.cost / pictures)

    def _tag(self, flow: Flow) -> float:
        return self._shares[flow[0]].tag(flow)

    def _items(self) -> list[tuple[Flow, deque[Group]]]:
        return list(self._groups.items())

    def _keep(self, groups: dict[Flow, deque[Group]]) -> None:
        self._groups = {flow: own for flow, own in groups.items() if own}
