from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import EngineStopped, OutOfMemory, QueueFull
from core.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Progress,
    Queued,
    Restarting,
    Started,
)
from core.models.catalogue import Model
from core.request import GenerationRequest
from core.serving.queue import LACKING, Feed, GpuQueue
from core.serving.ticket import Ticket
from core.work import Work

MODEL = Model("demo", Path("demo"), "folder", "sd1", "epsilon", "sd1", (128, 128))


def work(job_id: int, owner: str = "ada", *, steps: int = 20, priority: int = 0) -> Work:
    """A megapixel each, so that its cost is its steps."""
    request = GenerationRequest("p", "demo", job_id, steps=steps, width=1000, height=1000)
    return Work.of(job_id, owner, request, MODEL, priority=priority)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class OneWorker(GpuQueue):
    """A queue with the one worker that most tests need, whose feed is asked here."""

    def __init__(self, per_owner: int, total: int, *, clock: Clock | None = None) -> None:
        super().__init__(per_owner, total, clock=clock or Clock())
        feed = self.feed()
        feed.open()
        self.changed = feed.changed
        self.take, self.take_aborted = feed.take, feed.take_aborted
        self.publish, self.open, self.close = feed.publish, feed.open, feed.close


def roomy(clock: Clock | None = None) -> OneWorker:
    return OneWorker(1000, 1000, clock=clock)


def line(queue: GpuQueue) -> list[int]:
    return [place.job_id for place in queue.snapshot() if place.state == "queued"]


def take_all(queue: OneWorker) -> list[int]:
    taken = []
    while job := queue.take():
        taken.append(job.job_id)
    return taken


async def read(ticket: Ticket) -> list[Event]:
    """Every event that can be read without waiting, or all of them once the job has ended."""
    events: list[Event] = []
    while True:
        reader = asyncio.ensure_future(anext(ticket, None))
        await asyncio.sleep(0)
        if not reader.done():
            reader.cancel()
            return events
        event = reader.result()
        if event is None:
            return events
        events.append(event)


# Whose turn it is.


def test_nobodys_second_job_goes_before_anothers_first() -> None:
    queue = roomy()
    for job_id in range(10):
        queue.submit(work(job_id, "ada"))
    queue.submit(work(10, "bob"))
    queue.submit(work(11, "eve"))
    assert take_all(queue)[:3] == [0, 10, 11]


def test_who_comes_late_starts_at_the_present() -> None:
    queue = roomy()
    for job_id in range(10):
        queue.submit(work(job_id, "ada"))
    for _ in range(5):
        queue.take()
    for job_id in range(20, 30):
        queue.submit(work(job_id, "bob"))
    # Neither behind all of Ada's, nor with five jobs of arrears.
    assert take_all(queue)[:6] == [20, 5, 21, 6, 22, 7]


def test_one_job_at_a_time_is_paid_for_as_many_at_once_are() -> None:
    queue = roomy()
    for job_id in range(4):
        queue.submit(work(job_id, "bob"))
    order = []
    for job_id in range(10, 14):
        # Ada has no job at all whenever the engine takes one of Bob's.
        queue.submit(work(job_id, "ada"))
        for _ in range(2):
            taken = queue.take()
            assert taken is not None
            order.append(taken.job_id)
        queue.publish(Finished(job_id, ()))
    assert order == [0, 10, 1, 11, 2, 12, 3, 13]


def test_who_paid_long_ago_is_forgotten() -> None:
    queue = roomy()
    for job_id in range(3):
        queue.submit(work(job_id, "bob"))
    for job_id in range(10, 20):
        queue.submit(work(job_id, f"owner {job_id}"))
    taken = [queue.take() for _ in range(11)]
    assert taken[-1] == work(19, "owner 19")
    # Everybody's next job is due when Bob's is, which is taken now.
    assert queue.take() == work(1, "bob")
    assert list(queue._shares[0]._tags) == ["bob"]


def test_an_empty_queue_owes_nobody() -> None:
    queue = roomy()
    for job_id in range(3):
        queue.submit(work(job_id, "ada"))
        queue.take()
        queue.publish(Finished(job_id, ()))
    queue.submit(work(10, "ada"))
    queue.submit(work(11, "bob"))
    assert take_all(queue) == [10, 11]


