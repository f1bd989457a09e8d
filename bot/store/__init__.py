"""What is stored on disk: one SQLite file and a folder of PNG files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from bot.settings import SHIPPED_DATA
from bot.store.activity import Activity
from bot.store.database import Database, DatabaseGone
from bot.store.job_rows import Job, State
from bot.store.jobs import JobsTable
from bot.store.members import Members
from bot.store.migrating import DatabaseTooNew
from bot.store.numbers import Numbers
from bot.store.pictures import Picture, Pictures
from bot.store.posts import MessagePlace, Posts
from bot.store.presets import Preset, Presets
from bot.store.private import make_private_folder
from bot.store.retention import Retention
from bot.store.servers import Servers
from bot.store.shares import Share, Shares
from bot.store.styles import Style, Styles

__all__ = [
    "DatabaseGone",
    "DatabaseTooNew",
    "Job",
    "MessagePlace",
    "Picture",
    "Preset",
    "Share",
    "State",
    "Store",
    "Style",
]


class Store:
    """The open store. Each attribute reads and writes one family of tables."""

    def __init__(
        self,
        database: Database,
        path: Path,
        images_dir: Path,
        numbers: Numbers,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self.check = database.check
        self.pictures = Pictures(database, images_dir)
        self.posts = Posts(database)
        self.jobs = JobsTable(database, self.pictures, numbers, clock)
        self.presets = Presets(database, clock)
        self.members = Members(database, self.presets)
        self.shares = Shares(database, clock)
        self.styles = Styles(database)
        self.servers = Servers(database, clock)
        self.activity = Activity(database, clock)
        self.retention = Retention(database, path, self.pictures, clock)

    @classmethod
    async def open(
        cls, path: Path, images_dir: Path, clock: Callable[[], float] = time.time
    ) -> Store:
        """Open the database file and the folder of pictures; create what is missing.

        Raises :class:`DatabaseTooNew`, :class:`OSError`, or :class:`sqlite3.Error` when it is no
        database.
        """
        database = await Database.open(path, SHIPPED_DATA / "migrations")
        numbers = Numbers(path.with_suffix(".numbers"))
        store = cls(database, path, images_dir, numbers, clock)
        try:
            await asyncio.to_thread(make_private_folder, images_dir)
            await numbers.go_on(database)
            for table in (store.servers, store.presets, store.styles):
                await table.load()
            await store.servers.forget_spent()
            await store.pictures.sweep()
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Finish running transactions and close the file, whose thread keeps the process alive."""
        await self._database.close()
