"""What a site offers for a source: files with their sizes and hashes, and what is said of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bot.fetching.sources import NotFetched
from core.models.names import MAX_NAME, printable
from core.models.weights.safetensors_header import PICKLE_SUFFIXES

SUFFIX: Final = ".safetensors"
# Windows has devices of these names in every folder.
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file: where it is, and its ``path`` in what is made of it.

    ``size`` is in bytes, None where the site does not say; ``sha256`` is empty likewise.
    """

    url: str
    path: str
    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """One file, or the files of a diffusers folder called ``name``.

    ``advice`` are values for its card, by option. Whatever the site does not say is empty.
    """

    title: str
    page: str
    name: str
    files: tuple[RemoteFile, ...]
    is_folder: bool = False
    kind: str = ""
    base_model: str = ""
    licence: str = ""
    triggers: tuple[str, ...] = ()
    advice: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int | None:
        """All bytes together; None where a size is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def safe_name(text: str) -> str:
    """Make the name of a file or folder, without a suffix, of what a stranger called it."""
    name = re.split(r"[\\/]", text)[-1].removesuffix(SUFFIX)
    name = re.sub(r'[<>:"|?*\ufffd]', "_", printable(name)).strip(" .")[: MAX_NAME - 20]
    return f"_{name}" if not name or _RESERVED.match(name) else name


def one_line(text: str, longest: int = 400) -> str:
    """A stranger's text on one line, without control characters."""
    printables = "".join(char if char.isprintable() else " " for char in text[:longest])
    return " ".join(printables.split())


def pickle_refused(name: str) -> NotFetched:
    """The refusal of a file that can run code when it is read."""
    return NotFetched(
        f"{printable(name)} is a pickle, which can run code, and there is no {SUFFIX} of it; "
        "download it in a browser, and make one with: python run.py convert FILE"
    )


def is_pickle(name: str) -> bool:
    """Whether a file's name is that of a pickle."""
    return any(name.lower().endswith(suffix) for suffix in PICKLE_SUFFIXES)
