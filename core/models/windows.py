"""Attention within windows of a picture, as Swin transformers have it (arXiv 2103.14030)."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

# Height and width of a window.
Sides = tuple[int, int]
# Taken from the score of positions that are neighbours only because the picture is rolled.
APART: Final = -100.0
# More positions than any upscaler's windows have: memory grows with them.
MAX_POSITIONS: Final = 64 * 64


def attend(qkv: Tensor, heads: int, sides: Sides, table: Tensor, *, shifted: bool) -> Tensor:
    """Mix the values of each window: (B, h, w, 3 · width) to (B, h, w, width).

    ``table`` ((2 · high - 1) · (2 · wide - 1), heads) has a bias for each distance of two
    positions. Windows that are ``shifted`` begin half a window later.
    """
    high, wide = sides
    half = high // 2, wide // 2
    size = (*qkv.shape[:3], qkv.shape[3] // 3)
    down, across = (torch.arange(side, device=qkv.device) for side in sides)
    down, across = (each[:, None] - each + len(each) - 1 for each in (down, across))
    bias = table[pairs(down, across, 2 * wide - 1)].permute(2, 0, 1)[None]
    if shifted:
        bias = bias + _apart(qkv, sides)[:, None]
        qkv = qkv.roll((-half[0], -half[1]), (1, 2))
    q, k, v = (
        windows(qkv, sides)
        .reshape(-1, high * wide, 3, heads, size[-1] // heads)
        .permute(2, 0, 3, 1, 4)
    )
    mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
    whole = joined(mixed.transpose(1, 2).flatten(2), size, sides)
    return whole.roll(half, (1, 2)) if shifted else whole


def pairs(down: Tensor, across: Tensor, row: int) -> Tensor:
    """Index a table of ``row`` columns by differences of rows (h, h') and of columns (w, w').

    Returns (h · w, h' · w'). Raises :class:`ValueError` for more than :data:`MAX_POSITIONS`.
    """
    if any(down.shape[at] * across.shape[at] > MAX_POSITIONS for at in (0, 1)):
        raise ValueError(f"windows of {tuple(down.shape)} by {tuple(across.shape)}")
    return (down[:, None, :, None] * row + across[None, :, None, :]).flatten(2).flatten(0, 1)


def windows(x: Tensor, sides: Sides) -> Tensor:
    """Cut (B, h, w, width) into windows (B · number, positions, width)."""
    batch, height, width, channels = x.shape
    high, wide = sides
    x = x.reshape(batch, height // high, high, width // wide, wide, channels)
    return x.transpose(2, 3).reshape(-1, high * wide, channels)


def joined(x: Tensor, shape: tuple[int, ...], sides: Sides) -> Tensor:
    """Join windows to ``shape``, (B, h, w, width) again."""
    batch, height, width, channels = shape
    high, wide = sides
    x = x.reshape(batch, height // high, width // wide, high, wide, channels)
    return x.transpose(2, 3).reshape(shape)


def _apart(x: Tensor, sides: Sides) -> Tensor:
    """Make the scores' mask for shifted windows of (B, h, w, _): who came from another side."""
    parts = []
    for length, side in zip(x.shape[1:3], sides, strict=True):
        part = torch.zeros(length, device=x.device)
        part[-side:] = 1
        part[-(side // 2) :] = 2
        parts.append(part)
    region = (3 * parts[0][:, None] + parts[1]).expand(x.shape[:3])[..., None]
    which = windows(region, sides)[..., 0]
    return ((which[:, None] != which[:, :, None]) * APART).to(x.dtype)
