"""Add-ons: networks, embeddings and upscalers on disk, and finding one by a name. No torch.

An add-on is used together with a checkpoint. Their headers are checked at the scan; there may be
thousands, so what was found is cached, and a look-up costs the same among any number.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from core.errors import AmbiguousName, Refused, UnknownName
from core.families import Family
from core.models.folders import weights_below
from core.models.names import printable, unique
from core.models.weights.embedding_file import describe_embedding
from core.models.weights.hashes import ADDON_DIGITS, Hashes
from core.models.weights.header_cache import HeaderCache
from core.models.weights.network_file import describe_network
from core.models.weights.safetensors_header import read_header
from core.models.weights.upscaler_file import describe_upscaler
from core.typed import closest

# Headers are small, and each waits for the disk.
READERS: Final = 8


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A network: LoRA and its kin. ``family`` None: nothing tells which checkpoints it fits.

    ``alias`` is the name that its training gave it, ``hash`` the first 12 digits that A1111
    writes, empty until it is known; ``triggers`` are words it was trained with, often first.
    """

    name: str
    path: Path
    family: Family | None = None
    alias: str = ""
    hash: str = ""
    triggers: tuple[str, ...] = ()

    @property
    def in_text(self) -> str:
        """Its name as a prompt's tag can have it."""
        return _in_text(self.name)


@dataclass(frozen=True, slots=True)
class EmbeddingFile:
    """An embedding, which its name in a prompt stands for; ``vectors`` are as many tokens."""

    name: str
    path: Path
    family: Family | None = None
    vectors: int = 0


@dataclass(frozen=True, slots=True)
class UpscalerFile:
    """An upscaler; ``scale`` multiplies a picture's sides, 0 before its header was read."""

    name: str
    path: Path
    scale: int = 0


AddOn = TypeVar("AddOn", NetworkFile, EmbeddingFile, UpscalerFile)


class Shelf(Generic[AddOn]):
    """The add-ons of one kind, found by name in any case, by alias, or by hash."""

    def __init__(self, kind: str, entries: Iterable[AddOn] = ()) -> None:
        self.kind = kind
        self.entries: tuple[AddOn, ...] = tuple(entries)
        self.names: tuple[str, ...] = tuple(entry.name for entry in self.entries)
        # An alias never hides a name, nor one in exact spelling another.
        self._by_name: dict[str, AddOn] = {}
        for spell in (str, _in_text, str.casefold, lambda name: _in_text(name).casefold()):
            for entry in self.entries:
                self._by_name.setdefault(spell(entry.name), entry)
        self._by_alias: dict[str, list[AddOn]] = defaultdict(list)
        self._by_hash: dict[str, AddOn] = {}
        for entry in self.entries:
            if isinstance(entry, NetworkFile):
                if entry.alias:
                    self._by_alias[_in_text(entry.alias).casefold()].append(entry)
                if entry.hash:
                    self._by_hash.setdefault(entry.hash, entry)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[AddOn]:
        return iter(self.entries)

    def find(self, name: str) -> AddOn:
        """Return the add-on of this name, else of this alias.

        Raises :class:`UnknownName`, and :class:`AmbiguousName` for an alias that several have.
        """
        wanted = name.strip().removesuffix(".safetensors")
        for spelt in (wanted, wanted.casefold()):
            if spelt in self._by_name:
                return self._by_name[spelt]
        found = self._by_alias.get(_in_text(wanted).casefold(), [])
        if len(found) > 1:
            raise AmbiguousName(self.kind, name, tuple(sorted(entry.name for entry in found)))
        if not found:
            raise UnknownName(self.kind, name, closest(wanted, self.names))
        return found[0]

    def by_hash(self, digest: str) -> AddOn | None:
        """Return the network whose hash, as far as it is known, begins with these digits."""
        return self._by_hash.get(digest.strip().lower()[:ADDON_DIGITS])


def _in_text(name: str) -> str:
    """A name as A1111 writes it into parameters."""
    return name.replace(":", "").replace(",", "")


def network_hash(network: NetworkFile, hashes: Hashes) -> str:
    """Return what A1111 writes: 12 digits of the metadata's hash, else of the data's sha256.

    Reads the file once. Raises :class:`OSError`.
    """
    return network.hash or hashes.of(network.path, ADDON_DIGITS, after_header=True)


def embedding_hash(embedding: EmbeddingFile, hashes: Hashes) -> str:
    """Return what A1111 writes: 12 digits of the file's sha256. Raises :class:`OSError`."""
    return hashes.of(embedding.path, ADDON_DIGITS)


