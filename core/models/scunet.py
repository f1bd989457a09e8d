"""SCUNet (arXiv 2203.13278): removes noise, and keeps the size. A1111 has it among upscalers."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from core.models.attention_upscaler import Block, Network
from core.models.padding import grown, whole
from core.models.weights.upscaler_file import UpscalerFacts
from core.models.windows import attend

# Pixels a side to which A1111 pads smaller pictures, and what its authors pad all to multiples of.
LEAST: Final = 40
MULTIPLE: Final = 64
WINDOW: Final = 8
# Channels of a head of attention.
HEAD: Final = 32
LEVELS: Final = (1, 2, 3)


class _Attention(nn.Module):
    """Attention of heads within each window; every other one is shifted."""

    def __init__(self, width: int, *, shifted: bool) -> None:
        super().__init__()
        self.heads, self.shifted = width // HEAD, shifted
        distances = 2 * WINDOW - 1
        biases = torch.empty(self.heads, distances, distances)
        self.relative_position_params = nn.Parameter(biases)
        self.embedding_layer, self.linear = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width), whose sides are whole windows."""
        table = self.relative_position_params.flatten(1).T
        qkv, sides = self.embedding_layer(x), (WINDOW, WINDOW)
        mixed: Tensor = self.linear(attend(qkv, self.heads, sides, table, shifted=self.shifted))
        return mixed


class _HalvesBlock(nn.ModuleDict):
    """Half of the channels are convolved, half attend; both are joined and added."""

    def __init__(self, width: int, *, shifted: bool) -> None:
        half = width // 2
        first, last = (nn.Conv2d(half, half, 3, padding=1, bias=False) for _ in range(2))
        attention = _Attention(half, shifted=shifted)
        super().__init__(
            {
                "conv1_1": nn.Conv2d(width, width, 1),
                "conv_block": nn.Sequential(first, nn.ReLU(), last),
                "trans_block": Block(half, attention, Network(half, 4 * half)),
                "conv1_2": nn.Conv2d(width, width, 1),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, width, h, w), whose sides are whole windows."""
        convolved, attended = self["conv1_1"](x).chunk(2, dim=1)
        convolved = convolved + self["conv_block"](convolved)
        attended = self["trans_block"](attended.movedim(1, -1)).movedim(-1, 1)
        changed: Tensor = x + self["conv1_2"](torch.cat((convolved, attended), dim=1))
        return changed


def _blocks(facts: UpscalerFacts, stage: str, width: int) -> list[nn.Module]:
    count = facts.count(rf"{stage}\.(\d+)\.trans_block\.")
    return [_HalvesBlock(width, shifted=at % 2 == 1) for at in range(count)]


class ScuNet(nn.ModuleDict):
    """A UNet of three levels, each of half the size and twice the channels."""

    def __init__(self, facts: UpscalerFacts) -> None:
        first = facts.shapes["m_head.0.weight"][0]
        head = nn.Conv2d(3, first, 3, padding=1, bias=False)
        tail = nn.Conv2d(first, 3, 3, padding=1, bias=False)
        super().__init__({"m_head": nn.Sequential(head), "m_tail": nn.Sequential(tail)})
        for level in LEVELS:
            down, up, width = f"m_down{level}", f"m_up{level}", first * 2 ** (level - 1)
            halved = nn.Conv2d(width, 2 * width, 2, stride=2, bias=False)
            doubled = nn.ConvTranspose2d(2 * width, width, 2, stride=2, bias=False)
            self[down] = nn.Sequential(*_blocks(facts, down, width), halved)
            self[up] = nn.Sequential(doubled, *_blocks(facts, up, width))
        self["m_body"] = nn.Sequential(*_blocks(facts, "m_body", first * 2 ** len(LEVELS)))

    def forward(self, x: Tensor) -> Tensor:
        """Clean (1, 3, h, w)."""
        height, width = x.shape[-2:]
        kept = [self["m_head"](whole(grown(x, LEAST, LEAST), MULTIPLE))]
        for level in LEVELS:
            kept.append(self[f"m_down{level}"](kept[-1]))
        x = self["m_body"](kept[-1])
        for level in reversed(LEVELS):
            x = self[f"m_up{level}"](x + kept.pop())
        cleaned: Tensor = self["m_tail"](x + kept.pop())
        return cleaned[..., :height, :width]
