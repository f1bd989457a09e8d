"""SwinIR (arXiv 2108.10257): an upscaler of attention within windows. Names as in its files."""

from __future__ import annotations

from math import isqrt
from typing import Final

import torch
from torch import Tensor, nn

from core.models.attention_upscaler import AttentionUpscaler, Block, Network
from core.models.weights.upscaler_file import UpscalerFacts
from core.models.windows import attend

TABLE: Final = "relative_position_bias_table"


class WindowAttention(nn.Module):
    """Attention of heads within each window, biased by the distance of two positions.

    It has the heads of the weights called ``name`` in the file.
    """

    def __init__(
        self, facts: UpscalerFacts, name: str, width: int, side: int, *, shifted: bool
    ) -> None:
        super().__init__()
        self.heads = facts.shapes[f"{name}.{TABLE}"][1]
        self.side, self.shifted = side, shifted
        table = torch.empty((2 * side - 1) ** 2, self.heads)
        self.relative_position_bias_table = nn.Parameter(table)
        self.qkv = nn.Linear(width, 3 * width, bias=f"{name}.qkv.bias" in facts.shapes)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width), whose sides are whole windows."""
        sides, table = (self.side, self.side), self.relative_position_bias_table
        mixed = attend(self.qkv(x), self.heads, sides, table, shifted=self.shifted)
        projected: Tensor = self.proj(mixed)
        return projected


def window_side(facts: UpscalerFacts) -> int:
    """Return the side of the file's windows, from how many distances their positions have."""
    return (isqrt(facts.shapes[f"layers.0.blocks.0.attn.{TABLE}"][0]) + 1) // 2


def _group(facts: UpscalerFacts, number: int, side: int) -> dict[str, nn.Module]:
    """Make a group's blocks, of the sizes that the file has; every other one is shifted."""
    width = facts.shapes["conv_first.weight"][0]
    blocks = []
    for at in range(facts.count(rf"layers\.{number}\.blocks\.(\d+)\.")):
        name = f"layers.{number}.blocks.{at}"
        attention = WindowAttention(facts, f"{name}.attn", width, side, shifted=at % 2 == 1)
        hidden = facts.shapes[f"{name}.mlp.fc1.weight"][0]
        blocks.append(Block(width, attention, Network(width, hidden)))
    return {"blocks": nn.Sequential(*blocks)}


class SwinIr(AttentionUpscaler):
    """SwinIR for classical, lightweight and real pictures: its three ways to the larger size."""

    def __init__(self, facts: UpscalerFacts) -> None:
        side = window_side(facts)
        groups = range(facts.count(r"layers\.(\d+)\."))
        super().__init__(facts, (_group(facts, number, side) for number in groups), side)