def test_shares_are_shares_of_work() -> None:
    queue = roomy()
    for job_id in range(4):
        queue.submit(work(job_id, "ada", steps=100))
    for job_id in range(10, 30):
        queue.submit(work(job_id, "bob", steps=20))
    order = take_all(queue)
    assert order[:2] == [0, 10]
    # Five of Bob's small ones for each of Ada's.
    assert [order.index(job_id) for job_id in range(4)] == [0, 6, 12, 18]


def test_cancelling_is_not_charged() -> None:
    queue = roomy()
    for job_id in range(5):
        queue.submit(work(job_id, "ada"))
        queue.submit(work(10 + job_id, "bob"))
    for job_id in range(4):
        queue.cancel(job_id)
    assert set(line(queue)[:2]) == {10, 4}


def test_priority_goes_first_and_is_fair_within() -> None:
    queue = roomy()
    queue.submit(work(1, "ada"))
    queue.submit(work(2, "bob", priority=1))
    queue.submit(work(3, "bob", priority=1))
    queue.submit(work(4, "eve", priority=1))
    queue.submit(work(5, "eve", priority=2))
    assert take_all(queue) == [5, 2, 4, 3, 1]


def test_priority_jobs_do_not_age_the_ordinary_line() -> None:
    queue = roomy()
    for job_id in range(10):
        queue.submit(work(job_id, "ada"))
        queue.submit(work(100 + job_id, "vip", priority=1))
    for _ in range(10):
        queue.take()
    queue.submit(work(50, "bob"))
    assert take_all(queue)[:3] == [0, 50, 1]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 150)) | st.none(), min_size=1, max_size=60
    )
)
def test_owners_who_wait_together_are_served_alike(moves: list[tuple[str, int] | None]) -> None:
    """The bound of the paper: served work differs by at most one largest job of each.

    A move is a job (owner, steps), or None: the engine takes one.
    """
    queue = roomy()
    waiting: dict[str, int] = defaultdict(int)
    largest = 0.0
    served: dict[tuple[str, str], float] = {}
    for job_id, move in enumerate(moves):
        if move is not None:
            job = work(job_id, move[0], steps=move[1])
            queue.submit(job)
            waiting[move[0]] += 1
            largest = max(largest, job.cost)
        elif taken := queue.take():
            waiting[taken.owner] -= 1
            for pair in served:
                if taken.owner in pair:
                    served[pair] += taken.cost if taken.owner == pair[0] else -taken.cost
        for pair in combinations("abc", 2):
            if all(waiting[owner] for owner in pair):
                served.setdefault(pair, 0.0)
                assert abs(served[pair]) <= 2 * largest + 1e-9
            else:
                served.pop(pair, None)


MOVES = st.tuples(
    st.sampled_from(["submit", "submit", "take", "start", "finish", "cancel"]),
    st.sampled_from("abcd"),
    st.integers(0, 2),
)


@given(st.lists(MOVES, max_size=60), st.randoms(use_true_random=False))
def test_whatever_happens_the_line_stays_in_order(
    moves: list[tuple[str, str, int]], random: Random
) -> None:
    queue = OneWorker(4, 9)
    tickets: dict[int, Ticket] = {}
    alive: list[int] = []
    taken: list[int] = []
    for job_id, (move, owner, priority) in enumerate(moves):
        before = line(queue)
        if move == "submit":
            try:
                tickets[job_id] = queue.submit(work(job_id, owner, priority=priority))
            except QueueFull:
                assert len(alive) == 9 or sum(p.owner == owner for p in queue.snapshot()) == 4
            else:
                alive.append(job_id)
        elif move == "take":
            first = next((i for i in before if i not in taken), None)
            job = queue.take()
            assert (job.job_id if job else None) == first
            if job:
                taken.append(job.job_id)
        elif alive:
            chosen = random.choice(alive)
            if move == "start" and chosen in taken:
                queue.publish(Started(chosen))
            elif move == "cancel" or (move == "finish" and chosen in taken):
                alive.remove(chosen)
                assert queue.cancel(chosen) if move == "cancel" else True
                queue.publish(Finished(chosen, ()))
        assert {place.job_id for place in queue.snapshot()} == set(alive)
        assert [queue.position(i) for i in line(queue)] == list(range(1, len(line(queue)) + 1))
    for job_id, ticket in tickets.items():
        endings = [e for e in ticket._unread if isinstance(e, Finished | Cancelled)]
        assert len(endings) == (job_id not in alive)
        told = [e.position for e in ticket._unread if isinstance(e, Queued)]
        assert told == ([queue.position(job_id)] if job_id in line(queue) else [])


