"""DAT (arXiv 2308.03364): an upscaler whose blocks mix positions and channels by turns."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, gelu, normalize, pad

from core.models.attention_upscaler import AttentionUpscaler, Block
from core.models.weights.upscaler_file import UpscalerFacts
from core.models.windows import Sides, attend

# The distances of a window's positions; the last one is the farthest.
DISTANCES: Final = "layers.0.blocks.0.attn.attns.0.rpe_biases"


def window_sides(distances: Tensor) -> Sides:
    """Read a window's sides, which shapes do not tell apart: 8 × 32 has those of 32 × 8.

    Raises :class:`ValueError` for distances of no window, or for one that a square of the longer
    side cannot be cut into.
    """
    high, wide = (int(each) + 1 for each in distances[-1])
    few = min(high, wide) < 1 or (2 * high - 1) * (2 * wide - 1) != len(distances)
    if few or max(high, wide) % min(high, wide):
        raise ValueError(f"windows of {high} by {wide} with {len(distances)} distances")
    return high, wide


class _Norm(nn.Module):
    """Batch normalisation by the statistics that training left."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.empty(width)) for _ in range(2))
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, width, h, w)."""
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class _GatedNetwork(nn.ModuleDict):
    """Two layers at each position, between which one half gates the other."""

    def __init__(self, width: int, hidden: int) -> None:
        half = hidden // 2
        gate = {"norm": nn.LayerNorm(half), "conv": _by_channel(half)}
        first, last = nn.Linear(width, hidden), nn.Linear(half, width)
        super().__init__({"fc1": first, "sg": nn.ModuleDict(gate), "fc2": last})

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width)."""
        kept, gating = gelu(self["fc1"](x)).chunk(2, dim=-1)
        gate: Any = self["sg"]
        gating = gate["conv"](gate["norm"](gating).movedim(-1, 1)).movedim(1, -1)
        changed: Tensor = self["fc2"](kept * gating)
        return changed


