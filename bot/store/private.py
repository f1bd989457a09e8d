"""Files and folders that only the bot's own user may read, where the system has such a right."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

FILE: Final = 0o600
FOLDER: Final = 0o700


def make_private_file(path: Path) -> None:
    """Create the file if it is missing, and close it to others. Raises :class:`OSError`."""
    path.touch(FILE)
    close_to_others(path, FILE)


def make_private_folder(path: Path) -> None:
    """Create the folder if it is missing, and close it to others. Raises :class:`OSError`."""
    path.mkdir(FOLDER, parents=True, exist_ok=True)
    close_to_others(path, FOLDER)


def close_to_others(path: Path, mode: int = FILE) -> bool:
    """Take everybody else's rights to ``path`` away; False if there were none, or they stay.

    They stay, with a warning, where it is another user's and on disks without such rights.
    """
    if not is_open(path):
        return False
    try:
        path.chmod(mode)
    except OSError as error:
        log.warning("%s is not closed to others: %s", path, error.strerror)
        return False
    return True


def is_open(path: Path) -> bool:
    """Whether others may read or write there."""
    return bool(path.stat().st_mode & 0o077)
