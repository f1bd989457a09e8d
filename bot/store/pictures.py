"""The finished pictures: one PNG file each, and a row that says what is in it.

Files are ``<images>/<job id>/<position>.png``; a name from a member never becomes a path.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from bot.store.database import Database
from core.events import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a job; ``position`` counts from 0, ``path`` is the file it should be in."""

    job_id: int
    position: int
    seed: int
    width: int
    height: int
    infotext: str
    attachment_id: int | None
    path: Path

    async def read(self) -> bytes:
        """The PNG's bytes. Raises :class:`FileNotFoundError` when the owner removed the file."""
        return await asyncio.to_thread(self.path.read_bytes)


class Pictures:
    """Reads and writes of the pictures table and its folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    async def of_job(self, job_id: int) -> tuple[Picture, ...]:
        """A job's pictures in order; none before it is finished."""
        rows = await self._database.read(
            "SELECT * FROM pictures WHERE job_id = ? ORDER BY position", job_id
        )
        return tuple(Picture(**dict(row), path=self._path(job_id, row["position"])) for row in rows)

    async def set_attachments(self, job_id: int, attachment_ids: Sequence[int]) -> None:
        """Note Discord's id of each picture, in order."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                "UPDATE pictures SET attachment_id = ? WHERE job_id = ? AND position = ?",
                [(id_, job_id, position) for position, id_ in enumerate(attachment_ids)],
            )

        await self._database.write(work)

    async def write_files(self, job_id: int, images: Sequence[Image]) -> None:
        """Write every PNG, each whole or not at all. Raises :class:`OSError`, a full disk say."""
        await asyncio.to_thread(self._write_files, job_id, [image.png for image in images])

    def _write_files(self, job_id: int, pngs: Sequence[bytes]) -> None:
        (self._folder / str(job_id)).mkdir(parents=True, exist_ok=True)
        for position, png in enumerate(pngs):
            path = self._path(job_id, position)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                file.write(png)
                # The row that says "finished" must not outlive the picture in a power cut.
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)

    async def write_rows(
        self, connection: aiosqlite.Connection, job_id: int, images: Sequence[Image]
    ) -> None:
        """Write the rows, inside the caller's transaction."""
        await connection.executemany(
            "INSERT INTO pictures (job_id, position, seed, width, height, infotext)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (job_id, position, image.seed, image.width, image.height, image.infotext)
                for position, image in enumerate(images)
            ],
        )

    async def delete_files(self, job_id: int) -> None:
        """Remove the job's folder, if there is one."""
        await asyncio.to_thread(shutil.rmtree, self._folder / str(job_id), ignore_errors=True)

    def _path(self, job_id: int, position: int) -> Path:
        return self._folder / str(job_id) / f"{position}.png"
