"""Merging: weights as networks change them, put in the place of a model's own for a while.

The model's own weights are never written to. Its parameters point at the merged ones and then
back, so what it had before it has bit for bit afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from core.models.networks.kinds import VALUES, LayerParts, bias_change, change


class Step(NamedTuple):
    """One network's change of one layer."""

    parts: LayerParts
    multiplier: float
    dyn: int | None


class Changed(NamedTuple):
    """A module's parameter (``weight`` or ``bias``) and the tensor to use in its place."""

    module: nn.Module
    name: str
    tensor: Tensor


def merged(module: Any, steps: Sequence[Step]) -> Iterator[Changed]:
    """Yield a layer's weight, and bias, after the steps: each starts from what the last one left.

    As in A1111; but fp32 until the end, so several networks are rounded to 16 bits once.
    """
    weight, bias = module.weight, getattr(module, "bias", None)
    # What is made in inference mode can stand in only for what was made there too.
    with torch.inference_mode(weight.is_inference()), torch.no_grad():
        new, new_bias = weight.float(), None if bias is None else bias.float()
        for step in steps:
            parts = {
                part: tensor if part in VALUES else tensor.to(weight.device)
                for part, tensor in step.parts.items()
            }
            delta = change(parts, new, step.dyn)
            assert delta is not None
            new = new + delta * step.multiplier
            extra = bias_change(parts)
            if extra is not None:
                extra = extra * step.multiplier
                new_bias = extra if new_bias is None else new_bias + extra
        changed = [Changed(module, "weight", new.to(weight.dtype))]
        if new_bias is not None:
            changed.append(Changed(module, "bias", new_bias.to(weight.dtype)))
    yield from changed


@contextmanager
def swapped(changes: Iterable[Changed]) -> Iterator[None]:
    """Use the changed tensors while the context lasts."""
    before: list[tuple[nn.Parameter, Tensor]] = []
    added: list[nn.Module] = []
    try:
        for module, name, tensor in changes:
            parameter = getattr(module, name)
            if parameter is None:
                setattr(module, name, nn.Parameter(tensor, requires_grad=False))
                added.append(module)
            else:
                before.append((parameter, parameter.data))
                parameter.data = tensor
        yield
    finally:
        for parameter, tensor in before:
            parameter.data = tensor
        for module in added:
            setattr(module, "bias", None)  # noqa: B010 (a module's type says it cannot be None)
