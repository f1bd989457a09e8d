"""Embeddings (textual inversion): vectors that stand in a prompt in the place of a name.

A name is found as token ids, as A1111 does it: in any case, inside words, the longest first. Each
vector is a token with an id of its own beyond the vocabulary, so what moves or is kept by tokens
takes the vectors along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from core.errors import Refused
from core.prompt.tags import names_embedding

# Ids from here on are vectors; CLIP's vocabulary has 49,408.
FIRST_ID: Final = 1 << 20
# Real ones have up to 75.
MAX_VECTORS: Final = 300
MAX_BYTES: Final = 16 * 2**20
HASH_DIGITS: Final = 12

# Begins the names of tensors of an embedding in a network's file.
BUNDLE: Final = "bundle_emb."

# SDXL's keys, in the order of its encoders.
_PAIR: Final = ("clip_l", "clip_g")


@dataclass(frozen=True, slots=True)
class Embedding:
    """A loaded embedding: its vectors' ``ids``, and the first digits of the file's SHA-256."""

    name: str
    hash: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Bundled:
    """An embedding that comes with a network and is read while that is used.

    ``vectors`` are (count, width), fp32, for each encoder. A1111 writes the network's name in the
    place of its hash.
    """

    network: str
    vectors: tuple[Tensor, ...]


class Embeddings:
    """The embeddings that a checkpoint's prompts may name; a file is read when one first does.

    ``widths`` are those of the encoders' vectors, ``files`` paths by name. A file that changed is
    read again, and its vectors get new ids: no id ever stands for another vector.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = tuple(widths)
        self.files: dict[str, Path] = {}
        self._free = count(FIRST_ID)
        self._read: dict[str, tuple[tuple[Path, int, int], Embedding | None]] = {}
        self._bundled: WeakKeyDictionary[Bundled, Embedding | None] = WeakKeyDictionary()
        self._vectors: dict[int, tuple[Tensor, ...]] = {}
        self._owners: dict[int, Embedding] = {}

    def offer(self, files: Mapping[str, Path | str]) -> None:
        """Have these files from now on, and no others."""
        self.files = {name: Path(path) for name, path in files.items() if names_embedding(name)}

    def get(self, name: str) -> Embedding | None:
        """Return the embedding of this name; None when it is for encoders of other widths.

        Raises :class:`Refused` for a file that is damaged or no embedding.
        """
        path = self.files[name]
        try:
            status = path.stat()
            stamp = (path, status.st_mtime_ns, status.st_size)
            if name not in self._read or self._read[name][0] != stamp:
                self._read[name] = (stamp, self._load(name, status.st_size))
        except OSError as error:
            detail = error.strerror or "no access"
            raise Refused("embedding", name, "unreadable", detail) from error
        return self._read[name][1]

    def get_bundled(self, name: str, bundled: Bundled) -> Embedding | None:
        """Return the embedding of this name that comes with a network; None as above."""
        if bundled not in self._bundled:
            self._bundled[bundled] = self._add(name, bundled.network, bundled.vectors)
        return self._bundled[bundled]

    def vector(self, token: int, encoder: int) -> Tensor:
        """Return the vector (width,) that a token id stands for in one of the encoders."""
        return self._vectors[token][encoder]

    def used(self, tokens: Iterable[int]) -> list[Embedding]:
        """List the embeddings among the tokens, in their order."""
        found = (self._owners[token] for token in tokens if token >= FIRST_ID)
        return list(dict.fromkeys(found))

    def _load(self, name: str, size: int) -> Embedding | None:
        if size > MAX_BYTES:
            raise Refused("embedding", name, "too_large", f"{size / 2**20:.0f} MB")
        data = self.files[name].read_bytes()
        try:
            tensors = load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            detail = "it is not a safetensors file"
            raise Refused("embedding", name, "unreadable", detail) from error
        digest = hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
        return self._add(name, digest, vectors(tensors, name))

    def _add(self, name: str, digest: str, rows: Sequence[Tensor]) -> Embedding | None:
        if tuple(each.shape[1] for each in rows) != self.widths:
            return None
        ids = tuple(next(self._free) for _ in range(len(rows[0])))
        embedding = Embedding(name, digest, ids)
        self._vectors.update(zip(ids, zip(*rows, strict=True), strict=True))
        self._owners.update(dict.fromkeys(ids, embedding))
        return embedding


def bundled(tensors: Mapping[str, Tensor], network: str) -> dict[str, Bundled]:
    """Return the embeddings among a network's tensors (``bundle_emb.NAME.…``), by name.

    Raises :class:`Refused` for what is no embedding.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(BUNDLE):
            name, _, rest = key.removeprefix(BUNDLE).partition(".")
            parts.setdefault(name, {})[rest] = tensor
    return {name: Bundled(network, vectors(each, name)) for name, each in parts.items()}


def vectors(tensors: Mapping[str, Tensor], name: str) -> tuple[Tensor, ...]:
    """Return an embedding's vectors (count, width), fp32, for each encoder that it is for.

    Raises :class:`Refused` for what is no embedding.
    """
    if set(_PAIR) <= tensors.keys():
        found = [tensors[key] for key in _PAIR]
    elif len(tensors) == 1:
        found = list(tensors.values())
    else:
        raise Refused("embedding", name, "unreadable", f"it has {len(tensors)} terms, not one")
    found = [tensor[None] if tensor.ndim == 1 else tensor for tensor in found]
    counts = {len(tensor) for tensor in found if tensor.ndim == 2 and tensor.is_floating_point()}
    if any(tensor.ndim != 2 for tensor in found) or len(counts) != 1 or not max(counts):
        raise Refused("embedding", name, "unreadable", "it does not hold vectors")
    if max(counts) > MAX_VECTORS:
        raise Refused("embedding", name, "too_large", f"{max(counts)} vectors")
    # Also not infinite in the half precision that encoders may have.
    if not all(tensor.half().isfinite().all() for tensor in found):
        raise Refused("embedding", name, "not_finite")
    return tuple(tensor.float() for tensor in found)


class NameTable:
    """Finds the names of embeddings among the token ids of one tokenizer.

    ``names`` are their own token ids; of equal ones the first name counts, as in A1111.
    """

    def __init__(self, names: Mapping[str, Sequence[int]]) -> None:
        self._names: dict[tuple[int, ...], str] = {}
        lengths: dict[int, set[int]] = {}
        for name, ids in names.items():
            if ids:
                self._names.setdefault(tuple(ids), name)
                lengths.setdefault(ids[0], set()).add(len(ids))
        self._lengths = {first: sorted(each, reverse=True) for first, each in lengths.items()}

    def at(self, tokens: Sequence[int], place: int) -> list[tuple[str, int]]:
        """List the names that begin at ``place`` with their lengths in tokens, longest first."""
        return [
            (self._names[ids], len(ids))
            for length in self._lengths.get(tokens[place], ())
            if (ids := tuple(tokens[place : place + length])) in self._names
        ]
