"""Messages as bytes: JSON for the values, then the pixels as they are. No pickle.

What arrives can only become one of :data:`CLASSES`; a pickle could run anything. Layout: the JSON's
length (4 bytes, big-endian), the JSON ``{"blobs": [length, …], "value": …}``, then the blobs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from core import errors, events
from core.config import EngineConfig
from core.models.addons import EmbeddingFile, NetworkFile, UpscalerFile
from core.models.cards import Card
from core.models.catalogue import Model, Vae
from core.models.uses import AddOns, UsedNetwork
from core.models.weights.network_file import NetworkUse
from core.notes import Note
from core.request import Enlarge, GenerationRequest, HiresFix, Inputs
from core.serving import messages
from core.work import Item, Work


def _errors(base: type) -> Iterator[type]:
    below: list[type] = base.__subclasses__()
    for each in below:
        yield each
        yield from _errors(each)


_MESSAGES: Final[tuple[type, ...]] = (
    *(messages.Add, messages.Abort, messages.Stop, messages.Ready, messages.Credit),
    *(messages.Alive, messages.Crashed, messages.Measured),
    *(events.Started, events.Progress, events.Image, events.Finished, events.Failed),
    *(events.Cancelled, Note, EngineConfig),
    *(Work, Item, GenerationRequest, HiresFix, Enlarge, Inputs, Model, Vae, Card),
    *(AddOns, UsedNetwork, NetworkFile, NetworkUse, EmbeddingFile, UpscalerFile),
    *_errors(errors.PenultimateError),
)
CLASSES: Final[Mapping[str, type]] = {each.__name__: each for each in _MESSAGES}
# The files of this computer by those of the other.
Moved = Mapping[Path, Path]


def encode(value: object, moved: Moved = MappingProxyType({})) -> bytes:
    """Write a message; paths in ``moved`` are replaced. Raises :class:`TypeError` for others."""
    blobs: list[bytes] = []
    plain = _plain(value, moved, blobs)
    text = json.dumps({"blobs": [len(blob) for blob in blobs], "value": plain}).encode()
    return b"".join((len(text).to_bytes(4, "big"), text, *blobs))


def decode(data: bytes) -> Any:
    """Read what :func:`encode` wrote. Raises :class:`ValueError` for anything else."""
    start = 4 + int.from_bytes(data[:4], "big")
    try:
        read = json.loads(data[4:start])
        blobs = []
        for length in read["blobs"]:
            blobs.append(data[start : start + length])
            start += length
        return _value(read["value"], blobs)
    except (ValueError, TypeError, LookupError, RecursionError, errors.PenultimateError) as error:
        raise ValueError(f"no message: {type(error).__name__}: {error}") from error


def _plain(value: object, moved: Moved, blobs: list[bytes]) -> object:
    """Turn a value into JSON's types; objects become a list of one sign and their parts."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            blobs.append(value)
            return ["b", len(blobs) - 1]
        case Path():
            return ["p", str(moved.get(value, value))]
        case Mapping():
            return ["m", [[key, _plain(each, moved, blobs)] for key, each in value.items()]]
    name = type(value).__name__
    if CLASSES.get(name) is type(value):
        parts = {each: _plain(getattr(value, each), moved, blobs) for each in _names(type(value))}
        return ["c", name, parts]
    if isinstance(value, tuple | list):
        return ["t", *(_plain(each, moved, blobs) for each in value)]
    raise TypeError(f"{name} is in no message")


def _value(plain: Any, blobs: list[bytes]) -> Any:
    if not isinstance(plain, list):
        return plain
    match plain:
        case ["b", int(index)]:
            return blobs[index]
        case ["p", str(path)]:
            return Path(path)
        case ["m", list(pairs)]:
            return {_key(key): _value(each, blobs) for key, each in pairs}
        case ["c", str(name), dict(parts)]:
            return CLASSES[name](**{each: _value(part, blobs) for each, part in parts.items()})
        case ["t", *parts]:
            return tuple(_value(each, blobs) for each in parts)
    raise ValueError("a value of no kind")


def _key(key: object) -> int | str:
    return key if type(key) is int else str(key)


def _names(of: type) -> tuple[str, ...]:
    """The names of a class's fields."""
    if is_dataclass(of):
        return tuple(each.name for each in fields(of))
    return tuple(getattr(of, "_fields"))  # noqa: B009
