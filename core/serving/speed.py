"""``Speed``: how much work is done in a second, as measured lately."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


class Speed:
    """Work per second of a busy engine, old seconds counting half every ``HALF_LIFE``.

    A ratio of two decaying sums, so that pictures which finish together are one measurement.
    ``clock`` gives seconds from anywhere. ``measured`` is set once the value can be trusted.
    """

    HALF_LIFE: Final = 120.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._work = self._seconds = 0.0
        self.measured = False

    def add(self, work: float, *, busy: bool) -> None:
        """Count ``work`` done since the last call; the time counts if the engine was ``busy``."""
        now = self._clock()
        elapsed, self._last = now - self._last, now
        if busy:
            decay = 0.5 ** (elapsed / self.HALF_LIFE)
            self._work = self._work * decay + work
            self._seconds = self._seconds * decay + elapsed

    @property
    def value(self) -> float | None:
        """Work per second; None while unmeasured."""
        return self._work / self._seconds if self.measured and self._seconds > 0 else None
