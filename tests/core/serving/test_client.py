"""The engine's client with a real child process, whose engine is scripted (stub_engine.py)."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.config import EngineConfig
from core.errors import EngineCrashed, EngineStopped, OutOfMemory
from core.events import Cancelled, Ending, Event, Failed, Finished, Progress, Restarting, Started
from core.models.catalogue import Model
from core.request import GenerationRequest, Inputs
from core.serving import process
from core.serving.client import ATTEMPTS, EngineClient, EngineStatus, exponential
from core.serving.process import EngineProcess, Target
from core.serving.queue import GpuQueue
from core.serving.ticket import Ticket
from core.work import Work
from tests import stub_engine

MODEL = Model("demo", Path("demo"), "folder", "sd1", "epsilon", "sd1", (128, 128))
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
ROOT = Path(__file__).parents[3]


def work(job_id: int, script: str, *, owner: str = "ada", **values: Any) -> Work:
    return Work.of(job_id, owner, GenerationRequest(script, "demo", job_id, **values), MODEL)


@asynccontextmanager
async def running(
    folder: Path,
    *,
    target: Target = stub_engine.main,
    rows: int = 8,
    patience: float = 600.0,
    **options: Any,
) -> AsyncIterator[tuple[GpuQueue, EngineClient]]:
    queue = GpuQueue(100, 100)
    config = EngineConfig(cache_dir=folder, max_rows=rows, timeout=patience)
    options = {"backoff": lambda deaths: 0.0} | options
    client = EngineClient(config, queue, transport=partial(EngineProcess, target), **options)
    async with asyncio.timeout(60):
        await client.start()
        try:
            yield queue, client
        finally:
            await client.close()
    assert multiprocessing.active_children() == []


async def until(ticket: Ticket, kind: type[Event]) -> list[Event]:
    """The events up to the first of ``kind``."""
    events: list[Event] = []
    async for event in ticket:
        events.append(event)
        if isinstance(event, kind):
            break
    return events


async def ending(ticket: Ticket) -> Event:
    return [event async for event in ticket][-1]


async def queue_shows(queue: GpuQueue, *, taken: list[int]) -> None:
    """Let the loop turn until these jobs are with the engine but not started."""
    # Nobody is told of this moment, so there is no event to wait for.
    while [i for i, job in queue._entries.items() if job.state == "taken"] != taken:  # noqa: ASYNC110
        await asyncio.sleep(0)


def starts(folder: Path) -> list[list[int]]:
    """At each start in the child: every job that runs from then on."""
    lines = (folder / "log.txt").read_text().splitlines()
    return [[int(job_id) for job_id in line.split()] for line in lines]


async def test_jobs_run_and_close_leaves_no_process(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, client):
        assert client.status == EngineStatus("starting", None, "", (), 0, 0, None, "")
        status = await client.ready()
        assert (status.state, status.device_name, status.restarts) == ("ready", "stub", 0)
        assert status.pid not in (None, os.getpid())
        events = [event async for event in queue.submit(work(1, "step, step"))]
        assert events[-2:] == [Started(1), Finished(1, ())]
        assert client.status.warm == ("demo",)
        speed = client.status.speed
        assert speed is not None
    assert client.status == EngineStatus("stopped", None, "stub", (), 0, 0, speed, "")
    # It was asked, not killed.
    assert (tmp_path / "closed.txt").exists()


@pytest.mark.parametrize("script", ["step", "raise"])
async def test_nobody_waits_until_the_child_is_taken_apart(tmp_path: Path, script: str) -> None:
    async with running(tmp_path, target=stub_engine.long_farewell) as (queue, _):
        await ending(queue.submit(work(1, script)))
    assert not (tmp_path / "taken apart.txt").exists()


async def test_what_is_submitted_before_the_start_is_run(tmp_path: Path) -> None:
    queue = GpuQueue(10, 10)
    tickets = [queue.submit(work(job_id, "step"), resumed=True) for job_id in range(3)]
    config = EngineConfig(cache_dir=tmp_path)
    client = EngineClient(config, queue, transport=partial(EngineProcess, stub_engine.main))
    async with asyncio.timeout(60):
        await client.start()
        for ticket in tickets:
            assert isinstance(await ending(ticket), Finished)
        await client.close()


async def test_a_known_error_fails_its_job_only(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, client):
        bad = queue.submit(work(1, "fail"))
        good = queue.submit(work(2, "step"))
        failed = await ending(bad)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, OutOfMemory)
        assert isinstance(await ending(good), Finished)
        assert client.status.restarts == 0


async def test_jobs_are_sent_by_credit_and_a_few_ahead(tmp_path: Path) -> None:
    # Rows for two jobs of two rows each.
    async with running(tmp_path, rows=4) as (queue, client):
        await client.ready()
        tickets = [queue.submit(work(job_id, "wait")) for job_id in range(7)]
        for ticket in tickets[:2]:
            await until(ticket, Started)
        await queue_shows(queue, taken=[2, 3, 4, 5])
        last = queue.submit(work(9, "step", owner="bob"))
        # What the child has prepared stays ahead; the line behind it is fair.
        assert [place.job_id for place in queue.snapshot()] == [0, 1, 2, 3, 4, 5, 9, 6]
        queue.cancel(0)
        await until(tickets[2], Started)
        assert starts(tmp_path) == [[0], [0, 1], [1, 2]]
        for job_id in range(1, 6):
            queue.cancel(job_id)
        assert isinstance(await ending(last), Finished)


async def test_a_running_job_is_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path, rows=2) as (queue, _):
        ticket = queue.submit(work(1, "wait"))
        await until(ticket, Started)
        following = queue.submit(work(2, "step"))
        assert queue.cancel(1)
        assert await ending(ticket) == Cancelled(1)
        # Its row is free again: the child was told.
        assert isinstance(await ending(following), Finished)


async def test_killed_with_9_everything_is_replayed_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, client):
        tickets = [queue.submit(work(job_id, "wait once")) for job_id in range(3)]
        for ticket in tickets:
            await until(ticket, Started)
        before = client.status.pid
        assert before is not None
        os.kill(before, KILL)
        for job_id, ticket in enumerate(tickets):
            events = [event async for event in ticket]
            assert events == [Restarting(job_id), Started(job_id), Finished(job_id, ())]
        assert client.status.restarts == 1
        assert client.status.pid != before
        assert client.status.reason != ""
        assert starts(tmp_path)[-3:] == [[0], [1], [2]]
        # After that, together again.
        for job_id in (10, 11):
            await until(queue.submit(work(job_id, "wait")), Started)
        assert starts(tmp_path)[-1] == [10, 11]


async def test_a_poisonous_job_is_named_and_the_innocent_live(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, client):
        innocent = [queue.submit(work(job_id, "wait once")) for job_id in (1, 2)]
        for ticket in innocent:
            await until(ticket, Started)
        poison = queue.submit(work(3, "die"))
        late = queue.submit(work(4, "step", owner="bob"))
        failed = await ending(poison)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, EngineCrashed)
        assert failed.error.job_id == 3
        for ticket in [*innocent, late]:
            assert isinstance(await ending(ticket), Finished)
        assert (await client.ready()).restarts == 2


async def test_dying_once_alone_is_forgiven(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, client):
        events = [event async for event in queue.submit(work(1, "die once"))]
        assert events[-3:] == [Restarting(1), Started(1), Finished(1, ())]
        assert client.status.restarts == 1


# --- an engine that hangs -------------------------------------------------------------------


class Clock:
    """The client's, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def pass_by(clock: Clock, client: EngineClient, seconds: float) -> None:
    """Let the time pass, and the client look up."""
    clock.now += seconds
    client._feed.changed.set()


