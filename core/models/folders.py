"""The weight files in a folder: what a scan walks over. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from core.models.weights.safetensors_header import PICKLE_SUFFIXES


def weights_below(
    root: Path, on_error: Callable[[OSError], None], marker: str | None = None
) -> Iterator[Path]:
    """Yield the folders below ``root`` that hold ``marker``, and weight files outside of those."""
    # Symbolic links may form a cycle.
    seen = set()
    for folder, subfolders, files in os.walk(root, onerror=on_error, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        if marker in files:
            subfolders.clear()
            yield Path(folder)
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()
            if not name.startswith(".") and (suffix == ".safetensors" or suffix in PICKLE_SUFFIXES):
                yield Path(folder, name)
