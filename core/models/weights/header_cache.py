"""What was found in the headers of files, kept between starts: ten thousand take a minute to read.

A JSON file in the cache folder, which may be deleted at any time. A file is read again only when
its size or modification time has changed.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Final

# Another number for another meaning of the rows: what older versions wrote is read anew.
VERSION: Final = 1


class HeaderCache:
    """Rows of JSON values by path. ``cache_dir`` None keeps nothing."""

    def __init__(self, cache_dir: Path | None) -> None:
        self._file = None if cache_dir is None else cache_dir / "headers.json"
        self._rows = self._read()
        self._used: dict[str, list[Any]] = {}

    def _read(self) -> dict[str, Any]:
        if self._file is None:
            return {}
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
            return dict(known["rows"]) if known["version"] == VERSION else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def get(self, path: Path, status: os.stat_result) -> list[Any] | None:
        """Return the row of a file that has not changed since."""
        row = self._rows.get(str(path))
        if not isinstance(row, list) or row[:2] != [status.st_mtime_ns, status.st_size]:
            return None
        self._used[str(path)] = row
        return row[2:]

    def put(self, path: Path, status: os.stat_result, row: list[Any]) -> None:
        """Keep the row of a file."""
        self._used[str(path)] = [status.st_mtime_ns, status.st_size, *row]

    def save(self) -> None:
        """Write the rows of this scan, if they are others than were read."""
        if self._file is None or self._used == self._rows:
            return
        # If the cache cannot be written, the files are read again next time.
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(f".{os.getpid()}.tmp")
            rows = json.dumps({"version": VERSION, "rows": self._used})
            temporary.write_text(rows, encoding="utf-8")
            temporary.replace(self._file)
