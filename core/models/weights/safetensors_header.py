"""The header of a ``.safetensors`` file: names, shapes and metadata, read without torch.

The header is untrusted and validated. A truncated file, a renamed pickle or a saved web page is
:class:`Refused` with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import Refused
from core.models.weights.regular import check_regular

# Bytes; real checkpoints have headers of up to about 1 MB.
MAX_HEADER: Final = 16 * 2**20
PICKLE_SUFFIXES: Final = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl"})

_NOT_SAFETENSORS: Final = (
    (b"version https://git-lfs", "it is a Git LFS pointer, not the file itself"),
    (b"<", "it is a web page, not a model; download it again"),
)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: safetensors' dtype name, shape, and byte range in the file, end exclusive."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header. ``metadata`` values are always strings."""

    path: Path
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]

    def has(self, prefix: str) -> bool:
        """Return whether any tensor's name starts with ``prefix``."""
        return any(name.startswith(prefix) for name in self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the tensor's shape, empty when there is no such tensor."""
        info = self.tensors.get(name)
        return info.shape if info else ()


def read_header(path: Path, kind: str, name: str = "") -> Header:
    """Read and validate the header of ``path``.

    Raises :class:`Refused` for this ``kind`` and ``name``, the file's where none is given.
    """
    name = name or path.stem
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise Refused(kind, name, "pickle")
    try:
        size = check_regular(path)
        with path.open("rb") as file:
            start = file.read(64)
            length = int.from_bytes(start[:8], "little")
            _check_start(start, length, size, kind, name)
            file.seek(8)
            text = file.read(length)
    except OSError as error:
        raise Refused(kind, name, "unreadable", error.strerror or "no access") from error
    try:
        tensors, metadata = _parse(text, 8 + length)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Refused(kind, name, "unreadable", "its header is damaged") from error
    if any(tensor.end > size for tensor in tensors.values()):
        raise Refused(kind, name, "truncated")
    return Header(path, tensors, metadata)


def _check_start(start: bytes, length: int, size: int, kind: str, name: str) -> None:
    # A zip archive or a pickle: torch.save under a wrong name.
    if start.startswith((b"PK\x03\x04", b"\x80\x02")) and start[8:9] != b"{":
        raise Refused(kind, name, "pickle")
    for mark, detail in _NOT_SAFETENSORS:
        if start.lstrip().startswith(mark) and start[8:9] != b"{":
            raise Refused(kind, name, "unreadable", detail)
    if size < 10:
        raise Refused(kind, name, "truncated")
    if start[8:9] != b"{" or length > MAX_HEADER:
        raise Refused(kind, name, "unreadable", "it is not a safetensors file")
    if 8 + length > size:
        raise Refused(kind, name, "truncated")


def _parse(text: bytes, data_start: int) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    entries: dict[str, Any] = json.loads(text)
    metadata = entries.pop("__metadata__", None) or {}
    tensors = {}
    for name, entry in entries.items():
        start, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        numbers = (start, end, *shape)
        if not all(isinstance(number, int) and number >= 0 for number in numbers) or end < start:
            raise ValueError(name)
        tensors[name] = TensorInfo(str(entry["dtype"]), shape, data_start + start, data_start + end)
    return tensors, {str(key): str(value) for key, value in metadata.items()}
