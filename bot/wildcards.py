"""Choices in a prompt, ``{red|blue}``: drawn once for a job, from its seed.

The grammar is that of the Dynamic Prompts extension. What is drawn is what is stored, so that a
replay is the same picture; the prompt language's own ``[a|b]`` is left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from random import Random
from typing import Any, Final

from core.notes import Note
from core.request import GenerationRequest

# Choices inside choices, and how many of a choice's options are taken at once.
MAX_DEPTH: Final = 20
MAX_TAKEN: Final = 100

_SIGN: Final = re.compile(r"\\.|[{}\[\]|]", re.DOTALL)
# ``2$$``, ``1-3$$``, ``-3$$``, ``2-$$``, each perhaps with what stands between: ``2$$ and $$``.
_BOUND: Final = re.compile(r"\s*(?P<low>\d{0,4})(?P<to>-?)(?P<high>\d{0,4})\$\$")
_SEPARATOR: Final = re.compile(r"(?P<separator>[^${}|]*)\$\$")
_WEIGHT: Final = re.compile(r"\s*(?P<weight>\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})::")
_JOINED: Final = ", "


@dataclass(slots=True)
class _Group:
    """A ``{`` or ``[`` at ``start``, the bars that divide it, and the choices inside it."""

    sign: str
    start: int
    end: int = -1
    bars: list[int] = field(default_factory=list)
    inner: list[_Group] = field(default_factory=list)


class _Unreadable(Exception):
    """``key`` names the note."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def drawn(
    request: GenerationRequest, before: GenerationRequest | None = None
) -> tuple[GenerationRequest, tuple[Note, ...]]:
    """The request with the choices in both its prompts drawn from its seed.

    A prompt that is still that of ``before`` was drawn then. One whose choices cannot be read
    stands as it is written, and a note says so. Raises :class:`~core.errors.InvalidRequest` when
    what was drawn is too long for a prompt.
    """
    random = Random(request.seed)
    texts: dict[str, Any] = {}
    notes: tuple[Note, ...] = ()
    for name in ("prompt", "negative_prompt"):
        text = getattr(request, name)
        if before is None or text != getattr(before, name):
            texts[name], unread = draw(text, random)
            notes += unread
    return replace(request, **texts), notes


def draw(text: str, random: Random) -> tuple[str, tuple[Note, ...]]:
    r"""``"a {red|blue} car"`` → ``"a blue car"``.

    ``{2$$a|b|c}`` takes two of three, ``{1-2$$ and $$a|b|c}`` one or two with “ and ” between,
    ``{3::a|b}`` takes ``a`` three times as often. Braces without a choice inside stay, as do
    ``\{ \| \}``. Uses nothing of ``random`` but ``random()``, which is the same in every Python.
    """
    if "{" not in text:
        return text, ()
    try:
        choices = _choices(text)
    except _Unreadable as error:
        return text, (Note.of(error.key),)
    return _expand(text, 0, len(text), choices, random), ()


def _choices(text: str) -> list[_Group]:
    """The outermost choices of a text, in order. Raises :class:`_Unreadable`."""
    stack = [_Group("", -1)]
    depth = 0
    for found in _SIGN.finditer(text):
        sign, place = found[0], found.start()
        if sign in ("{", "["):
            depth += sign == "{"
            if depth > MAX_DEPTH:
                raise _Unreadable("choices_too_deep")
            stack.append(_Group(sign, place))
        elif sign == "|":
            stack[-1].bars.append(place)
        elif sign == "]" and stack[-1].sign == "[":
            closed = stack.pop()
            stack[-1].inner += closed.inner
        elif sign == "}" and depth:
            depth -= 1
            _close(text, stack, place)
    while len(stack) > 1:
        _give_up(text, stack)
    return stack[0].inner


def _close(text: str, stack: list[_Group], place: int) -> None:
    """A ``}`` ends the innermost ``{``; a choice is noted in what is around it."""
    while stack[-1].sign == "[":
        _give_up(text, stack)
    group = stack.pop()
    group.end = place
    stack[-1].inner += [group] if _is_choice(text, group) else group.inner


def _give_up(text: str, stack: list[_Group]) -> None:
    """What is never closed is a plain sign, and its bars are those around it."""
    group = stack.pop()
    if group.sign == "{" and _is_choice(text, group):
        raise _Unreadable("choices_unclosed")
    stack[-1].bars += group.bars
    stack[-1].inner += group.inner


def _is_choice(text: str, group: _Group) -> bool:
    return bool(group.bars) or _bound(text, group.start) is not None


def _bound(text: str, start: int) -> re.Match[str] | None:
    """What stands before the options of the group at ``start``: how many are taken."""
    bound = _BOUND.match(text, start + 1)
    return bound if bound and (bound["low"] or bound["high"]) else None


def _expand(text: str, start: int, end: int, choices: Iterable[_Group], random: Random) -> str:
    parts = []
    for group in choices:
        parts += [text[start : group.start], _chosen(text, group, random)]
        start = group.end + 1
    return "".join([*parts, text[start:end]])


def _chosen(text: str, group: _Group, random: Random) -> str:
    first, low, high, joint = group.start + 1, 1, 1, _JOINED
    if bound := _bound(text, group.start):
        first = bound.end()
        low = int(bound["low"] or 0) if bound["to"] else int(bound["low"])
        high = int(bound["high"] or len(group.bars) + 1) if bound["to"] else low
        if separator := _SEPARATOR.match(text, first):
            first, joint = separator.end(), separator["separator"]
    ends = [*group.bars, group.end]
    spans = list(zip([first, *(bar + 1 for bar in group.bars)], ends, strict=True))
    weights = [_WEIGHT.match(text, *span) for span in spans]
    taken = _taken([float(w["weight"]) if w else 1.0 for w in weights], low, high, random)
    options = []
    for index in taken:
        start, end = spans[index]
        inner = [choice for choice in group.inner if start <= choice.start < end]
        weight = weights[index]
        options.append(_expand(text, weight.end() if weight else start, end, inner, random).strip())
    return joint.join(options)


def _taken(weights: list[float], low: int, high: int, random: Random) -> list[int]:
    """From ``low`` to ``high`` different places, each drawn by its weight."""
    most = min(len(weights), MAX_TAKEN)
    low, high = sorted((min(low, most), min(high, most)))
    left = dict(enumerate(weights))
    taken = []
    for _ in range(low + int(random.random() * (high - low + 1))):
        if not sum(left.values()):
            left = dict.fromkeys(left, 1.0)
        reached = list(accumulate(left.values()))
        # Below 1 times the sum: the last place that weighs anything is never passed.
        taken.append(list(left)[bisect_right(reached, random.random() * reached[-1])])
        del left[taken[-1]]
    return taken
