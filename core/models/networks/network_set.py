"""``NetworkSet``: the networks of one picture on one model, sorted by how they are applied."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core.models.networks.binding import Bound
from core.models.networks.keys import LayerPlace
from core.models.networks.merging import Step
from core.models.networks.rows import Factor
from core.notes import Note
from core.text.embeddings import Bundled


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

    ``text_key`` and ``merged_key`` are empty without text encoder or merged layers. ``bundled``
    are embeddings that came with the networks.
    """

    matches: tuple[Match, ...]
    text_key: Hashable
    merged_key: Hashable
    text: Mapping[LayerPlace, Sequence[Step]]
    unet: Mapping[LayerPlace, Sequence[Step]]
    factors: Mapping[str, Sequence[Factor]]
    bundled: Mapping[str, Bundled]
    notes: tuple[Note, ...] = ()
    # Held so that other pictures with the same networks share the tensors on the device.
    bound: tuple[Bound, ...] = field(default=(), repr=False)

    @property
    def changes_unet(self) -> bool:
        """Whether calls of the UNet are others with it."""
        return bool(self.unet or self.factors)


def match(bound: Bound) -> Match:
    """Return what of a network the model has a place for."""
    modules = tuple(f"{place.component}.{place.module}" for place in bound.layers)
    return Match(bound.network.name, modules, bound.unmatched, bound.misfits, bound.partial)


def notes(bound: Bound) -> Iterator[Note]:
    """Yield a note where the model has no place for some of a network."""
    out = len(bound.unmatched) + len(bound.misfits) + len(bound.partial)
    if out:
        whole = out + len(bound.layers)
        yield Note.of("network_partly", name=bound.network.name, out=out, whole=whole)
