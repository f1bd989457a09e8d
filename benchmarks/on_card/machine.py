"""The machine: card, versions, and what its memory and arithmetic reach."""

from __future__ import annotations

import platform

import diffusers
import torch
import transformers

from benchmarks.on_card.bench import Bench, Record, Records


def run(bench: Bench) -> Records:
    """Name the card and the versions; time a matrix product and the copies to and from the host."""
    yield {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "cpu_threads": torch.get_num_threads(),
    }
    if bench.on_card:
        card = torch.cuda.get_device_properties(bench.device)
        free, total = torch.cuda.mem_get_info(bench.device)
        yield {
            "card": card.name,
            "capability": f"{card.major}.{card.minor}",
            "multiprocessors": card.multi_processor_count,
            "memory_gib": round(total / 2**30, 1),
            "free_gib": round(free / 2**30, 1),
        }
    side = 8192 if bench.on_card else 256
    left, right = torch.randn((2, side, side), device=bench.device, dtype=bench.dtype)
    product = bench.ms(lambda: left @ right)
    yield {"matrix_product": side, "ms": product, "tflops": round(2e-9 * side**3 / product, 1)}
    size = 2**28 if bench.on_card else 2**20
    paged = torch.empty(size, dtype=torch.uint8)
    onto = torch.empty(size, dtype=torch.uint8, device=bench.device)
    yield _copy(bench, "upload, paged", onto, paged)
    if bench.on_card:
        pinned = paged.pin_memory()
        yield _copy(bench, "upload, pinned", onto, pinned)
        yield _copy(bench, "readback, pinned", pinned, onto)


def _copy(bench: Bench, name: str, onto: torch.Tensor, source: torch.Tensor) -> Record:
    ms = bench.ms(lambda: onto.copy_(source, non_blocking=True), 3, 1)
    return {"copy": name, "ms": ms, "gb_per_s": round(source.nbytes / ms / 1e6, 2)}
