"""Random weights of small upscalers, under the names of each architecture's files."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

WIDTH, GROWTH = 4, 3
State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def conv(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.bias": (outputs,)}


def drawn(shapes: Shapes) -> State:
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=generator) / 3 for name, shape in shapes.items()}
    for name, tensor in state.items():
        if name.endswith("running_var"):
            # No variance is negative.
            tensor.abs_().add_(0.5)
    return state


def esrgan(ups: int = 2, shrink: int = 1, blocks: int = 2, *, plus: bool = False) -> State:
    """Weights under Real-ESRGAN's names."""
    shapes = conv("conv_first", WIDTH, 3 * shrink**2)
    for block in range(blocks):
        for dense in (1, 2, 3):
            name = f"body.{block}.rdb{dense}"
            for number in range(1, 6):
                inputs = WIDTH + (number - 1) * GROWTH
                outputs = WIDTH if number == 5 else GROWTH
                shapes |= conv(f"{name}.conv{number}", outputs, inputs)
            if plus:
                shapes[f"{name}.conv1x1.weight"] = (GROWTH, WIDTH, 1, 1)
    for name in ("conv_body", *(f"conv_up{up}" for up in range(1, ups + 1)), "conv_hr"):
        shapes |= conv(name, WIDTH, WIDTH)
    return drawn(shapes | conv("conv_last", 3, WIDTH))


def compact(scale: int = 4, convs: int = 2) -> State:
    shapes = conv("body.0", WIDTH, 3) | {"body.1.weight": (WIDTH,)}
    for number in range(convs):
        shapes |= conv(f"body.{2 * number + 2}", WIDTH, WIDTH)
        shapes[f"body.{2 * number + 3}.weight"] = (WIDTH,)
    return drawn(shapes | conv(f"body.{2 * convs + 2}", 3 * scale**2, WIDTH))


def linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norms(width: int, *names: str) -> Shapes:
    return {f"{name}.{part}": (width,) for name in names for part in ("weight", "bias")}


def convs(name: str, wide: int, three: bool) -> Shapes:
    """What follows a group: a convolution, or three."""
    if not three:
        return conv(name, wide, wide)
    small = wide // 4
    middle = {f"{name}.2.weight": (small, small, 1, 1), f"{name}.2.bias": (small,)}
    return conv(f"{name}.0", small, wide) | middle | conv(f"{name}.4", wide, small)


def ends(way: str, wide: int, features: int, factor: int, three: bool) -> Shapes:
    """What is around the groups; ``way`` is SwinIR's authors' name for the upsampling."""
    shapes = conv("conv_first", wide, 3) | convs("conv_after_body", wide, three)
    shapes |= norms(wide, "norm")
    if way == "pixelshuffledirect":
        return shapes | conv("upsample.0", 3 * factor**2, wide)
    shapes |= conv("conv_before_upsample.0", features, wide) | conv("conv_last", 3, features)
    if way == "nearest+conv":
        for name in ("conv_up1", "conv_up2", "conv_hr"):
            shapes |= conv(name, features, features)
    else:
        for at, times in enumerate({1: (), 2: (2,), 3: (3,), 4: (2, 2)}[factor]):
            shapes |= conv(f"upsample.{2 * at}", times**2 * features, features)
    return shapes


def windowed(name: str, wide: int, distances: int, heads: int) -> Shapes:
    """Attention within windows."""
    table: Shapes = {f"{name}.relative_position_bias_table": (distances, heads)}
    return table | linear(f"{name}.qkv", 3 * wide, wide) | linear(f"{name}.proj", wide, wide)


def network(name: str, wide: int, hidden: int) -> Shapes:
    return linear(f"{name}.fc1", hidden, wide) | linear(f"{name}.fc2", wide, hidden)


def swinir(way: str, factor: int = 4, *, three: bool = False) -> State:
    """Two groups of two blocks, windows of 4."""
    wide = 8
    shapes = ends(way, wide, 4, factor, three) | norms(wide, "patch_embed.norm")
    for group in range(2):
        for block in range(2):
            name = f"layers.{group}.residual_group.blocks.{block}"
            shapes |= windowed(f"{name}.attn", wide, 49, 2) | network(f"{name}.mlp", wide, 12)
            shapes |= norms(wide, f"{name}.norm1", f"{name}.norm2")
        shapes |= convs(f"layers.{group}.conv", wide, three)
    return drawn(shapes)


