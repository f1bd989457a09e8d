"""How a training runs: device, times, batches, where it writes, what it reports."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

# The share of the whole time that each part gets, in the order of the run.
SHARES = {
    "vae": 0.12,
    "natural": 0.03,
    "vivid": 0.03,
    "upscaler": 0.03,
    "unet": 0.68,
    "lora": 0.05,
    "embedding": 0.03,
    "look": 0.03,
}
_STUCK = 260.0  # seconds without a report after which a run is given up


@dataclass
class Settings:
    """The command line's choices."""

    device: torch.device
    until: float  # when the run has to be over, as of ``time.time``
    parts: Sequence[str]  # of SHARES
    work: Path  # checkpoints
    out: Path  # what ships
    seed: int
    batch: int  # pictures of a step of the UNet
    crops: int  # crops of a step of the autoencoder
    bf16: bool
    mode: str  # "compile", "graph" or "eager"
    looked: int  # prompts that are measured at the end
    _began: float = field(default_factory=time.time)
    _told: dict[str, float] = field(default_factory=dict)
    _steps: dict[str, int] = field(default_factory=dict)

    def left(self, part: str) -> float:
        """The seconds until a part has to be over: where the run's parts so far end."""
        whole = sum(SHARES[name] for name in self.parts)
        names = list(SHARES)
        so_far = sum(SHARES[n] for n in self.parts if names.index(n) <= names.index(part))
        return self._began + (self.until - self._began) * so_far / whole - time.time()

    def autocast(self) -> AbstractContextManager[None]:
        """bfloat16 arithmetic where it is asked for."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def say(self, words: str) -> None:
        """Print a line with the time since the start."""
        self._told["any"] = time.time()
        print(f"[{time.time() - self._began:6.1f} s] {words}", flush=True)

    def report(self, part: str, step: int, progress: float, loss: torch.Tensor) -> None:
        """Print a part's loss every few seconds; the GPU is waited for only then."""
        now = time.time()
        before = self._told.get(part, 0.0)
        if now - before < 5:
            return
        speed = (step - self._steps.get(part, 0)) / (now - before) if before else 0.0
        self._told[part], self._steps[part] = now, step
        value = float(loss.detach())
        self.say(f"{part}: step {step}, {progress:.0%}, loss {value:.4f}, {speed:.1f} steps/s")

    def watch(self) -> None:
        """End the process when it hangs, so that a shell can try another mode."""

        def wait() -> None:
            while time.time() - self._told.get("any", self._began) < _STUCK:
                time.sleep(1)
            print("stuck", flush=True)
            os._exit(3)

        threading.Thread(target=wait, daemon=True).start()
