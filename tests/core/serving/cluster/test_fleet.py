"""The bot's side of a cluster, with the connection to it in memory: computers come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from core.config import EngineConfig
from core.errors import EngineStopped, Refused
from core.events import Event, Failed, Finished, Restarting, Started
from core.serving.client import ATTEMPTS, EngineClient
from core.serving.cluster import fleet as fleet_module
from core.serving.cluster.driver import NO_CARD
from core.serving.cluster.fleet import NO_CARDS, Fleet
from core.serving.cluster.protocol import (
    Begin,
    ClusterConfig,
    ClusterNode,
    End,
    Ended,
    FromDriver,
    Lost,
    Nodes,
    Said,
    Tell,
    ToDriver,
)
from core.serving.messages import Add, Crashed, Credit, Lacks, Ready, Upward
from core.serving.queue import GpuQueue
from tests.core.serving.test_client import MODEL, ending, until, work
from tests.core.serving.test_several import _at_once, settled

ONE, TWO = ClusterNode("1", "one", 1), ClusterNode("2", "two", 1)


class Connection:
    """The process that is connected to the cluster, which is the test."""

    def __init__(self, starts: asyncio.Queue[Connection], *given: Any) -> None:
        self._starts = starts
        self.heard: Callable[[FromDriver | None], None] = given[2]
        self.inbox: list[ToDriver] = []

    def start(self) -> None:
        self._starts.put_nowait(self)

    def send(self, message: ToDriver) -> None:
        self.inbox.append(message)
        if isinstance(message, End):
            self.heard(Ended(message.key, "asked to"))

    def stop(self, _: float) -> str:
        return "ended by signal 6, Aborted"

    def begun(self, node: ClusterNode) -> int:
        """The key of the last engine that was asked for on a computer."""
        keys = [
            one.key for one in self.inbox if isinstance(one, Begin) and one.node_id == node.node_id
        ]
        return keys[-1]

    def said(self, key: int, *messages: Upward | None) -> None:
        for message in messages:
            self.heard(Said(key, message))

    def sent(self, key: int) -> list[int]:
        """The jobs that an engine was sent."""
        told = [one.message for one in self.inbox if isinstance(one, Tell) and one.key == key]
        return [message.work.job_id for message in told if isinstance(message, Add)]

    async def ready(self, *nodes: ClusterNode, models: tuple[str, ...] = ("demo",)) -> list[int]:
        """The keys of the engines of these computers, which are ready."""
        self.heard(Nodes(nodes))
        await settled()
        keys = [self.begun(node) for node in nodes]
        for key in keys:
            self.said(key, Ready("card"), Credit(8, models))
        await settled()
        return keys


World = tuple[GpuQueue, Fleet, list[EngineClient], asyncio.Queue[Connection]]


@asynccontextmanager
async def served() -> AsyncIterator[World]:
    starts: asyncio.Queue[Connection] = asyncio.Queue()
    queue, clients = GpuQueue(100, 100), list[EngineClient]()
    async with asyncio.timeout(30):
        with (
            patch("asyncio.to_thread", _at_once),
            patch.object(fleet_module, "ChildProcess", partial(Connection, starts)),
        ):
            config = ClusterConfig("ray://head:10001")
            fleet = Fleet(config, EngineConfig(), queue, clients, backoff=lambda _: 0)
            fleet.start()
            yield queue, fleet, clients, starts
            await fleet.close()
    assert clients == []


async def test_each_card_of_each_computer_is_an_engine() -> None:
    async with served() as (queue, fleet, clients, starts):
        ticket = queue.submit(work(1, "a cat"))  # Waits for the first computer.
        cluster = await starts.get()
        assert fleet.status.state == "starting"
        cluster.heard(Nodes(()))
        await settled()
        assert (fleet.status.state, fleet.status.reason) == ("ready", NO_CARDS)
        cluster.heard(Nodes((ONE, ClusterNode("2", "two", 2))))
        await settled()
        assert [each.status.device for each in clients] == ["one", "two #1", "two #2"]
        assert fleet.status.reason == ""
        begun = [each for each in cluster.inbox if isinstance(each, Begin)]
        # Main memory is shared by the engines of one computer.
        assert [each.config.parking_gb for each in begun] == [32, 16, 16]
        cluster.said(begun[0].key, Ready("card"), Credit(8, ()))
        await settled()
        assert cluster.sent(begun[0].key) == [1]
        cluster.said(begun[0].key, Started(1), Finished(1, ()))
        assert await ending(ticket) == Finished(1, ())


async def test_the_jobs_of_a_computer_that_is_gone_go_to_another() -> None:
    async with served() as (queue, _, clients, starts):
        cluster = await starts.get()
        one, two = await cluster.ready(ONE, TWO)
        tickets = [queue.submit(work(job_id, "a cat")) for job_id in (1, 2)]
        await settled()
        lost, kept = cluster.sent(one)[0], cluster.sent(two)[0]
        cluster.said(one, Started(lost))
        cluster.heard(Nodes((TWO,)))
        await until(tickets[lost - 1], Restarting)
        cluster.said(two, Started(kept), Finished(kept, ()))
        await settled()
        assert [each.status.device for each in clients] == ["two"]
        assert cluster.sent(two) == [kept, lost]
        # What is still heard of the other is of no job any more.
        cluster.said(one, Finished(lost, ()))
        cluster.said(two, Started(lost), Finished(lost, ()))
        assert [await ending(ticket) for ticket in tickets] == [Finished(1, ()), Finished(2, ())]


async def test_a_cluster_that_is_lost_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (queue, fleet, clients, starts):
        cluster = await starts.get()
        (one,) = await cluster.ready(ONE)
        ticket = queue.submit(work(1, "a cat"))
        await settled()
        cluster.said(one, Started(1))
        cluster.heard(Lost("the Ray cluster cannot be reached"))
        cluster.heard(None)
        await until(ticket, Restarting)
        again = await starts.get()
        assert fleet.status.reason == "the Ray cluster cannot be reached"
        assert clients == []
        again.heard(None)  # It died without a word.
        third = await starts.get()
        assert fleet.status.reason.endswith("(ended by signal 6, Aborted)")
        (key,) = await third.ready(ONE)
        assert third.sent(key) == [1]
        third.said(key, Started(1), Finished(1, ()))
        assert await ending(ticket) == Finished(1, ())
        assert (fleet.status.state, fleet.status.reason) == ("ready", "")
        logged = [record.getMessage() for record in caplog.records]
        assert [line for line in logged if "tried again" in line] == [
            "the Ray cluster cannot be reached; it is tried again, and other engines go on",
            "the connection to the Ray cluster ended (ended by signal 6, Aborted); "
            "it is tried again, and other engines go on",
        ]


async def test_what_fails_on_the_bots_side_is_logged_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as (queue, fleet, clients, starts):
        cluster = await starts.get()
        await cluster.ready(ONE)
        ticket = queue.submit(work(1, "a cat"))
        with patch.object(fleet, "_new_client", side_effect=RuntimeError("no client")):
            cluster.heard(Nodes((ONE, TWO)))
            again = await starts.get()
        assert fleet.status.reason == "RuntimeError: no client"
        assert clients == []
        with patch.object(Connection, "start", side_effect=OSError("no process")):
            again.heard(None)
            await settled()
        third = await starts.get()
        assert fleet.status.reason == "OSError: no process"
        (key,) = await third.ready(ONE)
        assert third.sent(key) == [1]
        third.said(key, Started(1), Finished(1, ()))
        assert await ending(ticket) == Finished(1, ())
        raised = [record.exc_info[0] for record in caplog.records if record.exc_info]
        assert {RuntimeError, OSError} == set(raised)


async def test_a_computer_without_the_model_is_not_chosen() -> None:
    async with served() as (queue, _, clients, starts):
        cluster = await starts.get()
        one, two = await cluster.ready(ONE, TWO)
        tickets = {1: queue.submit(work(1, "a cat"))}
        await settled()
        without, has = (one, two) if cluster.sent(one) else (two, one)
        cluster.said(without, Lacks(1, (MODEL.path,)))
        await settled()
        assert cluster.sent(has) == [1]
        cluster.said(has, Started(1))
        for job_id in (2, 3):
            tickets[job_id] = queue.submit(work(job_id, "a cat"))
        await settled()
        assert (cluster.sent(without), cluster.sent(has)) == ([1], [1, 2, 3])
        # If the other has not got it any more either, nobody can draw it.
        cluster.said(has, Lacks(2, (MODEL.path,)))
        failed = await ending(tickets[2])
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, Refused)
        assert str(failed.error) == "the model 'demo' is on none of the cluster's computers"
        cluster.said(has, Finished(1, ()))
        assert await ending(tickets[1]) == Finished(1, ())
        assert all(client.status.restarts == 0 for client in clients)


async def test_an_engine_that_gave_up_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "AGAIN", 0.01)
    async with served() as (queue, _, clients, starts):
        cluster = await starts.get()
        cluster.heard(Nodes((ONE,)))
        await settled()
        key = cluster.begun(ONE)
        cluster.said(key, Crashed("the device cannot be used", final=True), None)
        ticket = queue.submit(work(1, "a cat"))
        while cluster.begun(ONE) == key:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert clients[0].status.reason == "the device cannot be used"
        key = cluster.begun(ONE)
        cluster.said(key, Ready("card"), Credit(8, ()))
        await settled()
        cluster.said(key, Finished(1, ()))
        assert await ending(ticket) == Finished(1, ())


async def test_a_card_that_is_not_free_is_looked_for_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_module, "AGAIN", 0.01)
    async with served() as (queue, _, clients, starts):
        cluster = await starts.get()
        cluster.heard(Nodes((ONE,)))
        await settled()
        # As often as it takes: after so many, a local engine pauses for ten minutes.
        for _ in range(ATTEMPTS * 2 + 1):
            key = cluster.begun(ONE)
            cluster.said(key, None)
            cluster.heard(Ended(key, NO_CARD))
            while cluster.begun(ONE) == key:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert clients[0].status.reason == NO_CARD
        ticket = queue.submit(work(1, "a cat"))
        key = cluster.begun(ONE)
        cluster.said(key, Ready("card"), Credit(8, ()))
        await settled()
        cluster.said(key, Finished(1, ()))
        assert await ending(ticket) == Finished(1, ())


async def test_when_the_bot_ends_the_queue_closes() -> None:
    async with served() as (queue, fleet, _, starts):
        cluster = await starts.get()
        await cluster.ready(ONE)
        ticket = queue.submit(work(1, "a cat"))
        await fleet.close()
        last: Event = await ending(ticket)
        assert isinstance(last, Failed)
        assert isinstance(last.error, EngineStopped)
        with pytest.raises(EngineStopped):
            queue.submit(work(2, "a cat"))
