"""Prompt editing: ``[from:to:when]`` and ``[a|b]``, which change the text during sampling.

One linear scan builds a small tree, which is then read once for every step at which it changes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from core.notes import Note

Node: TypeAlias = "str | list[Node] | Switch | Alternation"

# Words with escapes (a backslash keeps the next character from being a sign), or one sign.
_TOKEN: Final = re.compile(r"(?:[^\\\[\]():|]++|\\.)++|[\[\]():|]")
_NUMBER: Final = re.compile(r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")
_CLOSER: Final = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True, eq=False)
class Switch:
    """``[before:after:number]``."""

    before: list[Node]
    after: list[Node]
    number: str


@dataclass(frozen=True, slots=True, eq=False)
class Alternation:
    """``[a|b|c]``: the next option at every step."""

    options: list[list[Node]]


@dataclass(slots=True)
class EditTree:
    """A prompt read for editing. ``stray`` is the sign, if any, that makes it all plain text."""

    text: str
    nodes: list[Node] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    alternates: bool = False
    stray: str = ""
    notes: list[Note] = field(default_factory=list)


@dataclass(slots=True)
class _Open:
    """A bracket not closed yet: its fields so far, and the signs between them."""

    bracket: str
    start: int
    fields: list[list[Node]] = field(default_factory=lambda: [[]])
    signs: list[str] = field(default_factory=list)

    def close(self, closer: str) -> Node | None:
        """Return what the bracket means when ``closer`` ends it; None when it means nothing."""
        first, *rest = self.fields
        if _CLOSER[self.bracket] != closer:
            return None
        if not self.signs:
            return [self.bracket, first, closer]
        if self.bracket == "(":
            return ["(", first, ":", *rest, ")"] if self.signs == [":"] else None
        if set(self.signs) == {"|"}:
            return Alternation(self.fields)
        if self.signs not in ([":"], [":", ":"]):
            return None
        *words, when = self.fields
        number = _NUMBER.fullmatch(when[0]) if len(when) == 1 and isinstance(when[0], str) else None
        return Switch(words[0] if rest[1:] else [], words[-1], number[1]) if number else None


def parse(text: str) -> EditTree:
    """Read ``text`` in one pass; time and memory are linear, whatever it holds.

    A bracket that is never closed, or closed wrongly, is an ordinary sign, and so is every
    bracket around it. A lone ``|`` or backslash makes the whole prompt plain text: A1111's
    grammar has no place for one, and it then takes the prompt as it stands.
    """
    tree = EditTree(text)
    stack: list[_Open] = []
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() != end:
            tree.stray = "\\"
        end, token = match.end(), match[0]
        if token in ("(", "["):
            stack.append(_Open(token, match.start()))
        elif token in (")", "]"):
            node = stack[-1].close(token) if stack else None
            if node is None:
                _spill(stack, tree)
                tree.nodes.append(token)
            else:
                opened = stack.pop()
                start = opened.start + 1
                _remember(node, opened, text[start : min(end - 1, start + 40)], tree)
                (stack[-1].fields[-1] if stack else tree.nodes).append(node)
        elif token in (":", "|") and stack:
            stack[-1].signs.append(token)
            stack[-1].fields.append([])
        else:
            (stack[-1].fields[-1] if stack else tree.nodes).append(token)
            if token == "|":
                tree.stray = token
    if end != len(text):
        tree.stray = "\\"
    _spill(stack, tree)
    if tree.stray and (tree.numbers or tree.alternates):
        tree.notes = [Note.of("schedule_off", sign=tree.stray)]
    return tree


def _spill(stack: list[_Open], tree: EditTree) -> None:
    """Take every open bracket as an ordinary character."""
    for opened in stack:
        tree.nodes.append(opened.bracket)
        for sign, nodes in zip(["", *opened.signs], opened.fields, strict=True):
            tree.nodes.append(sign)
            tree.nodes.extend(nodes)
            if sign == "|":
                tree.stray = sign
    stack.clear()


def _remember(node: Node, opened: _Open, inside: str, tree: EditTree) -> None:
    if isinstance(node, Alternation):
        tree.alternates = True
    elif isinstance(node, Switch):
        tree.numbers.append(node.number)
        # “[cat:1.3]” waits for a step after the last one: what was meant is a weight.
        if len(opened.signs) == 1 and "." in node.number and float(node.number) >= 1:
            tree.notes.append(Note.of("schedule_not_weight", text=inside))


def texts(
    tree: EditTree, steps: int, hires_steps: int | None = None, *, old: bool = False
) -> list[tuple[int, str]]:
    """Return what the prompt says up to which model call: ``[(until, text), …]``, until rising.

    ``steps`` is the number of model calls (twice the sampler's steps for second-order
    samplers). Call ``c``, counted from 0, uses the first entry with ``until >= c``.

    ``[a:b:N]`` changes from a to b; ``[b:N]`` and ``[a::N]`` start and end with nothing. N with
    a dot is a fraction of the steps (0.5: halfway), else a call. ``[a|b]`` takes turns. With
    ``hires_steps`` the second pass of hires fix is meant, where N goes on counting: fractions
    from 1 to 2, calls after ``steps``.

    ``old`` is A1111's rule before 1.6, its option "old timelines": N below 1 is a fraction, and
    the second pass goes by the steps of the first from its beginning.

    Never raises. Entries that do not differ are kept, as A1111 keeps them. Where a sign follows
    a bracket at once (``[a:b:5]]``) A1111's parser picks at random; here the bracket wins.
    """
    if hires_steps is None or old:
        total, first_call, first_fraction = steps, 0, 0.0
    else:
        total, first_call, first_fraction = hires_steps, steps, 1.0
    if tree.stray:
        return [(total, tree.text)]

    def when(number: str) -> int:
        value = float(number)
        fraction = value < 1 if old else "." in number
        value = (value - first_fraction) * total if fraction else value - first_call
        return min(total, int(value)) if math.isfinite(value) else (total if value > 0 else -1)

    ends = {total, *range(1, total + 1 if tree.alternates else 1)}
    ends.update(end for end in map(when, tree.numbers) if end >= 1)
    return [(end, _text_at(tree.nodes, end, when)) for end in sorted(ends)]


def _text_at(nodes: list[Node], step: int, when: Callable[[str], int]) -> str:
    """Return the text at ``step``. No recursion: nesting may be deeper than Python's stack."""
    text: list[str] = []
    left: list[Node] = [nodes]
    while left:
        node = left.pop()
        if isinstance(node, str):
            text.append(node)
        elif isinstance(node, list):
            left.extend(reversed(node))
        elif isinstance(node, Switch):
            left.append(node.before if step <= when(node.number) else node.after)
        else:
            left.append(node.options[(step - 1) % len(node.options)])
    return "".join(text)