@dataclass(slots=True)
class AddOnScan:
    """A scan for add-ons: what was found, and what was refused.

    Headers are read for ``seconds`` at most: files left over are taken by their names alone, and
    ``unread`` counts them. Whoever uses one reads its header anyway.
    """

    cache: HeaderCache
    hashes: Hashes | None = None
    seconds: float = math.inf
    refused: list[Refused] = field(default_factory=list)
    unread: int = 0
    _until: float = math.inf

    def networks(self, folders: Sequence[Path]) -> Shelf[NetworkFile]:
        """Scan the folders for networks."""
        return self._shelf("LoRA", folders, _describe_network, self._network)

    def embeddings(self, folders: Sequence[Path]) -> Shelf[EmbeddingFile]:
        """Scan the folders for embeddings."""
        return self._shelf("embedding", folders, _describe_embedding, EmbeddingFile)

    def upscalers(self, folders: Sequence[Path]) -> Shelf[UpscalerFile]:
        """Scan the folders for upscalers."""
        return self._shelf("upscaler", folders, _describe_upscaler, UpscalerFile)

    def _network(self, name: str, path: Path, *row: Any) -> NetworkFile:
        if not row:
            return NetworkFile(name, path)
        family, alias, stated, triggers = row
        known = stated or (
            self.hashes.known(path, ADDON_DIGITS, after_header=True) if self.hashes else ""
        )
        return NetworkFile(name, path, family, alias, known[:ADDON_DIGITS], tuple(triggers))

    def _shelf(
        self,
        kind: str,
        folders: Sequence[Path],
        describe: Callable[[Path], tuple[Any, ...]],
        make: Callable[..., AddOn],
    ) -> Shelf[AddOn]:
        entries: list[AddOn] = []
        taken: set[str] = set()
        for path, row in self._rows(kind, folders, describe):
            if row and row[0] == "refused":
                self.refused.append(Refused(kind, path.stem, *row[1:]))
                continue
            name = unique(printable(path.stem), path.parent.name, taken)
            taken.add(name.casefold())
            entries.append(make(name, path, *row[1:]))
        return Shelf(kind, entries)

    def _rows(
        self, kind: str, folders: Sequence[Path], describe: Callable[[Path], tuple[Any, ...]]
    ) -> Iterator[tuple[Path, Sequence[Any]]]:
        """Yield each file with what its header holds: ``("ok", …)``, ``("refused", …)`` or none."""
        files: dict[tuple[int, int], tuple[Path, os.stat_result]] = {}
        for folder in folders:
            for path in weights_below(folder, lambda error: self._unreadable(kind, error)):
                try:
                    status = path.stat()
                except OSError as error:
                    self._unreadable(kind, error)
                else:
                    files.setdefault((status.st_dev, status.st_ino), (path, status))
        with ThreadPoolExecutor(READERS) as pool:
            found = [*files.values()]
            known = [self.cache.get(path, status) for path, status in found]
            if self._until == math.inf:
                self._until = time.monotonic() + self.seconds
            missing = [path for (path, _), row in zip(found, known, strict=True) if row is None]
            read = pool.map(lambda path: self._read(kind, path, describe), missing)
            for (path, status), row in zip(found, known, strict=True):
                if row is None:
                    row = next(read)
                    if row:
                        self.cache.put(path, status, row)
                    else:
                        self.unread += 1
                yield path, row

    def _read(
        self, kind: str, path: Path, describe: Callable[[Path], tuple[Any, ...]]
    ) -> list[Any]:
        if time.monotonic() > self._until:
            return []
        try:
            return ["ok", *describe(path)]
        except Refused as refused:
            return ["refused", refused.reason, refused.detail]

    def _unreadable(self, kind: str, error: OSError) -> None:
        # A missing folder counts as empty.
        if not isinstance(error, FileNotFoundError):
            name = Path(error.filename).name
            self.refused.append(Refused(kind, name, "unreadable", error.strerror or "no access"))


def _describe_network(path: Path) -> tuple[Any, ...]:
    return astuple(describe_network(read_header(path, "LoRA")))


def _describe_embedding(path: Path) -> tuple[Any, ...]:
    return astuple(describe_embedding(read_header(path, "embedding")))


def _describe_upscaler(path: Path) -> tuple[Any, ...]:
    return (describe_upscaler(read_header(path, "upscaler")).scale,)
