"""Where A1111's numbers are: a part in ``tests/golden``, the whole where ``GOLDEN_DIR`` says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import Tensor

HERE: Final = Path(__file__).parent / "golden"
FOLDERS: Final = [HERE, *map(Path, filter(None, [os.environ.get("GOLDEN_DIR")]))]

# Of each chunk's 77 × width numbers the part has these rows, and every eighth column.
ROWS: Final = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 76)
COLUMNS: Final = slice(None, None, 8)


def load(path: Path) -> Any:
    """What a file of JSON holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def kept(context: Tensor) -> Tensor:
    """The numbers of an embedding (chunks · 77, width) that the part has."""
    return context.reshape(-1, 77, context.shape[1])[:, list(ROWS), COLUMNS].flatten(0, 1)


def names(folder: Path) -> str:
    """A folder's name in the name of a test."""
    return "part" if folder == HERE else "whole"


def arrays(path: Path) -> dict[str, Any]:
    """What an ``.npz`` file holds, by key."""
    with np.load(path) as file:
        return {key: file[key] for key in file.files}
