"""The engine on the device: stalls a step, and its speed against stock, one picture at a time."""

from __future__ import annotations

import random
import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

from benchmarks import queue
from benchmarks.on_card.bench import Bench, Record, Records
from benchmarks.on_card.stock import Stock
from core.config import EngineConfig
from core.engine.engine import Engine
from core.options import SAMPLERS
from core.request import GenerationRequest
from core.work import Work

# Pictures of the mixed queue: as many as fill 32 rows.
CROWD: Final = 16
# Steps of the two runs whose difference is what a step costs, without its beginning and end.
FEW, MANY = 4, 10
PROFILED: Final = 4


def _engine(bench: Bench, *, strict: bool = False) -> Engine:
    """Return the engine that the parts share, or a new one in strict mode."""
    config = EngineConfig(device=str(bench.device), cache_dir=bench.root, strict=strict)
    return Engine(config) if strict else bench.share("engine", lambda: Engine(config))


def _stock(bench: Bench, family: str) -> Stock:
    return bench.share(f"stock {family}", lambda: Stock(bench, family))


def _request(bench: Bench, family: str, seed: int = 0, **values: Any) -> GenerationRequest:
    side = bench.side(family)
    given: dict[str, Any] = {"steps": 20, "sampler": "Euler", "width": side, "height": side}
    name = bench.model(family).name
    return GenerationRequest(queue.PROMPTS[seed % 3], name, seed, **(given | values))


def _works(bench: Bench, family: str, requests: Sequence[GenerationRequest]) -> list[Work]:
    model = bench.model(family)
    return [Work.of(place, f"owner {place}", each, model) for place, each in enumerate(requests)]


# Stalls


def syncs(bench: Bench) -> Records:
    """Count what makes the CPU wait for the card, a step, by sampler and by line."""
    # A warm-up, which also fills the cache of prompts.
    queue.ours(_engine(bench), _works(bench, "sd1", [_request(bench, "sd1")]))
    for sampler in SAMPLERS:
        yield _or_failure(bench, sampler, partial(_stalls_a_step, bench, sampler))


def _or_failure(bench: Bench, sampler: str, measure: Callable[[], Record]) -> Record:
    """Measure one sampler; a failure is its record, and the next one gets a new engine."""
    try:
        return {"sampler": sampler, **measure()}
    except Exception as error:
        bench.shared.pop("engine", None)
        return {"sampler": sampler, "failure": " ".join(f"{error}".split())[:200]}


def _stalls_a_step(bench: Bench, sampler: str) -> Record:
    engine = _engine(bench)
    few, many = (_stalls(bench, engine, sampler, steps) for steps in (FEW, MANY))
    if sampler == "DPM adaptive":
        # It takes as many steps whatever was asked for, so all of a run's stalls count.
        few.clear()
    a_step = (sum(many.values()) - sum(few.values())) / (MANY - FEW)
    most = ", ".join(f"{count}× {place}" for place, count in (many - few).most_common(2))
    return {"stalls_a_step": round(a_step, 2), "most": most}


def _stalls(bench: Bench, engine: Engine, sampler: str, steps: int) -> Counter[str]:
    works = _works(bench, "sd1", [_request(bench, "sd1", sampler=sampler, steps=steps)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if bench.on_card:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            queue.ours(engine, works)
        finally:
            if bench.on_card:
                torch.cuda.set_sync_debug_mode("default")
    return Counter(
        f"{each.filename.rpartition('site-packages/')[2].rpartition('core/')[2]}:{each.lineno}"
        for each in caught
        if "synchroniz" in str(each.message)
    )


def profiled(bench: Bench) -> Records:
    """Profile steps in the middle of a crowd: how much of the time the card is busy, and with what.

    The launches are all of the engine's; the UNet's own are in the part ``unet``.
    """
    engine = _engine(bench)
    for pictures in (1, 8):
        requests = [_request(bench, "sd1", seed) for seed in range(pictures)]
        for work in _works(bench, "sd1", requests):
            engine.add(work)
        for _ in range(pictures + 3):
            engine.step()
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.on_card else [])]
        with profile(activities=kinds) as profiler:
            wall = bench.seconds(lambda: [engine.step() for _ in range(PROFILED)])
        while engine.busy:
            engine.step()
        averages = profiler.key_averages()
        calls = {each.key: each.count for each in averages}
        # An op's device time is that of its kernels, which are listed too.
        on_card = [each for each in averages if each.device_type == DeviceType.CUDA]
        kernels = {each.key: each.self_device_time_total for each in on_card}
        launches = sum(n for key, n in calls.items() if key.startswith(("cudaLaunch", "cuLaunch")))
        longest = sorted(kernels, key=lambda key: -kernels[key])[:3]
        yield {
            "pictures": pictures,
            "step_ms": round(1e3 * wall / PROFILED, 2),
            "card_busy": round(sum(kernels.values()) / 1e6 / wall, 3),
            "launches_a_step": launches / PROFILED,
            "copies_a_step": calls.get("cudaMemcpyAsync", 0) / PROFILED,
            "waits_a_step": calls.get("cudaStreamSynchronize", 0) / PROFILED,
            "longest": ", ".join(key[:40] for key in longest),
        }


