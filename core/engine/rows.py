"""Rows of a UNet batch, from any number of requests, and the calls they share.

A row's bits depend on the batch size, but not on the other rows or its position; so strict mode
uses one size only.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.engine.compiled import Compiled
from core.engine.graphs import BUCKETS, Graphs
from core.engine.knee import Knee
from core.errors import OutOfMemory
from core.models.memory import memory_errors
from core.models.networks.model_networks import ModelNetworks
from core.models.networks.network_set import NetworkSet

# unet(sample (B, C, h, w), timestep (B,), encoder_hidden_states (B, T, W), …) -> (tensor,)
UNet = Callable[..., Any]


class Row(NamedTuple):
    """One row of a UNet batch; all tensors are on the device.

    ``sample`` is the scaled UNet input (C, h, w), ``timestep`` is (), ``context`` the text
    embedding (77·chunks, width); ``pooled`` (projection,) and ``time_ids`` (6,) are for SDXL.
    ``networks`` act on this row alone.
    """

    sample: Tensor
    timestep: Tensor
    context: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None
    networks: NetworkSet | None = None


@dataclass(slots=True)
class _Timed:
    """A call that a card has not finished yet."""

    name: str
    rows: int
    begin: Any
    end: Any


class RowBatcher:
    """The batched UNet call: one per context length and ``limit`` rows.

    ``fixed`` is strict mode's one batch size; else calls have as many rows as there are, or a
    bucket where ``graphs`` replay them; blocks may be ``compiled``. How long they take is measured
    for ``knee``. When a call runs out of memory, ``free`` is called, and it is repeated; then with
    fewer rows, as are all later ones of the same model and size, but in strict mode. ``clock`` is
    monotonic, in seconds.
    """

    def __init__(
        self,
        limit: int,
        fixed: int | None = None,
        *,
        knee: Knee | None = None,
        graphs: Graphs | None = None,
        compiled: Compiled | None = None,
        free: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.fixed = fixed
        self._limit = fixed or limit
        self._limits: dict[str, int] = {}
        self._knee, self._graphs, self._clock = knee, graphs, clock
        self._compiled, self._free = compiled, free
        self._timed: list[_Timed] = []

    def rows(self, name: str) -> int:
        """Return the rows that a call should have of what is called ``name``."""
        limit = self._limits.get(name, self._limit)
        if self.fixed is not None or self._knee is None:
            return limit
        return min(limit, self._knee.rows(name))

    def predict(
        self,
        unet: UNet,
        rows: Sequence[Row],
        dtype: torch.dtype,
        name: str = "",
        networks: ModelNetworks | None = None,
    ) -> Tensor:
        """Return the UNet's raw output for the rows, (rows, C, h, w) in ``dtype``, in order.

        All rows must have the same sample shape, and all or none SDXL's fields. ``name`` is what
        measurements and limits are kept for; ``networks`` are the UNet's. Raises
        :class:`OutOfMemory` when not even one row fits.
        """
        if self._graphs is not None:
            self._graphs.moved(unet)
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            by_length[row.context.shape[0]].append(index)
        order: list[int] = []
        outputs: list[Tensor] = []
        freed = False
        for indices in by_length.values():
            start = 0
            while start < len(indices):
                part = indices[start : start + self._limits.get(name, self._limit)]
                try:
                    called = [rows[i] for i in part]
                    with memory_errors():
                        output = self._timed_call(unet, called, dtype, name, networks)
                except torch.OutOfMemoryError:
                    output = None
                # Outside of the except block the failed call's tensors are freed.
                if output is None:
                    if freed:
                        self._shrink(name, len(part), rows[part[0]].sample)
                    else:
                        self._free()
                        freed = True
                    continue
                # A replay overwrites the output of the one before.
                outputs.append(output if len(part) == len(rows) else output.clone())
                order += part
                start += len(part)
        if len(outputs) == 1:
            return outputs[0]
        in_order = dict(zip(order, (row for output in outputs for row in output), strict=True))
        return torch.stack([in_order[index] for index in range(len(rows))])

    def _shrink(self, name: str, tried: int, sample: Tensor) -> None:
        if self.fixed is not None or tried == 1:
            height, width = sample.shape[-2:]
            raise OutOfMemory(width * 8, height * 8)
        self._limits[name] = tried // 2

    def _timed_call(
        self,
        unet: UNet,
        rows: list[Row],
        dtype: torch.dtype,
        name: str,
        networks: ModelNetworks | None,
    ) -> Tensor | None:
        if self._knee is None:
            return self._call(unet, rows, dtype, networks)
        for timed in [timed for timed in self._timed if timed.end.query()]:
            self._timed.remove(timed)
            seconds = timed.begin.elapsed_time(timed.end) / 1000
            self._knee.measured(timed.name, timed.rows, seconds)
        if rows[0].sample.device.type == "cuda":
            begin, end = _event(), _event()
            begin.record()
            output = self._call(unet, rows, dtype, networks)
            end.record()
            self._timed.append(_Timed(name, len(rows), begin, end))
            return output
        started = self._clock()
        output = self._call(unet, rows, dtype, networks)
        self._knee.measured(name, len(rows), self._clock() - started)
        return output

    def _call(
        self,
        unet: UNet,
        rows: list[Row],
        dtype: torch.dtype,
        networks: ModelNetworks | None,
    ) -> Tensor:
        """Call the UNet, padded at the end; return the rows' outputs."""
        count = len(rows)
        size = self.fixed or count
        if self._graphs is not None:
            size = next((bucket for bucket in BUCKETS if bucket >= count), count)
        rows = rows + rows[-1:] * (size - count)
        inputs = {
            "sample": torch.stack([row.sample for row in rows]).to(dtype),
            "timestep": torch.stack([row.timestep for row in rows]),
            "context": torch.stack([row.context for row in rows]).to(dtype),
        }
        if rows[0].pooled is not None:
            pooled = [row.pooled for row in rows if row.pooled is not None]
            inputs["text_embeds"] = torch.stack(pooled).to(dtype)
            sizes = [row.time_ids for row in rows if row.time_ids is not None]
            inputs["time_ids"] = torch.stack(sizes).to(dtype)

        def run(inputs: dict[str, Tensor]) -> Tensor:
            extras: dict[str, Any] = {}
            if "time_ids" in inputs:
                names = ("text_embeds", "time_ids")
                extras["added_cond_kwargs"] = {name: inputs[name] for name in names}
            given = inputs["sample"], inputs["timestep"], inputs["context"]
            output: Tensor = unet(*given, return_dict=False, **extras)[0]
            return output

        sets = [own if (own := row.networks) and own.changes_unet else None for row in rows]
        if networks is not None and any(sets):
            # What is recorded knows no networks.
            with networks.rows(sets):
                return run(inputs)[:count]
        return self._fast(unet, run, inputs)[:count]

    def _fast(
        self, unet: Any, run: Callable[[dict[str, Tensor]], Tensor], inputs: dict[str, Tensor]
    ) -> Tensor:
        """Run a call compiled and replayed, as far as there is that."""
        compiled, call = self._compiled, run
        if compiled is not None:
            before = compiled.ready(unet)

            def call(inputs: dict[str, Tensor]) -> Tensor:
                output: Tensor = compiled.call(unet, lambda: run(inputs))
                return output

            if not before:
                # What is not as it will stay is not recorded.
                return call(inputs)
        if self._graphs is None:
            return call(inputs)
        return self._graphs.call(unet, call, inputs)


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
