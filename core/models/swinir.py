"""SwinIR (arXiv 2108.10257): an upscaler of attention within windows. Names as in its files."""

from __future__ import annotations

from math import isqrt
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    gelu,
    interpolate,
    leaky_relu,
    pad,
    scaled_dot_product_attention,
)

from core.models.weights.upscaler_file import UpscalerFacts

# The mean colour of its training pictures, added again at the end.
MEAN: Final = (0.4488, 0.4371, 0.4040)
SLOPE: Final = 0.2
# Before upsampling its authors took torch's default.
SLOPE_BEFORE: Final = 0.01
# Taken from the score of positions that are neighbours only because the picture is rolled.
APART: Final = -100.0
_BLOCKS: Final = "residual_group.blocks"


class _Attention(nn.Module):
    """Attention of heads within each window, biased by the distance of two positions."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        distances = (2 * window - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.empty(distances, heads))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, apart: Tensor | None) -> Tensor:
        """Mix windows (N, positions, width); ``apart`` is (N, positions, positions)."""
        side = torch.arange(self.window, device=x.device)
        down, across = (each.flatten() for each in torch.meshgrid(side, side, indexing="ij"))
        down, across = (each[:, None] - each + self.window - 1 for each in (down, across))
        biases = self.relative_position_bias_table[down * (2 * self.window - 1) + across]
        bias = biases.permute(2, 0, 1)[None]
        if apart is not None:
            bias = bias + apart[:, None]
        count, positions, width = x.shape
        q, k, v = self.qkv(x).reshape(count, positions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=bias)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, positions, width))
        return projected


class _SwinBlock(nn.ModuleDict):
    """Attention and a small network, each added to its input; every other block is shifted."""

    def __init__(self, width: int, hidden: int, heads: int, window: int, shift: int) -> None:
        self.window, self.shift = window, shift
        network = {"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)}
        super().__init__(
            {
                "norm1": nn.LayerNorm(width),
                "attn": _Attention(width, heads, window),
                "norm2": nn.LayerNorm(width),
                "mlp": nn.ModuleDict(network),
            }
        )

    def forward(self, x: Tensor, apart: Tensor) -> Tensor:
        """Change (B, h, w, width), whose sides are whole windows."""
        shape = x.shape
        rolled = self["norm1"](x)
        if self.shift:
            rolled = rolled.roll((-self.shift, -self.shift), (1, 2))
        mixed = self["attn"](windows(rolled, self.window), apart if self.shift else None)
        mixed = joined(mixed, shape, self.window)
        if self.shift:
            mixed = mixed.roll((self.shift, self.shift), (1, 2))
        x = x + mixed
        network: Any = self["mlp"]
        change: Tensor = network["fc2"](gelu(network["fc1"](self["norm2"](x))))
        return x + change


def windows(x: Tensor, side: int) -> Tensor:
    """Cut (B, h, w, width) into windows (B · number, side², width)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels)
    return x.transpose(2, 3).reshape(-1, side * side, channels)


