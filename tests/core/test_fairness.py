"""Start-time fair queueing: who is next."""

from __future__ import annotations

from core.fairness import FairShares


def test_the_least_served_comes_first_and_nobody_saves_up() -> None:
    shares = FairShares()
    for _ in range(3):
        shares.charge("sheet", 10)
    assert shares.tag("sheet") == 30
    assert shares.tag("new") == 20, "the present, not the beginning"
    shares.charge("new", 10)
    assert shares.tag("new") == shares.tag("sheet") == 30


def test_equal_flows_take_turns_by_cost() -> None:
    shares, order = FairShares(), []
    for _ in range(6):
        flow = min(("dear", "cheap"), key=shares.tag)
        order.append(flow)
        shares.charge(flow, 3 if flow == "dear" else 1)
    assert order == ["dear", "cheap", "cheap", "cheap", "dear", "cheap"]
