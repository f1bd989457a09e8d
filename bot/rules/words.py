"""Blocked words: found as whole words in the text that the engine encodes, even if disguised.

A prompt is split as the engine does it; each of its words is normalised once, however many versions
of the prompt there are, and looked up in a set.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import chain
from typing import Final

from bot.rules.lookalikes import UNSPACED, disguise, fold, pieces, skeleton
from core.prompt.cleaning import clean
from core.prompt.editing import parse, texts
from core.prompt.parser import split_and
from core.prompt.tags import networks

# In characters; a longer prompt, or one that changes, takes too long for the event loop.
QUICK: Final = 1000
# Shorter words are not searched for as single letters: “b l o o d”.
LETTERS: Final = 3

# (steps, hires steps) at which a changing prompt is checked, whatever the request's: 150 show every
# version that fewer do, except where “[a:b:0.5]” is combined with “[c:d:4]”, as at the usual 20.
_PASSES: Final = ((20, None), (20, 20), (150, None))
# In all versions of a pass: the core refuses longer prompts.
_MOST_CHARACTERS: Final = 100_000

# “&amp;amp;#98;” is “&#98;” at any depth; ftfy would undo one level at a time.
_AMPERSANDS: Final = re.compile(r"&(?:amp;?|#0*38;?|#x0*26;?)+", re.IGNORECASE)
_WEIGHT: Final = re.compile(r":\s*[+-]?[.\d]+\s*\)")
# All but letters, digits and signs that may stand for a letter.
_SIGN: Final = re.compile(r"[^\w@$!€]|_")


def find_blocked(prompt: str, words: tuple[str, ...]) -> str | None:
    """Find a blocked word in ``prompt`` as it is at any step; return it as the owner wrote it."""
    return _compiled(words).find(prompt) if words and prompt.strip() else None


def read_words(text: str) -> tuple[str, ...]:
    """Read words and phrases, one a line or separated by commas, without repetitions."""
    words: dict[str, str] = {}
    for part in re.split(r"[,\n、，]", text):
        if key := _key(part):
            words.setdefault(key, " ".join(part.split()))
    return tuple(words.values())


def _versions(prompt: str) -> Iterator[str]:
    """The prompt without weights, as it is written and as it changes over the steps."""
    plain = _WEIGHT.sub(")", _AMPERSANDS.sub("&", prompt))
    yield plain
    for part, _ in split_and(networks(plain)[0]):
        tree = parse(part)
        for steps, hires_steps in _PASSES:
            length = 0
            for version in dict.fromkeys(text for _, text in texts(tree, steps, hires_steps)):
                yield version
                length += len(version)
                if length > _MOST_CHARACTERS:
                    break


def _split(text: str) -> list[str]:
    """Split a text into words as the engine does, “a&nbsp;cat”."""
    cleaned = clean(text.replace("\\", ""), open_clip=True)
    return unicodedata.normalize("NFKC", cleaned).split()


def _key(word: str) -> str:
    return " ".join(piece for part in _split(word) for piece in pieces(fold(part)))


class _Blocked:
    """A server's blocked words, prepared once for all prompts."""

    def __init__(self, words: tuple[str, ...]) -> None:
        # Normalised words and phrases, also as single letters → the words as the owner wrote them.
        self._words: dict[str, str] = {}
        self._unspaced: list[str] = []
        for word in filter(_key, words):
            key = _key(word)
            letters = key.replace(" ", "")
            self._words.setdefault(key, word)
            if len(letters) >= LETTERS:
                self._words.setdefault(" ".join(letters), word)
            if UNSPACED.search(key):
                self._words.setdefault(letters, word)
                self._unspaced.append(letters)
        self._begun = frozenset(key[:end] for key in self._words for end in range(1, len(key) + 1))
        # The skeleton of a word, or of a phrase's word → the normalised word.
        self._disguised = {
            skeleton(word, rough=rough): _key(word)
            for word in (*_split(" ".join(words)), *words)
            for rough in (True, False)
        }

    def find(self, prompt: str) -> str | None:
        """Find the first blocked word in any version of ``prompt``."""
        read = cache(self._read)
        for version in dict.fromkeys(_versions(prompt)):
            # Beginnings of words and phrases, which the next pieces may complete.
            begun: set[str] = set()
            for before, piece in chain.from_iterable(map(read, version.split(" "))):
                if not begun and piece not in self._begun:
                    continue
                gaps = {" ", before}
                said = {piece, *(start + gap + piece for start in begun for gap in gaps)}
                if found := said & self._words.keys():
                    return self._words[max(found)]
                begun = said & self._begun
        return None

    def _read(self, text: str) -> list[tuple[str, str]]:
        """The pieces of the words, each with what is before it: a space or, for a sign, ``""``."""
        return [
            ("" if number else " ", piece)
            for word in _split(text)
            for number, piece in enumerate(self._pieces(word))
        ]

    def _pieces(self, word: str) -> list[str]:
        """The pieces of ``word`` between its signs, or the blocked word that it disguises."""
        hidden, *others = (
            self._disguised.get(disguise(part)) for part in (word, *_SIGN.split(word))
        )
        if hidden:
            return [hidden]
        plain = pieces(fold(word))
        joined = "".join(plain)
        if UNSPACED.search(joined):
            plain += [key for key in self._unspaced if key in joined]
        return plain + [other for other in others if other]


_compiled: Final = lru_cache(maxsize=64)(_Blocked)
