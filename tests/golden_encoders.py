"""The reference numbers' text encoders: random weights, made again from their seeds.

The files are 52 MB; the draws that made them (torch's CPU generator, one tensor after another in
this order) take half a second and give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

WIDTH: Final = 64
LINEAR: Final = 0.7
BIAS: Final = 0.05


def clip_l() -> CLIPTextModel:
    """SD 1's encoder and SDXL's first: 12 layers, quick_gelu."""
    model = CLIPTextModel(_config(12, 128, "quick_gelu"))
    _fill(model, 1, drawn_layers=12)
    return model


def clip_g() -> CLIPTextModelWithProjection:
    """SDXL's second encoder: 32 layers and the projection of the pooled vector."""
    model = CLIPTextModelWithProjection(_config(32, 256, "gelu"))
    _fill(model, 2, drawn_layers=32)
    return model


def clip_h() -> CLIPTextModel:
    """SD 2's encoder as diffusers ships it: the last of its 24 layers is cut off."""
    model = CLIPTextModel(_config(23, 256, "gelu"))
    _fill(model, 3, drawn_layers=24)
    return model


def _config(layers: int, inner: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=WIDTH,
        intermediate_size=inner,
        projection_dim=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        hidden_act=activation,
        bos_token_id=49406,
        eos_token_id=49407,
    )


def _fill(model: Any, seed: int, *, drawn_layers: int) -> None:
    weights = dict(_drawn(seed, drawn_layers, model.config.intermediate_size))
    projection = weights.pop("text_projection.weight")
    if hasattr(model, "text_projection"):
        model.text_projection.load_state_dict({"weight": projection})
    # Not strict: of SD 2's the last layer that was drawn is cut off.
    found = getattr(model, "text_model", model).load_state_dict(weights, strict=False)
    assert not found.missing_keys


def _drawn(seed: int, layers: int, inner: int) -> Iterator[tuple[str, Tensor]]:
    """Every tensor by its name, in the order in which they were drawn."""
    generator = torch.Generator().manual_seed(seed)

    def draw(scale: float, *shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * scale

    def linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, Tensor]]:
        yield f"{name}.weight", draw(LINEAR, outputs, inputs) / inputs**0.5
        yield f"{name}.bias", draw(BIAS, outputs)

    def norm(name: str) -> Iterator[tuple[str, Tensor]]:
        yield f"{name}.weight", 1 + draw(0.2, WIDTH)
        yield f"{name}.bias", draw(0.1, WIDTH)

    yield "embeddings.token_embedding.weight", draw(0.5, 49408, WIDTH)
    yield "embeddings.position_embedding.weight", draw(0.2, 77, WIDTH)
    for number in range(layers):
        layer = f"encoder.layers.{number}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from linear(f"{layer}.self_attn.{part}", WIDTH, WIDTH)
        yield from norm(f"{layer}.layer_norm1")
        yield from linear(f"{layer}.mlp.fc1", inner, WIDTH)
        yield from linear(f"{layer}.mlp.fc2", WIDTH, inner)
        yield from norm(f"{layer}.layer_norm2")
    yield "final_layer_norm.weight", 1 + draw(0.2, WIDTH)
    # Not around 0: emphasis divides by the mean of what comes out.
    yield "final_layer_norm.bias", draw(0.2, WIDTH) - 0.1
    yield "text_projection.weight", draw(LINEAR, WIDTH, WIDTH) / WIDTH**0.5
