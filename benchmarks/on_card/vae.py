"""Decoding: the module alone, and as the engine does it with its way back to the host."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import torch

from benchmarks.on_card.bench import Bench, Records
from core.models.vae import LoadedVae


def sd1(bench: Bench) -> Records:
    """SD 1.5's at 512²."""
    return _decode(bench, "sd1")


def sdxl(bench: Bench) -> Records:
    """SDXL's at 1024²."""
    return _decode(bench, "sdxl")


@torch.inference_mode()
def _decode(bench: Bench, family: str) -> Records:
    digest: Future[str] = Future()
    digest.set_result("0" * 10)
    module = bench.module(family, "vae")
    vae = LoadedVae(module, "random", digest)
    side = bench.side(family)
    latents = torch.randn((4, side // 8, side // 8), device=bench.device)
    for arm in ("plain", "channels_last"):
        if arm == "channels_last":
            module.to(memory_format=torch.channels_last)
        given: Any = latents[None].to(module.dtype)
        if arm == "channels_last":
            given = given.contiguous(memory_format=torch.channels_last)

        def alone(given: Any = given) -> Any:
            return module.decode(given).sample

        yield {
            "family": family,
            "arm": arm,
            "module_ms": bench.ms(alone),
            "launch_ms": bench.launch_ms(alone),
            "to_pixels_ms": bench.ms(lambda: vae.decode(latents)),
            "pixels_launch_ms": bench.launch_ms(lambda: vae.decode_later(latents)),
        }
