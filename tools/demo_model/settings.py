"""How a training runs: device, times, batches, where it writes, what it reports."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

# The share of the whole time that each part gets.
SHARES = {
    "vae": 0.17,
    "natural": 0.05,
    "unet": 0.58,
    "vivid": 0.04,
    "upscaler": 0.05,
    "lora": 0.08,
    "embedding": 0.03,
}


@dataclass
class Settings:
    """The command line's choices."""

    device: torch.device
    minutes: float
    work: Path  # checkpoints
    out: Path  # what ships
    seed: int
    batch: int  # pictures of a step of the UNet
    crops: int  # crops of a step of the autoencoder
    bf16: bool
    looked: int  # prompts that are measured at the end
    _began: float = field(default_factory=time.monotonic)
    _told: dict[str, float] = field(default_factory=dict)
    _steps: dict[str, int] = field(default_factory=dict)

    def seconds(self, part: str) -> float:
        """The time that a part gets."""
        return 60 * self.minutes * SHARES[part]

    def autocast(self) -> AbstractContextManager[None]:
        """bfloat16 arithmetic where it is asked for."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def say(self, words: str) -> None:
        """Print a line with the time since the start."""
        print(f"[{time.monotonic() - self._began:6.1f} s] {words}", flush=True)

    def report(self, part: str, step: int, progress: float, loss: torch.Tensor) -> None:
        """Print a part's loss every few seconds; the GPU is waited for only then."""
        now = time.monotonic()
        before = self._told.get(part, 0.0)
        if now - before < 5:
            return
        speed = (step - self._steps.get(part, 0)) / (now - before) if before else 0.0
        self._told[part], self._steps[part] = now, step
        value = float(loss.detach())
        self.say(f"{part}: step {step}, {progress:.0%}, loss {value:.4f}, {speed:.1f} steps/s")
