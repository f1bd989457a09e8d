"""Copies to a graphics card, through pinned memory, so that nobody waits for them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to ``device`` without waiting for it."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def upload_together(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy tensors of one shape to ``device`` at once, without waiting; some may be there."""
    here = [tensor for tensor in tensors if tensor.device.type != device.type]
    if not here:
        return list(tensors)
    uploaded = iter(upload(torch.stack(here), device).unbind())
    return [next(uploaded) if tensor.is_cpu else tensor for tensor in tensors]
