"""The data as it was before a migration or a restore, beside the present data for a while.

What members delete is still in these copies: after :data:`DAYS` they are deleted themselves.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

# Copies of a database from before its migrations, the newest.
COPIES: Final = 3
DAYS: Final = 30
# The statement that erases every interaction token that there is.
ERASE_TOKENS: Final = (
    "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL"
    " WHERE interaction_token IS NOT NULL"
)
# How the name of a folder begins that has what was there before a restore.
ASIDE: Final = "before-restore-"


def copy_path(path: Path, version: int) -> Path:
    """The copy of the database from when it had this version: ``penultimate-8.sqlite3``."""
    return path.with_name(f"{path.stem}-{version}{path.suffix}")


def erase_tokens(copy: Path) -> None:
    """Erase every interaction token: no copy answers anybody. Raises :class:`sqlite3.Error`."""
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        connection.execute("PRAGMA secure_delete=ON").fetchone()
        with connection:
            connection.execute(ERASE_TOKENS)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def keep_newest(path: Path) -> None:
    """Delete all copies of the database at ``path`` from before migrations but the newest."""
    for version in sorted(_versions(path))[:-COPIES]:
        copy_path(path, version).unlink()


def delete_old(path: Path, before: float) -> int:
    """Delete what was made ``before``, in Unix seconds; return how many. Raises ``OSError``."""
    copies = [copy_path(path, version) for version in _versions(path)]
    old = [
        each for each in (*copies, *path.parent.glob(f"{ASIDE}*")) if each.stat().st_mtime < before
    ]
    for each in old:
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink()
        log.info("%s was deleted: it was older than %d days", each, DAYS)
    return len(old)


def _versions(path: Path) -> Iterator[int]:
    for each in path.parent.glob(f"{path.stem}-*{path.suffix}"):
        number = each.stem.removeprefix(f"{path.stem}-")
        if number.isdecimal():
            yield int(number)