async def heard(client: EngineClient, clock: Clock) -> None:
    """Let the loop turn until a message was received at the current time."""
    while client._engine is None or client._engine.last_message != clock.now:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def looked_up(client: EngineClient) -> None:
    """Let the loop turn until the client has looked up."""
    while client._feed.changed.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_hangs_is_killed_and_drawn_again_alone(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock=clock) as (queue, client):
        innocent = queue.submit(work(1, "wait once"))
        await until(innocent, Started)
        guilty = queue.submit(work(2, "hang once"))
        await until(guilty, Started)
        before = client.status.pid
        pass_by(clock, client, 599)
        await looked_up(client)
        assert client.status.pid == before
        pass_by(clock, client, 1)
        for job_id, ticket in ((1, innocent), (2, guilty)):
            events = [event async for event in ticket]
            assert events == [Restarting(job_id), Started(job_id), Finished(job_id, ())]
        status = await client.ready()
        assert (status.restarts, status.reason) == (1, "did not respond for 600 s")
        assert status.pid != before
        assert starts(tmp_path)[-2:] == [[1], [2]]


async def test_what_hangs_alone_too_is_given_up(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock=clock) as (queue, client):
        guilty = queue.submit(work(1, "hang"))
        await until(guilty, Started)
        late = queue.submit(work(2, "step", owner="bob"))
        pass_by(clock, client, 600)
        assert (await until(guilty, Started))[0] == Restarting(1)
        pass_by(clock, client, 600)
        failed = await ending(guilty)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, EngineCrashed)
        assert isinstance(await ending(late), Finished)
        assert (await client.ready()).restarts == 2


