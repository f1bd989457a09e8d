"""``Pace``: how long jobs take, by the seconds of UNet calls that the engine measures.

They are the numbers by which it chooses how many rows a call has (:mod:`core.engine.knee`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from core.engine.knee import call_name
from core.work import Work


@dataclass(frozen=True, slots=True)
class Pace:
    """``calls`` are the seconds of a call, by what it is called and by its rows."""

    calls: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def seconds(self, work: Work, rows: int) -> float | None:
        """Return how long a job's calls take where ``rows`` rows share them; None if unmeasured."""
        total = 0.0
        for size, row_steps in work.row_steps.items():
            a_row = self._a_row(*size, rows)
            if a_row is None:
                return None
            total += row_steps * a_row
        return total

    def _a_row(self, model: str, width: int, height: int, rows: int) -> float | None:
        """Return the seconds of a row; of a size that was not measured, by its pixels."""
        calls = self.calls.get(call_name(model, width, height))
        if calls:
            count = min((each for each in calls if each >= rows), default=max(calls))
            return calls[count] / count
        of_pixels = {
            name: min(seconds / count for count, seconds in own.items()) / _pixels(name)
            for name, own in self.calls.items()
        }
        same = [each for name, each in of_pixels.items() if name.rpartition(" ")[0] == model]
        known = same or list(of_pixels.values())
        return fmean(known) * width * height if known else None


def _pixels(name: str) -> int:
    width, height = name.rpartition(" ")[2].split("x")
    return int(width) * int(height)
