"""``LoadedNetwork``: a network's file read into memory, checked; and the files read last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open

from core.errors import Refused
from core.families import Family
from core.models.networks.kinds import LayerParts
from core.models.weights.network_file import KIND, describe_network, layers
from core.models.weights.safetensors_header import read_header
from core.text.embeddings import BUNDLE, Bundled, bundled

# Bytes of files kept in the CPU's memory.
CACHE_BYTES: Final = 4 * 2**30


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network's layers by their keys in the file, on the CPU, in the file's precision.

    ``stamp`` is the file with its time and size; ``bundled`` are embeddings in the file.
    """

    name: str
    stamp: Hashable
    family: Family | None
    layers: Mapping[str, LayerParts]
    bundled: Mapping[str, Bundled]
    size: int


def read_network(path: Path, alive: Callable[[], None] = lambda: None) -> LoadedNetwork:
    """Read and check a network, calling ``alive`` for each layer.

    Raises :class:`Refused`, before anything large is allocated.
    """
    stamp, header = _stamp(path), read_header(path, KIND)
    facts = describe_network(header)
    try:
        # Not memory-mapped: the file may be replaced while the engine runs.
        with safe_open(path, framework="pt") as file:
            found = {}
            for key, parts in layers(header).items():
                found[key] = {part: file.get_tensor(name).clone() for part, name in parts.items()}
                alive()
            extra = {
                name: file.get_tensor(name).clone()
                for name in header.tensors
                if name.startswith(BUNDLE)
            }
    except (SafetensorError, OSError) as error:
        raise Refused(KIND, path.stem, "unreadable", str(error)) from error
    tensors = [tensor for parts in found.values() for tensor in parts.values()]
    embeddings = bundled(extra, path.stem)
    if not all(bool(torch.isfinite(tensor.float()).all()) for tensor in tensors):
        raise Refused(KIND, path.stem, "not_finite")
    size = sum(tensor.nbytes for tensor in tensors)
    return LoadedNetwork(path.stem, stamp, facts.family, found, embeddings, size)


def _stamp(path: Path) -> Hashable:
    try:
        status = path.stat()
    except OSError as error:
        raise Refused(KIND, path.stem, "unreadable", error.strerror or "no access") from error
    return str(path), status.st_mtime_ns, status.st_size


class NetworkFiles:
    """The networks read last, at most ``limit`` bytes; a replaced file is read again. Thread-safe,
    so that a file can be read while the engine's thread runs.
    """

    def __init__(
        self, limit: int = CACHE_BYTES, *, alive: Callable[[], None] = lambda: None
    ) -> None:
        self._limit, self._alive = limit, alive
        self._lock = threading.Lock()
        self._read: OrderedDict[Hashable, LoadedNetwork] = OrderedDict()

    def load(self, path: Path) -> LoadedNetwork:
        """Return the network at ``path``. Raises :class:`Refused`."""
        stamp = _stamp(path)
        with self._lock:
            found = self._read.get(stamp)
        # Others are not waited for while a file is read.
        found = found or read_network(path, self._alive)
        with self._lock:
            found = self._read.pop(found.stamp, found)
            self._read[found.stamp] = found
            while len(self._read) > 1 and self._size > self._limit:
                self._read.popitem(last=False)
            return found

    @property
    def _size(self) -> int:
        return sum(network.size for network in self._read.values())
