"""How many UNet rows a call should have: as many as still pay, measured and kept on disk.

On a large graphics card a call of 16 rows takes hardly longer than one of 2; on a small one it
takes eight times as long, and more rows only make everybody wait.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Hashable
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

# A count of rows is enough when it does this share of the best measured rows a second.
ENOUGH: Final = 0.9
# Calls of a count that are measured before it is believed; the shortest one counts.
CALLS: Final = 3
# Of so many calls, the last few may have more rows than seem to pay: a measurement may be old, or
# of a moment when the machine was busy with something else.
ROUND: Final = 256
TRIED: Final = 8


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
                self._saved[key] = self.rows(key)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError) as error:
            log.warning("%s is not read and will be measured again: %s", path.name, error)

    def rows(self, key: Hashable) -> int:
        """Return the most rows that a call should have."""
        measured = {
            rows: rows / seconds
            for rows, seconds in self._seconds[str(key)].items()
            if self._calls[str(key), rows] >= CALLS
        }
        best = max(measured.values(), default=0.0)
        trying = self._total[str(key)] % ROUND >= ROUND - TRIED
        # While the most that was tried is the best, more may be better.
        if trying or not measured or measured[max(measured)] >= best:
            return self._most
        return min(rows for rows, rate in measured.items() if rate >= ENOUGH * best)

    def measured(self, key: Hashable, rows: int, seconds: float) -> None:
        """Note how long a call took."""
        name = str(key)
        self._seconds[name][rows] = min(seconds, self._seconds[name].get(rows, seconds))
        self._calls[name, rows] += 1
        self._total[name] += 1
        if self._calls[name, rows] == CALLS and (now := self.rows(key)) != self._saved.get(name):
            self._saved[name] = now
            self._save()

    def _save(self) -> None:
        text = json.dumps(self._seconds)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(text, "utf-8")
        except OSError as error:
            log.warning("%s is not kept: %s", self._path.name, error)
