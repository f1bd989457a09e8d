"""``EngineConfig``: the settings of the engine process, as plain, picklable values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Settings of one engine process.

    ``device`` is ``auto`` or a torch device (``cuda``, ``cuda:1``, ``mps``, ``cpu``);
    ``dtype`` is ``auto`` (fp16 on a GPU, fp32 on a CPU), ``float16``, ``bfloat16`` or ``float32``.
    ``strict`` gives the same bytes whatever else runs, at some cost in speed. ``max_rows`` bounds
    the running set in UNet rows. ``warm_models`` is the number of checkpoints kept in memory;
    those of a graphics card take up to ``parking_gb`` GiB of main memory, to come back from there.
    ``graphs`` replays UNet calls from CUDA graphs on a graphics card; ``compile`` lets torch
    compile the UNet's blocks.
    ``threads`` is torch's on a CPU, 0 for its default. ``cache_dir`` (file hashes) may be deleted
    at any time. An engine that has work and sends nothing for ``timeout`` seconds counts as hung;
    0 disables that.
    """

    device: str = "auto"
    dtype: str = "auto"
    strict: bool = False
    max_rows: int = 32
    warm_models: int = 2
    parking_gb: int = 32
    graphs: bool = True
    compile: bool = False
    threads: int = 0
    timeout: float = 600.0
    cache_dir: Path = Path("data/cache")
