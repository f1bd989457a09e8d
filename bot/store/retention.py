"""Retention: jobs are deleted after a set time, the oldest images over a set size.

Only jobs that have ended are touched, and whose members know it: one whose pictures, or whose end,
did not reach Discord yet stays.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiosqlite

from bot.store import former, inputs
from bot.store.database import Database
from bot.store.pictures import Pictures

DAY: Final = 86_400.0
GB: Final = 10**9
# Jobs in one transaction, so that nothing else waits long for the database.
BATCH: Final = 100

# As the index jobs_by_end has it, so that SQLite can use it.
_ENDED: Final = "state IN ('delivered', 'failed', 'cancelled')"
_OLDEST_FIRST: Final = (
    f"SELECT id, finished_at FROM jobs INDEXED BY jobs_by_end WHERE {_ENDED} AND NOT untold"
)
_OLD: Final = f"{_OLDEST_FIRST} AND finished_at < ? ORDER BY finished_at, id LIMIT ?"
_WITH_FILES: Final = (
    f"{_OLDEST_FIRST} AND finished_at NOT NULL AND state = 'delivered'"
    " AND EXISTS (SELECT 1 FROM pictures WHERE job_id = jobs.id AND kept)"
    " ORDER BY finished_at, id"
)


class Retention:
    """Deletes what is older, or takes more room, than the owner wants. ``clock``: Unix seconds."""

    def __init__(
        self,
        database: Database,
        path: Path,
        pictures: Pictures,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._path = path
        self._pictures = pictures
        self._clock = clock

    async def delete_old(self, days: int) -> int:
        """Delete every job that ended more than ``days`` ago, with its pictures and its inputs.

        Returns how many. Their posts stay in Discord.
        """
        before, deleted = self._clock() - days * DAY, 0
        while rows := await self._database.read(_OLD, before, BATCH):
            ids = [row["id"] for row in rows]

            async def work(connection: aiosqlite.Connection, ids: list[int] = ids) -> None:
                await connection.executemany("DELETE FROM jobs WHERE id = ?", [(i,) for i in ids])
                await connection.execute(inputs.DELETE_UNUSED)

            await self._database.write(work)
            for job_id in ids:
                await self._pictures.delete_files(job_id)
            deleted += len(ids)
        return deleted

    async def delete_copies(self) -> int:
        """Delete copies from before migrations and restores that are too old; return how many."""
        before = self._clock() - former.DAYS * DAY
        return await asyncio.to_thread(former.delete_old, self._path, before)

    async def shrink(self, gigabytes: float) -> tuple[int, int]:
        """Remove the oldest delivered pictures' files, and the oldest images that requests were
        made from, until all take ``gigabytes`` (10⁹ bytes).

        Returns of how many jobs, and how many of the latter. The jobs stay, and those of the first
        can be generated again.
        """
        sizes = await asyncio.to_thread(_sizes, self._pictures.folder)
        made_from = await self._database.read(inputs.SIZES)
        excess = sum(sizes.values()) + sum(row["size"] for row in made_from) - gigabytes * GB
        if excess <= 0:
            return 0, 0
        # When it ended, its bytes, and the job's id or the image's hash.
        old: list[tuple[float, int, int | str]] = [
            (row["finished_at"], sizes.get(row["id"], 0), row["id"])
            for row in await self._database.read(_WITH_FILES)
        ]
        old += [(row["ended"] or math.inf, row["size"], row["sha256"]) for row in made_from]
        jobs: list[int] = []
        removed = 0
        for _, size, which in sorted(old, key=lambda each: each[0]):
            if excess <= 0:
                break
            if isinstance(which, int):
                jobs.append(which)
            elif await self._database.execute(inputs.REMOVE, which):
                removed += 1
            else:
                # A job that has not ended uses it.
                continue
            excess -= size
        await self._remove_files(jobs)
        return len(jobs), removed

    async def _remove_files(self, job_ids: list[int]) -> None:
        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                "UPDATE pictures SET kept = 0 WHERE job_id = ?", [(job_id,) for job_id in job_ids]
            )

        # Rows first: a start removes the files of those that are not kept.
        await self._database.write(work)
        for job_id in job_ids:
            await self._pictures.delete_files(job_id)


def _sizes(folder: Path) -> dict[int, int]:
    """Return the bytes of each job's folder. Reads the disk."""
    sizes: dict[int, int] = {}
    if not folder.is_dir():
        return sizes
    for entry in os.scandir(folder):
        if entry.name.isdecimal() and entry.is_dir(follow_symlinks=False):
            try:
                sizes[int(entry.name)] = sum(file.stat().st_size for file in os.scandir(entry.path))
            except FileNotFoundError:
                # Deleted meanwhile.
                continue
    return sizes