async def test_an_idle_engine_may_be_silent(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock=clock) as (queue, client):
        await client.ready()
        assert isinstance(await ending(queue.submit(work(1, "step"))), Finished)
        for job_id in (2, 3):
            pass_by(clock, client, 10_000)
            await looked_up(client)
            # Nor does its silence count when there is work at last.
            assert isinstance(await ending(queue.submit(work(job_id, "step"))), Finished)
        assert client.status.restarts == 0


async def test_a_slow_engine_that_works_is_left_alone(tmp_path: Path) -> None:
    """No event for an hour, as in one call of a large model on a small computer."""
    clock = Clock()
    async with running(tmp_path, clock=clock) as (queue, client):
        ticket = queue.submit(work(1, "work"))
        await until(ticket, Started)
        for _ in range(6):
            pass_by(clock, client, 599)
            await heard(client, clock)
        assert (client.status.state, client.status.restarts) == ("ready", 0)
        queue.cancel(1)


async def test_taking_jobs_back_does_not_hide_a_hang(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock=clock, rows=4) as (queue, client):
        guilty = queue.submit(work(1, "hang"))
        await until(guilty, Started)
        pass_by(clock, client, 400)
        await looked_up(client)
        queue.cancel(1)
        waits = queue.submit(work(2, "step"))
        await queue_shows(queue, taken=[2])
        pass_by(clock, client, 200)
        assert isinstance(await ending(waits), Finished)
        assert client.status.restarts == 1


async def test_one_that_hangs_before_it_is_ready_cannot_start(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, target=stub_engine.stuck, clock=clock) as (queue, client):
        ticket = queue.submit(work(1, "step"))
        for _ in range(ATTEMPTS):
            while not (tmp_path / "stuck.txt").exists():  # noqa: ASYNC110
                await asyncio.sleep(0)
            (tmp_path / "stuck.txt").unlink()
            pass_by(clock, client, 600)
        failed = await ending(ticket)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, EngineStopped)
        assert failed.error.detail == "did not respond for 600 s"


async def test_one_that_cannot_be_killed_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "KILL_TIMEOUT", 0.0)
    clock = Clock()
    async with running(tmp_path, clock=clock) as (queue, client):
        ticket = queue.submit(work(1, "hang once"))
        await until(ticket, Started)
        assert client._engine is not None
        stuck = client._engine.transport
        assert isinstance(stuck, EngineProcess)
        with monkeypatch.context() as driver:
            driver.setattr(stuck._process, "kill", lambda: None)
            pass_by(clock, client, 600)
            events = [event async for event in ticket]
        assert events == [Restarting(1), Started(1), Finished(1, ())]
        # It dies at last, and nobody takes that for its successor's death.
        stuck._process.kill()
        await asyncio.to_thread(stuck._threads[0].join)
        assert isinstance(await ending(queue.submit(work(2, "step"))), Finished)
        assert (client.status.state, client.status.restarts) == ("ready", 1)


async def test_it_may_be_left_to_hang(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock=clock, patience=0.0) as (queue, client):
        await until(queue.submit(work(1, "hang")), Started)
        pass_by(clock, client, 1e9)
        await looked_up(client)
        assert (client.status.state, client.status.restarts) == ("ready", 0)


async def test_an_unknown_exception_is_a_death_with_its_name(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, client):
        failed = await ending(queue.submit(work(1, "raise")))
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, EngineCrashed)
        assert client.status.reason == "RuntimeError: nobody knows this"


