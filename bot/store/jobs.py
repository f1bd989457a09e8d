"""The jobs table: a request plus who asked, where, when and what became of it.

Accepted means written: a job has its row before anything is queued, and its pictures are on disk
before its row says ``finished``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import aiosqlite

from bot.store.database import Database
from bot.store.errors_json import from_json, to_json
from bot.store.pictures import Pictures
from core.errors import PenultimateError
from core.events import Image
from core.notes import Note
from core.request import GenerationRequest
from core.sheets.sheet import Sheet

log = logging.getLogger(__name__)

State = Literal["queued", "running", "finished", "delivered", "failed", "cancelled"]
STATES: Final[tuple[State, ...]] = get_args(State)

# Discord accepts an interaction's token for 15 minutes; after that it is only a secret to lose.
TOKEN_LIFETIME: Final = 15 * 60.0

# A state → what it may become. Cancelling a finished job, say, changes nothing.
_NEXT: Final[dict[State, tuple[State, ...]]] = {
    "queued": ("running", "finished", "failed", "cancelled"),
    "running": ("queued", "finished", "failed", "cancelled"),
    "finished": ("delivered",),
    "delivered": (),
    "failed": (),
    "cancelled": (),
}

_SELECT: Final = (
    "SELECT jobs.*, inputs.data AS init_data FROM jobs"
    " LEFT JOIN inputs ON inputs.sha256 = jobs.init_image"
)


@dataclass(frozen=True, slots=True)
class Job:
    """One row. Times are Unix seconds; ``message_id`` is the post that shows the job.

    The pictures of a ``spoiler`` job are hidden until they are clicked. A ``sheet`` is drawn over
    ``request``.
    """

    id: int
    state: State
    request: GenerationRequest
    user_id: int
    guild_id: int | None
    channel_id: int | None
    message_id: int | None
    application_id: int
    interaction_token: str | None = field(repr=False)
    token_expires_at: float | None
    private: bool
    locale: str
    parent_id: int | None
    notes: tuple[Note, ...]
    error: PenultimateError | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    spoiler: bool = False
    sheet: Sheet | None = None

    @property
    def ended(self) -> bool:
        """Nothing more will happen to it."""
        return self.state in ("delivered", "failed", "cancelled")


class Jobs:
    """Reads and writes of the jobs table. ``clock`` gives Unix seconds."""

    def __init__(
        self, database: Database, pictures: Pictures, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._pictures = pictures
        self._clock = clock

    async def create(
        self,
        request: GenerationRequest,
        *,
        user_id: int,
        application_id: int,
        guild_id: int | None = None,
        channel_id: int | None = None,
        message_id: int | None = None,
        interaction_token: str | None = None,
        private: bool = False,
        locale: str = "en-US",
        parent_id: int | None = None,
        notes: Sequence[Note] = (),
        spoiler: bool = False,
        sheet: Sheet | None = None,
    ) -> Job:
        """Write a new ``queued`` job. When this returns, the job is accepted.

        A ``parent_id`` that no longer exists is left out. Raises :class:`sqlite3.Error` when it
        cannot be written.
        """
        now = self._clock()
        values: dict[str, Any] = {
            "request": json.dumps(request.to_dict()),
            "user_id": user_id,
            "guild_id": guild_id,
            "channel_id": channel_id,
            "message_id": message_id,
            "application_id": application_id,
            "interaction_token": interaction_token,
            "token_expires_at": now + TOKEN_LIFETIME if interaction_token else None,
            "private": private,
            "locale": locale,
            "notes": _notes_json(notes),
            "created_at": now,
            "spoiler": spoiler,
            "sheet": json.dumps(sheet.to_json()) if sheet else None,
        }

        async def insert(connection: aiosqlite.Connection) -> int:
            values["init_image"] = await _keep_input(connection, request.init_image)
            names = ", ".join(values)
            places = ", ".join(f":{name}" for name in values)
            cursor = await connection.execute(
                f"INSERT INTO jobs ({names}, parent_id) VALUES ({places},"
                " (SELECT id FROM jobs WHERE id = :parent_id))",
                values | {"parent_id": parent_id},
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

        job = await self.get(await self._database.write(insert))
        assert job is not None
        return job

    async def get(self, job_id: int) -> Job | None:
        """The job, or None when there is none (any more), or none that can be read."""
        return next(iter(await self._all("jobs.id = ?", job_id)), None)

    async def set_state(self, job_id: int, state: State) -> bool:
        """Move a job on; False when its present state (or its absence) does not allow that.

        ``running`` and the ends note the time; ``delivered`` erases the interaction's token.
        """
        changes: dict[str, Any]
        if state == "queued":
            changes = {"started_at": None}
        elif state == "running":
            changes = {"started_at": self._clock()}
        elif state == "delivered":
            changes = {"interaction_token": None, "token_expires_at": None}
        else:
            changes = {"finished_at": self._clock()}
        return await self._move(job_id, state, **changes)

    async def finish(
        self,
        job_id: int,
        images: Sequence[Image],
        notes: Sequence[Note] = (),
        *,
        spoiler: bool = False,
    ) -> bool:
        """Keep the pictures, files first, then make the job ``finished``; ``notes`` are added.

        False, and nothing kept, when the job was cancelled or deleted in the meantime.
        """
        await self._pictures.write_files(job_id, images)

        async def work(connection: aiosqlite.Connection) -> bool:
            moved = await _update(
                connection,
                job_id,
                "finished",
                finished_at=self._clock(),
                spoiler=spoiler,
            )
            if moved:
                await _add_notes(connection, job_id, notes)
                await self._pictures.write_rows(connection, job_id, images)
            return moved

        finished = await self._database.write(work)
        if not finished and not await self._pictures.of_job(job_id):
            await self._pictures.delete_files(job_id)
        return finished

    async def fail(self, job_id: int, error: PenultimateError) -> bool:
        """Make the job ``failed`` and keep why, so that it can be said again in any language."""
        return await self._move(
            job_id, "failed", finished_at=self._clock(), error=json.dumps(to_json(error))
        )

    async def set_message(self, job_id: int, channel_id: int, message_id: int | None) -> None:
        """Note the post that shows the job."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "UPDATE jobs SET channel_id = ?, message_id = ? WHERE id = ?",
                (channel_id, message_id, job_id),
            )

        await self._database.write(work)

    async def unfinished(self) -> list[Job]:
        """Jobs to run again after a restart, oldest first."""
        return await self._all("jobs.state IN ('queued', 'running') ORDER BY jobs.id")

    async def undelivered(self) -> list[Job]:
        """Jobs whose pictures have not reached Discord yet, oldest first."""
        return await self._all("jobs.state = 'finished' ORDER BY jobs.id")

    async def of_user(self, user_id: int, limit: int = 25, before: int | None = None) -> list[Job]:
        """A member's jobs, newest first; ``before`` is the id where the last page ended."""
        return await self._all(
            "jobs.user_id = ? AND jobs.id < ? ORDER BY jobs.id DESC LIMIT ?",
            user_id,
            2**63 - 1 if before is None else before,
            limit,
        )

    async def results_of(self, user_id: int, limit: int, offset: int = 0) -> list[Job]:
        """A member's jobs that have pictures, newest first."""
        return await self._all(
            "jobs.user_id = ? AND jobs.state IN ('finished', 'delivered')"
            " AND EXISTS (SELECT 1 FROM pictures WHERE pictures.job_id = jobs.id)"
            " ORDER BY jobs.id DESC LIMIT ? OFFSET ?",
            user_id,
            limit,
            offset,
        )

    async def erase_expired_tokens(self) -> int:
        """Forget every interaction token past its 15 minutes; returns how many."""

        async def work(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL"
                " WHERE interaction_token IS NOT NULL AND token_expires_at <= ?",
                (self._clock(),),
            )
            return cursor.rowcount

        return await self._database.write(work)

    async def delete(self, job_id: int) -> bool:
        """Delete the job, its pictures and a start image nobody else uses; False when gone."""

        async def work(connection: aiosqlite.Connection) -> bool:
            cursor = await connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            await connection.execute(
                "DELETE FROM inputs WHERE sha256 NOT IN"
                " (SELECT init_image FROM jobs WHERE init_image IS NOT NULL)"
            )
            return cursor.rowcount > 0

        deleted = await self._database.write(work)
        await self._pictures.delete_files(job_id)
        return deleted

    async def _move(self, job_id: int, state: State, **changes: Any) -> bool:
        async def work(connection: aiosqlite.Connection) -> bool:
            return await _update(connection, job_id, state, **changes)

        return await self._database.write(work)

    async def _all(self, where: str, *parameters: Any) -> list[Job]:
        rows = await self._database.read(f"{_SELECT} WHERE {where}", *parameters)
        jobs = []
        for row in rows:
            try:
                jobs.append(_job(row))
            except (PenultimateError, ValueError, TypeError, LookupError, AttributeError) as error:
                # A newer version wrote it, or it is damaged; the others must not wait for it.
                log.error("job %d cannot be read and stays as it is: %r", row["id"], error)
        return jobs


