"""HAT (arXiv 2205.04437, 2309.05239): SwinIR with channel attention and overlapping windows."""

from __future__ import annotations

from math import isqrt
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from core.models.attention_upscaler import AttentionUpscaler, Block, Network
from core.models.swinir import TABLE, WindowAttention, window_side
from core.models.weights.upscaler_file import UpscalerFacts
from core.models.windows import joined, pairs, windows

# How much of the channel attention is added. It is in no file.
SHARE: Final = 0.01


class _ChannelAttention(nn.ModuleDict):
    """A factor for each channel, from the means of all."""

    def __init__(self, width: int, squeezed: int) -> None:
        down, up = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)
        factors = nn.Sequential(nn.AdaptiveAvgPool2d(1), down, nn.ReLU(), up, nn.Sigmoid())
        super().__init__({"attention": factors})

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, width, h, w)."""
        weighed: Tensor = x * self["attention"](x)
        return weighed


class _HybridAttention(WindowAttention):
    """Attention within windows, and channel attention beside it."""

    def __init__(
        self, facts: UpscalerFacts, name: str, width: int, side: int, *, shifted: bool
    ) -> None:
        super().__init__(facts, name, width, side, shifted=shifted)
        cab = f"{name}.conv_block.cab"
        compressed = facts.shapes[f"{cab}.0.weight"][0]
        first = nn.Conv2d(width, compressed, 3, padding=1)
        last = nn.Conv2d(compressed, width, 3, padding=1)
        channels = _ChannelAttention(width, facts.shapes[f"{cab}.3.attention.1.weight"][0])
        self.conv_block = nn.ModuleDict({"cab": nn.Sequential(first, nn.GELU(), last, channels)})

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width), whose sides are whole windows."""
        channels: Tensor = self.conv_block["cab"](x.movedim(-1, 1)).movedim(1, -1)
        return super().forward(x) + channels * SHARE


class _OverlappingAttention(nn.Module):
    """Attention of each window's positions to a larger window around it."""

    def __init__(self, facts: UpscalerFacts, name: str, width: int, side: int) -> None:
        super().__init__()
        distances, self.heads = facts.shapes[f"{name}.{TABLE}"]
        self.side, self.larger = side, isqrt(distances) - side + 1
        table = torch.empty((side + self.larger - 1) ** 2, self.heads)
        self.relative_position_bias_table = nn.Parameter(table)
        self.qkv = nn.Linear(width, 3 * width, bias=f"{name}.qkv.bias" in facts.shapes)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width), whose sides are whole windows."""
        side, larger, width = self.side, self.larger, x.shape[-1]
        qkv = self.qkv(x)
        q = windows(qkv[..., :width], (side, side))
        q = q.reshape(*q.shape[:2], self.heads, width // self.heads).transpose(1, 2)
        beyond = (larger - side) // 2
        around = pad(qkv[..., width:], (0, 0, beyond, beyond, beyond, beyond))
        # (B, rows, columns, 2 · width, larger, larger)
        around = around.unfold(1, larger, side).unfold(2, larger, side)
        around = around.reshape(-1, 2, self.heads, width // self.heads, larger**2)
        k, v = around.permute(1, 0, 2, 4, 3)
        bias = self.relative_position_bias_table[self._index(x.device)].permute(2, 0, 1)[None]
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        mixed = joined(mixed.transpose(1, 2).flatten(2), x.shape, (side, side))
        projected: Tensor = self.proj(mixed)
        return projected

    def _index(self, device: torch.device) -> Tensor:
        """Index the biases. Its authors subtract too much: some count from the table's end."""
        inner, outer = (torch.arange(each, device=device) for each in (self.side, self.larger))
        apart = outer - inner[:, None] + self.side - self.larger + 1
        return pairs(apart, apart, self.side + self.larger - 1)


def _group(facts: UpscalerFacts, number: int, side: int) -> dict[str, nn.Module]:
    """Make a group: hybrid blocks, every other one shifted, then one of overlapping windows."""
    shapes, group = facts.shapes, f"layers.{number}"
    width = shapes["conv_first.weight"][0]
    blocks = []
    for at in range(facts.count(rf"layers\.{number}\.blocks\.(\d+)\.")):
        name = f"{group}.blocks.{at}"
        hybrid = _HybridAttention(facts, f"{name}.attn", width, side, shifted=at % 2 == 1)
        blocks.append(Block(width, hybrid, Network(width, shapes[f"{name}.mlp.fc1.weight"][0])))
    overlapping = _OverlappingAttention(facts, f"{group}.overlap_attn.attn", width, side)
    network = Network(width, shapes[f"{group}.overlap_attn.mlp.fc1.weight"][0])
    return {
        "blocks": nn.Sequential(*blocks),
        "overlap_attn": Block(width, overlapping, network),
    }


class Hat(AttentionUpscaler):
    """HAT, HAT-S and HAT-L: what they differ in is read from the file's shapes."""

    def __init__(self, facts: UpscalerFacts) -> None:
        side = window_side(facts)
        groups = range(facts.count(r"layers\.(\d+)\."))
        super().__init__(facts, (_group(facts, number, side) for number in groups), side)
