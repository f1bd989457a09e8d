"""A real Ray cluster of two computers, both this one: engines and computers are lost in mid-job.

Skipped where Ray is not installed: ``python -m pip install -e ".[cluster]"``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import EngineConfig
from core.errors import Refused
from core.events import Cancelled, Event, Failed, Finished, Restarting, Started
from core.models.catalogue import Model
from core.request import GenerationRequest
from core.serving.client import EngineClient
from core.serving.cluster import driver
from core.serving.cluster.fleet import Fleet
from core.serving.cluster.protocol import NO_TOKEN, ClusterConfig, Lost
from core.serving.process import ChildProcess
from core.serving.queue import GpuQueue
from core.serving.ticket import Ticket
from core.work import Work
from tests.core.serving.test_client import ending, until
from tests.core.serving.test_two_processes import drawn, pictures
from tests.tiny_models import SIZE, tiny_model

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="the cluster's extra is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]

TOKEN = "a-token-of-32-characters-or-more"
# In the environment of every process of the cluster, and of its engines.
MARK = f"PENULTIMATE_TEST={os.getpid()}"
ROOT = Path(__file__).parents[4]


@dataclass
class Cluster:
    """The cluster, and what a bot beside it has."""

    host: subprocess.Popen[str]
    address: str
    folder: Path
    model: Model

    @property
    def config(self) -> ClusterConfig:
        return ClusterConfig(self.address, TOKEN, self.folder / "bot")

    def do(self, line: str) -> None:
        """Say a line to the cluster, and wait until it has done so."""
        assert self.host.stdin is not None
        assert self.host.stdout is not None
        self.host.stdin.write(line + "\n")
        self.host.stdin.flush()
        assert self.host.stdout.readline() == "done\n"

    def works(self, count: int, steps: int = 12) -> list[Work]:
        return [
            Work.of(
                seed,
                f"owner {seed % 3}",
                GenerationRequest("a cat", "tiny", seed, steps=steps, width=SIZE, height=SIZE),
                self.model,
            )
            for seed in range(count)
        ]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def hosted(folder: Path, **environ: str) -> Iterator[Cluster]:
    """A cluster without cards."""
    name, value = MARK.split("=")
    own = {"HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0", name: value, **environ}
    host = subprocess.Popen(
        [sys.executable, "-m", "tests.core.serving.cluster.ray_host", str(_free_port())],
        env=os.environ | own,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with host:
        assert host.stdout is not None
        yield Cluster(host, host.stdout.readline().strip(), folder, tiny_model(folder / "ours"))
        assert host.stdin is not None
        host.stdin.close()
        host.wait(60)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two computers with a card each."""
    folder = tmp_path_factory.mktemp("cluster")
    with hosted(folder, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as made:
        made.do(f"add {folder / 'theirs'}")
        made.do(f"add {folder / 'theirs'}")
        yield made
    asyncio.run(nothing_is_left())


def marked() -> list[int]:
    """The processes of the cluster and of its engines that there are."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() and int(path.name) != os.getpid():
            try:
                environ = (path / "environ").read_bytes()
                state = (path / "stat").read_text().rpartition(") ")[2][0]
            except OSError:
                continue  # It has just ended, or is somebody else's.
            if MARK.encode() in environ.split(b"\0") and state != "Z":
                found.append(int(path.name))
    return found


async def nothing_is_left() -> None:
    async with asyncio.timeout(60):
        while marked():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def actors() -> list[int]:
    """The processes of the engines' actors."""
    return [
        pid for pid in marked() if b"ray::EngineActor" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@asynccontextmanager
async def fleet(
    cluster: Cluster, count: int, device: str = "cpu"
) -> AsyncIterator[tuple[GpuQueue, list[EngineClient], Fleet]]:
    """A bot's engines on the cluster, so many of them ready."""
    queue = GpuQueue(100, 100)
    clients: list[EngineClient] = []
    config = EngineConfig(device, strict=True, threads=1, cache_dir=cluster.folder / "bot")
    made = Fleet(cluster.config, config, queue, clients, backoff=lambda _: 0.1)
    async with asyncio.timeout(240):
        made.start()
        try:
            while [each.status.state for each in clients].count("ready") < count:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            yield queue, clients, made
        finally:
            await made.close()


async def _all(tickets: Sequence[Ticket]) -> list[list[Event]]:
    async def rest(ticket: Ticket) -> list[Event]:
        return [event async for event in ticket]

    return list(await asyncio.gather(*map(rest, tickets)))


async def same_as_alone(cluster: Cluster, events: list[list[Event]], works: list[Work]) -> None:
    config = EngineConfig("cpu", strict=True, threads=1, cache_dir=cluster.folder / "alone")
    alone, _ = await drawn([config], works, kill=False)
    assert [pictures(each) for each in events] == [pictures(each) for each in alone]


async def test_a_running_job_is_cancelled_and_the_others_are_drained(cluster: Cluster) -> None:
    # It would take far longer than this test may.
    endless = Work(100, "ann", tuple(one.items[0] for one in cluster.works(400, steps=150)))
    works = cluster.works(6)
    async with fleet(cluster, 2) as (queue, clients, _):
        while not all(client.status.rows_free for client in clients):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        idle = [client.status.rows_free for client in clients]
        cancelled = queue.submit(endless)
        await until(cancelled, Started)
        # After these nothing new is taken, as when the bot is drained.
        tickets = [queue.submit(work) for work in works]
        assert queue.cancel(endless.job_id)
        assert await ending(cancelled) == Cancelled(endless.job_id)
        events = await _all(tickets)
        # Its engine was told too, so it is idle like the other.
        while [client.status.rows_free for client in clients] != idle:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert [client.status.state for client in clients] == ["ready"] * 2
        assert sum(client.status.restarts for client in clients) == 0
    await same_as_alone(cluster, events, works)


async def test_a_model_that_the_bot_has_lost_fails_its_job_alone(cluster: Cluster) -> None:
    [work] = cluster.works(1)
    gone = replace(cluster.model, path=cluster.folder / "ours" / "gone")
    [item] = work.items
    async with fleet(cluster, 2) as (queue, clients, _):
        failed = queue.submit(Work(1, "ann", (replace(item, model=gone),)))
        drawn = queue.submit(Work(2, "bob", (item,)))
        last = await ending(failed)
        assert isinstance(last, Failed)
        assert isinstance(last.error, Refused)
        assert isinstance(await ending(drawn), Finished)
        assert sum(client.status.restarts for client in clients) == 0


async def test_an_engine_whose_torch_sees_no_card_says_so(cluster: Cluster) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    async with fleet(cluster, 0, "cuda") as (_, clients, _):
        while not (clients and clients[0].status.reason):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert clients[0].status.state == "stopped"
        assert clients[0].status.reason.startswith("the device 'cuda' cannot be used")


async def test_an_engine_and_a_computer_are_lost_in_mid_job(cluster: Cluster) -> None:
    works = cluster.works(8, steps=30)
    async with fleet(cluster, 2) as (queue, clients, _):
        tickets = [queue.submit(work) for work in works[:4]]
        await until(tickets[0], Started)
        os.kill(actors()[0], signal.SIGKILL)
        events = await _all(tickets)
        assert sum(client.status.restarts for client in clients) >= 1
        while [each.status.state for each in clients] != ["ready"] * 2:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        tickets = [queue.submit(work) for work in works[4:]]
        await until(tickets[0], Started)
        await until(tickets[1], Started)
        await asyncio.to_thread(cluster.do, "kill")
        events += await _all(tickets)
        assert any(isinstance(each, Restarting) for one in events[4:] for each in one)
        while len(clients) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await same_as_alone(cluster, events, works)


async def test_a_bot_that_is_killed_and_started_again_takes_its_jobs_up(cluster: Cluster) -> None:
    works = cluster.works(3, steps=30)
    async with fleet(cluster, 1) as (queue, _, first):
        ticket = queue.submit(works[0])
        await until(ticket, Started)
        # As if the bot had been killed: nobody asks the engines to end.
        assert first._connection is not None
        process = first._connection.process
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        # Until the connection is there again, the job waits, and is begun anew.
        await until(ticket, Restarting)
        cancelled = queue.submit(works[1])
        queue.cancel(1)
        assert await ending(cancelled) == Cancelled(1)
        again = [[event async for event in ticket]]
        again += await _all([queue.submit(works[2])])
    await same_as_alone(cluster, again, [works[0], works[2]])


async def said(config: ClusterConfig, done: Callable[[Any], bool]) -> Any:
    """What the process that is connected to the cluster says until ``done``."""
    heard: asyncio.Queue[Any] = asyncio.Queue()
    process: ChildProcess[Any, Any, Any] = ChildProcess(driver.main, config, heard.put_nowait)
    async with asyncio.timeout(120):
        await asyncio.to_thread(process.start)
        try:
            while not done(message := await heard.get()):
                pass
        finally:
            await asyncio.to_thread(process.stop, 0.0)
    return message


def _ended(message: Any) -> bool:
    return message is None or isinstance(message, Lost)


async def test_another_token_and_no_cluster_are_a_sentence_each(cluster: Cluster) -> None:
    other = replace(cluster.config, token="another-token-of-32-characters-or-more")
    lost = await said(other, _ended)
    assert lost.reason.endswith("does not accept the token: set CLUSTER_TOKEN to its own")
    nowhere = ClusterConfig(f"127.0.0.1:{_free_port()}", TOKEN, cluster.folder / "nowhere")
    lost = await said(nowhere, _ended)
    assert lost.reason.endswith("cannot be reached: is it started, and the address right?")


async def test_a_second_bot_is_told_that_no_card_is_free(cluster: Cluster) -> None:
    async with fleet(cluster, 1), fleet(cluster, 0) as (_, clients, _):
        while not (clients and clients[0].status.reason):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert clients[0].status.reason == driver.NO_CARD


async def test_a_cluster_that_asks_for_no_token_is_not_used(tmp_path: Path) -> None:
    with hosted(tmp_path, RAY_AUTH_MODE="disabled") as cluster:
        await asyncio.to_thread(cluster.do, f"add {tmp_path}")
        async with fleet(cluster, 0) as (_, clients, _):
            while not (clients and clients[0].status.reason):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            assert clients[0].status.reason == NO_TOKEN
