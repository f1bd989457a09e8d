"""Which engine a job goes to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from core.events import Finished, Started
from core.models.catalogue import Model
from core.request import GenerationRequest
from core.serving.placing import SWITCH, Load, switch, waits
from core.serving.queue import Feed, GpuQueue
from core.work import Work

MODEL = Model("a", Path("a"), "folder", "sd1", "epsilon", "sd1", (128, 128))
A, B = frozenset("a"), frozenset("b")
NAMES = st.sampled_from("abc")
LOADS = st.builds(
    Load,
    models=st.frozensets(NAMES),
    backlog=st.floats(0, 1000),
    speed=st.none() | st.floats(0.01, 100),
    loading=st.floats(-10, 10),
)


def work(job_id: int, model: str, steps: int = 20) -> Work:
    """A megapixel each, so that its cost is its steps."""
    request = GenerationRequest("p", model, job_id, steps=steps, width=1000, height=1000)
    return Work.of(job_id, f"owner {job_id % 3}", request, replace(MODEL, name=model))


def test_a_loaded_model_is_waited_for_as_long_as_a_switch_takes() -> None:
    cold = Load(B, speed=2.0)
    assert waits(A, [Load(A, backlog=8.0, speed=2.0), cold], {}) == [4.0, SWITCH]
    assert waits(A, [Load(A, backlog=12.0, speed=2.0), cold], {}) == [6.0, SWITCH]
    # A measured switch counts in place of the guess.
    assert waits(A, [Load(A, backlog=12.0, speed=2.0), cold], {"a": 20.0}) == [6.0, 20.0]


def test_a_slow_card_and_one_that_still_loads_count_as_such() -> None:
    assert waits(A, [Load(A, 8.0, 2.0), Load(A, 8.0, 8.0)], {}) == [4.0, 1.0]
    assert waits(A, [Load(A, 8.0, 2.0, loading=3.0), Load(A, 8.0, 2.0, loading=-3.0)], {}) == [7, 4]
    # One that was not measured is as fast as the others.
    assert waits(A, [Load(A, 8.0, 2.0), Load(A, 6.0)], {}) == [4.0, 3.0]


def test_a_sheet_of_several_models_loads_each_that_is_missing() -> None:
    assert switch(A | B, Load(A), {"b": 3.0}) == 3.0
    assert switch(A | B, Load(), {"b": 3.0}) == 3.0 + SWITCH


@given(st.lists(LOADS, max_size=4), st.frozensets(NAMES, min_size=1), st.integers(0, 4))
def test_no_job_waits_for_a_busy_card_while_an_idle_one_would_begin_first(
    busy: list[Load], models: frozenset[str], at: int
) -> None:
    for loaded in (models, frozenset[str]()):
        idle = Load(loaded)
        loads = [*busy[:at], idle, *busy[at:]]
        expected = waits(models, loads, {})
        assert min(expected) <= switch(models, idle, {})
        assert all(each >= 0 for each in expected)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.integers(1, 50)), max_size=30), st.data())
def test_while_one_is_idle_a_job_waits_only_for_a_model_and_not_longer_than_a_switch(
    jobs: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Whatever comes and ends: two workers of two jobs each, asked in turn until none takes one."""
    now = 0.0
    queue = GpuQueue(1000, 1000, clock=lambda: now)
    feeds = [queue.feed(), queue.feed()]
    has: dict[Feed, dict[int, Work]] = {feed: {} for feed in feeds}
    models: dict[Feed, str] = dict.fromkeys(feeds, "")
    waiting: dict[int, Work] = {}
    for feed in feeds:
        feed.open()
    for job_id, (model, steps) in enumerate(jobs):
        waiting[job_id] = work(job_id, model, steps)
        queue.submit(waiting[job_id])
        while any(feed.changed.is_set() for feed in feeds):
            for feed in feeds:
                feed.changed.clear()
                for dropped in feed.take_aborted():
                    has[feed].pop(dropped, None)
                while len(has[feed]) < 2 and (taken := feed.take()):
                    waiting.pop(taken.job_id, None)
                    has[feed][taken.job_id] = taken
        idle = [feed for feed in feeds if not has[feed]]
        for feed in idle:
            for each in waiting.values():
                assert each.model.name != models[feed]
                (other,) = (one for one in feeds if one is not feed)
                backlog = sum(one.cost for one in has[other].values())
                speed = other.speed or feed.speed
                assert speed is not None
                assert backlog / speed <= queue._switches.get(each.model.name, SWITCH)
        now += data.draw(st.floats(0, 30))
        feed = data.draw(st.sampled_from(feeds))
        for done, job in list(has[feed].items())[: data.draw(st.integers(0, 2))]:
            models[feed] = job.model.name
            feed.has((job.model.name,))
            feed.publish(Started(done))
            now += data.draw(st.floats(0.1, 30))
            feed.publish(Finished(done, ()))
            del has[feed][done]
