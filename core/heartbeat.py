"""The engine's sign of life: that its work goes on while there is nothing to tell of it.

One call of a large model can take many minutes on a CPU, so each of its layers counts. A thread
that ticks would prove only that the interpreter lives, for torch lets go of it in its kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import nn

# Between two signs; far below the shortest time that a silent engine is left.
SECONDS: Final = 5.0


def seldom(
    tell: Callable[[], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """``tell``, however often it is called done only every :data:`SECONDS`."""
    told = clock()

    def tell_seldom() -> None:
        nonlocal told
        if clock() - told >= SECONDS:
            told = clock()
            tell()

    return tell_seldom


def watch(module: nn.Module, alive: Callable[[], None]) -> None:
    """Have ``alive`` called by each block of the module, and each block in it, that gets done.

    On a GPU it is when the block is launched; a kernel that hangs stops that too, at the next
    step's end at the latest.
    """
    for name, part in module.named_modules():
        # The blocks are what stands in a list and consists of something: "down_blocks.0.resnets.1".
        if name.rpartition(".")[2].isdecimal() and any(part.children()):
            part.register_forward_hook(lambda *_: alive())
