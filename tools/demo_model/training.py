"""What the trainings share: Muon, averaged weights, half-precision twins, clocks, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .settings import Settings


def _orthogonal(update: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest orthogonal matrices (Jordan et al., Muon).

    In bfloat16, as its authors do: the iteration does not need more.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (update / (update.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
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
        decay: float = 0.05,
    ) -> None:
        params = list(params)
        # On a GPU the rate is a tensor, so that a CUDA graph can read it.
        rate = torch.tensor(lr, device=params[0].device) if params[0].is_cuda else lr
        super().__init__(params, {"lr": rate, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply one update; parameters without a gradient stay."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            grads = [p.grad for p in params]
            buffers = [self._momentum(p) for p in params]
            torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
            directions = torch._foreach_lerp(grads, buffers, group["momentum"])  # Nesterov's
            alike: dict[tuple[int, int], list[int]] = {}
            for i, p in enumerate(params):
                alike.setdefault((len(p), p.numel() // len(p)), []).append(i)
            for shape, places in alike.items():
                # Equal shapes go through the iteration together: far fewer small products.
                updates = _orthogonal(torch.stack([directions[i].flatten(1) for i in places]))
                updates = updates * (group["lr"] * (-0.2 * math.sqrt(max(shape))))
                chosen = [params[i] for i in places]
                torch._foreach_mul_(chosen, 1 - group["lr"] * group["decay"])
                moves = [u.view(p.shape) for u, p in zip(updates, chosen, strict=True)]
                torch._foreach_add_(chosen, moves)

    def _momentum(self, p: nn.Parameter) -> torch.Tensor:
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        buffer: torch.Tensor = state["momentum"]
        return buffer


class Average:
    """An exponential moving average of a network's weights, which is what ships."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        own = model.state_dict()
        self.weights = {k: v.detach().clone() for k, v in own.items()}
        # The same tensors as long as the network lives: reading them anew costs time.
        self._own = {k: v for k, v in own.items() if v.dtype.is_floating_point}

    @torch.no_grad()
    def update(self, step: int, steps: int = 1) -> None:
        """Take in the weights after so many more steps; early ones count for more."""
        share = 1 - min(self.decay, (1 + step) / (20 + step)) ** steps
        torch._foreach_lerp_([self.weights[k] for k in self._own], list(self._own.values()), share)


class Twin:
    """Trains a network through a bfloat16 copy of it: half the bytes for every activation.

    Call ``copy`` in its place; ``give_back`` hands the copy's gradients to the network, and
    ``take`` brings the network's new weights into the copy.
    """

    def __init__(self, model: nn.Module, make: Callable[[], nn.Module]) -> None:
        made: Any = make()
        device = next(model.parameters()).device
        self.copy = made.to(device, torch.bfloat16, memory_format=torch.channels_last)
        self._own = [p for p in model.parameters() if p.requires_grad]
        names = {name for name, p in model.named_parameters() if p.requires_grad}
        self._pairs = list(model.parameters()), list(self.copy.parameters())
        self._moving = [p for name, p in self.copy.named_parameters() if name in names]
        self.copy.requires_grad_(False)
        for p in self._moving:
            p.requires_grad_(True)
        self.take()

    @torch.no_grad()
    def take(self) -> None:
        """Copy the network's weights into the copy."""
        torch._foreach_copy_(list(self._pairs[1]), list(self._pairs[0]))

    @torch.no_grad()
    def give_back(self) -> None:
        """Hand the copy's gradients to the network and clear them."""
        for own, moved in zip(self._own, self._moving, strict=True):
            own.grad = None if moved.grad is None else moved.grad.float()
            moved.grad = None


class Clock:
    """How far a training of a fixed time is; the learning rates follow it."""

    def __init__(self, seconds: float, before: float = 0.0) -> None:
        self.seconds = max(seconds, 1e-3)
        self._began, self._before = time.monotonic(), before

    @property
    def progress(self) -> float:
        """The share of the training that is over, 0…1; ``before`` of it in an earlier run."""
        share = (time.monotonic() - self._began) / self.seconds
        return min(1.0, self._before + (1 - self._before) * share)


def cosine(progress: float, step: int, warm: int) -> float:
    """The share of the learning rate: warmed up over steps, then falling to zero."""
    return min(1.0, (step + 1) / warm) * (0.5 + 0.5 * math.cos(math.pi * progress))


def linear(progress: float, step: int, warm: int) -> float:
    """The share of the learning rate: warmed up over steps, then falling to zero evenly."""
    return min(1.0, (step + 1) / warm) * (1 - progress)


def adamw(
    params: Iterable[nn.Parameter], lr: float, betas: tuple[float, float] = (0.9, 0.99)
) -> torch.optim.AdamW:
    """AdamW without decay, in one kernel on a GPU, where a CUDA graph can hold it."""
    params = list(params)
    gpu = params[0].is_cuda
    rate: Any = torch.tensor(lr, device=params[0].device) if gpu else lr
    return torch.optim.AdamW(
        params, rate, betas=betas, weight_decay=0, fused=gpu or None, capturable=gpu
    )


def remember_rates(opts: Iterable[torch.optim.Optimizer]) -> None:
    """Note each group's full learning rate."""
    for opt in opts:
        for group in opt.param_groups:
            group["top"] = float(group["lr"])


def set_rates(opts: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Bring every optimizer to this share of its full learning rate."""
    for opt in opts:
        for group in opt.param_groups:
            rate = group["top"] * share
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


def apply(opts: Iterable[torch.optim.Optimizer], share: float) -> None:
    """One step of every optimizer at this share of its full learning rate."""
    opts = list(opts)
    set_rates(opts, share)
    for opt in opts:
        opt.step()
        opt.zero_grad()


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """A function of the GPU as a CUDA graph: one launch in place of thousands.

    It must not wait for the GPU, and must leave nothing but tensors that stay where they are.
    """
    stream: Any = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    now: Any = torch.cuda.current_stream()
    now.wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def run(
    part: str,
    step: Callable[[], torch.Tensor],
    params: Iterable[nn.Parameter],
    opt: torch.optim.Optimizer,
    settings: Settings,
) -> None:
    """Take steps until a part's time is over, at rates that fall along a cosine.

    ``step`` computes a loss on the spot; on a GPU it runs as a CUDA graph.
    """
    params, loss = list(params), torch.zeros((), device=settings.device)

    def whole() -> None:
        for p in params:
            p.grad = None
        found = step()
        torch.autograd.backward(found)
        opt.step()
        loss.copy_(found.detach())

    remember_rates([opt])
    set_rates([opt], 0.02)
    go = whole if settings.mode == "eager" else captured(whole)
    clock, count = Clock(settings.left(part)), 0
    while (progress := clock.progress) < 1:
        set_rates([opt], cosine(progress, count, 20))
        go()
        count += 1
        if count % 16 == 0:
            settings.report(part, count, progress, loss.clone())
            if settings.device.type == "cuda":
                torch.cuda.synchronize()
    settings.say(f"{part}: {count} steps, loss {float(loss):.4f}")


def network_optimizers(
    model: nn.Module, lr: float, edges: tuple[str, ...]
) -> list[torch.optim.Optimizer]:
    """Muon for the inner matrices and convolutions, AdamW for the rest."""
    inner: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        if p.requires_grad:
            outer = p.ndim < 2 or any(part in name for part in edges)
            (rest if outer else inner).append(p)
    return [Muon(inner, lr), adamw(rest, lr)]


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
