"""``RowPlan``: low-rank changes of single rows of one UNet call, so that rows may differ.

Each layer adds up·(down·x) of its row's networks to its output. The rows of a call lie in
*slots*: equally many neighbours with the same networks. A slot's networks are concatenated along
the rank, and ranks padded with zeros to the call's largest, which is exact; so a layer is two
batched matrix products, or two grouped convolutions, over the slots.

A plan is a pair of tensors a layer, and a forward per layer that reads them; both are there only
while it is used, and a call without networks runs the model as it is. For a captured call
(CUDA graphs) the tensors would be allocated once for the graph's slots and largest ranks, all
layers included, and written by :func:`_filled` before each replay; the forwards stay installed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

Forward = Callable[[Tensor], Tensor]


class Factor(NamedTuple):
    """One network's part of a layer: ``up`` (out, rank), ``down`` (rank, in, …), a multiplier."""

    up: Tensor
    down: Tensor
    multiplier: float


# The low-rank networks of one row: by the name of a UNet's module, its parts.
Factors = Mapping[str, Sequence[Factor]]


class RowPlan:
    """What the rows of one call add to a UNet's layers; ``rows`` has each row's networks."""

    def __init__(self, unet: nn.Module, rows: Sequence[Factors]) -> None:
        runs = [len(list(group)) for _, group in groupby(rows, key=id)]
        slots = rows[:: math.gcd(*runs)]
        self._forwards: list[tuple[Any, Forward]] = []
        for name in dict.fromkeys(name for slot in slots for name in slot):
            module: Any = unet.get_submodule(name)
            up, down = _filled(module.weight, [slot.get(name, ()) for slot in slots])
            make = _linear if down.ndim == 3 else _convolution
            self._forwards.append((module, make(module, up, down)))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Calls of the UNet use the plan while the context lasts."""
        # Not setattr, which takes as long as a small layer.
        before = [vars(module).get("forward") for module, _ in self._forwards]
        for module, forward in self._forwards:
            vars(module)["forward"] = forward
        try:
            yield
        finally:
            for (module, _), old in zip(self._forwards, before, strict=True):
                if old is None:
                    del vars(module)["forward"]
                else:
                    vars(module)["forward"] = old


def _filled(weight: Tensor, slots: Sequence[Sequence[Factor]]) -> tuple[Tensor, Tensor]:
    """Return a layer's ``up`` (slots, out, rank) and ``down`` (slots, rank, in, …)."""
    rank = max(sum(factor.up.shape[1] for factor in factors) for factors in slots)
    up = weight.new_zeros(len(slots), weight.shape[0], rank)
    down = weight.new_zeros(len(slots), rank, *weight.shape[1:])
    for place, factors in enumerate(slots):
        start = 0
        for factor in factors:
            end = start + factor.up.shape[1]
            up[place, :, start:end] = factor.up * factor.multiplier
            down[place, start:end] = factor.down
            start = end
    return up, down


def _linear(module: nn.Linear, up: Tensor, down: Tensor) -> Forward:
    """A linear layer over x (rows, …, in)."""
    base: Forward = module.forward
    slots, up, down = len(up), up.transpose(1, 2), down.transpose(1, 2)

    def forward(x: Tensor) -> Tensor:
        y = base(x)
        low = torch.bmm(x.reshape(slots, -1, x.shape[-1]), down)
        y.view(slots, -1, y.shape[-1]).baddbmm_(low, up)
        return y

    return forward


def _convolution(module: nn.Conv2d, up: Tensor, down: Tensor) -> Forward:
    """A convolution over x (rows, in, h, w): a slot is a group of channels."""
    base: Forward = module.forward
    slots = len(up)
    up, down = up.flatten(0, 1)[..., None, None], down.flatten(0, 1)
    stride, padding, dilation = module.stride, module.padding, module.dilation

    def forward(x: Tensor) -> Tensor:
        y = base(x)
        # (slots, rows, channels, …) → (rows, slots · channels, …)
        grouped = x.view(slots, -1, *x.shape[1:]).transpose(0, 1).flatten(1, 2)
        low = conv2d(grouped, down, None, stride, padding, dilation, slots)
        added = conv2d(low, up, groups=slots)
        added = added.view(-1, slots, *y.shape[1:]).transpose(0, 1)
        y.view(added.shape).add_(added)
        return y

    return forward