def hat(factor: int = 4, larger: int = 6, heads: int = 2, *, after: bool = True) -> State:
    """Two groups, of three blocks and of one; windows of 4, ``larger`` where they overlap."""
    wide = 8
    shapes = ends("pixelshuffle", wide, 4, factor, three=False) | norms(wide, "patch_embed.norm")
    for group, depth in enumerate((3, 1)):
        residual = f"layers.{group}.residual_group"
        for block in range(depth):
            name = f"{residual}.blocks.{block}"
            cab = f"{name}.conv_block.cab"
            shapes |= windowed(f"{name}.attn", wide, 49, heads) | network(f"{name}.mlp", wide, 12)
            shapes |= conv(f"{cab}.0", 2, wide) | conv(f"{cab}.2", wide, 2)
            shapes |= pointwise(f"{cab}.3.attention.1", 2, wide)
            shapes |= pointwise(f"{cab}.3.attention.3", wide, 2)
            shapes |= norms(wide, f"{name}.norm1", f"{name}.norm2")
        name = f"{residual}.overlap_attn"
        shapes |= windowed(name, wide, (4 + larger - 1) ** 2, heads)
        shapes |= network(f"{name}.mlp", wide, 12) | norms(wide, f"{name}.norm1", f"{name}.norm2")
        shapes |= conv(f"layers.{group}.conv", wide, wide)
    if not after:
        shapes = {name: shape for name, shape in shapes.items() if not AFTER.search(name)}
    index = {"SA": torch.zeros(16, 16), "OCA": torch.zeros(16, larger**2)}
    indexes = {f"relative_position_index_{name}": each.long() for name, each in index.items()}
    return drawn(shapes) | indexes


# What follows HAT's groups, which some are without.
AFTER = re.compile(r"^layers\.\d\.conv\.|^conv_after_body")


def pointwise(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, 1, 1), f"{name}.bias": (outputs,)}


def by_channel(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width, 1, 3, 3), f"{name}.bias": (width,)}


def batch_norm(name: str, width: int) -> Shapes:
    running = {f"{name}.running_{each}": (width,) for each in ("mean", "var")}
    return norms(width, name) | running


