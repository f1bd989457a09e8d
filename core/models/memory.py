"""How much memory there is: on the graphics card, and beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import torch

_MEMINFO: Final = Path("/proc/meminfo")
# A container's own limit and use (cgroup v2).
_GROUP: Final = Path("/sys/fs/cgroup")


class Memory(Protocol):
    """The memory of a device that has its own."""

    @property
    def total(self) -> int:
        """Bytes in all."""
        ...

    @property
    def free(self) -> int:
        """Bytes that can be allocated now."""
        ...

    def release(self) -> None:
        """Give back what the allocator keeps for later."""
        ...


class CardMemory:
    """The memory of a CUDA or ROCm device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.total: int = torch.cuda.get_device_properties(device).total_memory

    @property
    def free(self) -> int:
        """Bytes that are free for all, and those that torch keeps without a tensor in them.

        But not what it keeps for graphs: nothing else is put there.
        """
        free: int = torch.cuda.mem_get_info(self._device)[0]
        for segment in torch.cuda.memory_snapshot():  # type: ignore[no-untyped-call]
            if segment["device"] == self._device.index and segment["segment_pool_id"] == (0, 0):
                free += segment["total_size"] - segment["allocated_size"]
        return free

    def release(self) -> None:
        """Give torch's cache back; waits for the device."""
        torch.cuda.empty_cache()


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise :class:`torch.OutOfMemoryError` where main memory runs out, as torch does for a card's.

    torch raises a plain :class:`RuntimeError` there, which names its allocator.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise torch.OutOfMemoryError(str(error)) from None


def forget_frames(error: BaseException) -> None:
    """Let go of the frames that an error was raised in, and of those before it.

    They hold a model and its tensors, which would stay in use for as long as the error is kept.
    """
    causes = (error.__cause__, error.__context__)
    error.__traceback__ = error.__context__ = None
    for cause in causes:
        if cause is not None:
            forget_frames(cause)


def free_ram() -> int | None:
    """Return the bytes of main memory that a process can still take; None where unknown.

    Linux's MemAvailable and free swap, or what is left of the container's limit if that is less.
    """
    try:
        lines = (line.split() for line in _MEMINFO.read_text().splitlines())
        kib = {line[0]: int(line[1]) for line in lines if len(line) > 1}
        free = (kib["MemAvailable:"] + kib.get("SwapFree:", 0)) * 1024
    except (OSError, ValueError, KeyError):
        return None
    try:
        limit, used = ((_GROUP / name).read_text() for name in ("memory.max", "memory.current"))
        return min(free, int(limit) - int(used))
    except (OSError, ValueError):
        # No such group, or "max": no limit.
        return free
