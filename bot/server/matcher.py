"""A server's blocked words as one automaton, that reads a prompt once whatever it may say.

It goes through every option of ``[a:b:0.5]`` and ``[a|b]`` side by side: the work grows with the
length of the text, neither with the number of words nor with how often the text changes.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from enum import Enum
from typing import Final, TypeAlias

from bot.server.lookalikes import CUT, LEET, believed, fold, readings
from core.schedule import Alternation, Node, Switch

_WORD: Final = re.compile(r"[^\W_]+")
# Scripts that are written without spaces: there a word is found anywhere.
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# Shorter words than this are not looked for in letters on their own: “b l o o d”.
LETTERS: Final = 3
_ESCAPED: Final = re.compile(r"\\([()\[\]\\])")
_CUT: Final = re.compile(r"&(?:#[xX]?[0-9a-fA-F]*)?\Z")
_BREAK: Final = re.compile(r"\bBREAK\b")
# Taken out by ftfy as well, colours of a terminal.
_COLOUR: Final = re.compile(r"\x1b\[[\d;]*[a-zA-Z]")
# More often than the engine undoes entities: once by ftfy, twice for OpenCLIP.
_UNESCAPES: Final = 4
# Characters that a matcher remembers, and sets of threads: with more it begins anew.
_REMEMBERED: Final = 2000
# So many threads at once come only of words made to be slow, “il1li1…”; two hundred ordinary ones
# have about a hundred at most.
_WIDEST: Final = 400

# For all the letters and marks that are in none of the words.
_NO_LETTER: Final = "\0"
_NO_LETTER_UNSPACED: Final = "\1"
_NO_MARK: Final = "\2"
_NO_LETTERS: Final = (_NO_LETTER, _NO_LETTER_UNSPACED)

# Where in the words a reading of the text is, its flags, and what it is inside of: "" nothing,
# ":" a weight “:1.3)”, "&" and "#" an entity that a choice cuts in two: it may be any letter, once
# in a word.
Thread: TypeAlias = tuple[int, int, str]

# Found anywhere, and at the beginning of a word: where threads start.
_ANYWHERE: Final = 0
_START: Final = 1
_FRESH: Final[frozenset[Thread]] = frozenset({(_ANYWHERE, 0, ""), (_START, 0, "")})


def key_of(word: str) -> str:
    """A word as its letters are first read, those of a phrase parted by one space."""
    read = "".join(
        readings(character)[0][0] if character.isalnum() else _or_gap(character)
        for character in fold(word)
    )
    return " ".join(read.split()) if _WORD.search(read) else ""


def _or_gap(character: str) -> str:
    # A vowel sign of Thai, say, is neither letter nor sign.
    return " " if character.isascii() or not _is_mark(character) else character


def _read(text: str) -> str:
    """A piece of a prompt without changes in it, as it will be tokenized; folded."""
    if "\\" in text:
        text = _ESCAPED.sub(r"\1", text)
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    cut = ""
    if "&" in text:
        begun = _CUT.search(text)
        text, cut = (text[: begun.start()], begun[0]) if begun else (text, "")
        for _ in range(_UNESCAPES):
            text = html.unescape(text)
    if "BREAK" in text:
        text = _BREAK.sub(" ", text)
    return fold(text) + cut


class _Turn(Enum):
    """Between two options of a choice, and after the last one."""

    OR = 0
    END = 1


class _State:
    """Threads that are where they are, and where each character leads from here."""

    __slots__ = ("found", "moves", "threads")

    def __init__(self, threads: frozenset[Thread], found: int | None = None) -> None:
        self.threads = threads
        self.found = found
        self.moves: dict[str, _State] = {}


class Matcher:
    """A server's words as one automaton, built while it is used.

    A thread is one way to read the text so far. The words make a trie; each state of the
    automaton is a set of threads, and a character's move from a state is worked out once.
    """

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self._next: list[dict[str, int]] = [{}, {}]
        # The character that leads to each place, and the word that ends there.
        self._last = [" ", " "]
        self._ends: dict[int, int] = {}
        self._ends_anywhere: dict[int, int] = {}
        for number, word in enumerate(words):
            key = key_of(word)
            letters = key.replace(" ", "")
            if key:
                self._add(key, number)
            if len(letters) >= LETTERS:
                self._add(" ".join(letters), number)
        self._letters = frozenset(letter for place in self._next for letter in place)
        self._kinds: dict[str, str] = {}
        self._states: dict[frozenset[Thread], _State] = {}
        self._start = self._state(_FRESH)

    def find(self, nodes: Iterable[Node]) -> str | None:
        """The first word that is said in ``nodes``, which follow one another."""
        here = self._start
        # Where each choice that is being read began, and where its options led so far.
        choices: list[tuple[_State, frozenset[Thread]]] = []
        left: list[Node | _Turn] = [" ", *reversed(list(nodes))]
        while left:
            node = left.pop()
            if isinstance(node, str):
                for character in _read(node):
                    here = here.moves.get(character) or self._move(here, character)
                    if here.found is not None:
                        return self.words[here.found]
            elif isinstance(node, list):
                left.extend(reversed(node))
            elif isinstance(node, _Turn):
                began, led = choices.pop()
                led |= here.threads
                here = began if node is _Turn.OR else self._state(led)
                if node is _Turn.OR:
                    choices.append((began, led))
            else:
                first, *others = node.options if isinstance(node, Alternation) else _both(node)
                choices.append((here, frozenset()))
                left.append(_Turn.END)
                for option in reversed(others):
                    left += (option, _Turn.OR)
                left.append(first)
        return None

    def _add(self, key: str, number: int) -> None:
        anywhere = _UNSPACED.search(key) is not None
        place = _ANYWHERE if anywhere else _START
        for character in key:
            if character not in self._next[place]:
                self._next[place][character] = len(self._next)
                self._next.append({})
                self._last.append(character)
            place = self._next[place][character]
        (self._ends_anywhere if anywhere else self._ends).setdefault(place, number)

    def _state(self, threads: frozenset[Thread]) -> _State:
        if len(threads) > _WIDEST:
            threads = frozenset(sorted(threads)[:_WIDEST])
        if threads not in self._states:
            if len(self._states) >= _REMEMBERED:
                self._states = {}
                self._start = self._state(_FRESH)
            self._states[threads] = _State(threads)
        return self._states[threads]

    def _move(self, here: _State, character: str) -> _State:
        kind = self._kinds.get(character) or self._kind(character)
        if len(self._kinds) < _REMEMBERED:
            self._kinds[character] = kind
        if kind not in here.moves:
            move = _Move(self._next, self._last, self._ends, self._ends_anywhere)
            move.all(here.threads, kind)
            found = min(move.found, default=None)
            here.moves[kind] = (
                self._state(frozenset(move.threads)) if found is None else _State(_FRESH, found)
            )
        if character.isascii():
            here.moves[character] = here.moves[kind]
        return here.moves[kind]

    def _kind(self, character: str) -> str:
        """``character``, or the one that stands for all that are in none of the words."""
        if character in " :)&#;" or character.isdigit():
            return character
        if any(letter in self._letters for letter, _ in readings(character)):
            return character
        if character.isalnum():
            return _NO_LETTER_UNSPACED if _UNSPACED.match(character) else _NO_LETTER
        if _is_mark(character):
            return character if character in self._letters else _NO_MARK
        return "-" if character in ".+-" else "*"


class _Move:
    """The threads after one more character, and the words that end with it."""

    def __init__(
        self,
        after: list[dict[str, int]],
        last: list[str],
        ends: dict[int, int],
        ends_anywhere: dict[int, int],
    ) -> None:
        self._next = after
        self._last = last
        self._ends = ends
        self._ends_anywhere = ends_anywhere
        self.threads: set[Thread] = set()
        self.found: set[int] = set()

    def all(self, threads: frozenset[Thread], character: str) -> None:
        """Every thread through ``character``; new ones start where a word may begin."""
        unspaced = _UNSPACED.match(character) is not None or character == _NO_LETTER_UNSPACED
        mark = _is_mark(character) or character == _NO_MARK
        sign = not (mark or character.isalnum() or character in _NO_LETTERS)
        for place, flags, inside in threads:
            if inside:
                self._inside(place, flags, inside, character)
            if inside in (":", "&"):
                continue
            for letter, flag in readings(character) if not mark else ((character, 0),):
                self._go(place, flags | flag, letter)
            if sign or unspaced:
                self._gap(place, flags)
            # A sign may part two words, or be strewn into one; a mark belongs to its letter.
            if (sign and character != " ") or (mark and self._last[place].isascii()):
                self.threads.add((place, flags, ""))
            if character == "&" or (character == ":" and place > _START):
                self.threads.add((place, flags, character))
        self.threads.add((_ANYWHERE, 0, ""))
        if sign or unspaced:
            self.threads.add((_START, 0, ""))

    def _inside(self, place: int, flags: int, inside: str, character: str) -> None:
        if inside == ":" and character == ")":
            self.threads.add((place, flags, ""))
        elif inside == ":" and (character in "+- " or character.isdigit()):
            self.threads.add((place, flags, inside))
        elif inside == "&" and character == "#" and not flags & CUT:
            for letter in self._next[place]:
                self._go(place, flags | LEET | CUT, letter, character)
        elif inside == "#" and (character.isalnum() or character == _NO_LETTER):
            self.threads.add((place, flags, inside))

    def _go(self, place: int, flags: int, letter: str, inside: str = "") -> None:
        there = self._next[place].get(letter)
        if there is not None:
            self.threads.add((there, flags, inside))
            if there in self._ends_anywhere and believed(flags):
                self.found.add(self._ends_anywhere[there])

    def _gap(self, place: int, flags: int) -> None:
        """A word ends here, if it was one."""
        if not believed(flags):
            return
        if place in self._ends:
            self.found.add(self._ends[place])
        if " " in self._next[place]:
            self.threads.add((self._next[place][" "], 0, ""))
        if self._last[place] == " ":
            self.threads.add((place, 0, ""))


def _both(switch: Switch) -> list[list[Node]]:
    return [switch.before, switch.after]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"
