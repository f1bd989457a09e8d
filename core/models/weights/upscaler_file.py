"""Detection of what upscaler one ``.safetensors`` contains, from its names and shapes. No torch.

Six architectures are loaded, each in the widths and depths that there are: ESRGAN in its three
spellings (old ESRGAN's, BSRGAN's, Real-ESRGAN's), Real-ESRGAN's compact one, SwinIR, HAT, DAT and
SCUNet.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Final, Literal

from core.errors import Refused
from core.models.weights.file_kinds import check_kind
from core.models.weights.safetensors_header import Header

Architecture = Literal["esrgan", "compact", "swinir", "hat", "dat", "scunet"]
MAX_SCALE: Final = 16
# What training programs put before all names of a file.
_PREFIX: Final = re.compile(r"^(params_ema|params|module|generator|netG|model_g)\.")
# Names of old ESRGAN and of BSRGAN, and what Real-ESRGAN calls the same; and names of HAT, DAT and
# SCUNet, so that all blocks of attention have the same parts: two norms, attention and a network.
_RESPELLED: Final = (
    (re.compile(r"^model\.0\."), "conv_first."),
    (re.compile(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.(conv\d)\.0\."), r"body.\1.rdb\2.\3."),
    (re.compile(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv1x1\."), r"body.\1.rdb\2.conv1x1."),
    (re.compile(r"^model\.1\.sub\.\d+\.(weight|bias)$"), r"conv_body.\1"),
    (re.compile(r"^RRDB_trunk\.(\d+)\.RDB(\d)\."), r"body.\1.rdb\2."),
    (re.compile(r"^trunk_conv\."), "conv_body."),
    (re.compile(r"^upconv(\d)\."), r"conv_up\1."),
    (re.compile(r"^HRconv\."), "conv_hr."),
    (re.compile(r"^before_RG\.1\."), "patch_embed.norm."),
    (re.compile(r"^(layers\.\d+)\.residual_group\."), r"\1."),
    (re.compile(r"^(layers\.\d+\.blocks\.\d+)\.conv_block\."), r"\1.attn.conv_block."),
    (re.compile(r"^(layers\.\d+\.blocks\.\d+)\.ffn\."), r"\1.mlp."),
    (re.compile(r"^(layers\.\d+\.overlap_attn)\.(qkv|proj|rel)"), r"\1.attn.\2"),
    (re.compile(r"\.trans_block\.ln(\d)\."), r".trans_block.norm\1."),
    (re.compile(r"\.trans_block\.msa\."), ".trans_block.attn."),
    (re.compile(r"\.trans_block\.mlp\.0\."), ".trans_block.mlp.fc1."),
    (re.compile(r"\.trans_block\.mlp\.2\."), ".trans_block.mlp.fc2."),
)
# All that each has in its groups, after "layers.0."; their relatives have more.
_GROUPS: Final[dict[Architecture, re.Pattern[str]]] = {
    "swinir": re.compile(
        r"(conv(\.\d)?|blocks\.\d+\.(norm[12]|attn\.(qkv|proj)|mlp\.fc[12]))\.(weight|bias)"
        r"|blocks\.\d+\.(attn\.relative_position_\w+|attn_mask)"
    ),
    "hat": re.compile(
        r"(conv|(blocks\.\d+|overlap_attn)\.(norm[12]|mlp\.fc[12]|"
        r"attn\.(qkv|proj|conv_block\.cab\.\d(\.attention\.\d)?)))\.(weight|bias)"
        r"|(blocks\.\d+|overlap_attn)\.attn\.relative_position_bias_table"
    ),
    "dat": re.compile(
        r"(conv(\.\d)?|blocks\.\d+\.(norm[12]|mlp\.(fc[12]|sg\.norm|sg\.conv)|"
        r"attn\.(qkv|proj|dwconv\.\d|(channel|spatial)_interaction\.\d|"
        r"attns\.\d\.pos\.pos(_proj|\d\.\d))))\.(weight|bias|running_\w+|num_\w+)"
        r"|blocks\.\d+\.attn\.(temperature|attn_mask_\d|"
        r"attns\.\d\.(rpe_biases|relative_position_index))"
    ),
}
# What only files of architectures have that are not loaded, and their names.
_OTHERS: Final = {
    "block_1.c1_r.": "SPAN",
}
_OLD: Final = re.compile(r"^model\.(\d+)\.(weight|bias)$")


@dataclass(frozen=True, slots=True)
class UpscalerFacts:
    """What was detected. ``scale`` multiplies the sides of a picture.

    ``keys`` and ``shapes`` are each tensor's key in the file and its shape, by its name in the
    module: Real-ESRGAN's names.
    """

    architecture: Architecture
    scale: int
    keys: dict[str, str]
    shapes: dict[str, tuple[int, ...]]

    def count(self, pattern: str) -> int:
        """Return how many parts there are whose number the pattern's group finds."""
        found = (re.match(pattern, name) for name in self.keys)
        return len({match[1] for match in found if match})


