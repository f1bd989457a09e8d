"""The lock of a data folder, for two bots in one would run and deliver each other's jobs.

A file lock of the operating system, which releases it when the process ends for any reason.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderInUse(Exception):
    """Another bot uses the data folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Another bot is running in {folder}. Stop that one, or set DATA_DIR to another folder."
        )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Create the folder if it is missing and lock it. Raises :class:`FolderInUse`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "penultimate.lock").open("ab") as file:
        try:
            _lock(file.fileno())
        except OSError as error:
            # On Windows it is EACCES.
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise FolderInUse(folder) from error
        yield