async def test_a_job_cancelled_while_the_engine_restarts_is_not_replayed(tmp_path: Path) -> None:
    gate = asyncio.Event()

    def hold(deaths: int) -> float:
        gate.set()
        return 0.0

    async with running(tmp_path, backoff=hold) as (queue, client):
        tickets = [queue.submit(work(job_id, "wait once")) for job_id in (1, 2)]
        for ticket in tickets:
            await until(ticket, Started)
        assert client.status.pid is not None
        os.kill(client.status.pid, KILL)
        await gate.wait()
        status = client.status
        assert (status.state, status.pid) == ("restarting", None)
        assert queue.cancel(1)
        assert isinstance(await ending(tickets[1]), Finished)
        assert await ending(tickets[0]) == Cancelled(1)
        assert starts(tmp_path)[2:] == [[2]]


@pytest.mark.parametrize(
    ("target", "reason", "attempts"),
    [
        (stub_engine.broken, "ImportError: no torch here", ATTEMPTS),
        (stub_engine.silent, "exit code 7", ATTEMPTS),
        # No other attempt at once would find it.
        (stub_engine.missing, "the device 'cuda:7' cannot be used", 1),
    ],
)
async def test_an_engine_that_cannot_start_says_why(
    tmp_path: Path, target: Callable[..., None], reason: str, attempts: int
) -> None:
    waits: list[int] = []

    def backoff(deaths: int) -> float:
        waits.append(deaths)
        return 0.0

    async with running(tmp_path, target=target, backoff=backoff) as (queue, client):
        failed = await ending(queue.submit(work(1, "step")))
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, EngineStopped)
        assert failed.error.detail == reason
        assert (client.status.state, client.status.reason) == ("stopped", reason)
        assert waits[: attempts - 1] == list(range(1, attempts))
        with pytest.raises(EngineStopped):
            queue.submit(work(2, "step"))
        with pytest.raises(EngineStopped):
            await client.ready()


async def test_an_engine_that_is_mended_later_serves_again_by_itself(tmp_path: Path) -> None:
    waits: list[int] = []

    def backoff(deaths: int) -> float:
        waits.append(deaths)
        return 0.0

    target = stub_engine.broken_for_now
    async with running(tmp_path, target=target, backoff=backoff) as (queue, client):
        failed = await ending(queue.submit(work(1, "step")))
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, EngineStopped)
        (tmp_path / "mended").touch()
        while client.status.state != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert isinstance(await ending(queue.submit(work(2, "step"))), Finished)
        assert waits == list(range(1, len(waits) + 1))


async def test_a_restart_tries_at_once(tmp_path: Path) -> None:
    def backoff(deaths: int) -> float:
        return 0.0 if deaths < ATTEMPTS else 10_000.0

    target = stub_engine.broken_for_now
    async with running(tmp_path, target=target, backoff=backoff) as (queue, client):
        await ending(queue.submit(work(1, "step")))
        (tmp_path / "mended").touch()
        client.restart()
        while client.status.state != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert isinstance(await ending(queue.submit(work(2, "step"))), Finished)


async def test_a_restart_of_one_that_runs_blames_no_job(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, client):
        tickets = [queue.submit(work(job_id, "wait once")) for job_id in (1, 2)]
        for ticket in tickets:
            await until(ticket, Started)
        first = client.status.pid
        client.restart()
        for ticket in tickets:
            assert isinstance(await ending(ticket), Finished)
        assert client.status.pid != first
        # Not one at a time, as after a crash.
        assert [1, 2] in starts(tmp_path)[2:] or [2, 1] in starts(tmp_path)[2:]


