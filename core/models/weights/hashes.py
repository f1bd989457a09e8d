"""File hashes as A1111 writes them, the first ten hex digits of sha256, cached in a JSON file.

A file is hashed again only when its size or modification time has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path

DIGITS = 10


class Hashes:
    """A cache of file hashes in ``cache_dir/hashes.json``. Thread-safe."""

    def __init__(self, cache_dir: Path) -> None:
        self._file = cache_dir / "hashes.json"
        self._lock = threading.Lock()
        self._known = self._read()

    def _read(self) -> dict[str, list[object]]:
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # Only a cache: without it all files are hashed again.
            return {}
        return known if isinstance(known, dict) else {}

    def known(self, path: Path) -> str:
        """Return what :meth:`of` would, where the file was hashed before; else an empty text."""
        with contextlib.suppress(OSError):
            return self._cached(*_stamped(path))
        return ""

    def of(self, path: Path) -> str:
        """Return the first ten hex digits of the file's sha256. Raises :class:`OSError`."""
        resolved, stamp = _stamped(path)
        if cached := self._cached(resolved, stamp):
            return cached
        with resolved.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
        with self._lock:
            # Another process may have written entries in the meantime.
            self._known = self._read() | {str(resolved): [*stamp, digest]}
            # If the cache cannot be written, the file is hashed again next time.
            with contextlib.suppress(OSError):
                self._write()
        return digest

    def _cached(self, resolved: Path, stamp: list[int]) -> str:
        with self._lock:
            entry = self._known.get(str(resolved))
        found = isinstance(entry, list) and entry[:2] == stamp and len(entry) == 3
        return str(entry[2]) if found and entry else ""

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        temporary.replace(self._file)


def _stamped(path: Path) -> tuple[Path, list[int]]:
    """The file itself, and what changes when it does."""
    resolved = Path(os.path.realpath(path))
    status = resolved.stat()
    return resolved, [status.st_mtime_ns, status.st_size]
