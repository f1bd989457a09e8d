"""The inputs and job_inputs tables: the images that requests are made from.

Equal bytes are stored once for all jobs, and deleted with the last job that uses them.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any, Final

import aiosqlite

from bot.store.database import Database
from core.request import Inputs

KINDS: Final = tuple(kind.name for kind in fields(Inputs))

# Columns for a SELECT from jobs, one for each kind. Read in the same query as their job, so that
# no deletion can happen between the two.
COLUMNS: Final = ", ".join(
    "(SELECT data FROM job_inputs JOIN inputs USING (sha256)"
    f" WHERE job_id = jobs.id AND kind = '{kind}') AS {kind}"
    for kind in KINDS
)


def take(row: dict[str, Any]) -> Inputs:
    """Remove the :data:`COLUMNS` from a row and return what they hold."""
    return Inputs(**{kind: row.pop(kind) for kind in KINDS})


async def write(connection: aiosqlite.Connection, job_id: int, inputs: Inputs) -> None:
    """Write the inputs of a new job, inside the caller's transaction."""
    for kind in KINDS:
        data: bytes | None = getattr(inputs, kind)
        if data is not None:
            sha256 = hashlib.sha256(data).hexdigest()
            await connection.execute(
                "INSERT INTO inputs VALUES (?, ?) ON CONFLICT DO NOTHING", (sha256, data)
            )
            await connection.execute(
                "INSERT INTO job_inputs VALUES (?, ?, ?)", (job_id, kind, sha256)
            )


async def delete_unused(connection: aiosqlite.Connection) -> None:
    """Delete the bytes that no job uses any more, inside the caller's transaction."""
    await connection.execute(
        "DELETE FROM inputs WHERE sha256 NOT IN (SELECT sha256 FROM job_inputs)"
    )


class StoredInputs:
    """Reads of a member's inputs, for an export."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows_of(self, user_id: int) -> list[dict[str, Any]]:
        """Return the rows of job_inputs that belong to a member's jobs."""
        rows = await self._database.read(
            "SELECT job_inputs.* FROM job_inputs JOIN jobs ON jobs.id = job_id"
            " WHERE user_id = ? ORDER BY job_id, kind",
            user_id,
        )
        return [dict(row) for row in rows]

    async def data(self, sha256: str) -> bytes | None:
        """Return the bytes of one input, by its hash; None when they were deleted."""
        row = await self._database.read_one("SELECT data FROM inputs WHERE sha256 = ?", sha256)
        return bytes(row[0]) if row else None