# Bounds.


def test_the_total_is_bounded() -> None:
    queue = OneWorker(per_owner=5, total=2)
    queue.submit(work(1, "ada"))
    queue.submit(work(2, "bob"))
    with pytest.raises(QueueFull) as refused:
        queue.submit(work(3, "eve"))
    assert (refused.value.scope, refused.value.limit) == ("total", 2)
    assert line(queue) == [1, 2]


def test_an_owners_part_is_bounded_running_jobs_included() -> None:
    queue = OneWorker(per_owner=2, total=10)
    queue.submit(work(1))
    queue.submit(work(2))
    queue.take()
    queue.publish(Started(1))
    with pytest.raises(QueueFull) as refused:
        queue.submit(work(3))
    assert (refused.value.scope, refused.value.limit) == ("owner", 2)
    queue.submit(work(4, "bob"))
    queue.publish(Finished(1, ()))
    queue.submit(work(3))
    assert line(queue) == [4, 2, 3]


def test_what_was_accepted_before_a_restart_is_accepted_again() -> None:
    queue = OneWorker(per_owner=1, total=1)
    for job_id in range(3):
        queue.submit(work(job_id), resumed=True)
    assert line(queue) == [0, 1, 2]


def test_a_job_is_queued_once() -> None:
    queue = roomy()
    queue.submit(work(1))
    with pytest.raises(ValueError, match="job 1"):
        queue.submit(work(1))


# What a ticket tells.


async def test_a_jobs_life() -> None:
    queue = roomy()
    ticket = queue.submit(work(1))
    assert await read(ticket) == [Queued(1, 1, 1, None)]
    queue.take()
    queue.publish(Started(1))
    assert await read(ticket) == [Started(1)]
    queue.publish(Progress(1, 5, 20))
    assert await read(ticket) == [Progress(1, 5, 20)]
    queue.publish(Restarting(1))
    queue.publish(Started(1))
    assert await read(ticket) == [Restarting(1), Started(1)]
    queue.publish(Failed(1, OutOfMemory(8, 8)))
    (failed,) = await read(ticket)
    assert isinstance(failed, Failed)
    # It has ended: nothing comes any more, and asking again does not hang.
    queue.publish(Finished(1, ()))
    assert [event async for event in ticket] == []
    assert queue.snapshot() == ()


async def test_a_waiting_reader_is_woken() -> None:
    queue = roomy()
    ticket = queue.submit(work(1))
    await read(ticket)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reader = group.create_task(anext(ticket))
        await asyncio.sleep(0)
        assert not reader.done()
        queue.cancel(1)
    assert reader.result() == Cancelled(1)


async def test_places_are_told_again_when_they_change() -> None:
    queue = roomy()
    queue.submit(work(1, "ada"))
    second = queue.submit(work(2, "ada"))
    third = queue.submit(work(3, "ada"))
    assert await read(third) == [Queued(3, 3, 3, None)]
    queue.submit(work(4, "ada"))
    assert await read(third) == []
    queue.cancel(2)
    assert await read(third) == [Queued(3, 2, 3, None)]
    queue.submit(work(5, "bob"))
    assert await read(third) == [Queued(3, 3, 4, None)]
    # Taken by the engine is not yet started: it still leads the line.
    queue.take()
    assert await read(third) == []
    queue.publish(Started(1))
    assert await read(third) == [Queued(3, 2, 3, None)]
    assert await read(second) == [Cancelled(2)]


