"""How fast one member may use the bot, so that one who presses without end slows down nobody else.

A token bucket for each member.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# Uses at once, and a second after that: more than anybody presses or types by hand.
BURST: Final = 40.0
RATE: Final = 8.0
# Members that are remembered; one whose bucket is full again need not be.
MAX_MEMBERS: Final = 1_000


class MemberPace:
    """The buckets. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By member: what was left in the bucket, and when.
        self._left: dict[int, tuple[float, float]] = {}

    def allows(self, user_id: int) -> bool:
        """Count one use of a member's; False if it is one too many."""
        now = self._clock()
        if len(self._left) > MAX_MEMBERS:
            self._left = {
                user: (left, at)
                for user, (left, at) in self._left.items()
                if left + (now - at) * RATE < BURST
            }
        left, at = self._left.get(user_id, (BURST, now))
        left = min(BURST, left + (now - at) * RATE)
        self._left[user_id] = (max(0.0, left - 1), now)
        return left >= 1
