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
    """One row of a UNet batch.

    ``sample`` is the scaled UNet input (C, h, w), ``context`` the text embedding (77·chunks,
    width); ``pooled`` (projection,) and ``time_ids`` (6,) are for SDXL.
    """

    sample: Tensor
    timestep: float
    context: Tensor
    pooled: Tensor | None = None
    time_ids: tuple[int, ...] = ()


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

    def predict(self, unet: UNet, rows: Sequence[Row], dtype: torch.dtype) -> list[Tensor]:
        """Return the UNet's raw fp32 output (C, h, w) for each row, in order.

        All rows must have the same sample shape, and all or none SDXL's fields. Raises
        :class:`OutOfMemory` when not even one row fits.
        """
        outputs: list[Tensor | None] = [None] * len(rows)
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            by_length[row.context.shape[0]].append(index)
        for indices in by_length.values():
            start = 0
            while start < len(indices):
                part = indices[start : start + self.limit]
                try:
                    predicted = self._call(unet, [rows[i] for i in part], dtype)
                except torch.OutOfMemoryError:
                    self._shrink(len(part), rows[part[0]].sample)
                    continue
                for i, output in zip(part, predicted, strict=False):
                    outputs[i] = output
                start += len(part)
        return [output for output in outputs if output is not None]

    def _shrink(self, tried: int, sample: Tensor) -> None:
        if self.fixed is not None or tried == 1:
            height, width = sample.shape[-2:]
            raise OutOfMemory(width * 8, height * 8)
        torch.cuda.empty_cache()
        self.limit = _bucket_below(tried)

    def _call(self, unet: UNet, rows: list[Row], dtype: torch.dtype) -> Tensor:
        """Call the UNet: (B, C, h, w) in fp32, the padding rows at the end."""
        size = self.fixed or next(bucket for bucket in BUCKETS if bucket >= len(rows))
        rows = rows + rows[-1:] * (size - len(rows))
        device = rows[0].sample.device
        extras: dict[str, Any] = {}
        if rows[0].pooled is not None:
            pooled = torch.stack([row.pooled for row in rows if row.pooled is not None])
            time_ids = torch.tensor([row.time_ids for row in rows], device=device, dtype=dtype)
            extras["added_cond_kwargs"] = {"text_embeds": pooled.to(dtype), "time_ids": time_ids}
        output = unet(
            torch.stack([row.sample for row in rows]).to(dtype),
            torch.tensor([row.timestep for row in rows], device=device, dtype=torch.float32),
            torch.stack([row.context for row in rows]).to(dtype),
            return_dict=False,
            **extras,
        )
        prediction: Tensor = output[0]
        return prediction.float()
