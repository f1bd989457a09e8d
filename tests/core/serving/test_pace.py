"""How long jobs take, by the seconds of calls that engines measure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.request import HiresFix
from core.serving.pace import Pace
from core.serving.queue import GpuQueue
from core.work import Work
from tests.core.serving.test_client import work

# A small card, busy with two rows, and a large one on which 16 take as long as two.
SMALL = {"demo 512x512": {2: 0.064, 4: 0.128}}
LARGE = {"demo 512x512": {2: 0.016, 16: 0.016}}


def job(job_id: int = 1, **values: Any) -> Work:
    given: dict[str, Any] = {"width": 512, "height": 512, "steps": 20, "cfg_scale": 7.0}
    return work(job_id, "a cat", **given | values)


def test_a_job_takes_its_rows_calls() -> None:
    assert Pace().seconds(job(), 2) is None
    assert Pace(SMALL).seconds(job(), 2) == pytest.approx(20 * 0.064)
    assert Pace(SMALL).seconds(job(count=3), 99) == pytest.approx(3 * 20 * 0.064)
    assert Pace(SMALL).seconds(job(cfg_scale=1.0), 1) == pytest.approx(20 * 0.032)
    assert Pace(LARGE).seconds(job(), 2) == pytest.approx(20 * 0.016)
    assert Pace(LARGE).seconds(job(), 16) == pytest.approx(20 * 0.002), "in a crowd"


def test_what_was_not_measured_is_told_by_pixels() -> None:
    assert Pace(SMALL).seconds(job(width=1024), 2) == pytest.approx(2 * 20 * 0.064)
    hires = HiresFix(2.0, 10, 0.5, "Latent")
    both = 20 * 0.064 + 10 * 4 * 0.064
    assert Pace(SMALL).seconds(job(hires=hires), 2) == pytest.approx(both)
    other = {"other 512x512": {2: 1.0}}
    assert Pace(SMALL | other).seconds(job(width=1024), 2) == pytest.approx(2 * 20 * 0.064)
    assert Pace(other).seconds(job(), 2) == pytest.approx(20 * 1.0)


def test_the_queue_tells_it_before_any_job_has_ended() -> None:
    queue = GpuQueue(99, 99)
    feeds = [queue.feed() for _ in range(2)]
    for feed in feeds:
        feed.open()
    for job_id in (1, 2):
        queue.submit(replace(job(), job_id=job_id))
    assert {place.eta for place in queue.snapshot()} == {None}
    feeds[0].measured(SMALL)
    assert [place.eta for place in queue.snapshot()] == pytest.approx([1.28, 2.56])
    feeds[1].measured(SMALL)
    assert [place.eta for place in queue.snapshot()] == pytest.approx([0.64, 1.28])
