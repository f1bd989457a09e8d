"""ComfyUI's graph of nodes: following links to values and texts, whatever nodes they come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_NODES: Final = 5000
# How far a value is followed from node to node.
MAX_HOPS: Final = 60

# Where nodes keep the one value or text that they pass on.
_VALUES: Final = ("value", "seed", "noise_seed", "int", "float", "number", "Number", "a")
_TEXTS: Final = (
    *("populated_text", "text", "Text", "string", "String", "value", "prompt", "result"),
    *("wildcard_text", "text_g", "text_positive", "positive", "t5xxl", "text1", "text_0", "any"),
)
_PART: Final = re.compile(r"(text|string|prompt|input)_?([a-z]|\d{1,2})")
# The widgets of the usual nodes, in the order in which a saved workflow lists their values.
_WIDGETS: Final = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        *("add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"),
        *("start_at_step", "end_at_step", "return_with_leftover_noise"),
    ),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CLIPTextEncode": ("text",),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "VAELoader": ("vae_name",),
    "LatentUpscale": ("upscale_method", "width", "height", "crop"),
    "LatentUpscaleBy": ("upscale_method", "scale_by"),
    "UpscaleModelLoader": ("model_name",),
    "PrimitiveNode": ("value",),
}


@dataclass(frozen=True, slots=True, eq=False)
class GraphNode:
    """One node: its id, its class, and each input's value or link ``[id, output]``."""

    id: str
    kind: str
    inputs: Mapping[str, Any]


class Graph:
    """The nodes of a picture, by id. ``used`` are those that a value was read from."""

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        self.nodes: dict[str, GraphNode] = {}
        self.used: set[str] = set()
        # Texts may be joined of texts: how many nodes are asked in all.
        self._patience = MAX_NODES
        for key, node in list(nodes.items())[:MAX_NODES]:
            if isinstance(node, Mapping) and isinstance(node.get("inputs"), Mapping):
                kind = str(node.get("class_type", ""))
                self.nodes[str(key)] = GraphNode(str(key), kind, node["inputs"])

    @classmethod
    def of_workflow(cls, workflow: Mapping[str, Any]) -> Graph:
        """Make it of a workflow as the editor saves it, where values stand without names."""
        origins = {
            link[0]: [str(link[1]), link[2]]
            for link in workflow.get("links") or ()
            if isinstance(link, list) and len(link) >= 5
        }
        nodes: dict[str, Any] = {}
        for node in workflow.get("nodes") or ():
            if not isinstance(node, Mapping):
                continue
            kind, values = str(node.get("type", "")), node.get("widgets_values")
            names = _WIDGETS.get(kind, ("text",))
            inputs = dict(values) if isinstance(values, Mapping) else {}
            if isinstance(values, list):
                inputs = {name: each for name, each in zip(names, values, strict=False) if name}
            for entry in node.get("inputs") or ():
                if isinstance(entry, Mapping) and entry.get("link") in origins:
                    inputs[str(entry.get("name"))] = origins[entry["link"]]
            # A node that is switched off (2) or passed by (4) takes no part.
            if node.get("mode") not in (2, 4):
                nodes[str(node.get("id"))] = {"class_type": kind, "inputs": inputs}
        return cls(nodes)

    def source(self, node: GraphNode, *names: str) -> GraphNode | None:
        """Return the node that one of these inputs is linked to, and count it as used."""
        for name in names:
            found = self.linked(node.inputs.get(name))
            if found is not None:
                self.used.add(found.id)
                return found
        return None

    def linked(self, value: object) -> GraphNode | None:
        """Return the node that an input's value is a link to."""
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
            return self.nodes.get(str(value[0]))
        return None

    def links(self, node: GraphNode) -> Iterator[GraphNode]:
        """Yield the nodes that any of its inputs is linked to."""
        return (found for value in node.inputs.values() if (found := self.linked(value)))

    def value(self, node: GraphNode, name: str) -> Any:
        """Return an input's value, from the node that it is linked to where it is linked.

        None where there is none, or where it could not be followed.
        """
        for _ in range(MAX_HOPS):
            value = node.inputs.get(name)
            if not isinstance(value, list):
                return value
            found = self.source(node, name)
            if found is None:
                return None
            node = found
            name = next((key for key in (name, *_VALUES) if key in node.inputs), "")
            if not name:
                # Such as a reroute: the one thing that it passes on.
                linked = [key for key, each in node.inputs.items() if self.linked(each)]
                literal = [key for key, each in node.inputs.items() if not isinstance(each, list)]
                name = (linked or literal)[0] if len(linked or literal) == 1 else ""
        return None

    def text(self, node: GraphNode, name: str, hops: int = MAX_HOPS) -> str | None:
        """Return the text of an input, joined where nodes join texts; None where it is unknown."""
        value = node.inputs.get(name)
        if isinstance(value, str):
            return value
        found = self.source(node, name)
        self._patience -= 1
        if found is None or hops <= 0 or self._patience <= 0:
            return None
        parts = [key for key in found.inputs if _PART.fullmatch(key)]
        if len(parts) > 1 or (parts and "delimiter" in found.inputs):
            return self._joined(found, sorted(parts), hops - 1)
        inputs = found.inputs
        for key in (name, *_TEXTS, *(inputs if len(inputs) == 1 else ())):
            if key in inputs and (text := self.text(found, key, hops - 1)) is not None:
                return text
        return None

    def _joined(self, node: GraphNode, parts: list[str], hops: int) -> str | None:
        texts = [self.text(node, key, hops) for key in parts]
        delimiter = node.inputs.get("delimiter", node.inputs.get("separator", ", "))
        if any(text is None for text in texts):
            return None
        return str(delimiter).join(text for text in texts if text)

    def upstream(self, *ends: GraphNode) -> dict[str, GraphNode]:
        """All nodes that these depend on, themselves included, nearest first."""
        found = {node.id: node for node in ends}
        waiting = list(ends)
        for node in waiting:
            for linked in self.links(node):
                if linked.id not in found:
                    found[linked.id] = linked
                    waiting.append(linked)
        return found
