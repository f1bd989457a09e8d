"""``Ticket``: the events of one job, for the one who waits for them."""

from __future__ import annotations

import asyncio
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

    def put(self, event: Event) -> None:
        """Add an event, and drop the unread ones that it makes pointless. For the queue alone."""
        if isinstance(event, Progress) and event.preview is None:
            for old in self._unread:
                if isinstance(old, Progress):
                    event = Progress(event.job_id, event.step, event.steps, old.preview)
        outdated = _OUTDATES[type(event)]
        self._unread = [old for old in self._unread if not isinstance(old, outdated)]
        self._unread.append(event)
        self._ended = isinstance(event, Ending)
        self._news.set()
