"""Values kept in memory under a number, which fits into a ``custom_id``.

Past the limit the oldest are dropped, and a restart drops all: a missing value is an expected case.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Temporary(Generic[T]):
    """Values by number, never more than ``limit`` in all as ``size`` counts each."""

    def __init__(self, limit: int, size: Callable[[T], int] = lambda _: 1) -> None:
        self._limit = limit
        self._size = size
        self._values: OrderedDict[int, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, value: T) -> int:
        """Store a value; return its number."""
        # Random, so that a number from before a restart does not find another value.
        number = secrets.randbelow(10**18)
        self._values[number] = value
        while sum(map(self._size, self._values.values())) > self._limit:
            self._values.popitem(last=False)
        return number

    def forget(self, which: Callable[[T], bool]) -> None:
        """Delete the values that ``which`` is true of."""
        for number in [number for number, value in self._values.items() if which(value)]:
            del self._values[number]

    def get(self, number: int | None) -> T | None:
        """Return the value; None when it was dropped."""
        return None if number is None else self._values.get(number)
