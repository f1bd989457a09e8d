"""The inputs and job_inputs tables: the images that requests are made from.

Equal bytes are stored once for all jobs, and deleted with the last job that uses them.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any, Final

import aiosqlite

from core.request import Inputs

KINDS: Final = tuple(kind.name for kind in fields(Inputs))

# Columns for a SELECT from jobs, one for each kind. Read in the same query as their job, so that
# no deletion can happen between the two.
COLUMNS: Final = ", ".join(
    "(SELECT data FROM job_inputs JOIN inputs USING (sha256)"
    f" WHERE job_id = jobs.id AND kind = '{kind}') AS {kind}"
    for kind in KINDS
)
# To be executed in the transaction that deletes jobs.
DELETE_UNUSED: Final = "DELETE FROM inputs WHERE sha256 NOT IN (SELECT sha256 FROM job_inputs)"


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
