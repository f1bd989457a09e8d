"""The engine's heartbeat: a sign that its work goes on while there is nothing else to tell.

One call of a large model can take many minutes on a CPU, so each of its layers counts. A timer in
a thread would prove only that the interpreter runs, for torch's kernels do not hold its lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import nn

# Seconds between two signs; far below the shortest time that a silent engine is left.
INTERVAL: Final = 5.0


def throttled(
    tell: Callable[[], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """Return ``tell`` as a call that does it at most once in :data:`INTERVAL`."""
    told = clock()

    def tell_throttled() -> None:
        nonlocal told
        if clock() - told >= INTERVAL:
            told = clock()
            tell()

    return tell_throttled


def watch(module: nn.Module, alive: Callable[[], None]) -> None:
    """Call ``alive`` at the end of each block of the module, and of each block within one.

    On a GPU that is when the block is launched. A kernel that hangs stops the launching too, at
    the end of the step at the latest.
    """
    for name, part in module.named_modules():
        # The blocks are what stands in a list and consists of something: "down_blocks.0.resnets.1".
        if name.rpartition(".")[2].isdecimal() and any(part.children()):
            part.register_forward_hook(lambda *_: alive())
