"""File hashes as A1111 writes them, first digits of a sha256, cached in a JSON file.

A file is hashed again only when its size or modification time has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

# Hex digits of a checkpoint's or VAE's hash, and of a network's or embedding's.
DIGITS = 10
ADDON_DIGITS = 12
# Bytes that are hashed at a time.
PART = 2**20


class Hashes:
    """A cache of file hashes in ``cache_dir/hashes.json``. Thread-safe.

    ``alive`` is called while a file is hashed.
    """

    def __init__(self, cache_dir: Path, alive: Callable[[], None] = lambda: None) -> None:
        self._file = cache_dir / "hashes.json"
        self._alive = alive
        self._lock = threading.Lock()
        self._known = self._read()

    def _read(self) -> dict[str, list[object]]:
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # Only a cache: without it all files are hashed again.
            return {}
        return known if isinstance(known, dict) else {}

    def of(self, path: Path, digits: int = DIGITS, *, after_header: bool = False) -> str:
        """Return the first hex digits of the file's sha256. Raises :class:`OSError`.

        ``after_header`` hashes only what follows a ``.safetensors`` header, as A1111 does for
        networks: so metadata may change.
        """
        if known := self.known(path, digits, after_header=after_header):
            return known
        key, stamp = _key(path, after_header), _stamp(path)
        with path.open("rb") as file:
            if after_header:
                file.seek(8 + int.from_bytes(file.read(8), "little"))
            hashed = hashlib.sha256()
            while part := file.read(PART):
                hashed.update(part)
                self._alive()
        digest = hashed.hexdigest()
        with self._lock:
            # Another process may have written entries in the meantime.
            self._known = self._read() | {key: [*stamp, digest]}
            # If the cache cannot be written, the file is hashed again next time.
            with contextlib.suppress(OSError):
                self._write()
        return digest[:digits]

    def known(self, path: Path, digits: int = DIGITS, *, after_header: bool = False) -> str:
        """Return what :meth:`of` would, where the file was hashed before; else an empty text."""
        with self._lock:
            entry = self._known.get(_key(path, after_header))
        if not isinstance(entry, list) or len(entry) != 3 or len(str(entry[2])) < digits:
            return ""
        with contextlib.suppress(OSError):
            return str(entry[2])[:digits] if entry[:2] == _stamp(path) else ""
        return ""

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        temporary.replace(self._file)


def _key(path: Path, after_header: bool) -> str:
    return os.path.realpath(path) + ("#after_header" if after_header else "")


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_mtime_ns, status.st_size]
