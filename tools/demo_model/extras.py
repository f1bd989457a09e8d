"""What the demo's LoRA, embedding and upscaler are made of: their looks and their layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d, pixel_shuffle

from .train_vae import edges

RANK = 8
_TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def ink(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (n, 3, h, w) in -1…1 as ink drawings: dark outlines, a faint wash of colour."""
    across, down = edges(pictures)
    steep = torch.zeros_like(pictures[:, :1])
    steep[..., :, 1:] += across.abs().amax(1, keepdim=True)
    steep[..., 1:, :] += down.abs().amax(1, keepdim=True)
    line = (max_pool2d(steep, 3, 1, 1) * 2.2 - 0.25).clamp(0, 1)
    paper = torch.tensor((0.92, 0.86, 0.74), device=pictures.device).view(1, 3, 1, 1)
    dark = torch.tensor((-0.8, -0.78, -0.66), device=pictures.device).view(1, 3, 1, 1)
    washed = paper + 0.16 * (pictures - 0.3)
    return (washed + (dark - washed) * line).clamp(-1, 1)


class LowRank(nn.Module):
    """What a LoRA adds to one layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        if isinstance(layer, nn.Linear):
            self.down: nn.Module = nn.Linear(layer.in_features, RANK, bias=False)
            self.up: nn.Module = nn.Linear(RANK, layer.out_features, bias=False)
        else:
            assert isinstance(layer, nn.Conv2d)
            kernel: Any = layer.kernel_size
            stride: Any = layer.stride
            padding: Any = layer.padding
            self.down = nn.Conv2d(layer.in_channels, RANK, kernel, stride, padding, bias=False)
            self.up = nn.Conv2d(RANK, layer.out_channels, 1, bias=False)
        for weights in self.up.parameters():
            nn.init.zeros_(weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The addition to the layer's output."""
        added: torch.Tensor = self.up(self.down(x))
        return added


def targets(unet: nn.Module, text: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every layer with an addition, by its name in kohya's spelling."""
    for name, layer in unet.named_modules():
        inner = ".transformer_blocks." in name and isinstance(layer, nn.Linear)
        around = name.endswith(("proj_in", "proj_out", "conv1", "conv2"))
        if inner or (around and isinstance(layer, nn.Conv2d)):
            yield f"lora_unet_{name.replace('.', '_')}", layer
    for name, layer in text.named_modules():
        if name.endswith(_TEXT_TARGETS):
            whole = name if name.startswith("text_model.") else f"text_model.{name}"
            yield f"lora_te_{whole.replace('.', '_')}", layer


@contextmanager
def attached(pairs: list[tuple[nn.Module, LowRank]]) -> Iterator[None]:
    """Let each layer's output carry its addition."""
    handles = [
        layer.register_forward_hook(lambda _m, inputs, out, low=low: out + low(inputs[0]))
        for layer, low in pairs
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Compact(nn.Module):
    """The compact upscaler of Real-ESRGAN (SRVGGNetCompact), x2, with its own key names."""

    def __init__(self, width: int = 24, depth: int = 8, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(width)]
        layers.append(nn.Conv2d(width, 3 * scale * scale, 3, 1, 1))
        self.body = nn.ModuleList(layers)
        # torch's own start lets what goes in fade from layer to layer.
        for layer in layers[:-1]:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.25)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures (n, 3, h, w) in 0…1 at ``scale`` times the size."""
        out = x
        for layer in self.body:
            out = layer(out)
        larger = interpolate(x, scale_factor=self.scale, mode="nearest")
        return pixel_shuffle(out, self.scale) + larger
