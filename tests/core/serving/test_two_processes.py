"""Two real engine processes on one CPU: one is killed in the middle of its jobs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bot.settings import Settings
from core.config import EngineConfig
from core.events import Ending, Event, Failed, Finished, Image, Started
from core.request import GenerationRequest
from core.serving.client import EngineClient
from core.serving.queue import GpuQueue
from core.serving.ticket import Ticket
from core.work import Work
from tests.core.serving.test_client import until
from tests.tiny_models import SIZE, tiny_model

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


async def drawn(
    configs: Sequence[EngineConfig], works: Sequence[Work], *, kill: bool
) -> tuple[list[list[Event]], list[EngineClient]]:
    """The events of all jobs, with as many engines as there are configs."""
    queue = GpuQueue(100, 100)
    clients = [EngineClient(config, queue, backoff=lambda _: 0.0) for config in configs]
    async with asyncio.timeout(240), AsyncExitStack() as stack:
        for client in clients:
            await client.start()
            stack.push_async_callback(client.close)
        await asyncio.gather(*(client.ready() for client in clients))
        tickets = [queue.submit(work) for work in works]
        if kill:
            await until(tickets[0], Started)
            pid = clients[0].status.pid
            assert pid is not None
            os.kill(pid, KILL)
        return [await _rest(ticket) for ticket in tickets], clients


async def _rest(ticket: Ticket) -> list[Event]:
    return [event async for event in ticket]


def pictures(events: list[Event]) -> tuple[Image, ...]:
    assert sum(isinstance(event, Ending) for event in events) == 1
    finished = events[-1]
    assert not isinstance(finished, Failed), finished.error
    assert isinstance(finished, Finished)
    return finished.images


async def test_every_job_is_delivered_once_with_the_bytes_of_a_single_engine(
    tmp_path: Path,
) -> None:
    model = tiny_model(tmp_path)
    settings = Settings(device=("cpu", "cpu"), strict=True, threads=1, data_dir=tmp_path)
    configs = settings.engine_configs()
    assert [config.device for config in configs] == ["cpu", "cpu"]
    works = [
        Work.of(
            seed,
            f"owner {seed % 3}",
            GenerationRequest("a cat", model.name, seed, steps=12, width=SIZE, height=SIZE),
            model,
        )
        for seed in range(6)
    ]
    both, clients = await drawn(configs, works, kill=True)
    assert [client.status.restarts for client in clients] == [1, 0]
    alone, _ = await drawn(configs[:1], works, kill=False)
    assert [pictures(events) for events in both] == [pictures(events) for events in alone]
