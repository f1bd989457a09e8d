"""The jobs table: requests with who asked, where, when, and their state.

A job is written before it is queued, and its pictures are on disk before its state is ``finished``,
so that an accepted job survives a crash.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Required, TypedDict, Unpack

import aiosqlite

from bot.store import inputs, posts
from bot.store.database import Database
from bot.store.errors_json import to_json
from bot.store.job_rows import (
    SELECT,
    STATES,
    UNREADABLE,
    Job,
    State,
    job_of,
    notes_json,
    notes_of,
)
from bot.store.migrating import scalar
from bot.store.numbers import Numbers
from bot.store.pictures import Pictures
from core.errors import PenultimateError
from core.events import Image
from core.notes import Note
from core.request import GenerationRequest
from core.sheets.sheet import Sheet

log = logging.getLogger(__name__)

# Seconds for which Discord accepts an interaction's token; after that it is erased.
TOKEN_LIFETIME: Final = 15 * 60.0

# A state → its possible next states. Cancelling a finished job, say, has no effect.
_NEXT: Final[dict[State, tuple[State, ...]]] = {
    "queued": ("running", "finished", "failed", "cancelled"),
    "running": ("queued", "finished", "failed", "cancelled"),
    "finished": ("delivered",),
    "delivered": (),
    "failed": (),
    "cancelled": (),
}

# A member's jobs that have pictures.
_RESULTS: Final = (
    "jobs.user_id = ? AND jobs.state IN ('finished', 'delivered')"
    " AND EXISTS (SELECT 1 FROM pictures WHERE pictures.job_id = jobs.id)"
)


class Asked(TypedDict, total=False):
    """Columns of a job's row: who asked for it and where, and how it is answered."""

    user_id: Required[int]
    application_id: Required[int]
    guild_id: int | None
    channel_id: int | None
    message_id: int | None
    interaction_token: str | None
    private: bool
    locale: str
    spoiler: bool


