"""CUDA graphs of the UNet: a call is recorded once for a count of rows, then replayed.

Python and torch take longer to launch a UNet's 800 kernels than a large card takes to run them for
a few rows; a replay launches all of them at once.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor

log = logging.getLogger(__name__)

# Rows that a call is filled up to.
BUCKETS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
# Calls with the same shapes before one is recorded, and before it is tried again after there was
# no memory for it.
USES: Final = 3
AGAIN: Final = 200
# Graphs that are kept of a UNet: four sizes, or lengths of prompts, with any number of rows.
KEPT: Final = 4 * len(BUCKETS)

CallInputs = dict[str, Tensor]
Key = tuple[tuple[str, tuple[int, ...]], ...]
# Given a call without arguments, and a graph whose memory is shared or None; gives what replays
# the call, and the output's tensor.
Record = Callable[[Callable[[], Tensor], Any], tuple[Any, Tensor]]


@dataclass(slots=True, eq=False)
class _Recorded:
    graph: Any
    inputs: CallInputs
    output: Tensor


class Graphs:
    """The recorded calls of UNets on a card, by the inputs' shapes.

    ``record`` makes a graph. Where that fails, the UNet is called plainly from then on; where
    memory runs out, it loses its graphs, and that call is recorded much later.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._recorded: WeakKeyDictionary[Any, OrderedDict[Key, _Recorded]] = WeakKeyDictionary()
        self._uses: WeakKeyDictionary[Any, dict[Key, int]] = WeakKeyDictionary()
        # The first weight of each UNet that has graphs: all are replaced together.
        self._weights: WeakKeyDictionary[Any, ref[Tensor]] = WeakKeyDictionary()
        self._failed: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def moved(self, unet: Any) -> None:
        """Drop the UNet's graphs if its weights are others than when they were recorded."""
        first = next(unet.parameters())
        known = self._weights.get(unet)
        if known is None or known() is not first:
            self._weights[unet] = ref(first, partial(self._parked, ref(unet)))
            self.forget(unet)

    def _parked(self, unet: ref[Any], _: object) -> None:
        """Drop the graphs at once where the weights go, for they hold memory too."""
        if (there := unet()) is not None:
            self.forget(there)

    def forget(self, unet: Any) -> None:
        """Drop the UNet's graphs."""
        self._recorded.pop(unet, None)

    def clear(self) -> None:
        """Drop all graphs, for memory is short; what is used is recorded again."""
        self._recorded.clear()
        self._uses.clear()

    def call(self, unet: Any, run: Callable[[CallInputs], Tensor], inputs: CallInputs) -> Tensor:
        """Return ``run(inputs)``, replayed where these shapes were recorded.

        The output is overwritten by the next replay.
        """
        key = tuple((name, tuple(tensor.shape)) for name, tensor in inputs.items())
        recorded = self._recorded.setdefault(unet, OrderedDict())
        own = recorded.get(key) or self._new(unet, key, run, inputs)
        if own is None:
            return run(inputs)
        recorded.move_to_end(key)
        for name, tensor in inputs.items():
            own.inputs[name].copy_(tensor)
        own.graph.replay()
        return own.output

    def _new(
        self, unet: Any, key: Key, run: Callable[[CallInputs], Tensor], inputs: CallInputs
    ) -> _Recorded | None:
        """Record the call once it was used enough; None where it stays plain."""
        uses = self._uses.setdefault(unet, {})
        uses[key] = uses.get(key, 0) + 1
        if uses[key] < USES or unet in self._failed:
            return None
        recorded = self._recorded[unet]
        beside = next((each.graph for each in recorded.values()), None)
        held = {name: tensor.clone() for name, tensor in inputs.items()}
        try:
            graph, output = self._record(lambda: run(held), beside)
        except RuntimeError as error:
            # Ending a capture that ran out of memory may fail in another way.
            if any(isinstance(each, torch.OutOfMemoryError) for each in (error, error.__context__)):
                uses[key] = USES - AGAIN
                self.forget(unet)
            else:
                log.warning("the UNet cannot be recorded, and is called plainly: %s", error)
                self._failed[unet] = True
            return None
        recorded[key] = _Recorded(graph, held, output)
        if len(recorded) > KEPT:
            evicted, _ = recorded.popitem(last=False)
            uses[evicted] = 0
        return recorded[key]


def cuda_record() -> Record:
    """Return what records with torch's CUDA graphs on the current device.

    All on one stream, for every stream keeps memory of its own. A graph shares another's memory,
    not a pool by its handle: torch refuses one whose last graph has gone.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def record(run: Callable[[], Tensor], beside: Any) -> tuple[Any, Tensor]:
        graph = torch.cuda.CUDAGraph()
        pool = None if beside is None else beside.pool()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # Libraries choose their kernels in a first call, which must not be recorded.
            run()
            with torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"):
                output = run()
        torch.cuda.current_stream().wait_stream(stream)
        return graph, output

    return record
