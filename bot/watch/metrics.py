"""The bot's figures in Prometheus' format. Needs the extra ``metrics`` (prometheus-client).

Nothing is kept here: each scrape reads what the parts know.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from bot.store import State
from bot.store.activity import Activity
from bot.watch.tally import Tally
from core.serving.client import EngineClient, EngineStatus
from core.serving.queue import GpuQueue

# What is one number of each engine.
OF_ENGINES: Final[tuple[tuple[Any, str, str, Callable[[EngineStatus], float]], ...]] = (
    (CounterMetricFamily, "steps", "Sampler steps done.", lambda engine: engine.steps),
    (CounterMetricFamily, "restarts", "Processes started again.", lambda engine: engine.restarts),
    (GaugeMetricFamily, "rows_in_call", "Rows of a UNet call.", lambda engine: engine.rows_in_call),
    (GaugeMetricFamily, "rows_free", "Rows that are free.", lambda engine: engine.rows_free),
    (GaugeMetricFamily, "speed", "Megapixel-steps a second.", lambda engine: engine.speed or 0.0),
    (GaugeMetricFamily, "warm_models", "Models loaded.", lambda engine: len(engine.warm)),
)
ENGINE_STATES: Final = ("starting", "ready", "restarting", "stopped")


@dataclass(eq=False)
class Metrics:
    """Writes the figures of the parts that it is given; ``folder`` is the data folder."""

    _activity: Activity
    _queue: GpuQueue
    _engines: Sequence[EngineClient]
    _tally: Tally
    _folder: Path

    async def text(self) -> bytes:
        """Return all figures as they are now."""
        states = await self._activity.states()
        disk = await asyncio.to_thread(shutil.disk_usage, self._folder)
        registry = CollectorRegistry()
        found = [*self._jobs(states), *self._engine(), *self._discord(), _disk(disk)]
        registry.register(_Once(found))
        return generate_latest(registry)

    def _jobs(self, states: Mapping[State, int]) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("penultimate_jobs", "Jobs kept, by state.", labels=["state"])
        for state, count in states.items():
            jobs.add_metric([state], count)
        yield jobs
        places = self._queue.snapshot()
        waiting = sum(place.position is not None for place in places)
        queue = GaugeMetricFamily("penultimate_queue", "Jobs in the queue.", labels=["state"])
        queue.add_metric(["waiting"], waiting)
        queue.add_metric(["running"], len(places) - waiting)
        yield queue
        yield SummaryMetricFamily(
            "penultimate_wait_seconds",
            "How long jobs waited for their start.",
            count_value=self._queue.started,
            sum_value=self._queue.waited,
        )

    def _engine(self) -> Iterator[Metric]:
        """The engines, told apart by their device and their number on it."""
        engines = [(name, client.status) for name, client in named(self._engines)]
        for kind, name, about, value in OF_ENGINES:
            metric = kind(f"penultimate_engine_{name}", about, labels=["engine"])
            for label, status in engines:
                metric.add_metric([label], value(status))
            yield metric
        yield _states(engines)
        yield _memory(engines)

    def _discord(self) -> Iterator[Metric]:
        counted = (
            ("deliveries", "Posts of ended jobs, by way.", "way", self._tally.deliveries),
            ("discord_answers", "Discord's answers, by status.", "code", self._tally.answers),
        )
        for name, about, label, counts in counted:
            metric = CounterMetricFamily(f"penultimate_{name}", about, labels=[label])
            for value, count in sorted(counts.items()):
                metric.add_metric([value], count)
            yield metric


class _Once(Collector):
    """Figures that were read already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._metrics


def named(engines: Sequence[EngineClient]) -> list[tuple[str, EngineClient]]:
    """Name each engine by its device; where several share one, by its number besides."""
    devices = [each.status.device for each in engines]
    return [
        (device if devices.count(device) == 1 else f"{device}#{number}", each)
        for number, (device, each) in enumerate(zip(devices, engines, strict=True))
    ]


def _states(engines: Sequence[tuple[str, EngineStatus]]) -> Metric:
    metric = GaugeMetricFamily(
        "penultimate_engine_state", "1 for the state that it is in.", labels=["engine", "state"]
    )
    for label, status in engines:
        for state in ENGINE_STATES:
            metric.add_metric([label, state], float(status.state == state))
    return metric


def _memory(engines: Sequence[tuple[str, EngineStatus]]) -> Metric:
    metric = GaugeMetricFamily(
        "penultimate_engine_memory_bytes", "The device's memory.", labels=["engine", "kind"]
    )
    for label, status in engines:
        if status.memory is not None:
            for kind, size in zip(("used", "total"), status.memory, strict=True):
                metric.add_metric([label, kind], size)
    return metric


def _disk(usage: tuple[int, int, int]) -> Metric:
    total, _, free = usage
    metric = GaugeMetricFamily(
        "penultimate_disk_bytes", "The disk of the data folder.", labels=["kind"]
    )
    metric.add_metric(["total"], total)
    metric.add_metric(["free"], free)
    return metric
