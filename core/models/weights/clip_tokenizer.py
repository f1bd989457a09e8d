"""CLIP's tokenizer, built from its merge list alone.

A single-file checkpoint has no tokenizer. The vocabulary follows from the merges, so one text
file of 0.5 MB serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from core.models.weights.regular import read_text

END_OF_WORD = "</w>"
START = "<|startoftext|>"
END = "<|endoftext|>"


def read_merges(path: Path) -> list[str]:
    """Read the merges of CLIP's ``merges.txt``, most frequent first; line 1 is a version."""
    return read_text(path).splitlines()[1:]


def clip_tokenizer(merges: Sequence[str], pad: str = END) -> CLIPTokenizer:
    """Build the tokenizer, of 77 tokens at most; ``pad`` is ``!`` (id 0) for OpenCLIP.

    The vocabulary is, as in CLIP's ``simple_tokenizer``: 256 bytes, 256 bytes at a word's end,
    one token per merge, start and end.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable]
    letters += [chr(256 + place) for place in range(256 - len(printable))]
    words = letters + [letter + END_OF_WORD for letter in letters]
    # Pairs are what tokenizers accepts; its annotation says strings.
    pairs: Any = [tuple(merge.split(" ")) for merge in merges]
    words += [merge.replace(" ", "") for merge in merges] + [START, END]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=pairs,
        pad_token=pad,
        model_max_length=77,
    )
