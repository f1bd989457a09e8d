"""The shared_presets table: copies of presets that were posted, for others to import.

A copy, because changing or deleting the preset must not change the post.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiosqlite

from bot.store.database import Database
from bot.store.posts import MessagePlace

# A member's oldest share is deleted when one more is created.
MAX_SHARED: Final = 50


@dataclass(frozen=True, slots=True)
class Share:
    """A preset of ``user_id`` as it was posted."""

    id: int
    user_id: int
    name: str
    values: Mapping[str, Any]


class Shares:
    """Reads and writes of the shared_presets table. ``clock`` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def create(self, user_id: int, name: str, values: Mapping[str, Any]) -> Share:
        """Store a copy for a message; delete the member's oldest beyond :data:`MAX_SHARED`."""
        # Random, so that no post from before a lost or restored database finds another preset.
        share = Share(secrets.randbelow(10**18), user_id, name, dict(values))

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "DELETE FROM shared_presets WHERE user_id = ? AND id NOT IN (SELECT id FROM"
                " shared_presets WHERE user_id = ? ORDER BY shared_at DESC LIMIT ?)",
                (user_id, user_id, MAX_SHARED - 1),
            )
            await connection.execute(
                "INSERT INTO shared_presets (id, user_id, name, options, shared_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (share.id, user_id, name, json.dumps(share.values), self._clock()),
            )

        await self._database.write(work)
        return share

    async def set_message(self, share_id: int, place: MessagePlace) -> None:
        """Store which message shows it."""
        sql = "UPDATE shared_presets SET channel_id = ?, message_id = ? WHERE id = ?"
        await self._database.execute(sql, *place, share_id)

    async def get(self, share_id: int) -> Share | None:
        """Return the share; None when it was deleted."""
        row = await self._database.read_one(
            "SELECT * FROM shared_presets WHERE id = ?", min(share_id, 2**63 - 1)
        )
        if row is None:
            return None
        return Share(row["id"], row["user_id"], row["name"], json.loads(row["options"]))

    async def delete(self, share_id: int) -> None:
        """Delete it. Presets that others imported from it remain."""
        await self._database.execute("DELETE FROM shared_presets WHERE id = ?", share_id)
