"""The inputs and job_inputs tables: the images that requests are made from.

Equal bytes are stored once for all jobs, and deleted with the last job that uses them. To make
room an image is removed sooner (:mod:`bot.store.retention`): its header stays, which says that
there was one, and its size.
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
# In bytes: a PNG's signature and first chunk, which has its size. No whole image is as short.
_HEADER: Final = 33
# The statement that removes an image, by its hash, unless a job that has not ended uses it.
REMOVE: Final = f"""
UPDATE inputs SET data = substr(data, 1, {_HEADER}) WHERE sha256 = ? AND NOT EXISTS (
    SELECT 1 FROM job_inputs JOIN jobs ON jobs.id = job_id
    WHERE job_inputs.sha256 = inputs.sha256
    AND (jobs.untold OR jobs.state NOT IN ('delivered', 'failed', 'cancelled'))
)
"""
# Every image there is, and when the last of its jobs ended.
SIZES: Final = f"""
SELECT sha256, length(data) AS size, max(finished_at) AS ended
FROM inputs JOIN job_inputs USING (sha256) JOIN jobs ON jobs.id = job_id
WHERE length(data) != {_HEADER} GROUP BY sha256
"""


def is_removed(data: bytes | None) -> bool:
    """Whether this is what is left of an image that was removed."""
    return data is not None and len(data) == _HEADER


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
                "INSERT INTO inputs VALUES (?, ?) ON CONFLICT (sha256) DO UPDATE"
                f" SET data = excluded.data WHERE length(inputs.data) = {_HEADER}",
                (sha256, data),
            )
            await connection.execute(
                "INSERT INTO job_inputs VALUES (?, ?, ?)", (job_id, kind, sha256)
            )