async def test_a_slow_reader_gets_the_newest_only() -> None:
    queue = roomy()
    first = queue.submit(work(1))
    slow = queue.submit(work(2))
    for job_id in range(3, 103):
        queue.submit(work(job_id, f"owner {job_id}"))
    assert await read(slow) == [Queued(2, 102, 102, None)]
    assert queue.take() is not None
    queue.publish(Started(1))
    for step in range(1, 1001):
        queue.publish(Progress(1, step, 1000, b"preview" if step == 500 else None))
    # The newest preview is kept although newer steps came without.
    assert await read(first) == [Started(1), Progress(1, 1000, 1000, b"preview")]
    queue.publish(Progress(1, 1000, 1000))
    queue.publish(Finished(1, ()))
    assert await read(first) == [Finished(1, ())]


async def test_a_reader_that_left_blocks_nobody() -> None:
    queue = roomy()
    gone = queue.submit(work(1))
    stays = queue.submit(work(2))
    reader = asyncio.ensure_future(anext(gone))
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    for _ in range(2):
        queue.take()
    for job_id in (1, 2):
        queue.publish(Started(job_id))
        for _ in range(3):
            queue.publish(Restarting(job_id))
            queue.publish(Started(job_id))
        for step in range(100):
            queue.publish(Progress(job_id, step, 100))
    assert len(gone._unread) <= 3
    queue.publish(Finished(2, ()))
    assert (await read(stays))[-1] == Finished(2, ())


# Taking back.


async def test_a_queued_job_is_cancelled_for_good() -> None:
    queue = roomy()
    ticket = queue.submit(work(1))
    assert queue.cancel(1)
    assert not queue.cancel(1)
    assert [event async for event in ticket] == [Cancelled(1)]
    assert queue.take() is None
    assert queue.take_aborted() == []


async def test_cancelling_a_running_job_tells_the_engine_once() -> None:
    queue = roomy()
    ticket = queue.submit(work(1))
    queue.take()
    queue.publish(Started(1))
    queue.changed.clear()
    assert queue.cancel(1)
    assert queue.changed.is_set()
    assert queue.take_aborted() == [1]
    assert queue.take_aborted() == []
    queue.publish(Finished(1, ()))
    assert [event async for event in ticket] == [Started(1), Cancelled(1)]


async def test_closing_fails_every_job_and_refuses_new_ones() -> None:
    queue = roomy()
    tickets = [queue.submit(work(1)), queue.submit(work(2))]
    queue.take()
    queue.publish(Started(1))
    queue.close("no device")
    for ticket in tickets:
        event = [event async for event in ticket][-1]
        assert isinstance(event, Failed)
        assert isinstance(event.error, EngineStopped)
        assert event.error.detail == "no device"
    with pytest.raises(EngineStopped):
        queue.submit(work(3))
    queue.open()
    queue.submit(work(3))
    assert line(queue) == [3]


def test_a_new_engine_is_not_told_to_stop_what_an_old_one_ran() -> None:
    queue = roomy()
    queue.submit(work(1))
    queue.take()
    queue.cancel(1)
    queue.close()
    queue.open()
    assert queue.take_aborted() == []


# More than one worker.


def two_workers() -> tuple[GpuQueue, Feed, Feed]:
    queue = GpuQueue(1000, 1000, clock=Clock())
    feeds = queue.feed(), queue.feed()
    for feed in feeds:
        feed.open()
        feed.changed.clear()
    return queue, *feeds


def test_each_worker_hears_of_a_job_and_one_takes_it() -> None:
    queue, left, right = two_workers()
    queue.submit(work(1))
    assert left.changed.is_set()
    assert right.changed.is_set()
    assert [job and job.job_id for job in (right.take(), left.take())] == [1, None]


def test_one_line_stays_fair_whoever_takes_from_it() -> None:
    queue, left, right = two_workers()
    for job_id in range(4):
        queue.submit(work(job_id, "ada"))
    queue.submit(work(10, "bob"))
    taken = [feed.take() for feed in (left, right, left, right, left)]
    assert [job.job_id for job in taken if job] == [0, 10, 1, 2, 3]


def test_an_abort_goes_to_the_worker_that_has_the_job() -> None:
    queue, left, right = two_workers()
    for job_id in (1, 2, 3):
        queue.submit(work(job_id))
    left.take()
    right.take()
    for feed in (left, right):
        feed.changed.clear()
    for job_id in (2, 3):
        queue.cancel(job_id)
    assert not left.changed.is_set()
    assert right.changed.is_set()
    assert (left.take_aborted(), right.take_aborted()) == ([], [2])


