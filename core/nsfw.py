"""The NSFW check: a transformers image classifier in a process of its own, and its labels.

Importing this imports neither torch nor transformers; only the process that classifies does.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

# What the classifiers in use call pictures that not everybody should see. Every other label
# ("normal", "sfw", "neutral", "drawings") is harmless.
NSFW_LABELS: Final = frozenset(
    ("nsfw", "porn", "hentai", "sexy", "unsafe", "explicit", "questionable", "nude", "nudity")
)
NEEDED: Final = ("config.json", "preprocessor_config.json")

_pipeline: Any = None


def check_folder(folder: Path) -> None:
    """Raise :class:`ValueError`, in words for the bot's owner, unless a classifier lies there."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing or not any(folder.glob("*.safetensors")):
        wanted = ", ".join((*NEEDED, "a .safetensors file"))
        raise ValueError(f"must be a folder with {wanted}; {folder} is not")
    try:
        labels = json.loads((folder / "config.json").read_text("utf-8"))["id2label"].values()
        known = {str(label).casefold() for label in labels} & NSFW_LABELS
    except (ValueError, KeyError, AttributeError):
        raise ValueError("must hold an image classifier; its config.json names no labels") from None
    if not known:
        raise ValueError(f"must know one of the labels {', '.join(sorted(NSFW_LABELS))}")


def begin(folder: str) -> None:
    """The process's first act: load the classifier, from local safetensors only."""
    global _pipeline
    # Ctrl-C reaches the whole terminal; the bot decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"})
    if sys.platform != "win32":
        os.nice(5)
    from transformers import pipeline

    _pipeline = pipeline(
        "image-classification",
        model=folder,
        device="cpu",
        model_kwargs={"use_safetensors": True},
    )


def scores(pictures: Sequence[bytes]) -> list[float]:
    """How much of each encoded picture is NSFW, 0 to 1."""
    from PIL import Image

    found = []
    for data in pictures:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        # top_k None: every label, not the best five.
        found.append(nsfw_score(_pipeline(picture, top_k=None)))
    return found


def nsfw_score(labels: Sequence[dict[str, Any]]) -> float:
    """The NSFW labels' part of ``[{"label": …, "score": …}, …]``."""
    return float(
        sum(entry["score"] for entry in labels if entry["label"].casefold() in NSFW_LABELS)
    )
