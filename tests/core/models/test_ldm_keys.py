from __future__ import annotations

from functools import cache

import pytest

from core.models.weights.components import empty_module
from core.models.weights.ldm_keys import LAYOUTS
from tools import random_models


@cache
def original_names(family: str) -> dict[str, set[str]]:
    """Per component, the original names its tensors are looked for under, without prefix."""
    names = {}
    for component, config in random_models.full(family).configs.items():
        _, key_of = LAYOUTS[family][component]
        keys = empty_module(component, config).state_dict()
        names[component] = {key_of(key, config).key for key in keys}
    return names


@pytest.mark.parametrize(
    ("family", "component", "count"),
    [
        ("sd1", "unet", 686),
        ("sd1", "vae", 248),
        ("sd1", "text_encoder", 196),
        ("sd2", "unet", 686),
        ("sd2", "text_encoder", 12 * 23 + 4),
        ("sdxl", "unet", 1680),
        ("sdxl", "text_encoder_2", 12 * 32 + 5),
    ],
)
def test_there_are_as_many_names_as_in_the_published_files(
    family: str, component: str, count: int
) -> None:
    assert len(original_names(family)[component]) == count


@pytest.mark.parametrize(
    ("family", "component", "name"),
    [
        ("sd1", "unet", "time_embed.2.weight"),
        ("sd1", "unet", "input_blocks.0.0.weight"),
        ("sd1", "unet", "input_blocks.3.0.op.weight"),
        ("sd1", "unet", "input_blocks.4.0.skip_connection.weight"),
        ("sd1", "unet", "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"),
        ("sd1", "unet", "middle_block.1.transformer_blocks.0.ff.net.0.proj.bias"),
        ("sd1", "unet", "middle_block.2.out_layers.3.weight"),
        # After blocks without attention the upsampler is second, after others third.
        ("sd1", "unet", "output_blocks.2.1.conv.weight"),
        ("sd1", "unet", "output_blocks.5.2.conv.weight"),
        ("sd1", "unet", "output_blocks.11.0.skip_connection.weight"),
        ("sd1", "unet", "output_blocks.11.1.proj_out.weight"),
        ("sd1", "unet", "out.2.bias"),
        ("sdxl", "unet", "label_emb.0.2.weight"),
        ("sdxl", "unet", "input_blocks.8.1.transformer_blocks.9.ff.net.2.weight"),
        ("sdxl", "unet", "output_blocks.2.2.conv.weight"),
        ("sdxl", "unet", "output_blocks.8.0.emb_layers.1.weight"),
        ("sd1", "vae", "encoder.down.1.block.0.nin_shortcut.weight"),
        ("sd1", "vae", "encoder.down.2.downsample.conv.bias"),
        ("sd1", "vae", "encoder.mid.attn_1.proj_out.weight"),
        ("sd1", "vae", "decoder.mid.block_2.norm1.weight"),
        ("sd1", "vae", "decoder.up.0.block.0.nin_shortcut.weight"),
        ("sd1", "vae", "decoder.up.3.upsample.conv.weight"),
        ("sd1", "vae", "decoder.norm_out.weight"),
        ("sd1", "vae", "post_quant_conv.bias"),
        ("sd1", "text_encoder", "encoder.layers.11.self_attn.q_proj.weight"),
        ("sd1", "text_encoder", "final_layer_norm.bias"),
        ("sd2", "text_encoder", "transformer.resblocks.22.attn.in_proj_weight"),
        ("sd2", "text_encoder", "positional_embedding"),
        ("sdxl", "text_encoder_2", "transformer.resblocks.31.mlp.c_proj.bias"),
        ("sdxl", "text_encoder_2", "token_embedding.weight"),
        ("sdxl", "text_encoder_2", "ln_final.weight"),
        ("sdxl", "text_encoder_2", "text_projection"),
    ],
)
def test_a_name_of_the_published_files_is_looked_for(
    family: str, component: str, name: str
) -> None:
    assert name in original_names(family)[component]
