"""Where an image's noise may come from, and how large it may be before graphics cards disagree.

``CPU`` is torch's generator on the CPU, ``NV`` A1111's imitation of CUDA's generator, and ``GPU``
what CUDA's own generator draws on a graphics card. No torch here: a note about a size needs none.
"""

from __future__ import annotations

from math import prod
from typing import Final, Literal

NoiseSource = Literal["CPU", "GPU", "NV"]

# CUDA draws with as many threads as the card can run at once, and a tensor of more numbers than
# that takes several from each thread. Cards with enough threads all draw the same numbers. We
# draw as an RTX 3090 does: 82 multiprocessors of 6 blocks of 256 threads. Most cards that made
# images with CUDA's noise have about as many or fewer, and those that have more (RTX 4090:
# 196,608; H100: 270,336) agree with it up to this count.
CUDA_THREADS: Final = 125_952
# The RTX 3060's, the fewest among the cards in wide use for making images. Up to here they agree.
COMMON_THREADS: Final = 43_008


def differs_by_card(shape: tuple[int, ...]) -> bool:
    """Whether noise of ``shape`` (C, h, w) from ``GPU`` depends on the card that draws it.

    With four channels that is above 832×824 pixels; what we draw there is a guess at the card.
    """
    return prod(shape) > COMMON_THREADS
