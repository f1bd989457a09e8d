"""The NSFW check: a transformers image classifier in a process of its own, and its labels.

Importing this imports neither torch nor transformers; only the process that classifies does.
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

# What the classifiers in use call pictures that not everybody should see. Every other label
# ("normal", "sfw", "neutral", "drawings", "low") is harmless. "medium" and "high" are of those
# that tell how much: neutral, low, medium, high.
NSFW_LABELS: Final = frozenset(
    {
        *("nsfw", "unsafe", "explicit", "questionable", "nude", "nudity"),
        *("porn", "hentai", "sexy"),
        *("medium", "high"),
    }
)
NEEDED: Final = ("config.json", "preprocessor_config.json")

_pipeline: Any = None
_counting: frozenset[str] = NSFW_LABELS


def labels_in(folder: Path) -> tuple[str, ...]:
    """What the classifier in ``folder`` calls pictures, as its ``config.json`` spells it.

    Raises :class:`ValueError`, in words for the bot's owner, unless a classifier lies there that
    can be loaded here. One of timm's says its preprocessing in its ``config.json``.
    """
    wanted = f"must be a folder with {', '.join((*NEEDED, 'a .safetensors file'))}; {folder} is not"
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ValueError(wanted)
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        of_timm = "pretrained_cfg" in config
        named = config.get("label_names") if of_timm else config["id2label"].values()
        labels = tuple(str(label) for label in named or ())
    except (ValueError, KeyError, AttributeError, TypeError):
        labels, of_timm = (), True
    if not of_timm and not (folder / "preprocessor_config.json").is_file():
        raise ValueError(wanted)
    if not labels:
        raise ValueError("must hold an image classifier; its config.json names no labels")
    if of_timm and importlib.util.find_spec("timm") is None:
        raise ValueError("holds a classifier of timm's: python -m pip install timm")
    return labels


def counting(labels: Collection[str], asked: Collection[str]) -> frozenset[str]:
    """Which of a classifier's ``labels`` count as NSFW, casefolded: those the bot's owner
    ``asked`` for, else those that are known.

    Raises :class:`ValueError`, in words for the bot's owner, when that is none, or not all asked.
    """
    there = {label.casefold() for label in labels}
    found = there & ({label.casefold() for label in asked} or NSFW_LABELS)
    if not found and not asked:
        raise ValueError(f"must say which of the classifier's labels are NSFW: {', '.join(labels)}")
    lacking = [label for label in asked if label.casefold() not in there]
    if lacking:
        raise ValueError(f"can name {', '.join(labels)}; there is no {', '.join(lacking)}")
    return frozenset(found)


def begin(folder: str, labels: Collection[str] = ()) -> None:
    """The process's first act: load the classifier, from local safetensors only.

    ``labels`` are those that count as NSFW, if the bot's owner said so.
    """
    global _pipeline, _counting
    _counting = frozenset(label.casefold() for label in labels) or NSFW_LABELS
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
        found.append(nsfw_score(_pipeline(picture, top_k=None), _counting))
    return found


def nsfw_score(answer: Sequence[dict[str, Any]], counting: Collection[str] = NSFW_LABELS) -> float:
    """The part of the ``counting`` labels in ``[{"label": …, "score": …}, …]``."""
    return float(sum(each["score"] for each in answer if each["label"].casefold() in counting))
