"""Several engines on one queue against one: ``python -m benchmarks.several``.

Engine processes on the CPU with a thread each, the jobs of :mod:`benchmarks.queue`. Seconds are the
wall's, and the CPU's of the engine that worked longest, which other work on the machine does not
change: with a core for each engine they are about the same. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import torch

from benchmarks.queue import TRACES
from core.config import EngineConfig
from core.events import Failed
from core.models.catalogue import Catalogue
from core.serving.client import EngineClient
from core.serving.queue import GpuQueue
from core.work import Work
from tools import random_models


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # utime and stime, fields 14 and 15 of proc_pid_stat(5); the first here is field 3.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(queue: GpuQueue, works: Sequence[Work]) -> None:
    """Submit all jobs at once and wait until they have ended."""
    for ticket in [queue.submit(work) for work in works]:
        async for event in ticket:
            if isinstance(event, Failed):
                raise event.error


async def measure(config: EngineConfig, engines: int, works: Sequence[Work], rounds: int) -> None:
    """Print the seconds of all jobs on so many engines: medians and ranges."""
    queue = GpuQueue(len(works), len(works))
    clients = [EngineClient(config, queue) for _ in range(engines)]
    wall, cpu = [], []
    async with AsyncExitStack() as stack:
        for client in clients:
            await client.start()
            stack.push_async_callback(client.close)
        pids = [(await client.ready()).pid or 0 for client in clients]
        # The first rounds load the model and measure the speeds.
        for number in range(-2, rounds):
            start, before = time.perf_counter(), [cpu_seconds(pid) for pid in pids]
            await run(queue, works)
            if number >= 0:
                wall.append(time.perf_counter() - start)
                cpu.append(max(cpu_seconds(p) - b for p, b in zip(pids, before, strict=True)))
    pictures = sum(len(work.items) for work in works)
    for name, seconds in (("wall", wall), ("CPU", cpu)):
        median = statistics.median(seconds)
        print(
            f"{engines} engine{'s' * (engines > 1)}  {name:4} median {median:6.2f} s"
            f"  range {min(seconds):.2f}–{max(seconds):.2f}  {pictures / median:6.2f} pictures/s",
            flush=True,
        )


def main() -> None:
    """Measure one engine and several."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", choices=TRACES, default="mixed")
    parser.add_argument("--engines", type=int, default=2)
    parser.add_argument("--size", choices=("tiny", "sd15"), default="tiny")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    tiny = options.size == "tiny"
    recipe = (random_models.tiny if tiny else random_models.full)("sd1")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        random_models.write_folder(recipe, root / "random", 0, torch.float32)
        model = Catalogue.scan(root, root / "vaes", root / "data").model("random")
        works = TRACES[options.trace](model, 64 if tiny else 512)
        config = EngineConfig(device="cpu", threads=1, cache_dir=root)
        for engines in (1, options.engines):
            asyncio.run(measure(config, engines, works, options.rounds))


if __name__ == "__main__":
    main()