def test_the_back_off_grows_to_a_bound() -> None:
    waits = [exponential(deaths) for deaths in range(1, 50)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(waits) == waits[-1] == 600.0
    assert sum(waits[:ATTEMPTS]) < 10


async def test_a_full_pipe_down_does_not_stop_the_loop(tmp_path: Path) -> None:
    async with running(tmp_path, rows=64) as (queue, _):
        tickets = [queue.submit(work(1, "deaf"))]
        await until(tickets[0], Started)
        # Far more than a pipe holds, while the child does not read.
        large = Inputs(bytes(2**23))
        tickets += [queue.submit(work(job_id, "step", inputs=large)) for job_id in range(2, 6)]
        await queue_shows(queue, taken=[2, 3, 4, 5])
        (tmp_path / "hear").touch()
        for ticket in tickets:
            assert isinstance(await ending(ticket), Finished)


async def test_a_full_pipe_up_does_not_stop_anybody(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, _):
        tickets = [queue.submit(work(job_id, "flood, step")) for job_id in range(2)]
        for ticket in tickets:
            events = [event async for event in ticket]
            # 32 previews came; whoever does not look gets the newest.
            assert sum(isinstance(event, Progress) for event in events) <= 32
            assert isinstance(events[-1], Ending)


async def test_a_sign_of_life_from_another_thread_is_not_within_an_event(tmp_path: Path) -> None:
    async with running(tmp_path, target=stub_engine.beating) as (queue, client):
        tickets = [queue.submit(work(job_id, "flood, step")) for job_id in range(4)]
        for ticket in tickets:
            assert isinstance(await ending(ticket), Finished)
        assert client.status.restarts == 0


async def test_closing_in_the_middle_kills_and_fails_what_is_left(tmp_path: Path) -> None:
    async with running(tmp_path, rows=4, grace=0.0) as (queue, client):
        runs = queue.submit(work(1, "deaf"))
        await until(runs, Started)
        # The last words are still on their way into a full pipe.
        large = Inputs(bytes(2**23))
        waits = [queue.submit(work(job_id, "step", inputs=large)) for job_id in range(2, 5)]
        await queue_shows(queue, taken=[2, 3, 4])
        pid = client.status.pid
        await client.close()
        for ticket in (runs, *waits):
            failed = await ending(ticket)
            assert isinstance(failed, Failed)
            assert isinstance(failed.error, EngineStopped)
        if sys.platform != "win32":
            assert pid is not None
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        await client.close()


async def test_closing_while_starting_leaves_no_process(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    async with running(tmp_path):
        # The process is being made in a thread.
        await asyncio.sleep(0)
    # And if the thread comes too late:
    process = EngineProcess(stub_engine.main, EngineConfig(cache_dir=tmp_path), lambda *_: None)
    process.stop(0.0)
    process.start()
    assert process.pid is None
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal to ignore here")
async def test_the_child_ignores_ctrl_c(tmp_path: Path) -> None:
    async with running(tmp_path) as (queue, client):
        status = await client.ready()
        assert status.pid is not None
        os.kill(status.pid, signal.SIGINT)
        assert isinstance(await ending(queue.submit(work(1, "step"))), Finished)
        assert client.status.restarts == 0


PARENT = """
import asyncio, sys
from functools import partial
from pathlib import Path
from core.serving.client import EngineClient
from core.config import EngineConfig
from core.serving.process import EngineProcess
from core.serving.queue import GpuQueue
from tests import stub_engine
from tests.core.serving.test_client import work

async def main(folder, script, seen):
    queue = GpuQueue(9, 9)
    config = EngineConfig(cache_dir=Path(folder))
    transport = partial(EngineProcess, stub_engine.main)
    await EngineClient(config, queue, transport=transport).start()
    async for event in queue.submit(work(1, script)):
        if type(event).__name__ == seen:
            print("now", flush=True)
            await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(("script", "seen"), [("step", "Finished"), ("wait", "Started")])
async def test_the_child_ends_when_the_parent_is_killed(
    tmp_path: Path, script: str, seen: str
) -> None:
    """Idle, and in the middle of a job."""
    (tmp_path / "parent.py").write_text(PARENT)
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "parent.py", str(tmp_path), script, seen),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout is not None
    assert parent.stderr is not None
    async with asyncio.timeout(60):
        assert await parent.stdout.readline() == b"now\n"
        parent.kill()
        # The child inherited both: they end when the last process that holds them has ended.
        assert await parent.stdout.read() == b""
        assert await parent.stderr.read() == b""
        await parent.wait()


def test_the_parent_imports_no_torch() -> None:
    """The whole bot: it counts what a request costs without the samplers."""
    code = (
        "import sys, run, cogs.every, core.serving.worker\n"
        "print('core.sampling.passes' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True False"
