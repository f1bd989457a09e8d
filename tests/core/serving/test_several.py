"""Several engines serve one queue: who gets what, and what happens when one dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from core.config import EngineConfig
from core.errors import EngineCrashed
from core.events import Cancelled, Failed, Finished, Restarting, Started
from core.serving.client import AHEAD, ATTEMPTS, EngineClient
from core.serving.messages import Abort, Add, Crashed, Credit, Ready
from core.serving.queue import GpuQueue
from core.work import Work
from tests.core.serving.test_client import ending, until, work
from tests.core.serving.test_transport import InMemory

Starts = asyncio.Queue[InMemory]


def of(model: str, job_id: int) -> Work:
    job = work(job_id, "a cat")
    [item] = job.items
    return Work(job_id, job.owner, (replace(item, model=replace(item.model, name=model)),))


async def ready(starts: Starts, *warm: str, rows: int = 8) -> InMemory:
    engine = await starts.get()
    engine.heard(Ready("memory"))
    engine.heard(Credit(rows, warm))
    return engine


async def _at_once(call: Callable[..., Any], *given: Any) -> Any:
    return call(*given)


@asynccontextmanager
async def served(
    count: int = 2, *, queue: GpuQueue | None = None, **options: Any
) -> AsyncIterator[tuple[GpuQueue, list[EngineClient], list[Starts]]]:
    """The queue, served by clients whose engines, once dead, come back when a test wants it."""
    queue = queue or GpuQueue(100, 100)
    starts: list[Starts] = [asyncio.Queue() for _ in range(count)]
    clients = [
        EngineClient(
            EngineConfig(),
            queue,
            transport=partial(InMemory, each),
            backoff=lambda _: 0,
            **options,
        )
        for each in starts
    ]
    async with asyncio.timeout(30), AsyncExitStack() as stack:
        # These engines start and stop at once; without threads the loop's turns are all there is.
        stack.enter_context(patch("asyncio.to_thread", _at_once))
        for client in clients:
            await client.start()
            stack.push_async_callback(client.close)
        yield queue, clients, starts


async def settled() -> None:
    """Let the loop turn until the clients have looked at the queue."""
    for _ in range(50):
        await asyncio.sleep(0)


def sent(engine: InMemory) -> list[int]:
    """The ids of the jobs that were sent since the last call."""
    added = []
    while not engine.inbox.empty():
        message = engine.inbox.get_nowait()
        assert isinstance(message, Add)
        added.append(message.work.job_id)
    return added


async def test_the_first_idle_engine_does_not_take_everything() -> None:
    async with served() as (queue, _, starts):
        engines = [await ready(each, "demo", rows=32) for each in starts]
        await settled()
        for job_id in range(6):
            queue.submit(work(job_id, "a cat"))
        await settled()
        assert [len(sent(engine)) for engine in engines] == [3, 3]


async def test_a_job_goes_where_its_model_is_loaded() -> None:
    async with served() as (queue, _, starts):
        left, right = [await ready(each, name) for each, name in zip(starts, "ab", strict=True)]
        await settled()
        queue.submit(of("b", 1))
        queue.submit(of("a", 2))
        await settled()
        assert (sent(left), sent(right)) == ([2], [1])


async def test_it_waits_for_the_model_for_as_long_as_a_switch_takes() -> None:
    now = 0.0
    queue = GpuQueue(100, 100, clock=lambda: now)
    async with served(queue=queue) as (_, _, starts):
        left, right = [await ready(each, name) for each, name in zip(starts, "ab", strict=True)]
        await settled()
        measured = queue.submit(of("a", 1))
        await settled()
        left.heard(Started(1))
        await until(measured, Started)
        now += 2.0
        left.heard(Finished(1, ()))
        await ending(measured)
        assert sent(left) == [1]
        # Two seconds each: the third would wait six, and loading takes five.
        for job_id in (2, 3, 4, 5):
            queue.submit(of("a", job_id))
        await settled()
        assert (sent(left), sent(right)) == ([2, 3, 4], [5])


async def test_one_without_jobs_takes_over_what_another_has_not_started() -> None:
    async with served() as (queue, _, starts):
        left = await ready(starts[0], "demo")
        await settled()
        tickets = [queue.submit(work(job_id, "a cat")) for job_id in (1, 2)]
        await settled()
        assert sent(left) == [1, 2]
        left.heard(Started(1))
        right = await ready(starts[1], "demo")
        await settled()
        assert sent(right) == [2]
        assert await left.inbox.get() == Abort(2)
        # Whatever the first still says of it.
        left.heard(Started(2))
        left.heard(Cancelled(2))
        left.heard(Finished(1, ()))
        right.heard(Started(2))
        right.heard(Finished(2, ()))
        assert [await ending(ticket) for ticket in tickets] == [Finished(1, ()), Finished(2, ())]


async def test_a_dead_engines_jobs_go_to_the_others_one_at_a_time() -> None:
    async with served() as (queue, clients, starts):
        left, right = [await ready(each, "demo") for each in starts]
        await settled()
        tickets = {job_id: queue.submit(work(job_id, "a cat")) for job_id in range(1, 6)}
        await settled()
        lost, kept = sent(left), sent(right)
        assert sorted(lost + kept) == [1, 2, 3, 4, 5]
        for engine, jobs in ((left, lost), (right, kept)):
            for job_id in jobs:
                engine.heard(Started(job_id))
        left.heard(None)
        await until(tickets[lost[0]], Restarting)
        await settled()
        # Beside what the right one has, none is run: one of them may have been the cause.
        assert sent(right) == []
        for job_id in kept:
            right.heard(Finished(job_id, ()))
        for job_id in lost:
            await settled()
            assert sent(right) == [job_id]
            right.heard(Started(job_id))
            right.heard(Finished(job_id, ()))
        for job_id, ticket in tickets.items():
            assert await ending(ticket) == Finished(job_id, ())
        assert [client.status.restarts for client in clients] == [1, 0]


async def test_a_job_that_ends_two_engines_is_given_up() -> None:
    async with served() as (queue, _, starts):
        left, right = [await ready(each, "demo") for each in starts]
        await settled()
        poison = queue.submit(work(1, "die"))
        await settled()
        assert sent(left) == [1]
        left.heard(None)
        await settled()
        assert sent(right) == [1]
        right.heard(Started(1))
        right.heard(None)
        failed = await ending(poison)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, EngineCrashed)


async def test_where_one_cannot_start_the_others_go_on() -> None:
    async with served() as (queue, clients, starts):
        for _ in range(ATTEMPTS):
            engine = await starts[0].get()
            engine.heard(Crashed("no such card"))
            engine.heard(None)
        while clients[0].status.state != "stopped":  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert clients[0].status.reason == "no such card"
        right = await ready(starts[1])
        ticket = queue.submit(work(1, "a cat"))
        await settled()
        assert sent(right) == [1]
        right.heard(Finished(1, ()))
        assert await ending(ticket) == Finished(1, ())


@pytest.mark.parametrize("helpers", [1, 2])
async def test_a_suspect_gets_an_engine_of_its_own_though_all_are_busy(helpers: int) -> None:
    """The dead engine cannot start again; the one with the least to do becomes free for its job."""
    async with served(helpers + 1) as (queue, clients, starts):
        dead, *others = [await ready(each, "demo", rows=2) for each in starts]
        await settled()
        for job_id in range(helpers + 1):
            queue.submit(work(job_id, "a cat"))
        await settled()
        assert sent(dead) == [0]
        busy = [sent(other) for other in others]
        dead.heard(None)
        for _ in range(ATTEMPTS):
            engine = await starts[0].get()
            engine.heard(None)
        while clients[0].status.state != "stopped":  # noqa: ASYNC110
            await asyncio.sleep(0)
        queue.submit(work(10, "a cat", steps=1))
        await settled()
        others[0].heard(Finished(busy[0][0], ()))
        await settled()
        assert sent(others[0])[:1] == [0]


async def test_a_full_engine_still_gets_the_first_job_of_each_owner() -> None:
    """It serves the least-served owner first, so nobody's first job waits for another's."""
    async with served(1) as (queue, _, [starts]):
        engine = await ready(starts, "demo", rows=0)
        await settled()
        for job_id in range(10):
            queue.submit(replace(work(job_id, "a cat"), owner="greedy"))
        await settled()
        assert sent(engine) == [*range(AHEAD)]
        for job_id in (20, 21):
            queue.submit(replace(work(job_id, "a cat"), owner="lone"))
        queue.submit(replace(work(30, "a cat"), owner="greedy", priority=1))
        await settled()
        assert sorted(sent(engine)) == [20, 30]


async def test_a_missing_device_is_told_at_once_and_the_others_go_on() -> None:
    async with served() as (queue, clients, starts):
        engine = await starts[0].get()
        engine.heard(Crashed("the device 'cuda:7' cannot be used", final=True))
        engine.heard(None)
        right = await ready(starts[1])
        await settled()
        status = clients[0].status
        assert (status.state, status.reason) == ("stopped", "the device 'cuda:7' cannot be used")
        await starts[0].get()  # It is tried again, and nobody waits for it.
        ticket = queue.submit(work(1, "a cat"))
        await settled()
        right.heard(Finished(1, ()))
        assert await ending(ticket) == Finished(1, ())


async def test_a_hung_engines_jobs_go_to_the_others() -> None:
    now = 0.0
    async with served(clock=lambda: now) as (queue, clients, starts):
        left, right = [await ready(each, "demo") for each in starts]
        await settled()
        tickets = {job_id: queue.submit(work(job_id, "a cat")) for job_id in (1, 2)}
        await settled()
        hung, fine = sent(left), sent(right)
        assert sorted(hung + fine) == [1, 2]
        left.heard(Started(hung[0]))
        right.heard(Started(fine[0]))
        now = 600.0
        right.heard(Finished(fine[0], ()))
        clients[0]._feed.changed.set()  # The loop's own clock does not move.
        await until(tickets[hung[0]], Restarting)
        await settled()
        assert left.graces == [0.0]
        assert sent(right) == hung
        # It was not dead after all.
        left.heard(Finished(hung[0], ()))
        right.heard(Started(hung[0]))
        right.heard(Finished(hung[0], ()))
        assert await ending(tickets[hung[0]]) == Finished(hung[0], ())
        assert clients[0].status.reason == "did not respond for 600 s"
