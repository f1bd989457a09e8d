"""Values kept in memory for a while, under a number that a ``custom_id`` has room for.

Bounded: past its limit the oldest is forgotten, and so is all of it by a restart; whoever asks
for what is gone says so in a sentence.
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
        """The number to ask for it with."""
        # Not counted from 1: after a restart an old number must not find another's.
        number = secrets.randbelow(10**18)
        self._values[number] = value
        while sum(map(self._size, self._values.values())) > self._limit:
            self._values.popitem(last=False)
        return number

    def forget(self, which: Callable[[T], bool]) -> None:
        """Forget all of which that is true."""
        for number in [number for number, value in self._values.items() if which(value)]:
            del self._values[number]

    def get(self, number: int | None) -> T | None:
        """The value, or None when it is forgotten."""
        return None if number is None else self._values.get(number)
