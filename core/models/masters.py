"""``Master``: a checkpoint's weights in CPU memory, which stay there; the device gets a copy.

Parking a checkpoint is then only freeing the copy. Weights lie in few large buffers, pinned where
that makes copying fast, so that the way back to the device is one copy a buffer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

# Bytes of a buffer. A power of two, to which torch rounds pinned memory.
BUFFER: Final = 2**27
# Every tensor begins at a multiple of these bytes, as torch's own allocator does it.
ALIGNMENT: Final = 256


class WeightBuffers:
    """CPU memory that is filled with tensors one after the other; ``pin`` asks for pinned memory.

    Where no more memory can be pinned, ordinary memory is taken.
    """

    def __init__(self, *, pin: bool) -> None:
        self._pin = pin
        self._buffer = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def put(self, tensor: Tensor, dtype: torch.dtype, memory_format: torch.memory_format) -> Tensor:
        """Copy ``tensor`` into a buffer, in ``dtype`` and for four dimensions the format."""
        size = tensor.numel() * dtype.itemsize
        if self._used + size > len(self._buffer):
            self._buffer, self._used = self._new(max(size, BUFFER)), 0
        flat = self._buffer[self._used : self._used + size].view(dtype)
        self._used += -(-size // ALIGNMENT) * ALIGNMENT
        if tensor.ndim == 4 and memory_format is torch.channels_last:
            batch, channels, height, width = tensor.shape
            put = flat.view(batch, height, width, channels).permute(0, 3, 1, 2)
        else:
            put = flat.view(tensor.shape)
        return put.copy_(tensor)

    def _new(self, size: int) -> Tensor:
        if self._pin:
            try:
                return torch.empty(size, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:
                log.warning("no more memory can be pinned (%s)", str(error).splitlines()[0])
                self._pin = False
        return torch.empty(size, dtype=torch.uint8)


class Master:
    """All tensors of some modules, as they are when this is made: on the CPU.

    Tensors that share memory share it on the device too, and one that has two names keeps both.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        found: dict[int, tuple[Tensor, list[tuple[dict[str, Tensor | None], str]]]] = {}
        for module in modules:
            for part in module.modules():
                for names in (part._parameters, part._buffers):
                    for name, tensor in names.items():
                        if tensor is not None:
                            places = found.setdefault(id(tensor), (tensor, []))[1]
                            places.append((names, name))  # type: ignore[arg-type]
        self._tensors = list(found.values())
        self._buffers: dict[int, Tensor] = {}
        for tensor, _ in self._tensors:
            self._note_buffer(tensor)

    def _note_buffer(self, tensor: Tensor) -> None:
        """Note the tensor's memory, from its buffer's beginning to the tensor's end."""
        storage = tensor.untyped_storage()
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        last = tensor.storage_offset() + sum((size - 1) * step for size, step in steps)
        end = -(-(last + 1) * tensor.element_size() // ALIGNMENT) * ALIGNMENT
        end = min(end, storage.nbytes())
        known = self._buffers.get(storage.data_ptr())
        if known is None or len(known) < end:
            whole = torch.empty(0, dtype=torch.uint8).set_(storage)
            self._buffers[storage.data_ptr()] = whole[:end]

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take, here and on the device."""
        return sum(map(len, self._buffers.values()))

    def upload(self, device: torch.device) -> None:
        """Give the modules copies of their tensors on ``device``, without waiting for them.

        When that runs out of memory, the modules are as they were.
        """
        copies = {
            place: buffer.to(device, non_blocking=True, copy=True)
            for place, buffer in self._buffers.items()
        }
        for tensor, places in self._tensors:
            whole = copies[tensor.untyped_storage().data_ptr()].view(tensor.dtype)
            there = whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
            if isinstance(tensor, nn.Parameter):
                there = nn.Parameter(there, requires_grad=False)
            for names, name in places:
                names[name] = there

    def park(self) -> None:
        """Give the modules their own tensors back; with the copies goes the device's memory."""
        for tensor, places in self._tensors:
            for names, name in places:
                names[name] = tensor
