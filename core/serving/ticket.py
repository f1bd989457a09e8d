"""``Ticket``: the events of one job, for its reader."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

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

# Unread events that a newer one supersedes, so that a slow reader has no backlog.
_SUPERSEDES: Final[dict[type[Event], tuple[type[Event], ...]]] = {
    Queued: (Queued,),
    Started: (Queued, Started),
    Progress: (Progress,),
    Restarting: (Queued, Started, Progress, Restarting),
    Finished: (Queued, Progress, Restarting),
    Failed: (Queued, Progress, Restarting),
    Cancelled: (Queued, Progress, Restarting),
}


class Ticket:
    """An async iterator over a job's events, up to the one that ends it. For one reader.

    A slow reader gets only the newest ``Queued`` and ``Progress`` (with the newest preview). It
    may stop reading and continue later.
    """

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        self._unread: list[Event] = []
        self._ended = False
        self._changed = asyncio.Event()

    def __aiter__(self) -> Ticket:
        return self

    async def __anext__(self) -> Event:
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._unread.pop(0)

    def put(self, event: Event) -> None:
        """Add an event, and drop the unread ones that it supersedes. Called by the queue."""
        if isinstance(event, Progress) and event.preview is None:
            for old in self._unread:
                if isinstance(old, Progress):
                    event = replace(event, preview=old.preview)
        superseded = _SUPERSEDES[type(event)]
        self._unread = [old for old in self._unread if not isinstance(old, superseded)]
        self._unread.append(event)
        self._ended = isinstance(event, Ending)
        self._changed.set()