class JobsTable:
    """Reads and writes of the jobs table. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        database: Database,
        pictures: Pictures,
        numbers: Numbers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._pictures = pictures
        self._numbers = numbers
        self._clock = clock

    async def create(
        self,
        request: GenerationRequest,
        *,
        notes: Sequence[Note] = (),
        sheet: Sheet | None = None,
        parent_id: int | None = None,
        in_place: bool = False,
        **asked: Unpack[Asked],
    ) -> Job:
        """Write a new ``queued`` job. When this returns, the job is accepted.

        A ``parent_id`` of a deleted job becomes NULL. ``in_place`` gives it the parent's message,
        if it may have that. Raises :class:`sqlite3.Error` when the job cannot be written.
        """
        now = self._clock()
        values: dict[str, Any] = {
            "private": False,
            "locale": "en-US",
            **asked,
            "request": json.dumps(request.to_dict()),
            "notes": notes_json(notes),
            "sheet": json.dumps(sheet.to_json()) if sheet else None,
            "created_at": now,
            "token_expires_at": now + TOKEN_LIFETIME if asked.get("interaction_token") else None,
        }

        async def insert(connection: aiosqlite.Connection) -> int:
            names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
            cursor = await connection.execute(
                f"INSERT INTO jobs ({names}, parent_id) VALUES ({places},"
                " (SELECT id FROM jobs WHERE id = :parent_id))",
                values | {"parent_id": parent_id},
            )
            assert cursor.lastrowid is not None
            await inputs.write(connection, cursor.lastrowid, request.inputs)
            if in_place:
                await posts.share(connection, cursor.lastrowid)
            await self._numbers.note(cursor.lastrowid)
            return cursor.lastrowid

        job = await self.get(await self._database.write(insert))
        assert job is not None
        return job

    async def get(self, job_id: int) -> Job | None:
        """Return the job; None when it does not exist or cannot be read."""
        return next(iter(await self._all("jobs.id = ?", job_id)), None)

    async def set_state(self, job_id: int, state: State) -> bool:
        """Change a job's state; False when it is deleted or its state does not lead there.

        ``running`` and final states set the time; ``delivered`` erases the interaction's token.
        One that is ``cancelled`` is ``untold`` until :meth:`told`.
        """
        now = self._clock()
        changes: dict[State, dict[str, Any]] = {
            "queued": {"started_at": None},
            "running": {"started_at": now},
            "delivered": {"interaction_token": None, "token_expires_at": None},
            "cancelled": {"finished_at": now, "untold": True},
        }
        sql, values = _update(job_id, state, **changes.get(state, {"finished_at": now}))
        return await self._database.execute(sql, *values) > 0

    async def finish(
        self,
        job_id: int,
        images: Sequence[Image],
        notes: Sequence[Note] = (),
        *,
        spoiler: bool = False,
    ) -> bool:
        """Store the pictures, files first, then make the job ``finished``; ``notes`` are added.

        False, and nothing is stored, when the job was cancelled or deleted in the meantime.
        """
        await self._pictures.write_files(job_id, images)

        now = self._clock()

        async def work(connection: aiosqlite.Connection) -> bool:
            update = _update(job_id, "finished", finished_at=now, spoiler=spoiler)
            changed = (await connection.execute(*update)).rowcount > 0
            if changed:
                await _add_notes(connection, job_id, notes)
                await self._pictures.write_rows(connection, job_id, images)
            return changed

        finished = await self._database.write(work)
        if not finished and not await self._pictures.of_job(job_id):
            await self._pictures.delete_files(job_id)
        return finished

    async def fail(self, job_id: int, error: PenultimateError) -> bool:
        """Make the job ``failed`` and store the error, so that it can be shown in any language.

        It is ``untold`` until :meth:`told`.
        """
        written = json.dumps(to_json(error))
        now = self._clock()
        sql, values = _update(job_id, "failed", finished_at=now, error=written, untold=True)
        return await self._database.execute(sql, *values) > 0

    async def end(self, job_id: int, error: PenultimateError | None) -> bool:
        """Make the job ``failed``, or ``cancelled`` without an error."""
        if error is None:
            return await self.set_state(job_id, "cancelled")
        return await self.fail(job_id, error)

    async def told(self, job_id: int) -> None:
        """Store that the member knows how the job ended; erases the interaction's token."""
        await self._database.execute(
            "UPDATE jobs SET untold = 0, interaction_token = NULL, token_expires_at = NULL"
            " WHERE id = ?",
            job_id,
        )

    async def set_message(self, job_id: int, channel_id: int, message_id: int | None) -> None:
        """Store which message shows the job; the one before, if only its, is to be deleted."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT OR IGNORE INTO farewells (message_id, channel_id)"
                " SELECT message_id, channel_id FROM jobs"
                " WHERE id = ? AND message_id != ? AND channel_id IS NOT NULL AND NOT EXISTS"
                " (SELECT 1 FROM jobs AS other"
                " WHERE other.message_id = jobs.message_id AND other.id != jobs.id)",
                (job_id, message_id),
            )
            sql = "UPDATE jobs SET channel_id = ?, message_id = ? WHERE id = ?"
            await connection.execute(sql, (channel_id, message_id, job_id))
            # One that was to be deleted may be the job's again.
            await connection.execute("DELETE FROM farewells WHERE message_id = ?", (message_id,))

        await self._database.write(work)

    async def unfinished(self) -> list[Job]:
        """Return the jobs to run again after a restart, oldest first."""
        return await self._all("jobs.state IN ('queued', 'running') ORDER BY jobs.id")

    async def undelivered(self) -> list[Job]:
        """Return the jobs whose pictures have not reached Discord yet, oldest first."""
        return await self._all("jobs.state = 'finished' ORDER BY jobs.id")

    async def untold(self) -> list[Job]:
        """Return the jobs that ended without a picture and whose members do not know it yet."""
        return await self._all("jobs.untold ORDER BY jobs.id")

    async def of_user(self, user_id: int, limit: int = 25) -> list[Job]:
        """Return a member's jobs, newest first."""
        where = "jobs.user_id = ? ORDER BY jobs.id DESC LIMIT ?"
        return await self._all(where, user_id, limit)

    async def results_of(self, user_id: int, limit: int, offset: int = 0) -> list[Job]:
        """Return a member's jobs that have pictures, newest first."""
        where = f"{_RESULTS} ORDER BY jobs.id DESC LIMIT ? OFFSET ?"
        return await self._all(where, user_id, limit, offset)

    async def count_results(self, user_id: int) -> int:
        """Count a member's jobs that have pictures."""
        found = await self._database.read_one(
            f"SELECT COUNT(*) FROM jobs WHERE {_RESULTS}", user_id
        )
        return int(found[0]) if found else 0

    async def erase_expired_tokens(self) -> int:
        """Erase every interaction token past its 15 minutes; return how many.

        Those erased before, and whatever was deleted, go from the database's log too.
        """
        erased = await self._database.execute(
            "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL"
            " WHERE interaction_token IS NOT NULL AND token_expires_at <= ?",
            self._clock(),
        )
        await self._database.empty_log()
        return erased

    async def delete(self, job_id: int) -> bool:
        """Delete the job, its pictures and inputs no other uses; False when it was deleted."""

        async def work(connection: aiosqlite.Connection) -> bool:
            cursor = await connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            await connection.execute(inputs.DELETE_UNUSED)
            return cursor.rowcount > 0

        deleted = await self._database.write(work)
        await self._pictures.delete_files(job_id)
        return deleted

    async def _all(self, where: str, *parameters: Any) -> list[Job]:
        rows = await self._database.read(f"{SELECT} WHERE {where}", *parameters)
        jobs = []
        for row in rows:
            try:
                jobs.append(job_of(row))
            except UNREADABLE as error:
                # A newer version wrote it, or it is damaged; the others must not fail with it.
                log.error("job %d cannot be read and stays as it is: %r", row["id"], error)
        return jobs


def _update(job_id: int, state: State, **changes: Any) -> tuple[str, tuple[Any, ...]]:
    """The statement, and its values, that sets these if the job's state may become ``state``."""
    allowed = [before for before in STATES if state in _NEXT[before]]
    assignments = ", ".join(f"{name} = ?" for name in ("state", *changes))
    places = ", ".join("?" * len(allowed))
    sql = f"UPDATE jobs SET {assignments} WHERE id = ? AND state IN ({places})"
    return sql, (state, *changes.values(), job_id, *allowed)


async def _add_notes(connection: aiosqlite.Connection, job_id: int, notes: Sequence[Note]) -> None:
    known = notes_of(await scalar(connection, "SELECT notes FROM jobs WHERE id = ?", job_id))
    new = [note for note in notes if note not in known]
    await connection.execute(
        "UPDATE jobs SET notes = ? WHERE id = ?", (notes_json([*known, *new]), job_id)
    )
