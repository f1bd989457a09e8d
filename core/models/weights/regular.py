"""Files that may be opened: a named pipe or a device in a folder would keep its reader for ever."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def check_regular(path: Path) -> int:
    """Return the size of a regular file in bytes. Raises :class:`OSError` for what is none."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return found.st_size


def read_text(path: Path) -> str:
    """Read a regular file as UTF-8. Raises :class:`OSError` or :class:`ValueError`."""
    check_regular(path)
    return path.read_text(encoding="utf-8")
