"""ComfyUI's pictures: the graph that made them, read from its sampler back along the links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from core.pictures.foreign import weights
from core.pictures.foreign.graph import MAX_HOPS, Graph, GraphNode
from core.pictures.foreign.lora_nodes import loras_of
from core.pictures.foreign.second_pass import second_pass
from core.pictures.foreign.translated import (
    Translated,
    is_off,
    network,
    sampler,
    short,
    size,
    stem,
)

PROGRAM: Final = "ComfyUI"

_OUTPUTS: Final = re.compile(r"Save|Preview|ImageSend|SendImage|Image.?Output", re.IGNORECASE)
_DECODES: Final = re.compile(r"VAE.?Decode", re.IGNORECASE)
# Nodes that pass on what they get, or only show something.
_PLAIN: Final = re.compile(
    r"Reroute|Note|Primitive|Save|Preview|Show|Display|Image.?(Send|Output)|VAE.?Decode|Literal"
    r"|.*Loader.*|Empty.*Latent.*|Anything Everywhere.*",
    re.IGNORECASE,
)
_MAX_PASSES: Final = 50
_MODEL: Final = ("ckpt_name", "base_ckpt_name", "unet_name", "model_name")


def read(entries: Mapping[str, Any]) -> Translated | None:
    """Translate ``prompt`` (the graph that ran), or ``workflow`` alone (the editor's)."""
    graph = None
    if isinstance(entries.get("prompt"), Mapping):
        graph = Graph(entries["prompt"])
    if (graph is None or not graph.nodes) and isinstance(entries.get("workflow"), Mapping):
        graph = Graph.of_workflow(entries["workflow"])
    if graph is None or not graph.nodes:
        return None
    ends = [node for node in graph.nodes.values() if _OUTPUTS.search(node.kind)]
    involved = graph.upstream(*ends)
    passes = [node for node in involved.values() if _is_sampler(node)]
    if not passes:
        involved = graph.nodes
        passes = [node for node in involved.values() if _is_sampler(node)]
    passes = passes[:_MAX_PASSES]
    # Nearest the output is the last pass; the first one generates the image.
    first = next((each for each in passes if not _before(graph, each)), None)
    return _Picture(graph, involved, passes, first).translated() if first else None


def _is_sampler(node: GraphNode) -> bool:
    inputs = node.inputs
    latent = "latent_image" in inputs or "latent" in inputs or "optional_latent" in inputs
    steps = "steps" in inputs or "sigmas" in inputs
    return steps and (latent or {"positive", "cfg"} <= inputs.keys()) and "samples" not in inputs


def _before(graph: Graph, node: GraphNode) -> list[GraphNode]:
    """The samplers whose result this one goes on with."""
    start = [
        linked
        for name in ("latent_image", "latent", "optional_latent", "image", "pixels")
        if (linked := graph.linked(node.inputs.get(name))) is not None
    ]
    return [each for each in graph.upstream(*start).values() if _is_sampler(each)]


class _Picture:
    """What the graph says about the first pass, and what else made the picture."""

    def __init__(
        self,
        graph: Graph,
        involved: dict[str, GraphNode],
        passes: list[GraphNode],
        first: GraphNode,
    ) -> None:
        self.graph, self.involved, self.passes, self.first = graph, involved, passes, first
        graph.used |= {node.id for node in passes}
        self.pairs: dict[str, Any] = {}
        self.models: list[GraphNode] = []
        self.clips: list[GraphNode] = []
        # Conditionings may be combined of combinations: how many nodes are asked in all.
        self._patience = 5 * MAX_HOPS

    def translated(self) -> Translated:
        prompts = self._prompt("positive"), self._prompt("negative")
        self._sampling()
        self._model()
        self._latent()
        tags = "".join(f" {tag}" for tag in self._networks())
        others = [each for each in self.passes if each is not self.first]
        second = second_pass(self.graph, self.first, others[0]) if len(others) == 1 else None
        self.pairs |= second or {}
        for each in others if second is None else ():
            self._another_pass(each)
        self._others()
        return Translated(PROGRAM, f"{prompts[0]}{tags}".strip(), prompts[1], self.pairs)

    # --- the sampler's numbers

    def _sampling(self) -> None:
        graph, node = self.graph, self.first
        noise, chosen = graph.source(node, "noise"), graph.source(node, "sampler")
        sigmas, guider = graph.source(node, "sigmas"), graph.source(node, "guider")
        stepping, guiding = sigmas or node, guider or node
        name = graph.value(chosen or node, "sampler_name") or (chosen.kind if chosen else "")
        schedule = graph.value(stepping, "scheduler")
        if sigmas is not None and schedule is None:
            schedule = _snake(sigmas.kind.removesuffix("Scheduler"))
        # ComfyUI's DDIM is Euler's method.
        plain = "euler" if name == "ddim" else name
        seeded = noise or node
        denoise = graph.value(stepping, "denoise")
        kind, schedule_type = sampler(plain, schedule)
        seed = graph.value(seeded, "noise_seed")
        self.pairs |= {
            "Steps": graph.value(stepping, "steps"),
            "Sampler": kind,
            "Schedule type": schedule_type,
            "CFG scale": graph.value(guiding, "cfg"),
            "Seed": graph.value(seeded, "seed") if seed is None else seed,
            "RNG": "CPU",
        }
        if _is_number(denoise) and denoise < 1:
            self.pairs["Denoising strength"] = denoise
        start, end = (graph.value(node, f"{each}_at_step") for each in ("start", "end"))
        if _is_number(start) and start > 0:
            self.pairs["start_at_step"] = start
        if _is_number(end) and _is_number(self.pairs["Steps"]) and end < self.pairs["Steps"]:
            self.pairs["end_at_step"] = end

    def _another_pass(self, node: GraphNode) -> None:
        names = ("steps", "cfg", "sampler_name", "scheduler", "denoise", "seed", "noise_seed")
        said = {name: self.graph.value(node, name) for name in names}
        said = {name: value for name, value in said.items() if value is not None}
        key, number = "Another pass", 2
        while key in self.pairs:
            key, number = f"Another pass {number}", number + 1
        self.pairs[key] = f"{node.kind} {short(said)}"

    # --- prompts

    def _prompt(self, side: str) -> str:
        graph = self.graph
        guider = graph.source(self.first, "guider") or self.first
        names = (side, "conditioning") if side == "positive" else (side,)
        text = self._conditioning(guider, names, side)
        if text is None and (found := graph.source(guider, *names)):
            return self._unread(found, side)
        return text or ""

    def _unread(self, node: GraphNode, side: str) -> str:
        key = "Unread prompt" if side == "positive" else "Unread negative prompt"
        self.pairs[key] = f"node {node.id} ({node.kind})"
        return ""

    def _conditioning(self, node: GraphNode, names: tuple[str, ...], side: str) -> str | None:
        """Follow the conditioning from an input to the text that was encoded."""
        graph = self.graph
        while self._patience > 0:
            self._patience -= 1
            found = graph.source(node, *names)
            if found is None:
                literal = node.inputs.get(names[0])
                return weights.from_comfyui(literal) if isinstance(literal, str) else None
            node, inputs = found, found.inputs
            if "ZeroOut" in node.kind:
                return ""
            encoded = self._encoded(node, side)
            if encoded is not None:
                return encoded
            linked = [key for key in inputs if re.match(r"conditioning(_\w+)?$", key)]
            if side in inputs:
                names = (side,)
            elif linked:
                names = (linked[0],)
                for key in linked[1:]:
                    other = self._conditioning(node, (key,), side)
                    self.pairs[f"Node {node.kind} {side}"] = other or f"node {node.id}"
            else:
                names = tuple(key for key in inputs if isinstance(inputs[key], list))[:1]
            if not self._is_plain(node):
                self._name(node)
        return None

    def _encoded(self, node: GraphNode, side: str) -> str | None:
        """The text that a node encodes, if it is one that does."""
        inputs = node.inputs
        names = ("text", "text_g", "t5xxl", "prompt", "text_positive" if side == "positive" else "")
        name = next((each for each in names if each and each in inputs), None)
        if name is None and isinstance(inputs.get(side), str):
            name = side
        if name is None:
            return None
        if side == "positive" and (clip := self.graph.source(node, "clip")):
            self.clips = self._chain(clip, "clip")
        text = self.graph.text(node, name)
        if text is None:
            return self._unread(node, side)
        second = self.graph.text(node, "text_l") if name == "text_g" else None
        if second is not None and second != text:
            self.pairs[f"text_l {side}"] = second
        said = (str(self.pairs.get("Used embeddings", "")), weights.embeddings(text))
        self.pairs["Used embeddings"] = ", ".join(filter(None, said))
        for key in ("parser", "weight_interpretation"):
            if str(inputs.get(key, "")).startswith("A1111"):
                return text
        return weights.from_comfyui(text)

    # --- model, LoRAs, clip skip, size, VAE

    def _chain(self, node: GraphNode | None, name: str) -> list[GraphNode]:
        """The nodes that a model or a text encoder went through, from here to the file."""
        chain: list[GraphNode] = []
        while node is not None and len(chain) < MAX_HOPS:
            self.graph.used.add(node.id)
            chain.append(node)
            node = self.graph.source(node, name, "any", "any_01")
        return chain

    def _model(self) -> None:
        graph = self.graph
        guider = graph.source(self.first, "guider") or self.first
        self.models = self._chain(graph.source(guider, "model"), "model")
        for node in self.models:
            if found := next((graph.value(node, key) for key in _MODEL if key in node.inputs), ""):
                self.pairs["Model"] = stem(found)
            elif "lora" not in node.kind.lower() and not self._is_plain(node):
                self._name(node)
        for node in (*self.clips, *self.models):
            skip = node.inputs.get("stop_at_clip_layer", node.inputs.get("clip_skip"))
            if isinstance(skip, int) and "Clip skip" not in self.pairs:
                self.pairs["Clip skip"] = abs(skip)
        decode = next((each for each in self.involved.values() if _DECODES.search(each.kind)), None)
        vae = graph.source(decode, "vae") if decode else None
        loader = next((n for n in (vae, *self.models) if n and "vae_name" in n.inputs), None)
        name = stem(graph.value(loader, "vae_name")) if loader else None
        if name and name not in ("Baked VAE", "None"):
            self.pairs["VAE"] = name

    def _networks(self) -> list[str]:
        """The tags of the LoRAs, in the order in which they were applied."""
        chains = self.models[::-1], self.clips[::-1]
        tags: dict[tuple[str, str], tuple[Any, Any]] = {}
        for node in dict.fromkeys((*chains[0], *chains[1])):
            for name, unet, te in loras_of(self.graph, node):
                on_unet = unet if node in chains[0] else 0
                # Loaders of both at once have no chain of their own for the text encoder.
                on_te = te if node in chains[1] or "ckpt_name" in node.inputs else 0
                if not (is_off(on_unet) and is_off(on_te)):
                    tags[node.id, name] = on_te, on_unet
        return [network(name, te, unet) for (_, name), (te, unet) in tags.items()]

    def _latent(self) -> None:
        graph, node = self.graph, self.first
        names: tuple[str, ...] = ("latent_image", "latent", "optional_latent", "samples", "pixels")
        for _ in range(MAX_HOPS):
            found = graph.source(node, *names, "image")
            if found is None:
                break
            node = found
            if "Load" in node.kind and "image" in node.inputs:
                self.pairs["Start image"] = short(node.inputs["image"])
                self.pairs.setdefault("Denoising strength", 1.0)
                return
        loader = next((each for each in self.models if "empty_latent_width" in each.inputs), None)
        if loader is not None:
            wide, high = "empty_latent_width", "empty_latent_height"
            node = loader
        else:
            wide, high = "width", "height"
        self.pairs["Size"] = size(graph.value(node, wide), graph.value(node, high))
        count = graph.value(node, "batch_size")
        if _is_number(count) and count > 1:
            self.pairs["Images from one seed"] = count

    # --- what else took part

    def _is_plain(self, node: GraphNode) -> bool:
        return bool(_PLAIN.match(node.kind)) or "stop_at_clip_layer" in node.inputs

    def _name(self, node: GraphNode) -> None:
        said = {key: each for key, each in node.inputs.items() if not isinstance(each, list)}
        self.pairs.setdefault(f"Node {node.kind}", short(said) if said else f"node {node.id}")

    def _others(self) -> None:
        """Name the other nodes that the picture went through, and those that it did not."""
        for node in self.involved.values():
            if node.id not in self.graph.used and not self._is_plain(node):
                self._name(node)
        unused = [node for node in self.graph.nodes.values() if node.id not in self.involved]
        unused += [
            node
            for node in self.involved.values()
            if "lora" in node.kind.lower() and node.id not in self.graph.used
        ]
        said = [
            " ".join(filter(None, (node.kind, stem(node.inputs.get("lora_name")))))
            for node in unused
            if not re.match(r"Note|Primitive|Reroute", node.kind)
        ]
        if said:
            self.pairs["Unused nodes"] = ", ".join(sorted(set(said)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
