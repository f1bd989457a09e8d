"""``EngineConfig``: how the engine process is set up. Plain values, so that it can be pickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Settings of one engine process.

    ``device`` is ``auto`` or a torch device (``cuda``, ``cuda:1``, ``mps``, ``cpu``);
    ``dtype`` is ``auto`` (fp16 on a GPU, fp32 on a CPU), ``float16``, ``bfloat16`` or ``float32``.
    ``strict`` gives the same bytes alone and in a crowd, at some cost in speed.
    ``max_rows`` bounds the running set in UNet rows. ``warm_models`` is how many checkpoints
    are kept loaded. ``cache_dir`` holds what may be deleted any time (file hashes). A process
    that owes something and is silent for ``timeout`` seconds has hung; 0 waits for ever.
    """

    device: str = "auto"
    dtype: str = "auto"
    strict: bool = False
    max_rows: int = 32
    warm_models: int = 2
    threads: int = 0
    timeout: float = 600.0
    cache_dir: Path = Path("data/cache")
