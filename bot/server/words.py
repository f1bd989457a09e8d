"""Blocked words: found as whole words in what the engine will read, however they are disguised.

A prompt is taken apart as the engine does it, and each text of it is read once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from bot.server.matcher import Matcher, key_of
from core.clean import clean
from core.prompt import split_and, take_out_networks
from core.schedule import Node, parse

# What is shorter is read in a few milliseconds, whatever it holds; what is longer needs a thread.
QUICK: Final = 1000

# “&amp;amp;#98;” is “&#98;”, however often.
_AMPERSANDS: Final = re.compile(r"&(?:amp;?|#0*38;?|#[xX]0*26;?)+")


def find_blocked(prompt: str, words: tuple[str, ...]) -> str | None:
    """The one of ``words`` that ``prompt`` first says, as it was written by the owner.

    Whatever can stand side by side in a prompt that changes counts as said, at any step.
    """
    if not words or not prompt.strip():
        return None
    matcher = _compiled(words)
    for source in _sources(prompt):
        word = matcher.find([source])
        if word is None and "[" in source:
            word = matcher.find(_parts(source))
        if word is not None:
            return word
    return None


def read_words(text: str) -> tuple[str, ...]:
    """Words and phrases, one a line or parted by commas, each once."""
    words: dict[str, str] = {}
    for part in re.split(r"[,\n、，]", text):
        key = key_of(part)
        if key:
            words.setdefault(key, " ".join(part.split()))
    return tuple(words.values())


def _sources(prompt: str) -> Iterable[str]:
    """The prompt as it stands and as the engine takes it apart, each text once."""
    # ftfy undoes entities until there are none: quadratic in what only one sign is at the end.
    prompt = _AMPERSANDS.sub("&", prompt)
    texts = dict.fromkeys((prompt, take_out_networks(prompt)[0]))
    return dict.fromkeys(source for text in texts for source in (text, clean(text)))


def _parts(source: str) -> Iterator[Node]:
    """What is scheduled on its own. A part with a stray sign is drawn as it stands."""
    for part, _ in split_and(source):
        tree = parse(part)
        yield tree.text if tree.stray else tree.nodes
        yield " "


@lru_cache(maxsize=64)
def _compiled(words: tuple[str, ...]) -> Matcher:
    return Matcher(words)
