"""``python run.py backup DIR`` and ``restore DIR``: the database and the images, as they are now.

A backup is made beside a running bot. A folder that has the name asked for is whole: what is not
finished has another.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from bot.cli.lock import FolderInUse, alone_in
from bot.settings import Settings
from bot.store import at_rest, former
from bot.store.private import FOLDER

# Where the present database does not go on from the backup, nobody knows which numbers were given
# since: new jobs get much higher ones, so that no button of a lost job becomes another's.
JUMP: Final = 1_000_000
# What a restore writes into, and a backup; tempfile adds eight characters. A kill leaves them.
RESTORING: Final = "restoring-"
UNFINISHED: Final = "-unfinished-"
UNFINISHED_NAME: Final = re.compile(f"{UNFINISHED}[a-z0-9_]{{8}}$")
# No backup takes longer.
SECONDS_TO_BACK_UP: Final = 86_400.0
# SQLite's files beside the database itself.
BESIDE: Final = ("", "-wal", "-shm")


class CannotCopy(Exception):
    """Why there is nothing to back up, or to restore."""


def backup(settings: Settings, target: Path) -> int:
    """Write everything into the new folder ``target``; return the exit code."""
    try:
        if not settings.database_path.is_file():
            raise CannotCopy(f"{settings.data_dir} has no database yet: nothing to back up.")
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise CannotCopy(f"{target} is not empty. Name a new folder; nothing is overwritten.")
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stopped(target.parent, settings.database_path.name)
        with _unfinished(target) as folder:
            jobs = _copy_database(settings.database_path, folder / settings.database_path.name)
            with closing(at_rest.connect(folder / settings.database_path.name)) as copy:
                wanted = list(at_rest.picture_files(copy))
            missing = _copy_images(wanted, settings.images_dir, folder / settings.images_dir.name)
    except (CannotCopy, OSError, sqlite3.Error) as error:
        return _refuse(error)
    print(f"{target} has {jobs} jobs and {len(wanted) - missing} images.")
    if missing:
        print(f"The files of {missing} images are not there. See: python run.py doctor --check")
    print("Not in it: .env with the token, and your models.")
    return 0


def restore(settings: Settings, source: Path) -> int:
    """Put a backup in the place of the present data, which is moved aside; return the exit code."""
    try:
        with alone_in(settings.data_dir):
            waiting, aside = _restore(settings, source)
    except (CannotCopy, FolderInUse, OSError, sqlite3.Error) as error:
        return _refuse(error)
    print(f"{source} was restored into {settings.data_dir}.")
    if aside is not None:
        print(f"What was there is in {aside}. Delete it when everything is well;")
        print(f"the bot deletes it after {former.DAYS} days.")
    if waiting:
        print(f"{waiting} jobs had not ended then: the next start generates and delivers them.")
    return 0


def _restore(settings: Settings, source: Path) -> tuple[int, Path | None]:
    """Return how many jobs had not ended, and where the former data is, if there was some."""
    database, images = settings.database_path, settings.images_dir
    if not (source / database.name).is_file():
        raise CannotCopy(f"{source} is no backup: it has no {database.name}.")
    with tempfile.TemporaryDirectory(dir=settings.data_dir, prefix=RESTORING) as name:
        folder = Path(name)
        shutil.copyfile(source / database.name, folder / database.name)
        (folder / database.name).chmod(0o600)
        with closing(sqlite3.connect(folder / database.name)) as copy:
            if found := at_rest.damages(copy):
                raise CannotCopy(f"The database in {source} is damaged: {found[0]}.")
            if (version := at_rest.version(copy)) > at_rest.KNOWN:
                raise CannotCopy(
                    f"{source} is from a newer version of this bot (database version {version}; "
                    f"this one knows {at_rest.KNOWN}). Update the bot, then restore."
                )
            wanted = list(at_rest.picture_files(copy))
            with copy:
                _number_on(copy, database)
            sql = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running', 'finished')"
            waiting = copy.execute(sql).fetchone()[0]
        _copy_images(wanted, source / images.name, folder / images.name)
        aside = _move_aside([*(Path(f"{database}{end}") for end in BESIDE), images])
        if aside is not None:
            # One that is not there, or too damaged, is left as it is.
            with suppress(sqlite3.Error):
                former.erase_tokens(aside / database.name)
        for path in folder.iterdir():
            path.rename(settings.data_dir / path.name)
    for stopped in settings.data_dir.glob(f"{RESTORING}*"):
        shutil.rmtree(stopped, ignore_errors=True)
    return waiting, aside


def half_restored(settings: Settings) -> Path | None:
    """Return the folder of a restore that was killed as it put the data in its place, if one was.

    The former data is then in a folder of its own, and some of the backup's in neither.
    """
    database, images = settings.database_path, settings.images_dir
    for folder in settings.data_dir.glob(f"{RESTORING}*"):
        moved = (folder / images.name).exists() and not (folder / database.name).exists()
        if moved or not database.exists():
            return folder
    return None


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A folder that becomes ``target`` when everything is in it, and is removed otherwise."""
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{target.name}{UNFINISHED}"))
    try:
        yield folder
        if target.exists():
            target.rmdir()
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _remove_stopped(parent: Path, database: str) -> None:
    """Remove what backups left that were killed: no younger folder, for that may be written now."""
    for folder in parent.glob(f"*{UNFINISHED}*"):
        # Another user's stay, and it may have got its name meanwhile.
        with suppress(OSError):
            old = folder.stat().st_mtime < time.time() - SECONDS_TO_BACK_UP
            if old and UNFINISHED_NAME.search(folder.name) and (folder / database).is_file():
                shutil.rmtree(folder)


