"""What SwinIR, HAT and DAT have in common: convolutions around groups of attention blocks."""

from __future__ import annotations

from collections.abc import Iterable
from math import isqrt
from typing import Any, Final

from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, leaky_relu

from core.models.padding import grown, whole
from core.models.weights.upscaler_file import UpscalerFacts

# The mean colour of their training pictures, added again at the end.
MEAN: Final = (0.4488, 0.4371, 0.4040)
SLOPE: Final = 0.2
# Before upsampling their authors took torch's default.
SLOPE_BEFORE: Final = 0.01
# Pixels a side to which A1111 pads smaller pictures for them.
LEAST: Final = 16


class Network(nn.ModuleDict):
    """Two layers at each position."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width)."""
        changed: Tensor = self["fc2"](gelu(self["fc1"](x)))
        return changed


class Block(nn.ModuleDict):
    """Attention and a small network, each added to its input."""

    def __init__(self, width: int, attention: nn.Module, network: nn.Module) -> None:
        norms = {"norm1": nn.LayerNorm(width), "norm2": nn.LayerNorm(width)}
        super().__init__({**norms, "attn": attention, "mlp": network})

    def forward(self, x: Tensor) -> Tensor:
        """Change (B, h, w, width)."""
        x = x + self["attn"](self["norm1"](x))
        changed: Tensor = x + self["mlp"](self["norm2"](x))
        return changed


class AttentionUpscaler(nn.ModuleDict):
    """An upscaler of the file's sizes; ``groups`` are the parts of each group, by name.

    The parts change (B, h, w, width), whose sides are multiples of ``multiple``.
    """

    def __init__(
        self, facts: UpscalerFacts, groups: Iterable[dict[str, nn.Module]], multiple: int = 1
    ) -> None:
        shapes = facts.shapes
        width = shapes["conv_first.weight"][0]
        self.multiple, self.scale = multiple, facts.scale
        self.ups = range(1, facts.count(r"conv_up(\d+)\.weight$") + 1)
        layers = (nn.ModuleDict({**parts, "conv": _after(facts, width)}) for parts in groups)
        super().__init__(
            {
                "conv_first": nn.Conv2d(3, width, 3, padding=1),
                "layers": nn.ModuleList(layers),
                "norm": nn.LayerNorm(width),
                "conv_after_body": _after(facts, width),
            }
        )
        if "patch_embed.norm.weight" in shapes:
            self["patch_embed"] = nn.ModuleDict({"norm": nn.LayerNorm(width)})
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
        x = whole(grown(x, LEAST, LEAST), self.multiple) - mean
        enlarged = self._enlarge(self._deep(self["conv_first"](x)))
        return (enlarged + mean)[..., : height * self.scale, : width * self.scale]

    def _deep(self, first: Tensor) -> Tensor:
        x = first.movedim(1, -1)
        if "patch_embed" in self:
            embed: Any = self["patch_embed"]
            x = embed["norm"](x)
        groups: Any = self["layers"]
        for group in groups:
            *parts, conv = group.values()
            deep = x
            for part in parts:
                deep = part(deep)
            x = x + conv(deep.movedim(-1, 1)).movedim(1, -1)
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


def _after(facts: UpscalerFacts, width: int) -> nn.Module:
    """Make what follows the blocks: a convolution, three to save weights, or in some HAT none."""
    if "conv_after_body.weight" in facts.shapes:
        return nn.Conv2d(width, width, 3, padding=1)
    if facts.architecture == "hat":
        return nn.Identity()
    small = width // 4
    first, last = nn.Conv2d(width, small, 3, padding=1), nn.Conv2d(small, width, 3, padding=1)
    return nn.Sequential(
        first, nn.LeakyReLU(SLOPE), nn.Conv2d(small, small, 1), nn.LeakyReLU(SLOPE), last
    )
