"""What an embedding's file contains, from its header: vectors and their widths. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.errors import Refused
from core.families import Family
from core.models.weights.file_kinds import check_kind
from core.models.weights.safetensors_header import Header
from core.prompt.tags import names_embedding

KIND: Final = "embedding"
_PAIR: Final = ("clip_l", "clip_g")
_FAMILIES: Final[dict[tuple[int, ...], Family]] = {
    (768,): "sd1",
    (1024,): "sd2",
    (768, 1280): "sdxl",
}


@dataclass(frozen=True, slots=True)
class EmbeddingFacts:
    """``vectors`` take as many tokens; ``family`` None: no family has encoders of such widths."""

    family: Family | None
    vectors: int


def describe_embedding(header: Header) -> EmbeddingFacts:
    """Return what an embedding's header tells. Raises :class:`Refused` for what is none."""
    check_kind(header, KIND)
    name = header.path.stem
    if not names_embedding(name):
        raise Refused(KIND, name, "short_name")
    if set(_PAIR) <= header.tensors.keys():
        shapes = [header.shape(key) for key in _PAIR]
    elif len(header.tensors) == 1:
        shapes = [info.shape for info in header.tensors.values()]
    else:
        raise Refused(KIND, name, "wrong_kind", f"no embedding: it has {len(header.tensors)} parts")
    shapes = [(1, *shape) if len(shape) == 1 else shape for shape in shapes]
    counts = {shape[0] for shape in shapes if len(shape) == 2}
    if len(counts) != 1 or not all(len(shape) == 2 for shape in shapes) or counts == {0}:
        raise Refused(KIND, name, "wrong_kind", "no embedding: it does not hold vectors")
    return EmbeddingFacts(_FAMILIES.get(tuple(shape[1] for shape in shapes)), counts.pop())