def dat(
    way: str = "pixelshuffle",
    factor: int = 2,
    sides: tuple[int, int] = (2, 6),
    depths: tuple[int, ...] = (3, 1),
    *,
    three: bool = False,
) -> State:
    """Groups whose blocks mix positions and channels by turns, in windows of ``sides``."""
    wide, heads = 96, 4
    shapes = ends(way, wide, 4, factor, three) | norms(wide, "before_RG.1")
    buffers: State = {}
    for group, depth in enumerate(depths):
        for block in range(depth):
            name = f"layers.{group}.blocks.{block}"
            shapes |= norms(wide, f"{name}.norm1", f"{name}.norm2", f"{name}.ffn.sg.norm")
            shapes |= linear(f"{name}.ffn.fc1", 2 * wide, wide)
            shapes |= by_channel(f"{name}.ffn.sg.conv", wide) | linear(
                f"{name}.ffn.fc2", wide, wide
            )
            shapes |= mixing(f"{name}.attn", wide)
            buffers[f"{name}.attn.dwconv.1.num_batches_tracked"] = torch.tensor(7)
            if block % 2:
                shapes[f"{name}.attn.temperature"] = (heads, 1, 1)
                continue
            for at, (high, side) in enumerate((sides, sides[::-1])):
                attention = f"{name}.attn.attns.{at}"
                shapes |= linear(f"{attention}.pos.pos_proj", 3, 2)
                for number, outputs in enumerate((3, 3, heads // 2), 1):
                    shapes |= norms(3, f"{attention}.pos.pos{number}.0")
                    shapes |= linear(f"{attention}.pos.pos{number}.2", outputs, 3)
                distances = torch.cartesian_prod(
                    torch.arange(1 - high, high), torch.arange(1 - side, side)
                )
                buffers[f"{attention}.rpe_biases"] = distances.float()
                positions = high * side
                buffers[f"{attention}.relative_position_index"] = torch.zeros(
                    positions, positions, dtype=torch.long
                )
        shapes |= convs(f"layers.{group}.conv", wide, three)
    return drawn(shapes) | buffers


def mixing(name: str, wide: int) -> Shapes:
    """What both kinds of DAT's attention have."""
    shapes = linear(f"{name}.qkv", 3 * wide, wide) | linear(f"{name}.proj", wide, wide)
    shapes |= by_channel(f"{name}.dwconv.0", wide) | batch_norm(f"{name}.dwconv.1", wide)
    few, fewer = wide // 8, wide // 16
    channels, positions = f"{name}.channel_interaction", f"{name}.spatial_interaction"
    shapes |= pointwise(f"{channels}.1", few, wide) | batch_norm(f"{channels}.2", few)
    shapes |= pointwise(f"{channels}.4", wide, few)
    shapes |= pointwise(f"{positions}.0", fewer, wide) | batch_norm(f"{positions}.1", fewer)
    return shapes | pointwise(f"{positions}.3", 1, fewer)


def scunet() -> State:
    """Two blocks on the largest level, one on the others; small weights, for nothing tames them."""
    first = 64
    shapes: Shapes = {"m_head.0.weight": (first, 3, 3, 3), "m_tail.0.weight": (3, first, 3, 3)}
    stages = [(f"m_down{level}", 0, first * 2 ** (level - 1)) for level in (1, 2, 3)]
    stages += [(f"m_up{level}", 1, first * 2 ** (level - 1)) for level in (1, 2, 3)]
    for stage, begin, wide in (*stages, ("m_body", 0, 8 * first)):
        blocks = 2 if wide == first else 1
        for block in range(begin, begin + blocks):
            name, half = f"{stage}.{block}", wide // 2
            for number in (0, 2):
                shapes[f"{name}.conv_block.{number}.weight"] = (half, half, 3, 3)
            shapes |= pointwise(f"{name}.conv1_1", wide, wide)
            shapes |= pointwise(f"{name}.conv1_2", wide, wide)
            trans = f"{name}.trans_block"
            shapes |= norms(half, f"{trans}.ln1", f"{trans}.ln2")
            shapes[f"{trans}.msa.relative_position_params"] = (half // 32, 15, 15)
            shapes |= linear(f"{trans}.msa.embedding_layer", 3 * half, half)
            shapes |= linear(f"{trans}.msa.linear", half, half)
            shapes |= linear(f"{trans}.mlp.0", 4 * half, half)
            shapes |= linear(f"{trans}.mlp.2", half, 4 * half)
        if stage != "m_body":
            name = f"{stage}.{0 if begin else blocks}"
            shapes[f"{name}.weight"] = (2 * wide, wide, 2, 2)
    state = drawn(shapes)
    return {name: each / 10 if each.ndim in (2, 4) else each for name, each in state.items()}


def old(state: State, blocks: int = 2) -> State:
    """The same weights under old ESRGAN's names, which count the layers."""
    ups = sum(bool(re.match(r"conv_up\d\.weight", name)) for name in state)
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"^body\.(\d)\.rdb(\d)\.(conv\d)\.", r"model.1.sub.\1.RDB\2.\3.0.", name)
        name = re.sub(r"^body\.(\d)\.rdb(\d)\.conv1x1", r"model.1.sub.\1.RDB\2.conv1x1", name)
        name = name.replace("conv_first", "model.0").replace("conv_body", f"model.1.sub.{blocks}")
        name = re.sub(r"^conv_up(\d)", lambda match: f"model.{3 * int(match[1])}", name)
        name = name.replace("conv_hr", f"model.{3 * ups + 2}")
        renamed[name.replace("conv_last", f"model.{3 * ups + 4}")] = tensor
    return renamed


def bsrgan(state: State) -> State:
    """The same weights under BSRGAN's names."""
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"^body\.(\d)\.rdb(\d)\.", r"RRDB_trunk.\1.RDB\2.", name)
        name = name.replace("conv_body", "trunk_conv").replace("conv_hr", "HRconv")
        renamed[name.replace("conv_up", "upconv")] = tensor
    return renamed


def written(state: State, path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def picture(height: int = 5, width: int = 6) -> Tensor:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(1))
