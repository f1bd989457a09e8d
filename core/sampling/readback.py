"""Copies from a graphics card, through pinned memory, so that nobody waits for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def read_back(tensor: Tensor) -> Tensor:
    """Copy to main memory; from a card, the copy is whole once the card has come so far."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)


class ReadBack:
    """A tensor on its way from the device."""

    def __init__(self, tensor: Tensor) -> None:
        self._copy = read_back(tensor)
        self._arrived: Any = None
        if tensor.device.type == "cuda":
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()

    def done(self) -> bool:
        """Return whether :meth:`result` need not wait."""
        return self._arrived is None or bool(self._arrived.query())

    def result(self) -> Tensor:
        """Return the copy, waited for."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._copy
