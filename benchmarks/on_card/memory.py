"""The card's memory: the weights of a model, and what a call adds by rows and by a decode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch

from benchmarks.on_card.bench import Bench, Record, Records
from benchmarks.on_card.unet import inputs

ROWS: Final = {"sd1": (2, 4, 8, 16, 32), "sdxl": (2, 4, 8)}
COMPONENTS: Final = {"sd1": ("text_encoder",), "sdxl": ("text_encoder", "text_encoder_2")}


def sd1(bench: Bench) -> Records:
    """SD 1.5 at 512²."""
    return _memory(bench, "sd1")


def sdxl(bench: Bench) -> Records:
    """SDXL at 1024²."""
    return _memory(bench, "sdxl")


@torch.inference_mode()
def _memory(bench: Bench, family: str) -> Records:
    unet, vae = bench.module(family, "unet"), bench.module(family, "vae")
    encoders = [bench.module(family, name) for name in COMPONENTS[family]]
    parts = {"unet": [unet], "vae": [vae], "text encoders": encoders}
    for name, modules in parts.items():
        size = sum(p.nbytes for module in modules for p in module.parameters())
        yield {"family": family, "what": f"weights of {name}", "gib": round(size / 2**30, 2)}
    for rows in ROWS[family] if bench.on_card else ROWS[family][:1]:
        given = inputs(bench, family, rows)
        yield _peak(bench, family, f"a call of {rows} rows", partial(unet, **given))
    side = bench.side(family) // 8
    latents: Any = torch.randn((1, 4, side, side), device=bench.device, dtype=vae.dtype)
    yield _peak(bench, family, "a decode", partial(vae.decode, latents))


def _peak(bench: Bench, family: str, what: str, call: Callable[[], object]) -> Record:
    """What the call needs beyond what stands already, at its highest."""
    record: Record = {"family": family, "what": what}
    if not bench.on_card:
        call()
        return record
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(bench.device)
    torch.cuda.reset_peak_memory_stats(bench.device)
    call()
    bench.sync()
    peak = torch.cuda.max_memory_allocated(bench.device) - before
    return record | {"gib": round(peak / 2**30, 2)}
