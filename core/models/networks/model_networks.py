"""``ModelNetworks``: the networks of one loaded model, and ``NetworkSet``: those of one picture.

How an engine uses them::

    networks = ModelNetworks({"te1": text_encoder, "unet": unet}, files)
    own = networks.set_of(uses)                      # once a picture; loads and checks the files
    with networks.encoding(own):                     # the text encoders' part, merged
        ...                                          # cache what is encoded by own.text_key
    with networks.rows([own, own, other, other]):    # one set for each row of the call
        unet(...)                                    # all of one merged_key

LoRA and LoCon layers are added row by row. Layers of other kinds are merged into the weights, so
rows share a call only where those are the same: ``merged_key`` says so.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

from torch import nn

from core.errors import NetworkLimit, NetworkMismatch
from core.models.networks.binding import Bound, bind
from core.models.networks.keys import Place, family, original_name, places
from core.models.networks.kinds import is_low_rank, scale
from core.models.networks.loaded import NetworkFiles
from core.models.networks.merging import Changed, Step, merged, swapped
from core.models.networks.rows import Factor, RowPlan
from core.models.weights.network_file import KIND, MAX_MULTIPLIER, MAX_NETWORKS, NetworkUse
from core.notes import Note

# A layer whose networks have more ranks together is merged: it costs less.
MAX_SHARED_RANK: Final = 256
# Bytes of merged weights kept for sets that take turns. The last one used is always kept.
MERGED_BYTES: Final = 4 * 2**30
PLANS: Final = 2


@dataclass(frozen=True)
class Match:
    """What of one network the model has a place for: modules, and keys of the file left out.

    ``unmatched`` keys are unknown, ``misfits`` have other shapes, ``partial`` are OpenCLIP
    attentions without all four projections.
    """

    name: str
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]
    misfits: tuple[str, ...]
    partial: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NetworkSet:
    """The networks of one picture on one model.

    ``text_key`` and ``merged_key`` are hashable; empty without text encoder or merged layers.
    """

    matches: tuple[Match, ...]
    text_key: Hashable
    merged_key: Hashable
    text: Mapping[Place, Sequence[Step]]
    unet: Mapping[Place, Sequence[Step]]
    factors: Mapping[str, Sequence[Factor]]
    notes: tuple[Note, ...] = ()
    # Held so that other pictures with the same networks share the tensors on the device.
    bound: tuple[Bound, ...] = field(default=(), repr=False)


_NOTHING: Final[Mapping[str, Sequence[Factor]]] = {}


class ModelNetworks:
    """Networks on one model's ``components`` (``unet``, ``te1``, ``te2``).

    With ``shares`` off everything is merged, and only pictures of equal sets share calls: then a
    row's bits do not depend on its neighbours' networks.
    """

    def __init__(
        self,
        components: Mapping[str, nn.Module],
        files: NetworkFiles | None = None,
        *,
        shares: bool = True,
    ) -> None:
        self._components: dict[str, Any] = dict(components)
        self._files = files or NetworkFiles()
        self._shares = shares
        self._table = places(components)
        self.family = family(components)
        self._bound: WeakValueDictionary[Hashable, Bound] = WeakValueDictionary()
        self._sets: WeakValueDictionary[tuple[NetworkUse, ...], NetworkSet] = WeakValueDictionary()
        self._merged: OrderedDict[Hashable, list[Changed]] = OrderedDict()
        self._plans: OrderedDict[tuple[int, ...], tuple[RowPlan, list[NetworkSet | None]]] = (
            OrderedDict()
        )

    def set_of(self, uses: Sequence[NetworkUse]) -> NetworkSet | None:
        """Load and check the networks, in prompt order; None without any.

        Raises :class:`~core.errors.Refused`, :class:`NetworkMismatch` and :class:`NetworkLimit`.
        """
        if not uses:
            return None
        if len(uses) > MAX_NETWORKS:
            raise NetworkLimit("count", str(len(uses)), MAX_NETWORKS)
        bound = tuple(self._bind(use) for use in uses)
        key = tuple(
            use._replace(path=each.network.stamp)  # type: ignore[arg-type]
            for use, each in zip(uses, bound, strict=True)
        )
        found = self._sets.get(key)
        if found is None:
            found = self._sets[key] = self._make(list(zip(uses, bound, strict=True)))
        return found

    def _bind(self, use: NetworkUse) -> Bound:
        for value in (use.te, use.unet, *(weight for _, weight in use.blocks)):
            if not math.isfinite(value) or abs(value) > MAX_MULTIPLIER:
                raise NetworkLimit("weight", f"{value:g}", MAX_MULTIPLIER)
        network = self._files.load(use.path)
        if network.family and self.family and network.family != self.family:
            raise NetworkMismatch(KIND, network.name, network.family, self.family)
        found = self._bound.get(network.stamp)
        if found is None:
            found = bind(network, self._table, self._components)
            self._bound[network.stamp] = found
        return found

    def _make(self, uses: list[tuple[NetworkUse, Bound]]) -> NetworkSet:
        """Sort the layers: text encoders, those of the UNet to merge, and those to add to rows."""
        steps: dict[Place, list[Step]] = {}
        factors: dict[Place, list[tuple[Bound, Step]]] = {}
        keys: dict[str, list[Hashable]] = {"text": [], "unet": []}
        for use, bound in uses:
            for place, parts in bound.layers.items():
                multiplier = self._multiplier(use, place)
                if multiplier:
                    step = Step(parts, multiplier, use.dyn)
                    steps.setdefault(place, []).append(step)
                    factors.setdefault(place, []).append((bound, step))
        added = {place for place in steps if self._is_added(place, steps[place])}
        for use, bound in uses:
            stamp = bound.network.stamp
            places_of = {place for place in bound.layers if self._multiplier(use, place)}
            if any(place.component != "unet" for place in places_of):
                keys["text"].append((stamp, use.te, use.dyn, dict(use.blocks).get("BASE", 1.0)))
            if any(place.component == "unet" for place in places_of - added):
                keys["unet"].append((stamp, use.unet, use.dyn, use.blocks))
        return NetworkSet(
            tuple(_match(bound) for _, bound in uses),
            tuple(keys["text"]),
            tuple(keys["unet"]),
            {place: each for place, each in steps.items() if place.component != "unet"},
            {
                place: each
                for place, each in steps.items()
                if place.component == "unet" and place not in added
            },
            {
                place.module: self._factors(place, factors[place])
                for place in steps
                if place in added
            },
            tuple(note for _, bound in uses for note in _notes(bound)),
            tuple(bound for _, bound in uses),
        )

    def _multiplier(self, use: NetworkUse, place: Place) -> float:
        blocks = dict(use.blocks)
        if place.component != "unet":
            return use.te * blocks.get("BASE", 1.0)
        if not blocks:
            return use.unet
        return use.unet * blocks.get(self._block(place.module), blocks.get("BASE", 1.0))

    def _block(self, module: str) -> str:
        """``down_blocks.0.attentions.0.proj_in`` → ``IN01``; outside the blocks ``BASE``."""
        original = original_name(module, self._components["unet"]).split(".")
        sides = {"input_blocks": "IN", "output_blocks": "OUT"}
        if original[0] in sides:
            return f"{sides[original[0]]}{int(original[1]):02}"
        return "MID" if original[0] == "middle_block" else "BASE"

    def _is_added(self, place: Place, steps: Sequence[Step]) -> bool:
        """Whether a layer is added row by row: if any of its networks must be merged, all are."""
        if not self._shares or place.component != "unet":
            return False
        weight = self._module(place).weight
        ranks = sum(step.parts["up"].shape[1] for step in steps if is_low_rank(step.parts))
        return (
            weight.ndim in (2, 4)
            and ranks <= MAX_SHARED_RANK
            and all(is_low_rank(step.parts) for step in steps)
            # Not an inpainting model's first convolution, of which it lacks inputs.
            and all(step.parts["down"].shape[1] == weight.shape[1] for step in steps)
        )

    def _factors(self, place: Place, layers: Sequence[tuple[Bound, Step]]) -> tuple[Factor, ...]:
        weight = self._module(place).weight
        return tuple(
            Factor(*bound.factors(place, weight, step.dyn), step.multiplier * scale(step.parts))
            for bound, step in layers
        )

    def _module(self, place: Place) -> Any:
        return self._components[place.component].get_submodule(place.module)

    def _changed(self, steps: Mapping[Place, Sequence[Step]]) -> Iterator[Changed]:
        for place, each in steps.items():
            yield from merged(self._module(place), each)

    @contextmanager
    def applied(self, uses: Sequence[NetworkUse]) -> Iterator[tuple[Match, ...]]:
        """All components act with the networks, merged, while the context lasts."""
        own = self.set_of(uses)
        with self.encoding(own), swapped(self._changed(own.unet)) if own else nullcontext():
            yield own.matches if own else ()

    @contextmanager
    def encoding(self, own: NetworkSet | None) -> Iterator[None]:
        """The text encoders act with the set's networks while the context lasts.

        Meanwhile their attribute ``networks`` is ``text_key``, for caches of what they encode.
        """
        if own is None or not own.text:
            yield
            return
        encoders = [module for name, module in self._components.items() if name != "unet"]
        with swapped(self._changed(own.text)):
            for encoder in encoders:
                encoder.networks = own.text_key
            try:
                yield
            finally:
                for encoder in encoders:
                    del encoder.networks

    @contextmanager
    def rows(self, sets: Sequence[NetworkSet | None]) -> Iterator[None]:
        """Each row of the UNet's calls acts with its own set while the context lasts.

        All sets must have one ``merged_key`` (None's is empty). Raises :class:`ValueError`.
        """
        if not any(sets):
            yield
            return
        if len({own.merged_key if own else () for own in sets}) > 1:
            raise ValueError("rows of different merged networks cannot share a call")
        first = next(own for own in sets if own)
        with swapped(self._merged_for(first)), self._plan(sets).installed():
            yield

    def _merged_for(self, own: NetworkSet) -> list[Changed]:
        if own.merged_key not in self._merged:
            self._merged[own.merged_key] = list(self._changed(own.unet))
        self._merged.move_to_end(own.merged_key)
        while len(self._merged) > 1 and self._merged_bytes > MERGED_BYTES:
            self._merged.popitem(last=False)
        return self._merged[own.merged_key]

    @property
    def _merged_bytes(self) -> int:
        return sum(each.tensor.nbytes for changes in self._merged.values() for each in changes)

    def _plan(self, sets: Sequence[NetworkSet | None]) -> RowPlan:
        """Return the plan for these rows: in most steps the last step's."""
        key = tuple(map(id, sets))
        if key not in self._plans:
            while len(self._plans) >= PLANS:
                self._plans.popitem(last=False)
            rows = [own.factors if own else _NOTHING for own in sets]
            # With the sets, so that no other set can get an id of theirs.
            self._plans[key] = RowPlan(self._components["unet"], rows), list(sets)
        self._plans.move_to_end(key)
        return self._plans[key][0]

    def forget(self) -> None:
        """Free the device's memory: nothing is running, or the model leaves the device."""
        self._merged.clear()
        self._plans.clear()


def _match(bound: Bound) -> Match:
    modules = tuple(f"{place.component}.{place.module}" for place in bound.layers)
    return Match(bound.network.name, modules, bound.unmatched, bound.misfits, bound.partial)


def _notes(bound: Bound) -> Iterator[Note]:
    out = len(bound.unmatched) + len(bound.misfits) + len(bound.partial)
    if out:
        whole = out + len(bound.layers)
        yield Note.of("network_partly", name=bound.network.name, out=out, whole=whole)


@contextmanager
def applied(
    components: Mapping[str, nn.Module], uses: Sequence[NetworkUse | tuple[Any, ...]]
) -> Iterator[tuple[Match, ...]]:
    """Calls of a model's ``components`` act with the networks while the context lasts.

    ``components`` are transformers' and diffusers' modules: ``te1``, ``te2``, ``unet``. ``uses``
    are (path, te, unet, dyn), in prompt order. Yields what of each network was matched. Raises
    :class:`~core.errors.Refused`, :class:`NetworkMismatch` and :class:`NetworkLimit`.
    """
    networks = ModelNetworks(components, shares=False)
    with networks.applied([NetworkUse(*use) for use in uses]) as matches:
        yield matches
