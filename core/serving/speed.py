"""``Speed``: the work done per second, a moving average."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


class Speed:
    """Work per busy second, an exponential moving average with half-life ``HALF_LIFE`` seconds.

    The ratio of two decaying sums, so that the number of measurements does not matter.
    ``clock`` is monotonic, in seconds. ``measured`` is set once the value is reliable.
    """

    HALF_LIFE: Final = 120.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._work = self._seconds = 0.0
        self.measured = False

    def add(self, work: float, *, busy: bool) -> None:
        """Add the ``work`` done since the last call; its time counts if the engine is ``busy``."""
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