class _Biases(nn.ModuleDict):
    """A small network that makes each head's bias of a distance."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__({"pos_proj": nn.Linear(2, width)})
        for number, outputs in enumerate((width, width, heads), 1):
            last = nn.Linear(width, outputs)
            self[f"pos{number}"] = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), last)

    def table(self, sides: Sides) -> Tensor:
        """Make the biases of all distances, by rows: (number, heads)."""
        like: Any = self["pos_proj"].weight
        device, dtype = like.device, like.dtype
        down, across = (torch.arange(1 - side, side, device=device, dtype=dtype) for side in sides)
        x = torch.stack(torch.meshgrid(down, across, indexing="ij"), dim=-1).flatten(0, 1)
        for layer in self.values():
            x = layer(x)
        return x


class _Attention(nn.Module):
    """Attention and a convolution beside it, each weighed by what the other found."""

    def __init__(self, facts: UpscalerFacts, name: str, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=f"{name}.qkv.bias" in facts.shapes)
        self.proj = nn.Linear(width, width)
        self.dwconv = nn.Sequential(_by_channel(width), _Norm(width), nn.GELU())
        few, fewer = width // 8, width // 16
        squeezed = nn.Conv2d(width, few, 1), _Norm(few), nn.GELU(), nn.Conv2d(few, width, 1)
        self.channel_interaction = nn.Sequential(nn.AdaptiveAvgPool2d(1), *squeezed)
        self.spatial_interaction = nn.Sequential(
            nn.Conv2d(width, fewer, 1), _Norm(fewer), nn.GELU(), nn.Conv2d(fewer, 1, 1)
        )

    def weighed(self, one: Tensor, other: Tensor) -> Tensor:
        """Add both (B, width, h, w): one by the other's channels, the other by one's positions."""
        by_channel = self.channel_interaction(other).sigmoid()
        by_position = self.spatial_interaction(one).sigmoid()
        added = one * by_channel + other * by_position
        projected: Tensor = self.proj(added.movedim(1, -1))
        return projected


class _SpatialAttention(_Attention):
    """Attention within windows: of half the channels within high ones, of half within wide ones."""

    def __init__(
        self, facts: UpscalerFacts, name: str, width: int, sides: Sides, *, shifted: bool
    ) -> None:
        super().__init__(facts, name, width)
        self.heads = facts.shapes[f"{name}.attns.0.pos.pos3.2.weight"][0]
        self.sides, self.shifted = sides, shifted
        biases = (_Biases(width // 2 // 4 // 4, self.heads) for _ in range(2))
        self.attns = nn.ModuleList(nn.ModuleDict({"pos": each}) for each in biases)

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width)."""
        height, width = x.shape[1:3]
        qkv = self.qkv(x)
        beyond = -height % max(self.sides), -width % max(self.sides)
        padded = pad(qkv, (0, 0, 0, beyond[1], 0, beyond[0]))
        padded = padded.reshape(*padded.shape[:3], 3, 2, x.shape[-1] // 2)
        halves = []
        for at, sides in enumerate((self.sides, self.sides[::-1])):
            attention: Any = self.attns[at]
            half, table = padded[..., at, :].flatten(-2), attention["pos"].table(sides)
            halves.append(attend(half, self.heads, sides, table, shifted=self.shifted))
        attended = torch.cat(halves, dim=-1)[:, :height, :width].movedim(-1, 1)
        convolved = self.dwconv(qkv[..., 2 * x.shape[-1] :].movedim(-1, 1))
        return self.weighed(attended, convolved)


class _ChannelAttention(_Attention):
    """Attention of each head's channels to each other, over the whole picture."""

    def __init__(self, facts: UpscalerFacts, name: str, width: int) -> None:
        super().__init__(facts, name, width)
        heads = facts.shapes[f"{name}.temperature"][0]
        self.temperature = nn.Parameter(torch.empty(heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width)."""
        batch, height, width, channels = x.shape
        heads = len(self.temperature)
        qkv = self.qkv(x).reshape(batch, height * width, 3, heads, channels // heads)
        # Each (B, heads, channels, positions).
        q, k, v = qkv.permute(2, 0, 3, 4, 1)
        scores = normalize(q, dim=-1) @ normalize(k, dim=-1).mT * self.temperature
        attended = (scores.softmax(dim=-1) @ v).reshape(batch, channels, height, width)
        convolved = self.dwconv(v.reshape(attended.shape))
        return self.weighed(convolved, attended)


def _by_channel(width: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, padding=1, groups=width)


def _group(facts: UpscalerFacts, number: int, sides: Sides) -> dict[str, nn.Module]:
    """Make a group's blocks: spatial and channel attention by turns; some spatial ones shifted."""
    width = facts.shapes["conv_first.weight"][0]
    blocks = []
    for at in range(facts.count(rf"layers\.{number}\.blocks\.(\d+)\.")):
        name = f"layers.{number}.blocks.{at}"
        attention: nn.Module
        if at % 2:
            attention = _ChannelAttention(facts, f"{name}.attn", width)
        else:
            shifted = at % 4 == (0 if number % 2 else 2)
            attention = _SpatialAttention(facts, f"{name}.attn", width, sides, shifted=shifted)
        hidden = facts.shapes[f"{name}.mlp.fc1.weight"][0]
        blocks.append(Block(width, attention, _GatedNetwork(width, hidden)))
    return {"blocks": nn.Sequential(*blocks)}


class Dat(AttentionUpscaler):
    """DAT, DAT-S, DAT-2 and DAT-light, whose windows have ``sides``; the rest is in the shapes."""

    def __init__(self, facts: UpscalerFacts, sides: Sides) -> None:
        groups = range(facts.count(r"layers\.(\d+)\."))
        super().__init__(facts, (_group(facts, number, sides) for number in groups))
