"""Finding a job's files on another computer: at the same path, or by their content."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.models.folders import weights_below
from core.models.weights.hashes import Hashes

# Digits of a sha256 that say that two files are the same.
SAME: Final = 64
# The settings that name folders of models and the like, on any computer.
SETTINGS: Final = ("MODELS_DIR", "VAES_DIR", "LORAS_DIR", "EMBEDDINGS_DIR", "UPSCALERS_DIR")
# What a folder in diffusers' layout has, of a model and of a VAE.
MARKERS: Final = ("model_index.json", "config.json")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file or folder as the bot has it: its bytes, and a file's sha256 ("" until needed)."""

    path: Path
    size: int
    digest: str = ""

    @classmethod
    def of(cls, path: Path, hashes: Hashes | None = None) -> Wanted:
        """Look at a file; with ``hashes`` its content is read, once. Raises :class:`OSError`."""
        hashed = hashes is not None and path.is_file()
        return cls(path, size_of(path), hashes.of(path, SAME) if hashes and hashed else "")


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder. Raises :class:`OSError`."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(
        Path(folder, name).stat().st_size for folder, _, names in os.walk(path) for name in names
    )


def folders_here(environ: Mapping[str, str]) -> list[Path]:
    """Return this computer's folders of models, VAEs and add-ons, as its environment names them."""
    return [Path(environ[name]) for name in SETTINGS if environ.get(name)]


def find(wanted: Wanted, folders: Iterable[Path], hashes: Hashes) -> Path | None:
    """Find a file or folder on this computer. Reads the disk.

    The same path is believed if its size is the same; elsewhere a file has to have the same
    content, whatever its name, and a folder the same name and size.
    """
    if _has_size(wanted.path, wanted.size):
        return wanted.path
    there = (
        path
        for folder in folders
        for marker in MARKERS
        for path in weights_below(folder, lambda _: None, marker)
        if _has_size(path, wanted.size)
    )
    # Many LoRAs have one size; the one of the same name is the likeliest.
    likely = sorted(there, key=lambda path: path.name != wanted.path.name)
    return next((path for path in likely if _same(path, wanted, hashes)), None)


def _has_size(path: Path, size: int) -> bool:
    try:
        return size_of(path) == size
    except OSError:
        return False


def _same(path: Path, wanted: Wanted, hashes: Hashes) -> bool:
    if path.is_dir():
        return not wanted.digest and path.name == wanted.path.name
    try:
        return bool(wanted.digest) and hashes.of(path, SAME) == wanted.digest
    except OSError:
        return False  # It cannot be read here, or has just been deleted.
