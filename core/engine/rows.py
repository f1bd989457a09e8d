"""Rows of a UNet batch, from any number of requests, and the calls they share.

A row's bits depend on the batch size, but not on the other rows or its position. Batches are
padded to a few fixed sizes; strict mode uses one size only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from core.errors import OutOfMemory

BUCKETS: Final = (1, 2, 4, 8, 16, 32)

# unet(sample (B, C, h, w), timestep (B,), encoder_hidden_states (B, T, W), …) -> (tensor,)
UNet = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a UNet batch; all tensors are on the device.

    ``sample`` is the scaled UNet input (C, h, w), ``timestep`` is (), ``context`` the text
    embedding (77·chunks, width); ``pooled`` (projection,) and ``time_ids`` (6,) are for SDXL.
    """

    sample: Tensor
    timestep: Tensor
    context: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None


def _bucket_below(rows: int) -> int:
    """Return the largest bucket smaller than ``rows``, at least 1."""
    return max((bucket for bucket in BUCKETS if bucket < rows), default=1)


class RowBatcher:
    """The batched UNet call: one per context length and ``limit`` rows.

    ``fixed`` is strict mode's one batch size, None for buckets. When a call runs out of memory,
    ``limit`` is reduced for good and the call repeated; not so in strict mode.
    """

    def __init__(self, limit: int, fixed: int | None = None) -> None:
        self.limit = fixed or _bucket_below(limit + 1)
        self.fixed = fixed

    def predict(self, unet: UNet, rows: Sequence[Row], dtype: torch.dtype) -> Tensor:
        """Return the UNet's raw output for the rows, (rows, C, h, w) in ``dtype``, in order.

        All rows must have the same sample shape, and all or none SDXL's fields. Raises
        :class:`OutOfMemory` when not even one row fits.
        """
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            by_length[row.context.shape[0]].append(index)
        order: list[int] = []
        outputs: list[Tensor] = []
        for indices in by_length.values():
            start = 0
            while start < len(indices):
                part = indices[start : start + self.limit]
                try:
                    outputs.append(self._call(unet, [rows[i] for i in part], dtype))
                except torch.OutOfMemoryError:
                    self._shrink(len(part), rows[part[0]].sample)
                    continue
                order += part
                start += len(part)
        if len(outputs) == 1:
            return outputs[0]
        in_order = dict(zip(order, (row for output in outputs for row in output), strict=True))
        return torch.stack([in_order[index] for index in range(len(rows))])

    def _shrink(self, tried: int, sample: Tensor) -> None:
        if self.fixed is not None or tried == 1:
            height, width = sample.shape[-2:]
            raise OutOfMemory(width * 8, height * 8)
        torch.cuda.empty_cache()
        self.limit = _bucket_below(tried)

    def _call(self, unet: UNet, rows: list[Row], dtype: torch.dtype) -> Tensor:
        """Call the UNet, padded at the end; return the rows' outputs."""
        count = len(rows)
        size = self.fixed or next(bucket for bucket in BUCKETS if bucket >= count)
        rows = rows + rows[-1:] * (size - count)
        extras: dict[str, Any] = {}
        if rows[0].pooled is not None:
            pooled = torch.stack([row.pooled for row in rows if row.pooled is not None])
            time_ids = torch.stack([row.time_ids for row in rows if row.time_ids is not None])
            extras["added_cond_kwargs"] = {
                "text_embeds": pooled.to(dtype),
                "time_ids": time_ids.to(dtype),
            }
        output: Tensor = unet(
            torch.stack([row.sample for row in rows]).to(dtype),
            torch.stack([row.timestep for row in rows]),
            torch.stack([row.context for row in rows]).to(dtype),
            return_dict=False,
            **extras,
        )[0]
        return output[:count]
