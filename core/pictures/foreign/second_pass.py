"""A second pass in ComfyUI's graph, where it is what A1111 calls hires fix."""

from __future__ import annotations

import re
from typing import Any, Final

from core.pictures.foreign.graph import MAX_HOPS, Graph, GraphNode
from core.pictures.foreign.translated import sampler, size, stem

# What leads from one pass to the next.
_ON_THE_WAY: Final = re.compile(
    r"LatentUpscale(By)?|ImageScale(By)?|ImageUpscaleWithModel|VAE ?(En|De)code(Tiled)?|Reroute"
)
_BACK: Final = ("latent_image", "latent", "samples", "pixels", "image", "images", "")
_LATENT: Final = {
    "bilinear": "Latent",
    "bicubic": "Latent (bicubic)",
    "nearest-exact": "Latent (nearest-exact)",
}
_PIXELS: Final = {"lanczos": "Lanczos", "nearest-exact": "Nearest"}
_FACTOR: Final = re.compile(r"(?<![\dA-Za-z])(\d)x|x(\d)(?!\d)", re.IGNORECASE)


def second_pass(graph: Graph, first: GraphNode, node: GraphNode) -> dict[str, Any] | None:
    """Write a pass over the first one's enlarged image under A1111's names.

    None where something else stands between the two, or nothing that enlarges.
    """
    way = _between(graph, first, node)
    enlarged = _enlarged(graph, way) if way else None
    if enlarged is None:
        return None
    graph.used |= {each.id for each in way}
    pairs = {
        **enlarged,
        "Hires steps": graph.value(node, "steps"),
        "Denoising strength": graph.value(node, "denoise"),
    }
    names = [sampler(graph.value(each, "sampler_name")) for each in (first, node)]
    types = [sampler("", graph.value(each, "scheduler"))[1] for each in (first, node)]
    scales = [graph.value(each, "cfg") for each in (first, node)]
    seeds = [
        graph.value(each, "seed" if "seed" in each.inputs else "noise_seed")
        for each in (first, node)
    ]
    pairs["Hires sampler"] = names[1][0] if names[0] != names[1] else None
    pairs["Hires schedule type"] = types[1] if types[0] != types[1] else None
    pairs["Hires CFG Scale"] = scales[1] if scales[0] != scales[1] else None
    # A1111 draws the noise of both passes from one seed.
    pairs["Another pass seed"] = seeds[1] if seeds[0] != seeds[1] else None
    return pairs


def _between(graph: Graph, first: GraphNode, node: GraphNode) -> list[GraphNode]:
    """The nodes on the way back from a pass to the first; none where it leads elsewhere."""
    way: list[GraphNode] = []
    for _ in range(MAX_HOPS):
        links = (graph.linked(node.inputs.get(name)) for name in _BACK)
        found = next((each for each in links if each is not None), None)
        if found is first:
            return way
        if found is None or not _ON_THE_WAY.fullmatch(found.kind):
            return []
        way.append(found)
        node = found
    return []


def _enlarged(graph: Graph, way: list[GraphNode]) -> dict[str, Any] | None:
    """How far and by what the image is enlarged."""
    latents = [node for node in way if node.kind.startswith("LatentUpscale")]
    images = [node for node in way if node.kind.startswith("ImageScale")]
    models = [node for node in way if node.kind == "ImageUpscaleWithModel"]
    if max(map(len, (latents, images, models))) > 1 or (latents and (images or models)):
        return None
    sized = next(iter(latents or images), None)
    factor, upscaler = 1.0, None
    if models:
        loader = graph.source(models[0], "upscale_model")
        upscaler = stem(graph.value(loader, "model_name")) if loader else None
        found = _FACTOR.search(upscaler or "")
        factor = float(found[1] or found[2]) if found else 0.0
    elif sized is not None:
        method = str(graph.value(sized, "upscale_method"))
        upscaler = (_LATENT if latents else _PIXELS).get(method)
    if upscaler is None:
        return None
    wide = size(graph.value(sized, "width"), graph.value(sized, "height")) if sized else None
    if wide is not None:
        return {"Hires resize": wide, "Hires upscaler": upscaler}
    by = graph.value(sized, "scale_by") if sized is not None else 1
    if not isinstance(by, int | float) or not factor:
        return None
    return {"Hires upscale": round(by * factor, 4), "Hires upscaler": upscaler}
