"""``ModelNetworks``: how networks act on one loaded model.

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
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from torch import nn

from core.errors import NetworkLimit, NetworkMismatch
from core.models.networks.binding import Bound, bind
from core.models.networks.keys import LayerPlace, family, original_name, places
from core.models.networks.kinds import is_low_rank, scale
from core.models.networks.loaded import NetworkFiles
from core.models.networks.merging import Changed, Step, merged, swapped
from core.models.networks.network_set import Match, NetworkSet, match, notes
from core.models.networks.rows import Factor, RowPlan
from core.models.weights.network_file import KIND, MAX_MULTIPLIER, MAX_NETWORKS, NetworkUse
from core.text.encoder import Changes

# A layer whose networks have more ranks together is merged: it costs less.
MAX_SHARED_RANK: Final = 256
# Bytes of merged weights kept for sets that take turns. The last one used is always kept.
MERGED_BYTES: Final = 4 * 2**30
PLANS: Final = 2


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
        self._binding = threading.Lock()
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
        bound = self.bound(uses)
        key = tuple(
            use._replace(path=each.network.stamp)  # type: ignore[arg-type]
            for use, each in zip(uses, bound, strict=True)
        )
        found = self._sets.get(key)
        if found is None:
            found = self._sets[key] = self._make(list(zip(uses, bound, strict=True)))
        return found

    def bound(self, uses: Sequence[NetworkUse]) -> tuple[Bound, ...]:
        """Read networks and find their layers in the model, from any thread: while what this
        returns is held, :meth:`set_of` need not. Raises as that does.
        """
        if len(uses) > MAX_NETWORKS:
            raise NetworkLimit("count", str(len(uses)), MAX_NETWORKS)
        return tuple(self._bind(use) for use in uses)

    def _bind(self, use: NetworkUse) -> Bound:
        for value in (use.te, use.unet, *(weight for _, weight in use.blocks)):
            if not math.isfinite(value) or abs(value) > MAX_MULTIPLIER:
                raise NetworkLimit("weight", f"{value:g}", MAX_MULTIPLIER)
        network = self._files.load(use.path)
        if network.family and self.family and network.family != self.family:
            raise NetworkMismatch(KIND, network.name, network.family, self.family)
        with self._binding:
            found = self._bound.get(network.stamp)
            if found is None:
                found = bind(network, self._table, self._components)
                self._bound[network.stamp] = found
            return found

    def _make(self, uses: list[tuple[NetworkUse, Bound]]) -> NetworkSet:
        """Sort the layers: text encoders', the UNet's to merge, and those to add to rows."""
        layers: dict[LayerPlace, list[tuple[Bound, Step]]] = defaultdict(list)
        for use, bound in uses:
            for place, parts in bound.layers.items():
                if multiplier := self._multiplier(use, place):
                    layers[place].append((bound, Step(parts, multiplier, use.dyn)))
        text: dict[LayerPlace, list[Step]] = {}
        unet: dict[LayerPlace, list[Step]] = {}
        factors: dict[str, Sequence[Factor]] = {}
        for place, each in layers.items():
            steps = [step for _, step in each]
            if place.component != "unet":
                text[place] = steps
            elif self._is_added(place, steps):
                factors[place.module] = self._factors(place, each)
            else:
                unet[place] = steps

        def acts(use: NetworkUse, bound: Bound, on: Mapping[LayerPlace, Sequence[Step]]) -> bool:
            return any(self._multiplier(use, place) for place in bound.layers.keys() & on)

        return NetworkSet(
            tuple(match(bound) for _, bound in uses),
            tuple(
                (bound.network.stamp, use.te, use.dyn, dict(use.blocks).get("BASE", 1.0))
                for use, bound in uses
                if acts(use, bound, text)
            ),
            tuple(
                (bound.network.stamp, use.unet, use.dyn, use.blocks)
                for use, bound in uses
                if acts(use, bound, unet)
            ),
            text,
            unet,
            factors,
            {name: each for _, bound in uses for name, each in bound.network.bundled.items()},
            tuple(note for _, bound in uses for note in notes(bound)),
            tuple(bound for _, bound in uses),
        )

    def _multiplier(self, use: NetworkUse, place: LayerPlace) -> float:
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

    def _is_added(self, place: LayerPlace, steps: Sequence[Step]) -> bool:
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

    def _factors(
        self, place: LayerPlace, layers: Sequence[tuple[Bound, Step]]
    ) -> tuple[Factor, ...]:
        weight = self._module(place).weight
        return tuple(
            Factor(*bound.factors(place, weight, step.dyn), step.multiplier * scale(step.parts))
            for bound, step in layers
        )

    def _module(self, place: LayerPlace) -> Any:
        return self._components[place.component].get_submodule(place.module)

    def _changed(self, steps: Mapping[LayerPlace, Sequence[Step]]) -> Iterator[Changed]:
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

        Their conditioner learns of it by their attribute ``networks``, and caches accordingly.
        Inside another such context both act.
        """
        if own is None or not (own.text or own.bundled):
            yield
            return
        encoders = [module for name, module in self._components.items() if name != "unet"]
        outer = [vars(encoder).get("networks") for encoder in encoders]
        with swapped(self._changed(own.text)):
            for encoder, changes in zip(encoders, outer, strict=True):
                encoder.networks = Changes(own.text_key, own.bundled).inside(changes)
            try:
                yield
            finally:
                for encoder, changes in zip(encoders, outer, strict=True):
                    del encoder.networks
                    if changes is not None:
                        encoder.networks = changes

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


@contextmanager
def applied(
    components: Mapping[str, nn.Module], uses: Sequence[NetworkUse | tuple[Any, ...]]
) -> Iterator[tuple[Match, ...]]:
    """Calls of a model's ``components`` act with the networks while the context lasts, and with
    those of another such context around it.

    ``components`` are transformers' and diffusers' modules: ``te1``, ``te2``, ``unet``. ``uses``
    are (path, te, unet, dyn), in prompt order. Yields what of each network was matched. Raises
    :class:`~core.errors.Refused`, :class:`NetworkMismatch` and :class:`NetworkLimit`.
    """
    networks = ModelNetworks(components, shares=False)
    with networks.applied([NetworkUse(Path(use[0]), *use[1:]) for use in uses]) as matches:
        yield matches