def joined(x: Tensor, shape: torch.Size, side: int) -> Tensor:
    """Join windows to ``shape``, (B, h, w, width) again."""
    batch, height, width, channels = shape
    x = x.reshape(batch, height // side, width // side, side, side, channels)
    return x.transpose(2, 3).reshape(shape)


def _apart(x: Tensor, window: int) -> Tensor:
    """Make the scores' mask for shifted windows of (B, h, w, width): who came from another side."""
    batch, height, width, _ = x.shape
    parts = []
    for side in (height, width):
        part = torch.zeros(side, device=x.device)
        part[-window:] = 1
        part[-(window // 2) :] = 2
        parts.append(part)
    region = (3 * parts[0][:, None] + parts[1]).expand(batch, height, width)[..., None]
    which = windows(region, window)[..., 0]
    return ((which[:, None] != which[:, :, None]) * APART).to(x.dtype)


def _convs(width: int, three: bool) -> nn.Module:
    if not three:
        return nn.Conv2d(width, width, 3, padding=1)
    small = width // 4
    first, last = nn.Conv2d(width, small, 3, padding=1), nn.Conv2d(small, width, 3, padding=1)
    return nn.Sequential(
        first, nn.LeakyReLU(SLOPE), nn.Conv2d(small, small, 1), nn.LeakyReLU(SLOPE), last
    )


def _group(facts: UpscalerFacts, number: int, width: int, three: bool) -> nn.Module:
    """Make one residual group of blocks, of the sizes that the file has."""
    name = f"layers.{number}.{_BLOCKS}"
    hidden = facts.shapes[f"{name}.0.mlp.fc1.weight"][0]
    distances, heads = facts.shapes[f"{name}.0.attn.relative_position_bias_table"]
    window = (isqrt(distances) + 1) // 2
    blocks = [
        _SwinBlock(width, hidden, heads, window, at % 2 * (window // 2))
        for at in range(facts.count(name.replace(".", r"\.") + r"\.(\d+)\."))
    ]
    group = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})
    return nn.ModuleDict({"residual_group": group, "conv": _convs(width, three)})


class SwinIr(nn.ModuleDict):
    """SwinIR for classical, lightweight and real pictures: its three ways to the larger size."""

    def __init__(self, facts: UpscalerFacts) -> None:
        shapes = facts.shapes
        width = shapes["conv_first.weight"][0]
        three = "conv_after_body.weight" not in shapes
        distances = shapes[f"layers.0.{_BLOCKS}.0.attn.relative_position_bias_table"][0]
        self.window, self.scale = (isqrt(distances) + 1) // 2, facts.scale
        self.ups = range(1, facts.count(r"conv_up(\d+)\.weight$") + 1)
        groups = range(facts.count(r"layers\.(\d+)\."))
        super().__init__(
            {
                "conv_first": nn.Conv2d(3, width, 3, padding=1),
                "patch_embed": nn.ModuleDict({"norm": nn.LayerNorm(width)}),
                "layers": nn.ModuleList(_group(facts, each, width, three) for each in groups),
                "norm": nn.LayerNorm(width),
                "conv_after_body": _convs(width, three),
            }
        )
        if before := shapes.get("conv_before_upsample.0.weight"):
            conv = nn.Conv2d(width, before[0], 3, padding=1)
            self["conv_before_upsample"] = nn.Sequential(conv, nn.LeakyReLU(SLOPE_BEFORE))
        shuffled: list[nn.Module] = []
        for name in sorted(name for name in shapes if name.startswith("upsample.")):
            if name.endswith(".weight"):
                outputs, inputs = shapes[name][:2]
                factor = isqrt(outputs // (inputs if before else 3))
                shuffled += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.PixelShuffle(factor)]
        if shuffled:
            self["upsample"] = nn.Sequential(*shuffled)
        for name in (*(f"conv_up{up}" for up in self.ups), "conv_hr", "conv_last"):
            if shape := shapes.get(f"{name}.weight"):
                self[name] = nn.Conv2d(shape[1], shape[0], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (1, 3, h, w) to (1, 3, h · scale, w · scale)."""
        height, width = x.shape[-2:]
        mean = x.new_tensor(MEAN)[:, None, None]
        enlarged = self._enlarge(self._deep(self["conv_first"](whole(x, self.window) - mean)))
        return (enlarged + mean)[..., : height * self.scale, : width * self.scale]

    def _deep(self, first: Tensor) -> Tensor:
        embed: Any = self["patch_embed"]
        x = embed["norm"](first.movedim(1, -1))
        apart = _apart(x, self.window)
        groups: Any = self["layers"]
        for group in groups:
            deep = x
            for block in group["residual_group"]["blocks"]:
                deep = block(deep, apart)
            x = x + group["conv"](deep.movedim(-1, 1)).movedim(1, -1)
        after: Tensor = self["conv_after_body"](self["norm"](x).movedim(-1, 1))
        return first + after

    def _enlarge(self, deep: Tensor) -> Tensor:
        if "conv_before_upsample" in self:
            deep = self["conv_before_upsample"](deep)
        for up in self.ups:
            deep = interpolate(deep, scale_factor=2, mode="nearest")
            deep = leaky_relu(self[f"conv_up{up}"](deep), SLOPE)
        if "upsample" in self:
            deep = self["upsample"](deep)
        if "conv_hr" in self:
            deep = leaky_relu(self["conv_hr"](deep), SLOPE)
        return self["conv_last"](deep) if "conv_last" in self else deep


def whole(x: Tensor, multiple: int) -> Tensor:
    """Pad (B, C, h, w) on the right and below, so that its sides are multiples."""
    height, width = x.shape[-2:]
    # A reflection has no more to show than the picture has.
    mode = "reflect" if min(height, width) >= multiple else "replicate"
    return pad(x, (0, -width % multiple, 0, -height % multiple), mode=mode)
