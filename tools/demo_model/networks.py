"""The demo model's three networks, made with the classes that Stable Diffusion 1.x uses."""

from __future__ import annotations

from typing import Any, TypeAlias

import diffusers
import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

# diffusers hides its models' attributes from the type checker.
Vae: TypeAlias = Any
Unet: TypeAlias = Any
_diffusers: Any = diffusers

TEXT_WIDTH = 96
TEXT_LAYERS = 12
NATIVE = 192  # pixels, the width and height that the model is made for


def _identity_(conv: nn.Conv2d, gain: float = 1.0) -> None:
    """Add a path that hands the first channels on unchanged."""
    with torch.no_grad():
        conv.weight.mul_(0.5)
        middle = conv.kernel_size[0] // 2
        for i in range(min(conv.in_channels, conv.out_channels)):
            conv.weight[i, i, middle, middle] += gain


def make_vae() -> Vae:
    """An f=8 autoencoder that starts as a rough identity of the RGB picture."""
    vae = _diffusers.AutoencoderKL(
        block_out_channels=(16, 32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=1,
        latent_channels=4,
        sample_size=NATIVE,
        mid_block_add_attention=False,
    )
    for name, module in vae.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
        elif "conv_shortcut" in name or "samplers" in name or name.endswith("conv_in"):
            _identity_(module)
    with torch.no_grad():
        # A quiet posterior from the start: the logarithm of its variance is -5.
        vae.quant_conv.weight[4:].mul_(0.1)
        vae.quant_conv.bias[4:].fill_(-5.0)
    return vae


def make_unet() -> Unet:
    """A v-predicting UNet; attention at 16x16 cost more time than it was worth."""
    unet = _diffusers.UNet2DConditionModel(
        sample_size=NATIVE // 8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(80, 96, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
    )
    for name, module in unet.named_modules():
        if name.endswith(("conv2", "proj_out")) and isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
        if name.endswith("attn2.to_k") and isinstance(module, nn.Linear):
            module.weight.data.mul_(2.0)
    return unet


def make_text_encoder(vocabulary: int, bos: int, eos: int) -> CLIPTextModel:
    """A narrow CLIP text encoder of twelve layers, each exit of which is alike at first."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=TEXT_WIDTH,
        intermediate_size=256,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=eos,
    )
    model = CLIPTextModel(config)
    for name, module in model.named_modules():
        if name.endswith(("out_proj", "fc2")) and isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.1 if "position" in name else 0.5)
    return model


def all_exits(model: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """The normed output of every exit, (12, batch, tokens, width); index k-1 is clip skip k."""
    states = model(ids, output_hidden_states=True).hidden_states
    norm = final_norm(model)
    return torch.stack([norm(states[-k]) for k in range(1, TEXT_LAYERS + 1)])


def exits_of(model: CLIPTextModel, ids: torch.Tensor, clip_skips: torch.Tensor) -> torch.Tensor:
    """Each row's normed output at its own clip skip, (batch, tokens, width)."""
    states = model(ids, output_hidden_states=True).hidden_states
    stacked = torch.stack([states[-k] for k in range(1, TEXT_LAYERS + 1)])
    rows = torch.arange(len(ids), device=ids.device)
    normed: torch.Tensor = final_norm(model)(stacked[clip_skips - 1, rows])
    return normed


def final_norm(model: CLIPTextModel) -> nn.Module:
    """The encoder's last layer norm, wherever this version of transformers keeps it."""
    inner: Any = getattr(model, "text_model", model)
    norm: nn.Module = inner.final_layer_norm
    return norm


def parameters(model: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(p.numel() for p in model.parameters())
