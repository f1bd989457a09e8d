"""Blocked words: found as whole words, whatever letters they are written in.

Look-alikes (Cyrillic and Greek letters, full width, accents, digits as letters) are read as the
Latin letters they look like, and the prompt language's brackets are taken away first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Final

from core.prompt import parse_weights, schedule, split_and


def _table(pairs: str) -> dict[int, str]:
    """``"аa вb"`` → a table for ``str.translate``."""
    return {ord(pair[0]): pair[1] for pair in pairs.split()}


# Letters that look like Latin ones, lower case; what NFKC says already is not repeated. After
# Unicode's confusables (UTS 39): Cyrillic, Greek, then Latin letters with a difference.
_LATIN: Final = _table(
    "аa вb еe ёe з3 іi їi јj кk мm нh оo рp сc тt уy хx ѕs ԁd һh ӏl ԛq ԝw гr пn шw "
    "αa βb εe ιi κk νv οo ρp τt υu χx γy ωw μu ηn ϲc "
    "ɡg ıi łl øo đd ħh ŧt ƒf ɑa ɩi ʏy ʀr ɴn ʜh ʟl"
)
# Digits and signs as letters. A one is an i or an l, so words are read both ways.
_LEET: Final = "0o 3e 4a 5s 7t 8b 9g @a $s !i |l €e +t"
_LEET_I: Final = _table(f"{_LEET} 1i")
_LEET_L: Final = _table(f"{_LEET} 1l")

_LIKE_A_WORD: Final = re.compile(r"[\w@$!|€+]*[^\W\d_][\w@$!|€+]*")
_WORD: Final = re.compile(r"[^\W_]+")
# Letters on their own, one after another: “b l o o d”.
_SPELT_OUT: Final = re.compile(r"(?<![^\W_])(?:[^\W_](?:[ .\-_*]+|$)){3,}")
# Scripts that are written without spaces: there a word is found anywhere.
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# Shorter words than this are not looked for in letters on their own.
LETTERS: Final = 3
# A prompt that changes at every step has a text for each; so many calls show them all.
_STEPS: Final = 150


def find_blocked(prompt: str, words: tuple[str, ...]) -> str | None:
    """The first of ``words`` that ``prompt`` says at any step, as it was written by the owner."""
    if not words or not prompt.strip():
        return None
    blocked = _normalised(words)
    for text in _texts(prompt):
        for form in _forms(text):
            said = f" {' '.join(_WORD.findall(form))} "
            spelt = ["".join(_WORD.findall(run)) for run in _SPELT_OUT.findall(form)]
            for word, key in blocked:
                anywhere = _UNSPACED.search(key) is not None
                if (key if anywhere else f" {key} ") in said:
                    return word
                if len(key) >= LETTERS and any(key in run for run in spelt):
                    return word
    return None


def read_words(text: str) -> tuple[str, ...]:
    """Words and phrases, one a line or parted by commas, each once."""
    words: dict[str, str] = {}
    for part in re.split(r"[,\n、，]", text):
        key = _plain(part)
        if _WORD.search(key):
            words.setdefault(" ".join(key.split()), " ".join(part.split()))
    return tuple(words.values())


@lru_cache(maxsize=256)
def _normalised(words: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = ((word, " ".join(_WORD.findall(_plain(word)))) for word in words)
    return tuple(pair for pair in pairs if pair[1])


def _texts(prompt: str) -> Iterator[str]:
    """What the prompt says at each step, without its weights and brackets, each text once.

    Also as it stands: what is in the brackets is a word of the prompt even where A1111's
    grammar makes something else of it.
    """
    said = dict.fromkeys(text for _, text in schedule(prompt, _STEPS))
    for text in said:
        for part, _ in split_and(text):
            yield "".join(piece if weight != -1 else " " for piece, weight in parse_weights(part))
    yield prompt


def _forms(text: str) -> Iterator[str]:
    """The text as it is read, then with its digits read as letters."""
    plain = _plain(text)
    yield plain
    for table in (_LEET_I, _LEET_L):
        read = _LIKE_A_WORD.sub(partial(_translated, table), plain)
        if read != plain:
            yield read


def _translated(table: dict[int, str], word: re.Match[str]) -> str:
    return word[0].translate(table)


def _plain(text: str) -> str:
    """Lower case, one letter for all that look alike, nothing invisible."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    letters: list[str] = []
    for character in unicodedata.normalize("NFD", folded.translate(_LATIN)):
        category = unicodedata.category(character)
        if category == "Cf":
            continue
        # An accent on a Latin letter goes; a mark of another script makes another letter.
        if category == "Mn" and letters and letters[-1].isascii():
            continue
        letters.append(character)
    return unicodedata.normalize("NFC", "".join(letters)).translate(_LATIN)