async def test_a_worker_has_no_say_in_anothers_job() -> None:
    queue, left, right = two_workers()
    ticket = queue.submit(work(1))
    left.take()
    right.publish(Finished(1, ()))
    left.publish(Started(1))
    assert await read(ticket) == [Started(1)]


async def test_a_worker_that_leaves_gives_its_jobs_back() -> None:
    queue, left, right = two_workers()
    tickets = [queue.submit(work(job_id)) for job_id in range(4)]
    for _ in range(2):
        left.take()
    left.publish(Started(0))
    left.publish(Progress(0, 5, 20))
    for ticket in tickets:
        await read(ticket)
    right.changed.clear()
    left.close("no device")
    # Before what the same owner sent later, and told so: the one that ran is drawn anew.
    assert line(queue) == [0, 1, 2, 3]
    assert await read(tickets[0]) == [Restarting(0), Queued(0, 1, 4, None)]
    assert await read(tickets[1]) == [Queued(1, 2, 4, None)]
    assert right.changed.is_set()
    # Too late: the job is another's.
    left.publish(Finished(0, ()))
    queue.submit(work(9, "bob"))
    taken = [right.take() for _ in range(5)]
    assert [job.job_id for job in taken if job] == [0, 9, 1, 2, 3]


def test_what_is_given_back_is_charged_once() -> None:
    queue, left, right = two_workers()
    queue.submit(work(1, "ada"))
    left.take()
    left.close()
    queue.submit(work(2, "ada"))
    queue.submit(work(3, "bob"))
    taken = [right.take() for _ in range(3)]
    assert [job.job_id for job in taken if job] == [1, 3, 2]
    # Each was served 20 or 40 by now, so Bob's next two stand against one of Ada's.
    for job_id, owner in ((4, "ada"), (5, "bob"), (6, "bob")):
        queue.submit(work(job_id, owner))
    assert line(queue)[-3:] == [5, 4, 6]


async def test_only_the_last_worker_to_leave_fails_the_jobs() -> None:
    queue, left, right = two_workers()
    ticket = queue.submit(work(1))
    left.close("no device")
    left.close("twice")
    queue.submit(work(2))
    right.close("no device either")
    failed = [event async for event in ticket][-1]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, EngineStopped)
    assert failed.error.detail == "no device either"
    with pytest.raises(EngineStopped):
        queue.submit(work(3))
    left.open()
    queue.submit(work(3))
    assert line(queue) == [3]


# How long it takes.


def test_waits_and_steps_are_counted() -> None:
    clock = Clock()
    queue = GpuQueue(10, 10, clock=clock)
    feed = queue.feed()
    feed.open()
    queue.submit(work(1))
    queue.submit(work(2))
    for job_id, at in ((1, 3.0), (2, 5.0)):
        assert feed.take()
        clock.now = at
        feed.publish(Started(job_id))
    assert (queue.started, queue.waited) == (2, 8.0)
    feed.publish(Progress(1, 5, 20))
    feed.publish(Progress(2, 20, 20))
    assert feed.steps == pytest.approx(25)
    # One that starts again has waited before.
    feed.lose()
    assert feed.take()
    clock.now = 9.0
    feed.publish(Started(1))
    assert (queue.started, queue.waited) == (2, 8.0)
    feed.publish(Progress(1, 10, 20))
    assert feed.steps == pytest.approx(35)


def test_speed_and_eta_are_measured() -> None:
    clock = Clock()
    queue = roomy(clock)
    for job_id in range(4):
        queue.submit(work(job_id, steps=4))
    assert {place.eta for place in queue.snapshot()} == {None}
    for job_id in range(2):
        queue.take()
        queue.publish(Started(job_id))
    clock.now = 8.0
    for job_id in range(2):
        queue.publish(Progress(job_id, 4, 4))
    assert queue.speed is None
    # Two together in 8 s: 8 megapixel-steps in 8 s, although each alone took 8 s for 4.
    queue.publish(Finished(0, ()))
    assert queue.speed == pytest.approx(1.0)
    queue.publish(Finished(1, ()))
    assert queue.speed == pytest.approx(1.0)
    assert [place.eta for place in queue.snapshot()] == pytest.approx([4.0, 8.0])


