"""ComfyUI's nodes that load LoRAs: one, several by number, switched ones, and stacks of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from core.pictures.foreign.graph import MAX_HOPS, Graph, GraphNode
from core.pictures.foreign.translated import is_off

_ON_UNET: Final = ("strength_model", "lora_model_strength", "model_weight", "model_str", "lora_wt")
_ON_TEXT: Final = ("strength_clip", "lora_clip_strength", "clip_weight", "clip_str")


def loras_of(graph: Graph, node: GraphNode, hops: int = MAX_HOPS) -> list[tuple[str, Any, Any]]:
    """A node's LoRAs: (name, strength of the UNet, of the text encoder)."""
    found: list[tuple[str, Any, Any]] = []
    for key, value in node.inputs.items():
        number = re.fullmatch(r"lora(?:_name)?(?:_(\d{1,3}))?", key)
        if number is None:
            continue
        if isinstance(value, Mapping):
            unet = value.get("strength", 1) if value.get("on", True) else 0
            found.append((str(value.get("lora")), unet, value.get("strengthTwo") or unet))
            continue
        name, tail = graph.value(node, key), f"_{number[1]}" if number[1] else ""
        if isinstance(name, str) and not is_off(name) and node.inputs.get(f"switch{tail}") != "Off":
            unet = _strength(graph, node, _ON_UNET, tail, 1)
            found.append((name, unet, _strength(graph, node, _ON_TEXT, tail, unet)))
    stack = graph.source(node, "lora_stack") if hops else None
    return [*loras_of(graph, stack, hops - 1), *found] if stack is not None else found


def _strength(graph: Graph, node: GraphNode, names: tuple[str, ...], tail: str, usual: Any) -> Any:
    keys = (key for name in names for key in (name + tail, name) if key in node.inputs)
    return next((graph.value(node, key) for key in keys), usual)
