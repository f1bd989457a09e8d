"""CLIP's tokenizer, made from its merge list alone.

The vocabulary follows from the merges, so one half-megabyte text file serves every checkpoint
that is a single file and brings no tokenizer of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

END_OF_WORD = "</w>"
START = "<|startoftext|>"
END = "<|endoftext|>"


def read_merges(path: Path) -> list[str]:
    """The merges of CLIP's ``merges.txt``, most frequent first; its first line is a version."""
    return path.read_text(encoding="utf-8").splitlines()[1:]


def clip_tokenizer(merges: Sequence[str], pad: str = END) -> CLIPTokenizer:
    """A tokenizer whose chunks are 77 tokens; ``pad`` is ``!`` (id 0) for OpenCLIP.

    The first 512 tokens are the bytes and the bytes that end a word (CLIP's
    ``simple_tokenizer``), then one a merge, then the two marks.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable]
    letters += [chr(256 + place) for place in range(256 - len(printable))]
    words = letters + [letter + END_OF_WORD for letter in letters]
    # The list of pairs that tokenizers wants is annotated as a list of strings.
    pairs: Any = [tuple(merge.split(" ")) for merge in merges]
    words += [merge.replace(" ", "") for merge in merges] + [START, END]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=pairs,
        pad_token=pad,
        model_max_length=77,
    )
