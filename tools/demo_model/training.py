"""What the three trainings share: Muon, averaged weights, processes, checkpoints."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import nn


def _orthogonal(update: torch.Tensor, *, bf16: bool, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest orthogonal matrices (Jordan et al., Muon).

    Its authors compute it in bfloat16: it does not need more.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update / (update.norm(dim=(1, 2), keepdim=True) + 1e-7)
    x = x.bfloat16() if bf16 else x
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: torch.Tensor = (x.mT if tall else x).float()
    return orthogonal


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonal updates, for matrices and for convolutions as out x rest.

    ``torch.optim.Muon`` takes two-dimensional parameters only.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        *,
        bf16: bool = False,
    ) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum})
        self._bf16 = bf16

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply one update."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault(p.flatten(1).shape, []).append(p)
            for shape, params in alike.items():
                # Equal shapes go through the iteration together: far fewer small products.
                updates = _orthogonal(
                    torch.stack([self._direction(p, group) for p in params]), bf16=self._bf16
                )
                scale = 0.2 * math.sqrt(max(shape))
                for p, update in zip(params, updates, strict=True):
                    p.add_(update.view_as(p), alpha=-group["lr"] * scale)

    def _direction(self, p: nn.Parameter, group: dict[str, Any]) -> torch.Tensor:
        """Nesterov momentum of a parameter, as a matrix."""
        assert p.grad is not None
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        buffer = state["momentum"]
        buffer.lerp_(p.grad, 1 - group["momentum"])
        return p.grad.lerp(buffer, group["momentum"]).flatten(1)


class Average:
    """An exponential moving average of a network's weights, which is what ships."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the current weights; early steps count for more."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            kept = self.weights[name]
            if kept.dtype.is_floating_point:
                kept.lerp_(value.detach(), share)


def average_gradients(models: Iterable[nn.Module], world: int) -> None:
    """Make every process's gradients their mean, in one exchange."""
    if world == 1:
        return
    grads = [p.grad for m in models for p in m.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in grads])
    dist.all_reduce(flat)
    flat /= world
    at = 0
    for g in grads:
        g.copy_(flat[at : at + g.numel()].view_as(g))
        at += g.numel()


def _entry(rank: int, work: Callable[..., None], args: Any, world: int) -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // world))
    if world > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ["MASTER_PORT"] = str(args.port)
        dist.init_process_group("gloo", rank=rank, world_size=world, timeout=timedelta(minutes=30))
    work(rank, world, args)
    if world > 1:
        dist.destroy_process_group()


def launch(work: Callable[..., None], args: Any) -> None:
    """Run ``work(rank, world, args)``: two one-thread processes beat one with two threads."""
    world = 1 if torch.cuda.is_available() else args.processes
    if world == 1:
        _entry(0, work, args, 1)
    else:
        spawn: Any = processes.spawn  # type: ignore[attr-defined]
        spawn(_entry, (work, args, world), nprocs=world)


def cosine(step: int, steps: int, warm: int) -> float:
    """The share of the learning rate at this step: warmed up, then falling to zero."""
    return min(1.0, (step + 1) / warm) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def apply(opts: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """One step of every optimizer at this learning rate."""
    for opt in opts:
        for group in opt.param_groups:
            group["lr"] = rate
        opt.step()
        opt.zero_grad()


def device() -> torch.device:
    """The accelerator when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def save(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that a crash leaves the old one whole."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint that ``save`` wrote, if there is one."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
