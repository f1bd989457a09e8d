"""CUDA graphs of the UNet: a call is recorded once for a count of rows, then replayed.

Python and torch take longer to launch a UNet's 800 kernels than a large card takes to run them for
a few rows; a replay launches all of them at once.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor

log = logging.getLogger(__name__)

# Rows that a call is filled up to.
BUCKETS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
# Calls with the same shapes before one is recorded, and graphs that are kept of a UNet.
USES: Final = 3
KEPT: Final = 24

CallInputs = dict[str, Tensor]
Key = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(slots=True, eq=False)
class _Recorded:
    graph: Any
    inputs: CallInputs
    output: Tensor


class Graphs:
    """The recorded calls of UNets on a card, by the inputs' shapes.

    ``record`` makes a graph: it is given a call without arguments and returns what replays it
    and the output's tensor. Where recording fails, that UNet is called plainly from then on.
    """

    def __init__(self, record: Callable[[Callable[[], Tensor]], tuple[Any, Tensor]]) -> None:
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
            self._weights[unet] = ref(first)
            self.forget(unet)

    def forget(self, unet: Any) -> None:
        """Drop the UNet's graphs."""
        self._recorded.pop(unet, None)

    def call(self, unet: Any, run: Callable[[CallInputs], Tensor], inputs: CallInputs) -> Tensor:
        """Return ``run(inputs)``, replayed where these shapes were recorded.

        The output is overwritten by the next replay.
        """
        key = tuple((name, tuple(tensor.shape)) for name, tensor in inputs.items())
        recorded = self._recorded.setdefault(unet, OrderedDict())
        if key not in recorded:
            uses = self._uses.setdefault(unet, {})
            uses[key] = uses.get(key, 0) + 1
            if uses[key] < USES or unet in self._failed:
                return run(inputs)
            try:
                recorded[key] = self._new(run, inputs)
            except RuntimeError as error:
                log.warning("the UNet cannot be recorded, and is called plainly: %s", error)
                self._failed[unet] = True
                return run(inputs)
            if len(recorded) > KEPT:
                recorded.popitem(last=False)
        recorded.move_to_end(key)
        own = recorded[key]
        for name, tensor in inputs.items():
            own.inputs[name].copy_(tensor)
        own.graph.replay()
        return own.output

    def _new(self, run: Callable[[CallInputs], Tensor], inputs: CallInputs) -> _Recorded:
        held = {name: tensor.clone() for name, tensor in inputs.items()}
        graph, output = self._record(lambda: run(held))
        return _Recorded(graph, held, output)


def cuda_record() -> Callable[[Callable[[], Tensor]], tuple[Any, Tensor]]:
    """Return what records with torch's CUDA graphs, all in one pool of memory."""
    pool = torch.cuda.graph_pool_handle()

    def record(run: Callable[[], Tensor]) -> tuple[Any, Tensor]:
        # Libraries choose their kernels in a first call, which must not be recorded.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = run()
        return graph, output

    return record
