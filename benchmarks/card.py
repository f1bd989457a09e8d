"""Everything that is to be known of a graphics card, in minutes and without a download.

``python -m benchmarks.card [--device cuda|cpu] [--size sd15|tiny] [--parts unet mixed …]
[--seconds 240] [--json FILE]``: random weights, smallest part first. A part that fails, or for
which the time is over, does not hinder the others. The results are printed as they come, as a
table at the end, and written to the file after each part.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.on_card import stand_ins
from core.serving.worker import ENVIRONMENT

if TYPE_CHECKING:
    from benchmarks.on_card.bench import Bench, Record


@dataclass(frozen=True, slots=True)
class Part:
    """A measurement: the function ``place`` makes its records, in about ``seconds`` on an H100."""

    name: str
    place: str
    seconds: float


PARTS: Final = (
    Part("machine", "machine.run", 2),
    Part("decode", "vae.sd1", 4),
    Part("unet", "unet.sd1", 15),
    Part("memory", "memory.sd1", 4),
    Part("alone", "engine.alone", 10),
    Part("syncs", "engine.syncs", 12),
    Part("profile", "engine.profiled", 8),
    Part("batches", "engine.batches", 8),
    Part("brownian", "engine.brownian", 12),
    Part("switch", "switch.sd1", 8),
    Part("sheet", "engine.sheet", 15),
    Part("strict", "engine.strict", 10),
    Part("networks", "networks.sd1", 20),
    Part("mixed", "engine.mixed", 35),
    Part("sdxl-decode", "vae.sdxl", 4),
    Part("sdxl-unet", "unet.sdxl", 15),
    Part("sdxl-memory", "memory.sdxl", 6),
    Part("sdxl-engine", "engine.sdxl", 30),
    Part("sdxl-switch", "switch.sdxl", 15),
    Part("compiled", "unet.compiled", 40),
)


def run(part: Part, bench: Bench) -> tuple[list[Record], str]:
    """Run one part; return its records, those before a failure too, and the failure or ""."""
    records: list[Record] = []
    module, _, function = part.place.partition(".")
    try:
        measure = getattr(importlib.import_module(f"benchmarks.on_card.{module}"), function)
        for record in measure(bench):
            records.append(record)
            print(json.dumps({"part": part.name, **record}), flush=True)
    except Exception as error:
        traceback.print_exc(limit=-6)
        failure = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        bench.shared.clear()
        return records, failure
    finally:
        gc.collect()
    return records, ""


def table(records: Sequence[Record]) -> str:
    """Lay the records out in columns, those of the same values under one head."""
    lines = []
    for names, group in groupby(records, key=tuple):
        rows = [names, *(tuple(map(str, record.values())) for record in group)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def main() -> None:
    """Measure what was asked for, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=("sd15", "tiny"), default="sd15")
    names = [part.name for part in PARTS]
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--seconds", type=float, default=240.0, help="begin no part beyond these")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    result: dict[str, Any] = {"missing": stand_ins.install(), "parts": {}}
    # torch comes after the environment is set.
    import torch

    from benchmarks.on_card.bench import Bench

    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        device = torch.empty(0, device=options.device).device
        bench = Bench(device, options.size, Path(folder))
        for part in PARTS:
            if part.name not in options.parts:
                continue
            start = time.monotonic()
            records: list[Record] = []
            left = options.seconds - (start - begun)
            if part.seconds > left and bench.on_card:
                failure = f"not begun: {left:.0f} s were left"
            else:
                records, failure = run(part, bench)
            took = round(time.monotonic() - start, 1)
            result["parts"][part.name] = {"seconds": took, "failure": failure, "records": records}
            if options.json:
                options.json.write_text(json.dumps(result, indent=1) + "\n")
    for name, found in result["parts"].items():
        print(f"\n== {name}, {found['seconds']} s. {found['failure']}")
        print(table(found["records"]))
    print("missing packages:", *(result["missing"] or ["none"]))
    print(f"{time.monotonic() - begun:.0f} s in all")
    failures = [name for name, found in result["parts"].items() if found["failure"]]
    sys.exit(f"failed: {', '.join(failures)}" if failures else 0)


if __name__ == "__main__":
    main()
