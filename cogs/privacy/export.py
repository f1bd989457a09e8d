"""A member's data as zip files, each small enough to be sent.

First the database's rows as JSON, then the start images, then the pictures, newest first, until
the last of :data:`MAX_PARTS` files is full.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from typing import Any, Final

from bot.posts.packing import pack
from bot.store import Store
from core.errors import UnreadablePicture

MAX_PARTS: Final = 20
# Bytes of a part that stay free for the zip's own directory.
ROOM: Final = 64_000
# Rows in one JSON file, so that each fits into a part.
ROWS: Final = 2_000


class Export:
    """One member's data; ``left_out`` counts the files for which there was no room."""

    def __init__(self, store: Store, user_id: int, limit: int) -> None:
        self._store = store
        self._user_id = user_id
        self._limit = limit - ROOM
        self.left_out = 0

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the zip files, each of at most ``limit`` bytes and made when it is asked for."""
        archive, parts = _Archive(), 1
        async for name, data in self._files():
            if archive.size and archive.size + len(data) > self._limit:
                if parts == MAX_PARTS:
                    self.left_out += 1
                    continue
                yield await asyncio.to_thread(archive.close)
                archive, parts = _Archive(), parts + 1
            await asyncio.to_thread(archive.add, name, data)
        yield await asyncio.to_thread(archive.close)

    async def _files(self) -> AsyncIterator[tuple[str, bytes]]:
        members = self._store.members
        inputs = await self._store.members.input_rows(self._user_id)
        tables = await members.rows(self._user_id) | {"job_inputs": inputs}
        for table, rows in tables.items():
            for start in range(0, len(rows), ROWS):
                number = f"-{start // ROWS + 1}" if len(rows) > ROWS else ""
                yield f"{table}{number}.json", _json(rows[start : start + ROWS])
        for sha256 in dict.fromkeys(row["sha256"] for row in inputs):
            data = await self._store.members.input(sha256)
            if data is not None and len(data) <= self._limit:
                yield f"start-images/{sha256}.png", data
        for job_id in await members.job_ids(self._user_id):
            for picture in await self._store.pictures.of_job(job_id):
                try:
                    packed = await pack([picture], self._limit)
                except (OSError, UnreadablePicture):
                    # The bot's owner may have removed the file.
                    continue
                for name, data in packed.files:
                    yield f"pictures/{name}", data


class _Archive:
    """A zip file in memory."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._zip = zipfile.ZipFile(self._file, "w")

    @property
    def size(self) -> int:
        return self._file.tell()

    def add(self, name: str, data: bytes) -> None:
        # Pictures are compressed already.
        method = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
        self._zip.writestr(name, data, method)

    def close(self) -> bytes:
        self._zip.close()
        return self._file.getvalue()


def _json(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, ensure_ascii=False, indent=1).encode()