# Speed


def alone(bench: Bench) -> Records:
    """One picture, nobody else waiting: the latency."""
    yield _against_stock(bench, "sd1", "alone", [_request(bench, "sd1")], 5)


def batches(bench: Bench) -> Records:
    """Equal requests, by their number: what sharing calls is worth by itself."""
    engine = _engine(bench)
    for count in (1, 2, 4, 8, 16) if bench.on_card else (1, 2):
        requests = [_request(bench, "sd1", seed) for seed in range(count)]
        works = _works(bench, "sd1", requests)
        queue.ours(engine, works)
        seconds = bench.seconds(partial(queue.ours, engine, works))
        per_s = count / seconds
        yield {"pictures": count, "seconds": round(seconds, 3), "pictures_per_s": round(per_s, 2)}


def mixed(bench: Bench) -> Records:
    """A queue of requests of which hardly two are alike."""
    works = queue.mixed(bench.model("sd1"), bench.side("sd1"))[:CROWD]
    yield _against_stock(bench, "sd1", "mixed", [work.request for work in works], 2)


def sheet(bench: Bench) -> Records:
    """One job: the same picture at clip skip 1 to 12."""
    works = queue.sheet(bench.model("sd1"), bench.side("sd1"))
    requests = [item.request for item in works[0].items]
    yield _against_stock(bench, "sd1", "sheet", requests, 1, works)


def sdxl(bench: Bench) -> Records:
    """SDXL at its native size: one picture, then four."""
    requests = [_request(bench, "sdxl", seed) for seed in range(4)]
    yield _against_stock(bench, "sdxl", "alone", requests[:1], 2)
    yield _against_stock(bench, "sdxl", "four", requests, 1)


def _against_stock(
    bench: Bench,
    family: str,
    trace: str,
    requests: list[GenerationRequest],
    rounds: int,
    works: list[Work] | None = None,
) -> Record:
    """Compare the pictures, then alternate in shuffled order; medians, and stock ÷ engine."""
    engine, stock = _engine(bench), _stock(bench, family)
    works = works or _works(bench, family, requests)
    apart = max(map(queue.difference, queue.ours(engine, works), stock(requests)))
    variants = {"engine": partial(queue.ours, engine, works), "stock": partial(stock, requests)}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    order = random.Random(1)
    for _ in range(bench.rounds(rounds)):
        for name in order.sample(list(variants), len(variants)):
            seconds[name].append(bench.seconds(variants[name]))
    ours, theirs = (statistics.median(seconds[name]) for name in ("engine", "stock"))
    return {
        "family": family,
        "trace": trace,
        "pictures": len(requests),
        "engine_s": round(ours, 3),
        "stock_s": round(theirs, 3),
        "engine_per_s": round(len(requests) / ours, 2),
        "ratio": round(theirs / ours, 2),
        # Mean difference of the pictures that differ most, in 1/255. Half precision and random
        # weights make it larger than in fp32.
        "apart": round(apart, 3),
    }


def strict(bench: Bench) -> Records:
    """Strict mode: the same bytes alone and in a crowd, and what that costs."""
    model = bench.model("sd1")
    requests = [
        replace(work.request, steps=min(work.request.steps, 12))
        for work in queue.mixed(model, bench.side("sd1"))[: CROWD // 2]
    ]
    plain = _engine(bench)
    works = _works(bench, "sd1", requests)
    queue.ours(plain, works)
    without = bench.seconds(partial(queue.ours, plain, works))
    engine = _engine(bench, strict=True)
    try:
        crowd = queue.ours(engine, works)
        seconds = bench.seconds(partial(queue.ours, engine, works))
        equal = sum(queue.ours(engine, [work])[0] == crowd[work.job_id] for work in works[:3])
    finally:
        torch.use_deterministic_algorithms(False)
        engine.close()
    yield {
        "pictures": len(requests),
        "equal_bytes": f"{equal} of 3",
        "strict_s": round(seconds, 3),
        "default_s": round(without, 3),
        "ratio": round(without / seconds, 2),
    }


def brownian(bench: Bench) -> Records:
    """The samplers with noise of a Brownian path, beside others, for one and eight pictures."""
    for sampler in ("DPM++ 2M", "UniPC", "DPM++ 2M SDE", "DPM++ SDE", "DPM++ 3M SDE"):
        for count in (1, 8) if bench.on_card else (1,):
            yield _or_failure(bench, sampler, partial(_sampler_speed, bench, sampler, count))


def _sampler_speed(bench: Bench, sampler: str, count: int) -> Record:
    engine = _engine(bench)
    values = {"sampler": sampler, "steps": 10}
    works = _works(bench, "sd1", [_request(bench, "sd1", seed, **values) for seed in range(count)])
    queue.ours(engine, works)
    seconds = bench.seconds(partial(queue.ours, engine, works))
    per_s = count / seconds
    return {"pictures": count, "seconds": round(seconds, 3), "pictures_per_s": round(per_s, 2)}
