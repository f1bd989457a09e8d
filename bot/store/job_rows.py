"""A job, and the conversion between a job and its row.

Unknown keys of a request, which a newer version wrote, are ignored.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from bot.store import inputs
from bot.store.errors_json import from_json
from core.errors import PenultimateError
from core.notes import Note
from core.request import GenerationRequest
from core.sheets.sheet import Sheet

State = Literal["queued", "running", "finished", "delivered", "failed", "cancelled"]
STATES: Final[tuple[State, ...]] = get_args(State)

# What reading a row may raise, when a newer version wrote it or it is damaged.
UNREADABLE: Final = (PenultimateError, ValueError, TypeError, LookupError, AttributeError)

# What :func:`job_of` reads.
SELECT: Final = f"SELECT jobs.*, {inputs.COLUMNS} FROM jobs"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is stored. Times are Unix seconds; ``message_id`` is the message that shows it.

    ``spoiler`` hides the pictures until they are clicked; ``sheet`` varies ``request``. ``untold``:
    it ended without a picture, and its member was not told yet.
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
    untold: bool = False

    def takes_place_of(self, parent: Job | None) -> bool:
        """Whether its result is to replace that of ``parent``: until then both have its message."""
        mine = self.message_id
        return mine is not None and parent is not None and parent.message_id == mine

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ("delivered", "failed", "cancelled")


def job_of(row: sqlite3.Row) -> Job:
    """Build the job of a row of :data:`SELECT`.

    Raises one of :data:`UNREADABLE`.
    """
    values: dict[str, Any] = dict(row)
    made_from = inputs.take(values)
    values["request"] = GenerationRequest.from_dict(json.loads(row["request"]), made_from)
    values["private"] = bool(row["private"])
    values["spoiler"] = bool(row["spoiler"])
    values["untold"] = bool(row["untold"])
    values["sheet"] = Sheet.from_json(json.loads(row["sheet"])) if row["sheet"] else None
    values["notes"] = notes_of(row["notes"])
    values["error"] = from_json(json.loads(row["error"])) if row["error"] else None
    return Job(**values)


def notes_json(notes: Sequence[Note]) -> str:
    """Return notes as the text of a column."""
    return json.dumps([[note.key, dict(note.values)] for note in notes])


def notes_of(text: str) -> tuple[Note, ...]:
    """Invert :func:`notes_json`."""
    return tuple(Note.of(key, **values) for key, values in json.loads(text))
