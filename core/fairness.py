"""Start-time fair queueing (Goyal, Vin, Cheng 1996): who is served next."""

from __future__ import annotations

from collections.abc import Hashable


class FairShares:
    """The start tags of flows, in cost: what was served to a flow so far, but never in the past.

    So a new flow comes before everybody's next, and nobody saves up what was not used.
    """

    def __init__(self) -> None:
        self._tags: dict[Hashable, float] = {}
        self._now = 0.0

    def tag(self, flow: Hashable) -> float:
        """Return the flow's tag; the lowest of those who wait is served next."""
        return max(self._tags.get(flow, 0.0), self._now)

    def charge(self, flow: Hashable, cost: float) -> None:
        """Count the cost of serving a flow, which moves the present to its tag."""
        self._now = self.tag(flow)
        self._tags[flow] = self._now + cost
        self._tags = {each: tag for each, tag in self._tags.items() if tag > self._now}

    def refund(self, flow: Hashable, cost: float) -> None:
        """Take back a charge for what is served again later."""
        self._tags[flow] = self.tag(flow) - cost
