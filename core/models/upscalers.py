"""Upscaler models: ESRGAN, its compact kin and those of attention, built and loaded from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pixel_unshuffle

from core.errors import Refused
from core.models.dat import DISTANCES, Dat, window_sides
from core.models.hat import Hat
from core.models.padding import whole
from core.models.scunet import ScuNet
from core.models.swinir import SwinIr
from core.models.weights.components import DiffusersTensors, load_module
from core.models.weights.safetensors_header import read_header
from core.models.weights.upscaler_file import (
    Architecture,
    UpscalerFacts,
    describe_upscaler,
    unshuffle,
)

# How much of a block's change is added to what came in.
RESIDUAL: Final = 0.2
SLOPE: Final = 0.2
# A1111 pads what is shrunk first to multiples of this, whatever its factor.
MULTIPLE: Final = 4
# Pixels a side of the tiles that A1111 gives to upscalers.
TILE: Final = 192
SCUNET_TILE: Final = 256
# Pixels a side of the picture that a new upscaler is tried on.
_TRIED: Final = 8


@dataclass(eq=False)
class LoadedUpscaler:
    """An upscaler on its device, a model for :func:`core.pictures.upscale`.

    ``averages``: where its tiles, ``tile`` pixels a side, overlap, A1111 takes their mean, as
    SwinIR's program does.
    """

    name: str
    scale: int
    module: nn.Module
    averages: bool = False
    tile: int = TILE

    def __call__(self, pixels: Tensor) -> Tensor:
        """Enlarge (1, 3, h, w), blue, green, red in 0…1, to (1, 3, h · scale, w · scale)."""
        weight = next(self.module.parameters())
        enlarged: Tensor = self.module(pixels.to(weight.device, weight.dtype))
        return enlarged


def load_upscaler(path: Path, device: torch.device, dtype: torch.dtype) -> LoadedUpscaler:
    """Load an upscaler from a ``.safetensors``. Raises :class:`~core.errors.Refused`."""
    name = path.stem
    facts = describe_upscaler(read_header(path, "upscaler"))
    tensors = _Respelled(path, facts.keys)
    # The shapes do not tell the height of DAT's windows from their width.
    distances = tensors.read(DISTANCES)
    if facts.architecture == "dat" and distances is None:
        raise Refused("upscaler", name, "missing", f"dat {DISTANCES}")
    try:
        with torch.device("meta"):
            if distances is None:
                module = ARCHITECTURES[facts.architecture](facts)
            else:
                module = Dat(facts, window_sides(distances))
            # Computes nothing on this device but shapes.
            side = _TRIED * facts.scale
            module(torch.empty(1, 3, _TRIED, _TRIED)).expand(1, 3, side, side)
    except Exception as error:
        # The file is untrusted: any exception is its fault, for nothing is allocated yet.
        raise Refused("upscaler", name, "unreadable", "its layers do not fit together") from error
    # Attention overflows in half precision.
    dtype = dtype if facts.architecture in ("esrgan", "compact") else torch.float32
    load_module(module, facts.architecture, tensors, device, dtype, "upscaler", name)
    averages = facts.architecture in ("swinir", "scunet")
    tile = SCUNET_TILE if facts.architecture == "scunet" else TILE
    return LoadedUpscaler(name, facts.scale, module, averages, tile)


class _Respelled:
    """A file's tensors by Real-ESRGAN's names; such as are not finite count as damaged."""

    def __init__(self, path: Path, keys: dict[str, str]) -> None:
        self._tensors = DiffusersTensors([path], "upscaler", path.stem)
        self._name, self._keys = path.stem, keys

    def read(self, name: str) -> Tensor | None:
        """Return the tensor of this name; None if there is none."""
        tensor = self._tensors.read(self._keys[name]) if name in self._keys else None
        if tensor is not None and not bool(tensor.float().isfinite().all()):
            raise Refused(
                "upscaler", self._name, "unreadable", f"{name} has values that are no numbers"
            )
        return tensor


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class _DenseBlock(nn.ModuleDict):
    """Five convolutions, each of all maps before it; ESRGAN+ adds two shortcuts."""

    def __init__(self, width: int, growth: int, plus: bool) -> None:
        convs = [_conv(width + at * growth, width if at == 4 else growth) for at in range(5)]
        super().__init__({f"conv{number}": conv for number, conv in enumerate(convs, 1)})
        if plus:
            self["conv1x1"] = nn.Conv2d(width, growth, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for number in range(1, 5):
            grown = leaky_relu(self[f"conv{number}"](torch.cat(maps, dim=1)), SLOPE)
            if "conv1x1" in self and number in (2, 4):
                grown = grown + (self["conv1x1"](x) if number == 2 else maps[2])
            maps.append(grown)
        change: Tensor = self["conv5"](torch.cat(maps, dim=1))
        return x + RESIDUAL * change


class _Block(nn.ModuleDict):
    """Three dense blocks."""

    def __init__(self, width: int, growth: int, plus: bool) -> None:
        super().__init__({f"rdb{n}": _DenseBlock(width, growth, plus) for n in (1, 2, 3)})

    def forward(self, x: Tensor) -> Tensor:
        deep = x
        for block in self.values():
            deep = block(deep)
        return x + RESIDUAL * deep


class Esrgan(nn.ModuleDict):
    """RRDBNet of ESRGAN and Real-ESRGAN (arXiv 1809.00219, 2107.10833), sizes as in the file."""

    def __init__(self, facts: UpscalerFacts) -> None:
        width, inputs = facts.shapes["conv_first.weight"][:2]
        growth = facts.shapes["body.0.rdb1.conv1.weight"][0]
        plus = "body.0.rdb1.conv1x1.weight" in facts.keys
        blocks = range(facts.count(r"body\.(\d+)\.rdb1"))
        self.ups = range(1, facts.count(r"conv_up(\d+)\.weight$") + 1)
        self.scale, self.unshuffle = facts.scale, unshuffle(facts.shapes)
        super().__init__(
            {
                "conv_first": _conv(inputs, width),
                "body": nn.Sequential(*(_Block(width, growth, plus) for _ in blocks)),
                "conv_body": _conv(width, width),
                **{f"conv_up{number}": _conv(width, width) for number in self.ups},
                "conv_hr": _conv(width, width),
                "conv_last": _conv(width, 3),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (B, 3, h, w) to (B, 3, h · scale, w · scale)."""
        height, width = x.shape[-2:]
        if self.unshuffle > 1:
            x = pixel_unshuffle(whole(whole(x, MULTIPLE), self.unshuffle), self.unshuffle)
        first = self["conv_first"](x)
        deep: Tensor = first + self["conv_body"](self["body"](first))
        for number in self.ups:
            doubled = interpolate(deep, scale_factor=2, mode="nearest")
            deep = leaky_relu(self[f"conv_up{number}"](doubled), SLOPE)
        deep = self["conv_last"](leaky_relu(self["conv_hr"](deep), SLOPE))
        return deep[..., : height * self.scale, : width * self.scale]


class Compact(nn.Module):
    """SRVGGNetCompact of Real-ESRGAN (General 4xV3, AnimeVideo): it learns what nearest lacks."""

    def __init__(self, facts: UpscalerFacts) -> None:
        super().__init__()
        width = facts.shapes["body.0.weight"][0]
        layers: list[nn.Module] = [_conv(3, width), nn.PReLU(width)]
        for _ in range(facts.count(r"body\.(\d+)\.bias$") - 2):
            layers += [_conv(width, width), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, _conv(width, 3 * facts.scale**2))
        self.upsampler = nn.PixelShuffle(facts.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (B, 3, h, w) to (B, 3, h · scale, w · scale)."""
        scale = self.upsampler.upscale_factor
        added: Tensor = self.upsampler(self.body(x))
        return added + interpolate(x, scale_factor=scale, mode="nearest")


ARCHITECTURES: Final[Mapping[Architecture, Callable[[UpscalerFacts], nn.Module]]] = {
    "esrgan": Esrgan,
    "compact": Compact,
    "swinir": SwinIr,
    "hat": Hat,
    "scunet": ScuNet,
}