def describe_upscaler(header: Header) -> UpscalerFacts:
    """Return the facts of an upscaler. Raises :class:`Refused` when it is none of these."""
    keys = _respelled(header.tensors.keys())
    shapes = {name: header.shape(key) for name, key in keys.items()}
    dimensions = {name: len(shape) for name, shape in shapes.items()}
    if dimensions.get("conv_first.weight") == dimensions.get("body.0.rdb1.conv1.weight") == 4:
        facts = UpscalerFacts("esrgan", 0, keys, shapes)
        doubled = 2 ** facts.count(r"conv_up(\d+)\.weight$")
        scale = doubled / unshuffle(shapes)
        colours = _inputs(shapes, "conv_first") // unshuffle(shapes) ** 2
        outputs = sum(shapes.get("conv_last.bias", ()))
    elif (dimensions.get("body.0.weight"), dimensions.get("body.1.weight")) == (4, 1):
        facts = UpscalerFacts("compact", 0, keys, shapes)
        last = f"body.{2 * (facts.count(r'body.([0-9]+).bias$') - 1)}.bias"
        values = sum(shapes.get(last, ()))
        scale = isqrt(values // 3)
        colours, outputs = _inputs(shapes, "body.0"), values // max(scale, 1) ** 2
    elif dimensions.get("conv_first.weight") == 4 and (attends := _of_attention(keys)):
        facts = UpscalerFacts(attends, 0, keys, shapes)
        scale = 2 ** facts.count(r"conv_up(\d+)\.weight$")
        colours, outputs = _inputs(shapes, "conv_first"), sum(shapes.get("conv_last.bias", (3,)))
        for name, shape in shapes.items():
            if re.match(r"upsample\.\d\.weight$", name) and len(shape) == 4:
                scale *= isqrt(shape[0] // max(1, shape[1] if "conv_last.bias" in keys else 3))
    elif dimensions.get("m_head.0.weight") == dimensions.get("m_tail.0.weight") == 4:
        facts, scale = UpscalerFacts("scunet", 0, keys, shapes), 1
        colours, outputs = _inputs(shapes, "m_head.0"), shapes["m_tail.0.weight"][0]
    else:
        check_kind(header, "upscaler")
        marked = (name for mark, name in _OTHERS.items() if any(mark in key for key in keys))
        name = next(marked, "")
        known = f"a {name} upscaler" if name else "of an architecture that is not known here"
        raise _unusable(header, known)
    if (colours, outputs) != (3, 3):
        raise _unusable(header, f"an upscaler of {colours} to {outputs} channels, not RGB")
    if scale not in range(1, MAX_SCALE + 1):
        raise _unusable(header, f"an upscaler by {scale:g}")
    return UpscalerFacts(facts.architecture, int(scale), keys, shapes)


def unshuffle(shapes: dict[str, tuple[int, ...]]) -> int:
    """Return by how much an ESRGAN of these shapes first shrinks a picture, into channels."""
    return max(1, isqrt(_inputs(shapes, "conv_first") // 3))


def _of_attention(names: Collection[str]) -> Architecture | None:
    """Return which architecture of attention has just these groups and upsampling, if any."""
    parts = [re.sub(r"^layers\.\d+\.", "", name) for name in names if name.startswith("layers.")]
    ends = ("conv_up1.weight", "upsample.0.weight", "conv_before_upsample.0.weight")
    if not parts or "absolute_pos_embed" in names or not any(end in names for end in ends):
        return None
    found = (each for each, known in _GROUPS.items() if all(map(known.fullmatch, parts)))
    return next(found, None)


def _inputs(shapes: dict[str, tuple[int, ...]], name: str) -> int:
    return shapes[f"{name}.weight"][1]


def _unusable(header: Header, detail: str) -> Refused:
    return Refused("upscaler", header.path.stem, "family", detail)


def _respelled(names: Iterable[str]) -> dict[str, str]:
    """Return each name's key in the file by Real-ESRGAN's name for it."""
    plain = {_PREFIX.sub("", name): name for name in names}
    # Old ESRGAN counts its layers: after the body come the upsampling ones, then the last two.
    old = {int(match[1]) for name in plain if (match := _OLD.match(name)) and match[1] != "0"}
    *ups, hr, last = sorted(old) if len(old) > 1 else (0, 0)
    numbered = {hr: "conv_hr", last: "conv_last"}
    numbered |= {up: f"conv_up{number}" for number, up in enumerate(ups, 1)}
    keys = {}
    for name, key in plain.items():
        for pattern, new in _RESPELLED:
            name = pattern.sub(new, name)
        if match := _OLD.match(name):
            name = f"{numbered.get(int(match[1]), match[1])}.{match[2]}"
        keys[name] = key
    return keys
