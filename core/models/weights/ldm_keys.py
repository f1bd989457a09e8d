"""Mapping of tensor names from diffusers and transformers to the original LDM names.

No torch, so that the catalogue can look for tensors in a header. A name maps to a
:class:`Piece`, because OpenCLIP stores q, k and v as one tensor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

Config = Mapping[str, Any]


class Piece(NamedTuple):
    """Where a tensor is stored in the original layout.

    ``third`` 0–2 selects that third of the rows (q, k, v); ``transposed``: the matrix is stored
    transposed; ``pointwise``: a linear layer is stored as a 1×1 convolution.
    """

    key: str
    third: int | None = None
    transposed: bool = False
    pointwise: bool = False


KeyMap = Callable[[str, Config], Piece]

_RESNET: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS: Final = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_UNET_BLOCK: Final = re.compile(
    r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
_UNET_MIDDLE: Final = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def _resnet(rest: str) -> str:
    part, dot, tail = rest.partition(".")
    return _RESNET.get(part, part) + dot + tail


def unet_key(name: str, config: Config) -> Piece:
    """Map a UNet name: ``conv_in.weight`` → ``input_blocks.0.0.weight``."""
    if block := _UNET_BLOCK.fullmatch(name):
        return Piece(_unet_block(block, config))
    if middle := _UNET_MIDDLE.fullmatch(name):
        kind, index, rest = middle.groups()
        place = 1 if kind == "attentions" else 2 * int(index)
        rest = rest if kind == "attentions" else _resnet(rest)
        return Piece(f"middle_block.{place}.{rest}")
    stem, _, tail = name.rpartition(".")
    return Piece(f"{_UNET_ENDS.get(stem, stem)}.{tail}")


def _unet_block(block: re.Match[str], config: Config) -> str:
    side, level, kind, index, rest = block.groups()
    layers = config["layers_per_block"]
    # A level has one entry more than layers: the downsampler going down, a layer going up.
    start = int(level) * (layers + 1)
    if kind == "downsamplers":
        return f"input_blocks.{start + layers + 1}.0.{rest.replace('conv.', 'op.')}"
    if kind == "upsamplers":
        after_attention = "CrossAttn" in config["up_block_types"][int(level)]
        return f"output_blocks.{start + layers}.{2 if after_attention else 1}.{rest}"
    place = start + int(index)
    blocks = f"input_blocks.{place + 1}" if side == "down" else f"output_blocks.{place}"
    return f"{blocks}.0.{_resnet(rest)}" if kind == "resnets" else f"{blocks}.1.{rest}"


_VAE_BLOCK: Final = re.compile(
    r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
_VAE_MIDDLE: Final = re.compile(
    r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d+)\.(.+)\.(\w+)"
)
_VAE_ATTENTION: Final = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def vae_key(name: str, config: Config) -> Piece:
    """Map a VAE name: ``encoder.conv_norm_out.bias`` → ``encoder.norm_out.bias``."""
    if block := _VAE_BLOCK.fullmatch(name):
        coder, side, level, kind, index, rest = block.groups()
        # LDM numbers the decoder's levels from the output, diffusers from the input.
        place = len(config["up_block_types"]) - 1 - int(level) if side == "up" else int(level)
        if kind != "resnets":
            return Piece(f"{coder}.{side}.{place}.{side}sample.{rest}")
        rest = rest.replace("conv_shortcut", "nin_shortcut")
        return Piece(f"{coder}.{side}.{place}.block.{index}.{rest}")
    if middle := _VAE_MIDDLE.fullmatch(name):
        coder, kind, index, part, tail = middle.groups()
        if kind == "resnets":
            part = part.replace("conv_shortcut", "nin_shortcut")
            return Piece(f"{coder}.mid.block_{int(index) + 1}.{part}.{tail}")
        pointwise = tail == "weight" and part != "group_norm"
        key = f"{coder}.mid.attn_1.{_VAE_ATTENTION[part]}.{tail}"
        return Piece(key, pointwise=pointwise)
    return Piece(name.replace("conv_norm_out", "norm_out"))


def clip_key(name: str, config: Config) -> Piece:
    """Map a name of CLIP-L, which is stored under transformers' own names."""
    return Piece(name.removeprefix("text_model."))


_OPEN_CLIP: Final = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_OPEN_CLIP_LAYER: Final = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def open_clip_key(name: str, config: Config) -> Piece:
    """Map a name of OpenCLIP (SD 2's H, SDXL's G), whose q, k and v are one ``in_proj``."""
    name = name.removeprefix("text_model.")
    if name == "text_projection.weight":
        return Piece("text_projection", transposed=True)
    if name in _OPEN_CLIP:
        return Piece(_OPEN_CLIP[name])
    layer, _, rest = name.removeprefix("encoder.layers.").partition(".")
    part, _, tail = rest.rpartition(".")
    block = f"transformer.resblocks.{layer}"
    if part in _OPEN_CLIP_LAYER:
        return Piece(f"{block}.{_OPEN_CLIP_LAYER[part]}.{tail}")
    third = ("q_proj", "k_proj", "v_proj").index(part.removeprefix("self_attn."))
    return Piece(f"{block}.attn.in_proj_{tail}", third=third)


_UNET: Final = ("model.diffusion_model.", unet_key)
_VAE: Final = ("first_stage_model.", vae_key)
# Per family and component: the prefix of its tensors in a single file, and their naming.
LAYOUTS: Final[dict[str, dict[str, tuple[str, KeyMap]]]] = {
    "sd1": {
        "unet": _UNET,
        "vae": _VAE,
        "text_encoder": ("cond_stage_model.transformer.text_model.", clip_key),
    },
    "sd2": {
        "unet": _UNET,
        "vae": _VAE,
        "text_encoder": ("cond_stage_model.model.", open_clip_key),
    },
    "sdxl": {
        "unet": _UNET,
        "vae": _VAE,
        "text_encoder": ("conditioner.embedders.0.transformer.text_model.", clip_key),
        "text_encoder_2": ("conditioner.embedders.1.model.", open_clip_key),
    },
}
