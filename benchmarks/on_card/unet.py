"""The UNet alone by rows: eager, channels_last, CUDA graphs, regional compile.

The launch time is the CPU's share: what a graph saves where it is more than the arithmetic.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.on_card.bench import Bench, Record, Records
from core.engine.compiled import Compiled

ROWS: Final = {"sd1": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32), "sdxl": (1, 2, 4, 8, 16)}
GRAPHS: Final = {"sd1": (1, 2, 4, 8, 16, 32), "sdxl": (1, 2, 8)}
# TFLOP a row at the native size, attention included.
TFLOP: Final = {"sd1": 0.803, "sdxl": 6.761}
COMPILED_ROWS: Final = (2, 8, 16)

Call = Callable[[], Tensor]


def sd1(bench: Bench) -> Records:
    """Measure SD 1.5's UNet at 512²."""
    return _rows(bench, "sd1")


def sdxl(bench: Bench) -> Records:
    """Measure SDXL's UNet at 1024²."""
    return _rows(bench, "sdxl")


def inputs(bench: Bench, family: str, rows: int) -> dict[str, Any]:
    """Return a call's arguments, the same for all arms."""
    config = bench.recipe(family).configs["unet"]
    generator = torch.Generator(bench.device).manual_seed(rows)
    drawn: dict[str, Any] = {"generator": generator, "device": bench.device, "dtype": bench.dtype}
    side = bench.side(family) // 8
    given = {
        "sample": torch.randn((rows, 4, side, side), **drawn),
        "timestep": torch.full((rows,), 500.0, device=bench.device),
        "encoder_hidden_states": torch.randn((rows, 77, config["cross_attention_dim"]), **drawn),
        "return_dict": False,
    }
    if family == "sdxl":
        ids = 6 * config["addition_time_embed_dim"]
        pooled = config["projection_class_embeddings_input_dim"] - ids
        given["added_cond_kwargs"] = {
            "text_embeds": torch.randn((rows, pooled), **drawn),
            "time_ids": torch.full((rows, 6), 1024.0, device=bench.device, dtype=bench.dtype),
        }
    return given


def _arms(bench: Bench, family: str) -> dict[str, Any]:
    """Return the module by the memory format of its weights."""
    plain, last = (bench.module(family, "unet") for _ in range(2))
    return {"eager": plain, "channels_last": last.to(memory_format=torch.channels_last)}


def _call(module: Any, given: Mapping[str, Any], name: str) -> Call:
    if "channels_last" in name:
        sample = given["sample"].contiguous(memory_format=torch.channels_last)
        given = {**given, "sample": sample}

    def call() -> Tensor:
        output: Tensor = module(**given)[0]
        return output

    return call


@torch.inference_mode()
def _rows(bench: Bench, family: str) -> Records:
    order = random.Random(0)
    arms = _arms(bench, family)
    for rows in ROWS[family] if bench.on_card else ROWS[family][:3]:
        given = inputs(bench, family, rows)
        expected = arms["eager"](**given)[0]
        for name in order.sample(list(arms), len(arms)):
            call = _call(arms[name], given, name)
            yield _measured(bench, family, name, rows, call, expected)
            if bench.on_card and rows in GRAPHS[family]:
                yield _graph(bench, family, name, rows, call, expected)


def _measured(
    bench: Bench, family: str, arm: str, rows: int, call: Call, expected: Tensor
) -> Record:
    apart = float((call() - expected).abs().max())
    ms = bench.ms(call)
    return {
        "family": family,
        "arm": arm,
        "rows": rows,
        "ms": ms,
        "launch_ms": bench.launch_ms(call),
        "rows_per_s": round(1e3 * rows / ms, 1),
        "tflops": 0.0 if bench.tiny else round(1e3 * rows * TFLOP[family] / ms, 1),
        "apart": round(apart, 5),
    }


def _graph(bench: Bench, family: str, arm: str, rows: int, call: Call, expected: Tensor) -> Record:
    """Capture the call and measure its replay; the memory is what the capture reserved."""
    before = torch.cuda.memory_reserved(bench.device)
    start = time.perf_counter()
    graph, output = captured(call)
    bench.sync()
    seconds = time.perf_counter() - start
    taken = torch.cuda.memory_reserved(bench.device) - before

    def replay() -> Tensor:
        graph.replay()
        return output

    record = _measured(bench, family, f"{arm}, graph", rows, replay, expected)
    return record | {"capture_s": round(seconds, 3), "reserved_mib": taken >> 20}


def captured(call: Call) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """Return a graph of the call and the tensor that its replays write to."""
    side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = call()
    return graph, output


def compiled(bench: Bench) -> Records:
    """Measure the regional compile of SD 1.5: each transformer block, once for all of them."""
    return _compiled(bench, "sd1", COMPILED_ROWS if bench.on_card else COMPILED_ROWS[:1])


@torch.inference_mode()
def _compiled(bench: Bench, family: str, sizes: Sequence[int]) -> Records:
    arms = _arms(bench, family)
    module, arm = arms["channels_last"], "channels_last, compiled"
    compiled = Compiled(bench.root / "compiled")
    for rows in sizes:
        given = inputs(bench, family, rows)
        expected = arms["eager"](**given)[0]
        plain = _call(module, given, arm)

        def call(plain: Call = plain) -> Tensor:
            output: Tensor = compiled.call(module, plain)
            return output

        start = time.perf_counter()
        while not compiled.ready(module):
            # As the engine does meanwhile.
            call()
        seconds = time.perf_counter() - start
        if not compiled.in_use(module):
            raise RuntimeError("the blocks could not be compiled")
        record = _measured(bench, family, arm, rows, call, expected)
        yield record | {"compile_s": round(seconds, 1)}
        if bench.on_card:
            yield _graph(bench, family, arm, rows, call, expected)
    compiled.close()