def test_eta_counts_what_is_left_of_the_running_job() -> None:
    clock = Clock()
    queue = roomy(clock)
    for job_id in range(3):
        queue.submit(work(job_id, steps=4))
    queue.take()
    queue.publish(Started(0))
    clock.now = 4.0
    queue.publish(Finished(0, ()))
    queue.take()
    queue.publish(Started(1))
    clock.now = 6.0
    queue.publish(Progress(1, 2, 4))
    running, waiting = queue.snapshot()
    assert (running.state, running.position) == ("running", None)
    assert running.eta == pytest.approx(2.0)
    assert waiting.eta == pytest.approx(6.0)


def test_a_restart_begins_the_work_and_its_eta_anew() -> None:
    clock = Clock()
    queue = roomy(clock)
    for job_id in range(3):
        queue.submit(work(job_id, steps=4))
    queue.take()
    queue.publish(Started(0))
    clock.now = 4.0
    queue.publish(Finished(0, ()))
    queue.take()
    queue.publish(Started(1))
    clock.now = 7.0
    queue.publish(Progress(1, 3, 4))
    assert [place.eta for place in queue.snapshot()] == pytest.approx([1.0, 5.0])
    queue.publish(Restarting(1))
    # What was done is lost for the job; that it was done at that speed stays true.
    assert queue.speed == pytest.approx(1.0)
    assert [place.eta for place in queue.snapshot()] == pytest.approx([4.0, 8.0])
    queue.publish(Started(1))
    clock.now = 8.0
    queue.publish(Progress(1, 1, 4))
    assert queue.speed == pytest.approx(1.0)
    assert [place.eta for place in queue.snapshot()] == pytest.approx([3.0, 7.0])


async def test_the_first_eta_is_told() -> None:
    clock = Clock()
    queue = roomy(clock)
    queue.submit(work(0, steps=4))
    ticket = queue.submit(work(1, "bob", steps=4))
    queue.take()
    queue.publish(Started(0))
    await read(ticket)
    clock.now = 4.0
    queue.publish(Finished(0, ()))
    (queued,) = await read(ticket)
    assert isinstance(queued, Queued)
    assert queued.eta == pytest.approx(4.0)


def test_idle_time_does_not_slow_the_estimate_and_a_change_of_pace_shows() -> None:
    clock = Clock()
    queue = roomy(clock)

    def run(job_id: int, seconds: float) -> None:
        queue.submit(work(job_id, steps=4))
        queue.take()
        queue.publish(Started(job_id))
        clock.now += seconds
        queue.publish(Finished(job_id, ()))

    run(1, 4.0)
    clock.now += 10_000.0
    run(2, 4.0)
    assert queue.speed == pytest.approx(1.0)
    for job_id in range(3, 103):
        run(job_id, 40.0)
    assert queue.speed == pytest.approx(0.1, rel=0.01)


async def test_a_queue_that_is_held_open_waits_for_workers() -> None:
    queue = GpuQueue(9, 9)
    feed = queue.feed()
    feed.open()
    queue.hold()
    ticket = queue.submit(work(1))
    assert feed.take() is not None
    feed.close("lost")
    queue.submit(work(2))
    other = queue.feed()
    other.open()
    taken = other.take()
    assert taken is not None
    assert taken.job_id == 1
    other.close("lost")
    queue.release()
    *_, failed = [event async for event in ticket]
    assert isinstance(failed, Failed)
    with pytest.raises(EngineStopped):
        queue.submit(work(3))


async def test_a_worker_that_lacked_a_file_is_asked_again_after_a_while() -> None:
    clock = Clock()
    queue = GpuQueue(9, 9, clock=clock)
    without, other = queue.feed(), queue.feed()
    without.open()
    other.open()
    job = work(1)
    queue.submit(job)
    assert without.take() == job
    without.lacks(1, job.files)
    assert without.take() is None
    clock.now += LACKING
    # It may have been copied there since; the other one says nothing yet.
    assert without.take() == job
