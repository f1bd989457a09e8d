"""The engine's heartbeat, which shows that a long step has not hung.

One call of a large model can take many minutes on a CPU, so each of its blocks sends one. A timer
thread would prove only that the interpreter runs, for torch's kernels release the GIL.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import nn

# Seconds between two heartbeats; far below the shortest timeout of an engine.
INTERVAL: Final = 5.0


def throttled(
    send: Callable[[], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """Return a function that calls ``send`` at most once in :data:`INTERVAL`."""
    sent = clock()

    def send_throttled() -> None:
        nonlocal sent
        if clock() - sent >= INTERVAL:
            sent = clock()
            send()

    return send_throttled


def watch(module: nn.Module, alive: Callable[[], None]) -> None:
    """Call ``alive`` after each block of the module, nested ones included.

    On a GPU that is when the block's kernels are launched; one that hangs stops the launching at
    the end of the step at the latest.
    """
    for name, part in module.named_modules():
        # A block is a list's element that has submodules, as "down_blocks.0.resnets.1".
        if name.rpartition(".")[2].isdecimal() and any(part.children()):
            part.register_forward_hook(lambda *_: alive())
