"""The loaded UNet at sizes that cannot be halved evenly, against ldm's way written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import interpolate

from core.families import Family
from core.models.unet_upsampling import double_then_cut
from core.models.weights.components import empty_module
from tools import random_models

EVEN, ODD = (16, 24), [(9, 15), (21, 15), (10, 13), (1, 2)]


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A tiny UNet as it is loaded, and diffusers' own of the same weights."""
    family: Family = request.param
    config = random_models.tiny(family).configs["unet"]
    loaded: Any = empty_module("unet", config)
    state = random_models.random_state(loaded, torch.Generator().manual_seed(0), torch.float32)
    loaded.load_state_dict(state, assign=True)
    plain_class: Any = UNet2DConditionModel
    plain = plain_class.from_config(dict(config))
    plain.load_state_dict(state)
    return loaded.eval(), plain.eval()


def given(unet: Any, size: tuple[int, int]) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(sum(size))
    inputs: dict[str, Any] = {
        "sample": torch.randn((2, 4, *size), generator=generator),
        "timestep": torch.tensor([321.0, 40.0]),
        "encoder_hidden_states": torch.randn(
            (2, 77, unet.config.cross_attention_dim), generator=generator
        ),
    }
    if unet.config.addition_embed_type:
        width = unet.config.projection_class_embeddings_input_dim
        width -= 6 * unet.config.addition_time_embed_dim
        pooled = torch.randn((2, width), generator=generator)
        times = torch.tensor([[64.0, 72, 0, 0, 64, 72]] * 2)
        inputs["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": times}
    return inputs


def predict(unet: Any, size: tuple[int, int]) -> Tensor:
    with torch.inference_mode():
        output: Tensor = unet(**given(unet, size), return_dict=False)[0]
    return output


def ldm(unet: Any, size: tuple[int, int]) -> Tensor:
    """The UNet as ldm's openaimodel runs it, A1111's concatenation included."""
    inputs = given(unet, size)
    context = inputs["encoder_hidden_states"]
    emb = unet.time_embedding(unet.time_proj(inputs["timestep"]))
    if "added_cond_kwargs" in inputs:
        added = inputs["added_cond_kwargs"]
        times = unet.add_time_proj(added["time_ids"].flatten()).reshape(2, -1)
        emb = emb + unet.add_embedding(torch.cat([added["text_embeds"], times], dim=-1))

    def block(hidden: Tensor, at: int, part: Any) -> Tensor:
        hidden = part.resnets[at](hidden, emb)
        if attentions := getattr(part, "attentions", None):
            hidden = attentions[at](hidden, context, return_dict=False)[0]
        return hidden

    hidden = unet.conv_in(inputs["sample"])
    skips = [hidden]
    for part in unet.down_blocks:
        for at in range(len(part.resnets)):
            hidden = block(hidden, at, part)
            skips.append(hidden)
        for downsampler in part.downsamplers or ():
            hidden = downsampler.conv(hidden)
            skips.append(hidden)
    middle = unet.mid_block
    hidden = block(hidden, 0, middle)
    hidden = middle.resnets[1](hidden, emb)
    for part in unet.up_blocks:
        for at in range(len(part.resnets)):
            skip = skips.pop()
            if hidden.shape[-2:] != skip.shape[-2:]:
                hidden = interpolate(hidden, skip.shape[-2:], mode="nearest")
            hidden = block(torch.cat([hidden, skip], dim=1), at, part)
        for upsampler in part.upsamplers or ():
            hidden = upsampler.conv(interpolate(hidden, scale_factor=2, mode="nearest"))
    output: Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
    return output


def error(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).square().mean().sqrt() / wanted.std())


@pytest.mark.parametrize("size", [EVEN, *ODD])
def test_every_size_is_upsampled_as_in_ldm(pair: tuple[Any, Any], size: tuple[int, int]) -> None:
    loaded, plain = pair
    with torch.inference_mode():
        wanted = ldm(plain, size)
    assert tuple(wanted.shape[-2:]) == size
    assert error(predict(loaded, size), wanted) < 1e-5
    # diffusers' own way is as good for even sizes only.
    assert (error(predict(plain, size), wanted) < 1e-5) == (size == EVEN)


def test_even_sizes_are_bit_for_bit_diffusers_own(pair: tuple[Any, Any]) -> None:
    loaded, plain = pair
    assert torch.equal(predict(loaded, EVEN), predict(plain, EVEN))


def test_a_graph_without_breaks_is_made_of_it(pair: tuple[Any, Any]) -> None:
    """As torch.compile and CUDA graphs need it: no branch on what a tensor holds."""
    loaded, _ = pair
    exported = torch.export.export(loaded, (), {**given(loaded, (9, 15)), "return_dict": False})
    with torch.inference_mode():
        got = exported.module()(**given(loaded, (9, 15)), return_dict=False)[0]
    assert error(got, predict(loaded, (9, 15))) < 1e-5


def test_weights_keep_their_names(pair: tuple[Any, Any]) -> None:
    loaded, plain = pair
    double_then_cut(plain)
    assert list(loaded.state_dict()) == list(plain.state_dict())
    assert error(predict(plain, ODD[0]), predict(loaded, ODD[0])) == 0
