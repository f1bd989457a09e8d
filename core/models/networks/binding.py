"""``Bound``: a network's layers found in one model, and what of it that model has no place for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from core.models.networks.keys import LayerPlace, open_clip
from core.models.networks.kinds import (
    MISFITS,
    VALUES,
    LayerParts,
    bias_change,
    change,
    factors,
    is_low_rank,
    scale,
)
from core.models.networks.loaded import LoadedNetwork

_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")


@dataclass(eq=False)
class Bound:
    """The layers of ``network`` by their places in a model; keys without one; layers that misfit.

    ``partial`` are OpenCLIP attentions of which the file has some projections only: A1111 applies
    none of them, so pictures made with such a file have none of it.
    """

    network: LoadedNetwork
    layers: dict[LayerPlace, LayerParts]
    unmatched: tuple[str, ...]
    misfits: tuple[str, ...]
    partial: tuple[str, ...]
    _factors: dict[tuple[LayerPlace, int | None], tuple[Tensor, Tensor]] = field(
        default_factory=dict
    )

    def factors(self, place: LayerPlace, weight: Tensor, dyn: int | None) -> tuple[Tensor, Tensor]:
        """Return a low-rank layer's ``up`` and ``down``, unscaled, on the weight's device.

        Pictures that use the same network share them.
        """
        if (place, dyn) not in self._factors:
            up, down = factors(self.layers[place], dyn)
            down = down.reshape(-1, *weight.shape[1:])
            found = (up.to(weight.device, weight.dtype), down.to(weight.device, weight.dtype))
            self._factors[place, dyn] = found
        return self._factors[place, dyn]


def bind(
    network: LoadedNetwork, table: Mapping[str, LayerPlace], components: Mapping[str, nn.Module]
) -> Bound:
    """Find the layers of ``network`` in the model's ``table`` of keys."""
    found: dict[LayerPlace, LayerParts] = {}
    key_of: dict[LayerPlace, str] = {}
    unmatched, misfits = [], []
    for key, parts in network.layers.items():
        place = table.get(key)
        if place is None or place in found:
            unmatched.append(key)
        elif not _fits(parts, components[place.component].get_submodule(place.module)):
            misfits.append(key)
        else:
            found[place], key_of[place] = parts, key
    partial = list(_partial(found, components))
    for place in partial:
        del found[place]
    keys = tuple(key_of[place] for place in partial)
    return Bound(network, found, tuple(unmatched), tuple(misfits), keys)


def _fits(parts: LayerParts, module: Any) -> bool:
    """Compute the change without numbers: the shapes tell before anything is allocated."""
    try:
        if is_low_rank(parts) and "mid" not in parts and _has_shape(parts, module.weight):
            scale(parts)
            return True
        shapes = {
            part: tensor if part in VALUES else tensor.to("meta") for part, tensor in parts.items()
        }
        changed = change(shapes, torch.empty_like(module.weight, device="meta"))
        bias = bias_change(shapes)
    except MISFITS:
        return False
    return changed is not None and (bias is None or bias.shape == module.weight.shape[:1])


def _has_shape(parts: LayerParts, weight: Tensor) -> bool:
    """The same for most layers of most files, in a tenth of the time."""
    up, down = parts["up"], parts["down"]
    rank = down.shape[0]
    outputs, inputs = len(weight), weight[0].numel()
    fits = up.numel() == outputs * rank and down.numel() == rank * inputs
    return fits and up.shape[:2] == (outputs, rank)


def _partial(
    found: Mapping[LayerPlace, LayerParts], components: Mapping[str, nn.Module]
) -> Iterator[LayerPlace]:
    attentions: dict[tuple[str, str], list[LayerPlace]] = defaultdict(list)
    for place in found:
        block, _, part = place.module.rpartition(".")
        if part in _ATTENTION and open_clip(place.component, components[place.component]):
            attentions[place.component, block].append(place)
    for projections in attentions.values():
        if len(projections) < len(_ATTENTION):
            yield from projections
