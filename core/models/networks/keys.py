"""Layer keys: every way in which a network's file may name a layer of a model.

The table is made from the model's own modules, so a key is looked up and never taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from core.families import Family
from core.models.weights.ldm_keys import unet_key
from core.models.weights.network_file import WIDTHS


class LayerPlace(NamedTuple):
    """A layer of a model: its component (``te1``, ``te2`` or ``unet``) and its module's name."""

    component: str
    module: str


def places(components: Mapping[str, nn.Module]) -> dict[str, LayerPlace]:
    """Return the layers of a model by every spelling of their keys.

    ``components`` are ``unet``, ``te1`` (the only text encoder, or SDXL's first) and ``te2``.
    """
    table: dict[str, LayerPlace] = {}
    for component, module in components.items():
        for name, part in module.named_modules():
            if isinstance(getattr(part, "weight", None), Tensor):
                place = LayerPlace(component, name)
                spell = _unet if component == "unet" else _text
                table |= dict.fromkeys(spell(component, name, module), place)
    return table


def family(components: Mapping[str, nn.Module]) -> Family | None:
    """Return the family of a model's components; None for sizes that none of them has."""
    if "te2" in components:
        return "sdxl"
    sizes = [
        getattr(module.config, "cross_attention_dim" if name == "unet" else "hidden_size", None)
        for name, module in components.items()
    ]
    return next((WIDTHS[size] for size in sizes if size in WIDTHS), None)


def open_clip(component: str, module: Any) -> bool:
    """Whether a text encoder is OpenCLIP's (SD 2's, SDXL's second), not OpenAI's."""
    return component == "te2" or (component == "te1" and module.config.hidden_act == "gelu")


def original_name(module: str, unet: Any) -> str:
    """Return LDM's name of a UNet's module: ``conv_in`` → ``input_blocks.0.0``.

    It is diffusers' own where LDM has no such UNet.
    """
    if not isinstance(unet.config.layers_per_block, int):
        return module
    return unet_key(f"{module}.weight", unet.config).key.removesuffix(".weight")


def _unet(component: str, name: str, module: Any) -> Iterator[str]:
    yield from _spelt(name, ("lora_unet_", "lycoris_", "oft_unet_"), ("unet.", ""))
    dotted = ("diffusion_model.", "model.diffusion_model.", "unet.", "")
    yield from _spelt(original_name(name, module), ("lora_unet_", "lycoris_", "oft_unet_"), dotted)


def _text(component: str, name: str, module: Any) -> Iterator[str]:
    name = name.removeprefix("text_model.")
    number = component.removeprefix("te")
    kohya = [f"lora_te{number}_text_model_", f"lora_te{number}_", f"oft_te{number}_text_model_"]
    dotted = ["text_encoder.text_model." if number == "1" else "text_encoder_2.text_model."]
    dotted.append(dotted[0].removesuffix("text_model."))
    if number == "1":
        kohya += ["lora_te_text_model_", "lora_te_", "lycoris_text_model_", "oft_te_text_model_"]
    yield from _spelt(name, kohya, dotted)
    # Early diffusers wrote an attention's parts as in its UNet.
    block, _, part = name.rpartition(".self_attn.")
    if block:
        yield from (f"{start}{block}.self_attn.to_{part[:-5]}" for start in dotted)


def _spelt(name: str, underscored: Sequence[str], dotted: Sequence[str]) -> Iterator[str]:
    flat = name.replace(".", "_")
    # The output of an attention is its list's first part, which early files leave out.
    short = name.removesuffix(".0") if name.endswith("to_out.0") else name
    for start in underscored:
        yield start + flat
    for start in dotted:
        for spelt in {name, short}:
            yield start + spelt
            yield f"base_model.model.{start}{spelt}"
