"""The pictures table and its PNG files.

Files are ``<images>/<job id>/<position>.png``: no path contains a member's text.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiosqlite

from bot.store.database import Database
from bot.store.private import make_private_file, make_private_folder
from core.events import Image

log = logging.getLogger(__name__)

_OURS: Final = re.compile(r"\d+\.(png|part)")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a job; ``position`` counts from 0, ``path`` is the file it should be in.

    The file of one that is not ``kept`` was removed (:mod:`bot.store.retention`).
    """

    job_id: int
    position: int
    seed: int
    width: int
    height: int
    infotext: str
    attachment_id: int | None
    path: Path
    kept: bool = True

    async def read(self) -> bytes:
        """Read the PNG file. Raises :class:`FileNotFoundError` when it was removed."""
        return await asyncio.to_thread(self.path.read_bytes)

    async def image(self) -> Image:
        """Read it as the engine returned it. Raises as :meth:`read`."""
        return Image(await self.read(), self.seed, self.width, self.height, self.infotext)


class Pictures:
    """Reads and writes of the pictures table and its folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self.folder = folder
        # Jobs whose files are being written. A thread continues when its caller is cancelled, and
        # could write after a deletion.
        self._writing: dict[int, asyncio.Future[None]] = {}

    async def of_job(self, job_id: int) -> tuple[Picture, ...]:
        """Return a job's pictures in order; none before it is finished."""
        rows = await self._database.read(
            "SELECT * FROM pictures WHERE job_id = ? ORDER BY position", job_id
        )
        return tuple(
            Picture(
                **dict(row) | {"kept": bool(row["kept"])}, path=self._path(job_id, row["position"])
            )
            for row in rows
        )

    async def set_attachments(self, job_id: int, attachment_ids: Sequence[int]) -> None:
        """Store Discord's attachment id of each picture, in order."""

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                "UPDATE pictures SET attachment_id = ? WHERE job_id = ? AND position = ?",
                [(id_, job_id, position) for position, id_ in enumerate(attachment_ids)],
            )

        await self._database.write(work)

    async def write_files(self, job_id: int, images: Sequence[Image]) -> None:
        """Write every PNG, each atomically. Raises :class:`OSError`, say for a full disk."""
        pngs = [image.png for image in images]
        writing = asyncio.ensure_future(asyncio.to_thread(self._write_files, job_id, pngs))
        self._writing[job_id] = writing
        writing.add_done_callback(lambda _: self._writing.pop(job_id, None))
        await asyncio.shield(writing)

    def _write_files(self, job_id: int, pngs: Sequence[bytes]) -> None:
        make_private_folder(self.folder / str(job_id))
        for position, png in enumerate(pngs):
            path = self._path(job_id, position)
            unfinished = path.with_suffix(".part")
            make_private_file(unfinished)
            with unfinished.open("wb") as file:
                file.write(png)
                # After a power cut no row may be "finished" without its pictures.
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
        """Remove the job's folder, if there is one, after any write to it has ended."""
        if (writing := self._writing.get(job_id)) is not None:
            await asyncio.wait({writing})
        await asyncio.to_thread(shutil.rmtree, self.folder / str(job_id), ignore_errors=True)

    async def sweep(self) -> None:
        """Remove files without a row, left by a crash between the two writes.

        The folder is listed before the table, and jobs that have not ended keep their files, so
        that nothing being written is removed. Numbers above any job's are those of another
        database and are left alone.
        """
        found = await asyncio.to_thread(self._job_ids)
        rows = await self._database.read(
            "SELECT job_id FROM pictures WHERE kept"
            " UNION SELECT id FROM jobs WHERE state IN ('queued', 'running')"
        )
        [(newest,)] = await self._database.read(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'jobs'"
        )
        named = {row[0] for row in rows}
        lost = [job_id for job_id in found if job_id <= newest and job_id not in named]
        for job_id in lost:
            await asyncio.to_thread(self._remove_ours, self.folder / str(job_id))
        if lost:
            log.info("pictures of %d deleted jobs were removed", len(lost))

    def _job_ids(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return [int(entry.name) for entry in os.scandir(self.folder) if entry.name.isdecimal()]

    def _remove_ours(self, folder: Path) -> None:
        """Remove the bot's own files; a folder with others in it remains."""
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if _OURS.fullmatch(path.name):
                    path.unlink()
            folder.rmdir()

    def _path(self, job_id: int, position: int) -> Path:
        return self.folder / str(job_id) / f"{position}.png"