async def _update(
    connection: aiosqlite.Connection, job_id: int, state: State, **changes: Any
) -> bool:
    """Set ``state`` and ``changes`` if the job's present state leads there."""
    allowed = [before for before in STATES if state in _NEXT[before]]
    assignments = ", ".join(f"{name} = ?" for name in ("state", *changes))
    places = ", ".join("?" * len(allowed))
    cursor = await connection.execute(
        f"UPDATE jobs SET {assignments} WHERE id = ? AND state IN ({places})",
        (state, *changes.values(), job_id, *allowed),
    )
    return cursor.rowcount > 0


async def _keep_input(connection: aiosqlite.Connection, data: bytes | None) -> str | None:
    if data is None:
        return None
    sha256 = hashlib.sha256(data).hexdigest()
    await connection.execute(
        "INSERT INTO inputs VALUES (?, ?) ON CONFLICT DO NOTHING", (sha256, data)
    )
    return sha256


def _notes_json(notes: Sequence[Note]) -> str:
    return json.dumps([[note.key, dict(note.values)] for note in notes])


def _notes(text: str) -> tuple[Note, ...]:
    return tuple(Note.of(key, **values) for key, values in json.loads(text))


async def _add_notes(connection: aiosqlite.Connection, job_id: int, notes: Sequence[Note]) -> None:
    rows = await connection.execute_fetchall("SELECT notes FROM jobs WHERE id = ?", (job_id,))
    known = _notes(next(iter(rows))[0])
    new = [note for note in notes if note not in known]
    await connection.execute(
        "UPDATE jobs SET notes = ? WHERE id = ?", (_notes_json([*known, *new]), job_id)
    )


def _job(row: sqlite3.Row) -> Job:
    values: dict[str, Any] = dict(row)
    init_image = values.pop("init_data")
    del values["init_image"]
    values["request"] = GenerationRequest.from_dict(json.loads(row["request"]), init_image)
    values["private"] = bool(row["private"])
    values["spoiler"] = bool(row["spoiler"])
    values["sheet"] = Sheet.from_json(json.loads(row["sheet"])) if row["sheet"] else None
    values["notes"] = _notes(row["notes"])
    values["error"] = from_json(json.loads(row["error"])) if row["error"] else None
    return Job(**values)
