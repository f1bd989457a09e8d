"""Eight members with eight LoRAs in one UNet call, and one after another with merging."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch

from benchmarks.networks import MEMBERS, Members
from benchmarks.on_card.bench import Bench, Records

RANK: Final = 8


@torch.inference_mode()
def sd1(bench: Bench) -> Records:
    """Compare the rows with each member alone, then time a step of all eight by each way."""
    folder = bench.root / "loras"
    folder.mkdir(exist_ok=True)
    members = Members(bench.module("sd1", "unet"), folder, RANK, str(bench.device))
    alone, shared = members.in_turn(1), members.shared(1)
    apart = float((shared - alone).abs().max() / alone.abs().max())
    ways: dict[str, Callable[[], object]] = {
        "no networks": partial(members.call, slice(None)),
        "shared": partial(members.shared, 1),
        "merged once, 20 steps": partial(members.in_turn, 20),
        "merged for each step": partial(members.in_turn, 1, each_step=True),
    }
    for way, run in ways.items():
        steps = 20 if "20" in way else 1
        step_ms = round(bench.ms(run, repeats=3, warm=1) / steps, 3)
        compared = f"{apart:.1e}" if way == "shared" else ""
        yield {"members": MEMBERS, "way": way, "step_ms": step_ms, "apart": compared}
