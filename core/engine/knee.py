"""How many UNet rows a call should have: as many as still pay, measured and kept on disk.

On a large graphics card a call of 16 rows takes hardly longer than one of 2; on a small one it
takes eight times as long, and more rows only make everybody wait.
"""

from __future__ import annotations

import json
import logging
import os
from collections import defaultdict
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

# A count of rows is enough when it does this share of the best measured rows a second.
ENOUGH: Final = 0.9
# Calls of a count that are measured before it is believed; the shortest one counts.
CALLS: Final = 3
# Rows while nothing is measured: two pictures. It doubles for as long as that pays.
FIRST: Final = 4
# Of so many calls, the last few may have twice the rows that seem to pay: a measurement may be
# old, or of a moment when the machine was busy with something else.
ROUND: Final = 1024
TRIED: Final = 8


def call_name(model: str, width: int, height: int) -> str:
    """Return what calls of a model at a size, in pixels, are measured as."""
    return f"{model} {width}x{height}"


class Knee:
    """The rows of a call, by what the calls have in common (a model, a size).

    ``path`` is the file the measurements are kept in, of one device; it may be deleted.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path, self._most = path, most
        # By key, the shortest seconds of a call of so many rows, and how many were measured.
        self._seconds: dict[str, dict[int, float]] = defaultdict(dict)
        self._calls: dict[tuple[str, int], int] = defaultdict(int)
        self._total: dict[str, int] = defaultdict(int)
        self._saved: dict[str, int] = {}
        try:
            for key, seconds in json.loads(path.read_text("utf-8")).items():
                self._seconds[key] = {int(rows): float(each) for rows, each in seconds.items()}
                self._calls |= {(key, rows): CALLS for rows in self._seconds[key]}
                self._saved[key] = self._enough(key)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError) as error:
            log.warning("%s is not read and will be measured again: %s", path.name, error)

    def rows(self, key: str) -> int:
        """Return the most rows that a call should have."""
        trying = self._total[key] % ROUND >= ROUND - TRIED
        return min(self._most, self._enough(key) * (2 if trying else 1))

    @property
    def calls(self) -> dict[str, dict[int, float]]:
        """The seconds of a call that are believed, by key and rows."""
        keys = dict.fromkeys(key for key, rows in self._calls if self._calls[key, rows] >= CALLS)
        return {
            key: {rows: self._seconds[key][rows] for rows in self._believed(key)} for key in keys
        }

    def _believed(self, key: str) -> dict[int, float]:
        """Return the measured rows a second, by the rows of a call."""
        return {
            rows: rows / seconds
            for rows, seconds in self._seconds[key].items()
            if self._calls[key, rows] >= CALLS
        }

    def _enough(self, key: str) -> int:
        measured = self._believed(key)
        if not measured:
            return min(FIRST, self._most)
        best = max(measured.values())
        enough = min(rows for rows, rate in measured.items() if rate >= ENOUGH * best)
        if enough < max(measured):
            return enough
        # The most that was tried is much the best, so more may be better.
        return min(max(FIRST, 2 * enough), self._most)

    def measured(self, key: str, rows: int, seconds: float) -> None:
        """Note how long a call took."""
        shortest = self._seconds[key].get(rows, seconds)
        self._seconds[key][rows] = min(seconds, shortest)
        self._calls[key, rows] += 1
        self._total[key] += 1
        first = self._calls[key, rows] == CALLS
        if (first or seconds < shortest) and self._enough(key) != self._saved.get(key):
            self._saved[key] = self._enough(key)
            self._save()

    def _save(self) -> None:
        text = json.dumps(self._seconds)
        # Engines on devices of one name share the file: each writes it whole.
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, "utf-8")
            temporary.replace(self._path)
        except OSError as error:
            log.warning("%s is not kept: %s", self._path.name, error)
