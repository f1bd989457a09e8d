"""The database read beside the bot, or while none runs: for a backup, and for the doctor's checks.

Synchronous, without the bot's own connection, and for a database of any version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bot.settings import SHIPPED_DATA

# The newest version of the database that this code knows.
KNOWN: Final = max(int(file.name[:4]) for file in (SHIPPED_DATA / "migrations").glob("*.sql"))


def connect(path: Path) -> sqlite3.Connection:
    """Open for reading only. Raises :class:`sqlite3.Error` where there is no database."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        # A file is not read before the first statement.
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration that was applied."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def damages(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong inside the file, a line each; the whole file is read."""
    found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    found = [] if found == ["ok"] else found
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    lost = [
        f"a row of {table} names one of {parent} that is gone" for table, _, parent, _ in broken
    ]
    return found + lost


def last_job_id(connection: sqlite3.Connection) -> int:
    """Return the highest number that a job ever had."""
    sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'jobs'"
    return int(connection.execute(sql).fetchone()[0])


def made_from(connection: sqlite3.Connection, since: float) -> tuple[int, int]:
    """Return the bytes of the images that requests were made from: of all, and of those that no
    job had before ``since``, in Unix seconds."""
    total = connection.execute("SELECT coalesce(sum(length(data)), 0) FROM inputs").fetchone()[0]
    if not connection.execute("PRAGMA table_info(job_inputs)").fetchall():
        return int(total), 0
    sql = (
        "SELECT coalesce(sum(size), 0) FROM (SELECT length(data) AS size, min(created_at) AS first"
        " FROM inputs JOIN job_inputs USING (sha256) JOIN jobs ON jobs.id = job_id"
        " GROUP BY sha256) WHERE first >= ?"
    )
    return int(total), int(connection.execute(sql, (since,)).fetchone()[0])


def picture_files(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """Yield (job id, position) of every picture whose file is kept."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(pictures)")}
    where = "WHERE kept" if "kept" in columns else ""
    yield from connection.execute(f"SELECT job_id, position FROM pictures {where} ORDER BY 1, 2")