def _copy_database(path: Path, copy: Path) -> int:
    """Copy a database that may be in use, without anybody's interaction tokens; count its jobs."""
    copy.touch(mode=0o600)
    with closing(at_rest.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        # All at once: it is one moment's state, and a writer need not wait.
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE").fetchone()
        # They answer for 15 minutes, and are to be gone after that.
        target.execute(former.ERASE_TOKENS)
        target.commit()
        target.execute("VACUUM")
        if found := at_rest.damages(target):
            raise CannotCopy(f"The database {path} is damaged: {found[0]}.")
        return int(target.execute("SELECT count(*) FROM jobs").fetchone()[0])


def _copy_images(wanted: Iterable[tuple[int, int]], source: Path, target: Path) -> int:
    """Link each image, or copy it where that cannot be; return how many are missing.

    A finished image is never written to again, so both names may stand for one file.
    """
    missing = 0
    target.mkdir(FOLDER)
    for job_id, position in wanted:
        name = Path(str(job_id), f"{position}.png")
        (target / name).parent.mkdir(FOLDER, exist_ok=True)
        try:
            os.link(source / name, target / name)
        except FileNotFoundError:
            missing += 1
        except OSError:
            # Another disk, or one without hard links.
            shutil.copy2(source / name, target / name)
    return missing


def _number_on(copy: sqlite3.Connection, present: Path) -> None:
    """Let new jobs have numbers that none had before, those after the backup included."""
    here = at_rest.last_job_id(copy)
    try:
        with closing(at_rest.connect(present)) as connection:
            highest = at_rest.last_job_id(connection)
    except sqlite3.Error:
        highest = 0
    highest = highest if highest >= here else here + JUMP
    copy.execute("DELETE FROM sqlite_sequence WHERE name = 'jobs'")
    copy.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)", (highest,))


def _move_aside(paths: Iterable[Path]) -> Path | None:
    """Move what there is of these into a new folder beside them."""
    there = [path for path in paths if path.exists()]
    if not there:
        return None
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = Path(tempfile.mkdtemp(dir=there[0].parent, prefix=f"{former.ASIDE}{stamp}-"))
    for path in there:
        path.rename(aside / path.name)
    return aside


def _refuse(error: Exception) -> int:
    print(error, file=sys.stderr)
    return 2
