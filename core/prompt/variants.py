r"""Choices in a prompt, ``{red|blue}``: drawn once for a job, from its seed.

They are parsed here, for the prompt language has its own ``[a|b]`` and ``\|``, and drawn by
dynamicprompts. The drawn prompt is what is stored, so that a repeated job gives the same image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from random import Random
from types import MappingProxyType
from typing import Any, Final

from dynamicprompts.commands import VariantCommand
from dynamicprompts.enums import SamplingMethod
from dynamicprompts.sampling_context import SamplingContext
from dynamicprompts.wildcards import WildcardManager

from core.notes import Note
from core.request import GenerationRequest

# How deep choices can be nested, and how many of a choice's options are taken at once.
MAX_DEPTH: Final = 20
MAX_TAKEN: Final = 50

_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_BRACE: Final = re.compile(r"\\.|[{}]", re.DOTALL)
_INNERMOST: Final = re.compile(r"\{([^{}]*)\}")
# ``2$$``, ``1-3$$``, ``-3$$``, ``2-$$``, each perhaps with what stands between: ``2$$ and $$``.
_BOUND: Final = re.compile(
    r"\s*(?=-?\d)(?P<low>\d{0,4})(?P<to>-?)(?P<high>\d{0,4})\$\$(?:(?P<separator>[^$]*)\$\$)?"
)
_WEIGHT: Final = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})::")
# In place of a weight of 0: the library cannot draw when all weights left are 0.
_NEXT_TO_NOTHING: Final = 1e-30

# Private-use characters of Unicode, each a placeholder for text that is parsed already.
_SIGNS: Final = range(0xF0000, 0x110000)
# Without a path no wildcard files are read.
_CONTEXT: Final = SamplingContext(SamplingMethod.RANDOM, WildcardManager())


def draw_choices(
    request: GenerationRequest,
    before: GenerationRequest | None = None,
    literal: Mapping[str, str] = MappingProxyType({}),
) -> tuple[GenerationRequest, tuple[Note, ...]]:
    """Return the request with the choices in both its prompts drawn from its seed.

    A prompt that equals that of ``before`` is left as it is, and so is the text within it that
    ``literal`` has under its name. One whose choices cannot be read stays as it is written, with
    a note. Raises :class:`~core.errors.InvalidRequest` when
    what was drawn is too long for a prompt.
    """
    random = Random(request.seed)
    texts: dict[str, Any] = {}
    notes: tuple[Note, ...] = ()
    for name in ("prompt", "negative_prompt"):
        text = getattr(request, name)
        if before is None or text != getattr(before, name):
            texts[name], unread = draw(text, random, literal.get(name, ""))
            notes += unread
    return replace(request, **texts), notes


def draw(text: str, random: Random, literal: str = "") -> tuple[str, tuple[Note, ...]]:
    r"""Draw the choices in a text: ``"a {red|blue} car"`` → ``"a blue car"``.

    ``{2$$a|b|c}`` takes two of three, ``{1-2$$ and $$a|b|c}`` one or two with “ and ” between,
    ``{3::a|b}`` takes ``a`` three times as often. Braces without a choice inside stay, as do
    ``\{ \| \}`` and everything in ``literal``.
    """
    context = replace(_CONTEXT, rand=random)
    signs = (sign for sign in _SIGNS if chr(sign) not in text)
    hidden: dict[int, str] = {}

    def hide(words: str) -> str:
        sign = next(signs)
        hidden[sign] = words.translate(hidden)
        return chr(sign)

    def read(braces: re.Match[str]) -> str:
        choice = _choice(braces[1])
        if choice is None:
            return hide(braces[0])
        (words,) = context.sample_prompts(choice, 1)
        return hide(words.text)

    left = text.replace(literal, hide(literal)) if literal else text
    left = _ESCAPED.sub(lambda escaped: hide(escaped[0]), left)
    # From the inside out: a choice inside a choice is drawn, and one placeholder, by its turn.
    for _ in range(MAX_DEPTH):
        left = _INNERMOST.sub(read, left)
    if _INNERMOST.search(left):
        return text, (Note.of("choices_too_deep"),)
    if any(_choice(words) for words in left.split("{")[1:]):
        return text, (Note.of("choices_unclosed"),)
    return left.translate(hidden), ()


def literal(text: str) -> str:
    r"""Write a text so that nothing is drawn from it: ``{red|blue}`` → ``\{red|blue\}``.

    A text that was pasted means its braces. Only they are escaped: the encoder reads the same
    words, and a bar alone still does what it does in A1111. Text without a choice stays.
    """
    if draw(text, Random(0)) == (text, ()):
        return text
    return _BRACE.sub(lambda sign: sign[0] if sign[0][0] == "\\" else "\\" + sign[0], text)


def _choice(words: str) -> VariantCommand | None:
    """Parse the text between braces; None when it is no choice."""
    bound = _BOUND.match(words)
    options = _options(words[bound.end() :] if bound else words)
    if not bound and len(options) == 1:
        return None
    low, high, separator = 1, 1, None
    if bound:
        low, separator = int(bound["low"] or 1), bound["separator"]
        high = int(bound["high"] or (MAX_TAKEN if bound["to"] else low))
    # Sorted by weight: with an option taken, the library drops the first weight that is equal.
    weighed = sorted(_weighed(option) for option in options)
    return VariantCommand.from_literals_and_weights(
        [option for _, option in weighed],
        [weight for weight, _ in weighed],
        min(low, MAX_TAKEN),
        min(high, MAX_TAKEN),
        ", " if separator is None else separator,
    )


def _options(words: str) -> list[str]:
    """Split at the bars, but those inside ``[ ]``, which are the prompt language's."""
    bars: list[int] = []
    before: list[int] = []
    for sign in re.finditer(r"[\[\]|]", words):
        if sign[0] == "|":
            bars.append(sign.start())
        elif sign[0] == "[":
            before.append(len(bars))
        elif before:
            del bars[before.pop() :]
    return [words[bar + 1 : end] for bar, end in pairwise([-1, *bars, len(words)])]


def _weighed(option: str) -> tuple[float, str]:
    if weight := _WEIGHT.match(option):
        return float(weight[1]) or _NEXT_TO_NOTHING, option[weight.end() :].strip()
    return 1.0, option.strip()
