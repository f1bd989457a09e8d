"""The engine's client over a transport in memory: no process, no thread, no pipe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from core.config import EngineConfig
from core.errors import EngineCrashed, EngineStopped
from core.events import Cancelled, Event, Failed, Finished, Restarting, Started
from core.serving.client import EngineClient
from core.serving.messages import Abort, Add, Crashed, Credit, Downward, Ready
from core.serving.queue import GpuQueue
from core.serving.ticket import Ticket
from core.serving.transport import OnMessage
from tests.core.serving.test_client import ending, until, work


class InMemory:
    """A transport whose engine is the test: it reads ``inbox`` and calls ``heard``.

    ``starts`` is where tests meet each life of the engine, in order.
    """

    pid = None

    def __init__(self, starts: asyncio.Queue[InMemory], _: EngineConfig, heard: OnMessage) -> None:
        self._starts = starts
        self._loop = asyncio.get_running_loop()
        self.heard = heard
        self.inbox: asyncio.Queue[Downward] = asyncio.Queue()
        self.graces: list[float] = []

    def start(self) -> None:
        self._loop.call_soon_threadsafe(self._starts.put_nowait, self)

    def send(self, message: Downward) -> None:
        self.inbox.put_nowait(message)

    def stop(self, grace: float) -> str:
        self.graces.append(grace)
        return "switched off"


async def begun(starts: asyncio.Queue[InMemory], *, rows: int = 8) -> InMemory:
    """The next life of the engine, ready and with ``rows`` free."""
    engine = await starts.get()
    engine.heard(Ready("memory"))
    engine.heard(Credit(rows, ("demo",)))
    return engine


@asynccontextmanager
async def served(
    queue: GpuQueue, grace: float = 5.0
) -> AsyncIterator[tuple[EngineClient, asyncio.Queue[InMemory]]]:
    starts: asyncio.Queue[InMemory] = asyncio.Queue()
    transport = partial(InMemory, starts)
    client = EngineClient(
        EngineConfig(), queue, transport=transport, backoff=lambda _: 0.0, grace=grace
    )
    async with asyncio.timeout(30):
        await client.start()
        try:
            yield client, starts
        finally:
            await client.close()


async def events(ticket: Ticket) -> list[Event]:
    return [event async for event in ticket]


async def test_a_job_goes_down_and_its_events_come_up() -> None:
    queue = GpuQueue(10, 10)
    async with served(queue, grace=3.0) as (client, starts):
        engine = await begun(starts)
        status = await client.ready()
        assert (status.state, status.pid, status.device_name) == ("ready", None, "memory")
        job = work(1, "a cat")
        ticket = queue.submit(job)
        assert await engine.inbox.get() == Add(job)
        engine.heard(Started(1))
        engine.heard(Finished(1, ()))
        assert (await events(ticket))[-2:] == [Started(1), Finished(1, ())]
        assert client.status.warm == ("demo",)
    # Closing asks for as long as it was told to, and fails what is left.
    assert engine.graces == [3.0]
    with pytest.raises(EngineStopped):
        queue.submit(work(2, "a dog"))


async def test_an_abort_goes_down() -> None:
    queue = GpuQueue(10, 10)
    async with served(queue) as (_, starts):
        engine = await begun(starts)
        ticket = queue.submit(work(1, "a cat"))
        await engine.inbox.get()
        engine.heard(Started(1))
        await until(ticket, Started)
        queue.cancel(1)
        assert await engine.inbox.get() == Abort(1)
        assert await ending(ticket) == Cancelled(1)


async def test_each_life_has_an_account_of_its_own() -> None:
    """A job that is alone at two deaths is given up; what an ended life says is not heard."""
    queue = GpuQueue(10, 10)
    async with served(queue) as (client, starts):
        first = await begun(starts)
        ticket = queue.submit(work(1, "poison"))
        await first.inbox.get()
        first.heard(Started(1))
        first.heard(Crashed("KeyError: 1"))
        first.heard(None)
        await until(ticket, Restarting)
        second = await begun(starts)
        assert client.status.reason == "KeyError: 1"
        assert first.graces == [0.0]
        assert isinstance(await second.inbox.get(), Add)
        # It could not be ended, and lives on behind our back.
        first.heard(Finished(1, ()))
        first.heard(None)
        second.heard(Started(1))
        second.heard(None)
        third = await begun(starts)
        assert (await client.ready()).restarts == 2
        # Nothing came up but the end: the transport's own word stands.
        assert client.status.reason == "switched off"
        *before, failed = await events(ticket)
        assert before == [Started(1)]
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, EngineCrashed)
        assert third.inbox.empty()


async def test_two_clients_share_one_line() -> None:
    queue = GpuQueue(10, 10)
    async with served(queue) as (_, left_starts):
        left = await begun(left_starts, rows=2)
        async with served(queue) as (_, right_starts):
            right = await begun(right_starts, rows=2)
            tickets = [queue.submit(work(job_id, "a cat")) for job_id in (1, 2)]
            sent = {}
            for engine in (left, right):
                message = await engine.inbox.get()
                assert isinstance(message, Add)
                sent[message.work.job_id] = engine
            assert set(sent) == {1, 2}
            for job_id, engine in sent.items():
                engine.heard(Started(job_id))
            theirs = next(job_id for job_id, engine in sent.items() if engine is right)
            ours = 3 - theirs
            left.heard(Finished(ours, ()))
            assert await ending(tickets[ours - 1]) == Finished(ours, ())
            await until(tickets[theirs - 1], Started)
        # The right one has gone: its job is told so, and drawn by the left.
        await until(tickets[theirs - 1], Restarting)
        message = await left.inbox.get()
        assert isinstance(message, Add)
        assert message.work.job_id == theirs
        left.heard(Finished(theirs, ()))
        assert await ending(tickets[theirs - 1]) == Finished(theirs, ())


AWAY = Crashed("the device 'cuda' cannot be used (no CUDA-capable device)", final=True)


async def lost(starts: asyncio.Queue[InMemory]) -> None:
    """A life of the engine that finds no device."""
    engine = await starts.get()
    engine.heard(AWAY)
    engine.heard(None)


async def test_a_device_that_is_lost_for_a_moment_loses_no_job() -> None:
    queue = GpuQueue(10, 10)
    async with served(queue) as (client, starts):
        first = await begun(starts)
        ticket = queue.submit(work(1, "a cat"))
        await first.inbox.get()
        first.heard(Started(1))
        first.heard(None)
        await lost(starts)
        second = await begun(starts)
        assert client.status.reason == AWAY.reason
        assert isinstance(await second.inbox.get(), Add)
        second.heard(Finished(1, ()))
        assert isinstance(await ending(ticket), Finished)


@pytest.mark.parametrize("once_ready", [True, False])
async def test_a_device_that_stays_away_is_tried_until_it_is_back(
    once_ready: bool, caplog: pytest.LogCaptureFixture
) -> None:
    queue = GpuQueue(10, 10)
    async with served(queue) as (client, starts):
        if once_ready:
            (await begun(starts)).heard(None)
        for _ in range(10):
            await lost(starts)
        with pytest.raises(EngineStopped, match="cannot be used"):
            await client.ready()
        with pytest.raises(EngineStopped):
            queue.submit(work(1, "a cat"))
        assert caplog.text.count("cannot start") == 1, "once, not at each of years of attempts"
        engine = await begun(starts)
        ticket = queue.submit(work(2, "a dog"))
        assert await engine.inbox.get() == Add(work(2, "a dog"))
        engine.heard(Finished(2, ()))
        assert isinstance(await ending(ticket), Finished)
        assert client.status.state == "ready"


async def test_a_device_that_was_never_there_is_said_after_one_attempt() -> None:
    """A bot that starts ends with the reason, in place of waiting for more attempts."""
    waits: list[int] = []
    starts: asyncio.Queue[InMemory] = asyncio.Queue()

    def backoff(deaths: int) -> float:
        waits.append(deaths)
        return 10_000.0

    client = EngineClient(
        EngineConfig(), GpuQueue(10, 10), transport=partial(InMemory, starts), backoff=backoff
    )
    async with asyncio.timeout(30):
        await client.start()
        await lost(starts)
        with pytest.raises(EngineStopped, match="cannot be used"):
            await client.ready()
        assert waits == [1]
        await client.close()
