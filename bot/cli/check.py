"""``python run.py doctor --check``: whether the database and the images are whole, and room left.

Reads everything once and changes nothing; the bot may run meanwhile.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from bot.cli import doctor
from bot.cli.backup import RESTORING
from bot.cli.doctor import GIB, Finding
from bot.settings import Settings
from bot.store import at_rest

# How many of the lines about one thing are shown.
MAX_LINES: Final = 5
DAY: Final = 86_400.0
# The pace at which the disk fills is taken over this time.
PACE_DAYS: Final = 30
FEW_DAYS: Final = 14
# What SQLite says of a file that a backup mends: not of one that is locked or cannot be opened.
DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

# Files of these may be written or removed at any moment.
_BUSY: Final = "SELECT id FROM jobs WHERE state IN ('queued', 'running', 'finished')"


def data(settings: Settings) -> Iterator[Finding]:
    """Check the data folder as the doctor does, then what is in it."""
    yield from doctor.data(settings)
    path, images = settings.database_path, settings.images_dir
    for stopped in sorted(settings.data_dir.glob(f"{RESTORING}*")):
        text = f"{stopped} is of a restore that has not ended: restore again, which removes it"
        yield Finding("wrong", text)
    if not path.is_file():
        yield Finding("note", f"there is no {path.name} yet: the first start makes it")
        return
    found = dict(_files(images))
    try:
        with closing(at_rest.connect(path)) as connection:
            yield from database(connection, path)
            yield from pictures(connection, images, found)
            yield from room(settings, connection, list(found.values()))
    except sqlite3.DatabaseError as error:
        # The low byte, for SQLite has kinds of each.
        damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED
        then = "restore a backup" if damaged else "try again, as the user that the bot runs as"
        yield Finding("wrong", f"{path} cannot be read ({error}): {then}")


def database(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    """Check the file itself."""
    if wrong := at_rest.damages(connection):
        yield from _some("wrong", [f"{path.name} is damaged: {line}" for line in wrong])
        return
    jobs = dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state ORDER BY 1"))
    states = ", ".join(f"{count} {state}" for state, count in jobs.items()) or "no jobs"
    version = at_rest.version(connection)
    yield Finding("ok", f"{path.name} is whole: version {version}, {states}")
    if version < at_rest.KNOWN:
        yield Finding("note", f"the next start brings it to version {at_rest.KNOWN}; back up first")
    elif version > at_rest.KNOWN:
        yield Finding("wrong", f"this bot knows version {at_rest.KNOWN} only: update the bot")


def pictures(
    connection: sqlite3.Connection, images: Path, found: dict[tuple[int, int], os.stat_result]
) -> Iterator[Finding]:
    """Check that each image that is named is there, and each that is there is named."""
    busy = {row[0] for row in connection.execute(_BUSY)}
    named = set(at_rest.picture_files(connection))
    newest = at_rest.last_job_id(connection)
    # Looked at once more: the bot may have written or deleted one meanwhile.
    lost = sorted(each for each in named - set(found) if not (images / _name(each)).exists())
    yield from _some(
        "wrong", [f"image {_name(each)} is in the database, but has no file" for each in lost]
    )
    # A job that has not ended may have files already; a start removes those that nobody names.
    unnamed = {each for each in set(found) - named if each[0] not in busy}
    left = sorted(each for each in unnamed if (images / _name(each)).exists())
    yield from _some(
        "note",
        [
            f"image {_name(each)} is not in the database"
            + (": the next start removes it" if each[0] <= newest else ", but of a later one")
            for each in left
        ],
    )
    if not lost and not left:
        yield Finding("ok", f"{len(named)} images, each with its file")


def room(
    settings: Settings, connection: sqlite3.Connection, files: list[os.stat_result]
) -> Iterator[Finding]:
    """Say how much room the images take, start images too, and how long what is left will do."""
    since = time.time() - PACE_DAYS * DAY
    total, new = at_rest.made_from(connection, since)
    total += sum(file.st_size for file in files)
    new += sum(file.st_size for file in files if file.st_mtime >= since)
    a_day = new / PACE_DAYS
    yield Finding("ok", f"the images take {total / GIB:.1f} GiB; KEEP_GB={settings.keep_gb}")
    free = shutil.disk_usage(settings.data_dir).free
    if a_day and free / a_day < FEW_DAYS:
        text = (
            f"at the pace of the last {PACE_DAYS} days the disk is full in {free / a_day:.0f} days"
        )
        yield Finding("wrong", f"{text}: lower KEEP_GB or KEEP_DAYS, or make room")


def _files(images: Path) -> Iterator[tuple[tuple[int, int], os.stat_result]]:
    """Yield (job id, position) of every image in the folder."""
    for path in images.glob("[0-9]*/[0-9]*.png"):
        if path.parent.name.isdecimal() and path.stem.isdecimal():
            try:
                yield (int(path.parent.name), int(path.stem)), path.stat()
            except FileNotFoundError:
                # Deleted meanwhile.
                continue


def _name(file: tuple[int, int]) -> str:
    return f"{file[0]}/{file[1]}.png"


def _some(level: doctor.Level, lines: list[str]) -> Iterator[Finding]:
    for line in lines[:MAX_LINES]:
        yield Finding(level, line)
    if len(lines) > MAX_LINES:
        yield Finding(level, f"… and {len(lines) - MAX_LINES} more")
