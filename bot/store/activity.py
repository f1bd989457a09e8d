"""What the jobs table says of the bot as a whole: how many jobs are in each state, and a day."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bot.store.database import Database
from bot.store.job_rows import STATES, State

HOUR: Final = 3600.0
HOURS: Final = 24
# Jobs that a day's figures are taken from, the newest, so that they cost the same for ever.
MOST: Final = 20_000

_DAY: Final = (
    "SELECT state, created_at, started_at, finished_at FROM jobs"
    " WHERE id > (SELECT coalesce(max(id), 0) FROM jobs) - ? AND created_at >= ?"
)


@dataclass(slots=True)
class Hour:
    """The jobs accepted in an hour that ended, by how.

    ``waited`` are the seconds that those ``started`` waited for that, together.
    """

    delivered: int = 0
    failed: int = 0
    cancelled: int = 0
    waited: float = 0.0
    started: int = 0

    @property
    def jobs(self) -> int:
        """All of them."""
        return self.delivered + self.failed + self.cancelled

    @property
    def wait(self) -> float:
        """The mean wait in seconds; 0 where nothing was started."""
        return self.waited / self.started if self.started else 0.0


class Activity:
    """Reads of the jobs table. ``clock`` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def states(self) -> dict[State, int]:
        """Count the jobs in each state."""
        rows = await self._database.read("SELECT state, count(*) FROM jobs GROUP BY state")
        return dict.fromkeys(STATES, 0) | {row[0]: row[1] for row in rows}

    async def day(self) -> list[Hour]:
        """Return the last 24 hours, the oldest first."""
        start = self._clock() - HOURS * HOUR
        hours = [Hour() for _ in range(HOURS)]
        for row in await self._database.read(_DAY, MOST, start):
            hour = hours[min(int((row["created_at"] - start) // HOUR), HOURS - 1)]
            match row["state"]:
                case "delivered" | "finished":
                    hour.delivered += 1
                case "failed":
                    hour.failed += 1
                case "cancelled":
                    hour.cancelled += 1
            if row["started_at"] is not None:
                hour.started += 1
                hour.waited += row["started_at"] - row["created_at"]
        return hours
