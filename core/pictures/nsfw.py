"""The NSFW check: a transformers image classifier in a process of its own, and its labels.

Only the classifying process imports torch and transformers, in :func:`begin`.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

# Labels of common classifiers that count as NSFW; their others are "normal", "sfw", "neutral",
# "drawings". "medium" and "high" are from a scale: neutral, low, medium, high.
NSFW_LABELS: Final = frozenset(
    {
        *("nsfw", "unsafe", "explicit", "questionable", "nude", "nudity"),
        *("porn", "hentai", "sexy"),
        *("medium", "high"),
    }
)
NEEDED: Final = ("config.json", "preprocessor_config.json")

_pipeline: Any = None
_nsfw_labels: frozenset[str] = NSFW_LABELS


def labels_in(folder: Path) -> tuple[str, ...]:
    """Return the labels of the classifier in ``folder``, as its ``config.json`` spells them.

    Raises :class:`ValueError`, worded for the bot's owner, unless the folder holds a classifier
    that can be loaded. timm's have no ``preprocessor_config.json``.
    """
    wanted = f"must be a folder with {', '.join((*NEEDED, 'a .safetensors file'))}; {folder} is not"
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ValueError(wanted)
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        is_timm = "pretrained_cfg" in config
        named = config.get("label_names") if is_timm else config["id2label"].values()
        labels = tuple(str(label) for label in named or ())
    except (ValueError, KeyError, AttributeError, TypeError):
        labels, is_timm = (), True
    if not is_timm and not (folder / "preprocessor_config.json").is_file():
        raise ValueError(wanted)
    if not labels:
        raise ValueError("must hold an image classifier; its config.json names no labels")
    if is_timm and importlib.util.find_spec("timm") is None:
        raise ValueError("holds a classifier of timm's: python -m pip install timm")
    return labels


def counting(labels: Collection[str], asked: Collection[str]) -> frozenset[str]:
    """Return which of a classifier's ``labels`` count as NSFW, casefolded.

    Those are the ones ``asked`` for by the bot's owner, else :data:`NSFW_LABELS`. Raises
    :class:`ValueError`, worded for the owner, when there are none or one asked for is missing.
    """
    known = {label.casefold() for label in labels}
    found = known & ({label.casefold() for label in asked} or NSFW_LABELS)
    if not found and not asked:
        raise ValueError(f"must say which of the classifier's labels are NSFW: {', '.join(labels)}")
    missing = [label for label in asked if label.casefold() not in known]
    if missing:
        raise ValueError(f"can name {', '.join(labels)}; there is no {', '.join(missing)}")
    return frozenset(found)


def begin(folder: str, labels: Collection[str] = ()) -> None:
    """Initialise the process: load the classifier, from local safetensors only.

    ``labels`` are those that count as NSFW, empty for :data:`NSFW_LABELS`.
    """
    global _pipeline, _nsfw_labels
    _nsfw_labels = frozenset(label.casefold() for label in labels) or NSFW_LABELS
    # Ctrl-C signals all processes of the terminal; this one is ended by the bot.
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
    """Return the NSFW score of each encoded picture, 0 to 1."""
    from PIL import Image

    found = []
    for data in pictures:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        # top_k None returns all labels, not just the best five.
        found.append(nsfw_score(_pipeline(picture, top_k=None), _nsfw_labels))
    return found


def nsfw_score(answer: Sequence[dict[str, Any]], counting: Collection[str] = NSFW_LABELS) -> float:
    """Return the sum of the ``counting`` labels' scores in ``[{"label": …, "score": …}, …]``."""
    return float(sum(each["score"] for each in answer if each["label"].casefold() in counting))
