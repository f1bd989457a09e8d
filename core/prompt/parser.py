"""Parse A1111's prompt language: what to tokenise, with which weight, in which chunk.

Pure functions without torch. They raise for no text, and take linear time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from core.notes import Note
from core.options import NONE
from core.prompt.editing import parse, texts
from core.prompt.tags import Use, negative_notes, networks
from core.request import MAX_AND_PARTS

BREAK: Final = ("BREAK", -1.0)
CHUNK: Final = 75
COMMA_REACH: Final = 20
# Deeper than prompts need; without a limit 100 kB of brackets would take quadratic time.
MAX_DEPTH: Final = 128
# fp32 ends at 3e38, and emphasis sums the 77 × width numbers of a chunk.
MAX_WEIGHT: Final = 1e30
MAX_NOTES: Final = 10

_PIECE: Final = re.compile(r"\\[()\[\]\\]?|[()\[\]]|:\s*([+-]?[.,\d]+)\s*\)|[^\\()\[\]:]+|:")
_BREAK: Final = re.compile(r"\bBREAK\b")
_AND: Final = re.compile(r"\bAND\b")
_AND_WEIGHT: Final = re.compile(r"\s*([+-]?(?:\d+\.?|\d*\.\d+))")
_FACTOR: Final = {"(": 1.1, "[": 1 / 1.1}


# Texts with their weights.
Segments = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A parsed prompt: ``parts`` is ``((AND weight, ((until, text), …)), …)``.

    ``weighted`` has each of these texts as :func:`parse_weights` reads it. ``negative`` is True
    for a negative prompt; ``emphasis`` is the option's value; ``networks`` were taken out.
    """

    parts: tuple[tuple[float, tuple[tuple[int, str], ...]], ...]
    weighted: Mapping[str, Segments]
    notes: tuple[Note, ...]
    negative: bool = False
    emphasis: str = "Original"
    networks: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The text encoder's input: start, 75 tokens, end; and a weight for each."""

    tokens: tuple[int, ...]
    weights: tuple[float, ...]


def read(
    text: str,
    steps: int,
    *,
    hires_steps: int | None = None,
    negative: bool = False,
    emphasis: str = "Original",
    old_timelines: bool = False,
) -> Prompt:
    """Parse ``text`` in A1111's order.

    That is: take out ``<lora:…>``, split on ``AND`` (a negative prompt knows neither; at most
    :data:`~core.request.MAX_AND_PARTS`), schedule each part over ``steps`` model calls
    (:func:`core.prompt.editing.texts` says how, and what ``hires_steps`` and ``old_timelines``
    are), then read the weights of each of these texts; with the ``emphasis`` "None" brackets and
    BREAK are words.
    ``notes`` are on what was ignored or looks like a mistake, at most :data:`MAX_NOTES`.
    """
    uses: list[Use] = []
    if negative:
        parts, notes = [(text, 1.0)], list(negative_notes(text))
    else:
        text, uses, notes = networks(text)
        parts = split_and(text)
    scheduled = []
    weighted: dict[str, Segments] = {}
    for part, weight in parts[:MAX_AND_PARTS]:
        tree = parse(part)
        entries = texts(tree, steps, hires_steps, old=old_timelines)
        scheduled.append((weight, tuple(entries)))
        notes += tree.notes
        for variant in {entry: None for _, entry in entries if entry not in weighted}:
            if emphasis == NONE:
                weighted[variant] = [(variant, 1.0)]
                continue
            weighted[variant], found = _weigh(variant)
            notes += found
    if len(parts) > MAX_AND_PARTS:
        notes.append(Note.of("too_many_parts", limit=MAX_AND_PARTS))
    elif not negative and not any(note.key == "unclosed_bracket" for note in notes):
        notes += _end_weight(text, parts)
    unique = tuple(dict.fromkeys(notes))[:MAX_NOTES]
    return Prompt(tuple(scheduled), weighted, unique, negative, emphasis, tuple(uses))


def split_and(text: str) -> list[tuple[str, float]]:
    """Split ``"a cat AND a dog:1.2"`` into ``[("a cat", 1.0), (" a dog", 1.2)]``.

    ``AND`` is a whole word in capitals. Without one the text stands as it is: the ``:9`` of a
    final ``16:9`` is no weight, though A1111 takes it for one. Space at a part's end goes.
    """
    parts = _AND.split(text)
    if len(parts) == 1:
        return [(text.rstrip(), 1.0)]
    return [_part_weight(part) for part in parts]


def _part_weight(part: str) -> tuple[str, float]:
    part = part.rstrip()
    words, _, number = part.rpartition(":")
    weight = _AND_WEIGHT.fullmatch(number)
    if ":" not in part or weight is None or not math.isfinite(float(weight[1])):
        return part, 1.0
    return words.rstrip(), float(weight[1])


def _end_weight(text: str, parts: list[tuple[str, float]]) -> list[Note]:
    """Note what A1111 takes for a weight in a prompt without AND."""
    if len(parts) > 1 or _part_weight(text)[0] == parts[0][0]:
        return []
    return [Note.of("end_weight", number=text.rpartition(":")[2].strip()[:20])]


def parse_weights(text: str) -> list[tuple[str, float]]:
    r"""Read ``"a (cat:1.3) [dim]"``: ``[("a ", 1.0), ("cat", 1.3), (" ", 1.0), ("dim", 0.909…)]``.

    ``(x)`` ×1.1, ``[x]`` ÷1.1, ``(x:1.3)`` ×1.3; nests multiply (the innermost
    :data:`MAX_DEPTH` and more deep count no further), unclosed brackets run to the end,
    ``\( \) \[ \] \\`` are the signs themselves and any other backslash vanishes. The whole word
    ``BREAK`` stands as :data:`BREAK` between the texts around it, also inside brackets
    (A1111 makes it a word there). A weight that is no number, ``(cat:1.2.3)``, is read as
    words in plain brackets (A1111 stops with an error). Weights are cut to ±:data:`MAX_WEIGHT`.
    """
    return _weigh(text)[0]


def _weigh(text: str) -> tuple[list[tuple[str, float]], list[Note]]:
    texts: list[str] = []
    weights: list[float] = []
    breaks: set[int] = set()
    # Round and square brackets close independently: “(a [b) c]” is two overlapping spans.
    opened: dict[str, list[int | None]] = {"(": [], "[": []}
    notes: list[Note] = []

    def add(*words: str) -> None:
        texts.extend(words)
        weights.extend([1.0] * len(words))

    def close(bracket: str, factor: float) -> None:
        start = opened[bracket].pop()
        if start is not None:
            weights[start:] = [weight * factor for weight in weights[start:]]

    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece[0] == "\\":
            add(piece[1:])
        elif piece in opened:
            opened[piece].append(len(texts) if len(opened[piece]) < MAX_DEPTH else None)
        elif match[1] is not None and opened["("]:
            weight = _number(match[1])
            if weight is None:
                notes.append(Note.of("bad_weight", text=match[1][:20]))
                add(piece[:-1])
            close("(", _FACTOR["("] if weight is None else weight)
        elif match[1] is not None and not match[1].isdigit():
            # A weight without its bracket; “:3)” is a face.
            notes.append(Note.of("bad_weight", text=piece[:20]))
            add(piece)
        elif piece == ")" and opened["("]:
            close("(", _FACTOR["("])
        elif piece == "]" and opened["["]:
            close("[", _FACTOR["["])
        else:
            for number, words in enumerate(_split_breaks(piece)):
                if number:
                    breaks.add(len(texts))
                    add(BREAK[0])
                add(words)
    for bracket, starts in opened.items():
        if starts:
            notes.append(Note.of("unclosed_bracket", bracket=bracket))
        while starts:
            close(bracket, _FACTOR[bracket])
    return _merge(texts, weights, breaks), notes


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _split_breaks(text: str) -> list[str]:
    """Split at the BREAKs, and strip the space around them."""
    first, *rest = _BREAK.split(text)
    if not rest:
        return [text]
    *middle, last = rest
    return [first.rstrip(), *(part.strip() for part in middle), last.lstrip()]


def _merge(texts: list[str], weights: list[float], breaks: set[int]) -> list[tuple[str, float]]:
    """Join neighbours of equal weight, never across a BREAK."""
    merged: list[tuple[list[str], float]] = []
    joinable = False
    for place, (text, weight) in enumerate(zip(texts, weights, strict=True)):
        if place in breaks:
            merged.append(([text], BREAK[1]))
        elif joinable and merged[-1][1] == _bounded(weight):
            merged[-1][0].append(text)
        else:
            merged.append(([text], _bounded(weight)))
        joinable = place not in breaks
    return [("".join(words), weight) for words, weight in merged] or [("", 1.0)]


def _bounded(weight: float) -> float:
    """Cut to ±MAX_WEIGHT. NaN, which infinity × 0 gives, is 0."""
    return 0.0 if math.isnan(weight) else min(max(weight, -MAX_WEIGHT), MAX_WEIGHT)


def chunk(
    segments: Iterable[tuple[Sequence[int | tuple[int, ...]], float] | None],
    *,
    start: int,
    end: int,
    comma: int | None,
    pad: int | None = None,
    length: int = CHUNK,
) -> tuple[list[Chunk], int]:
    """Divide token ids per weighted segment (None for a BREAK) into chunks; also count them.

    A full chunk starts the next one; when its last ``comma`` is at most :data:`COMMA_REACH`
    tokens back, what follows that comma moves along. BREAK fills the chunk up. A tuple of ids,
    an embedding's vectors, is never divided, so it has ``length`` at most. The count is A1111's:
    every chunk but the last counts whole. ``start`` and ``end`` frame each chunk of ``length``
    tokens; it is filled with ``pad``, and so is everything after the first ``end`` (as the
    encoders that pad with 0 were trained), by default ``end`` itself.
    """
    chunks: list[Chunk] = []
    tokens: list[int] = []
    weights: list[float] = []
    last_comma = -1

    def finish(keep: int) -> None:
        nonlocal tokens, weights, last_comma
        rest, rest_weights = tokens[keep:], weights[keep:]
        chunks.append(_frame(tokens[:keep], weights[:keep], start, end, pad, length))
        tokens, weights, last_comma = rest, rest_weights, -1

    for segment in segments:
        if segment is None:
            finish(len(tokens))
            continue
        for token in segment[0]:
            if len(tokens) == length:
                near = last_comma >= 0 and length - last_comma <= COMMA_REACH
                finish(last_comma + 1 if near and token != comma else length)
            elif token == comma:
                last_comma = len(tokens)
            ids = token if isinstance(token, tuple) else (token,)
            if len(tokens) + len(ids) > length:
                finish(len(tokens))
            tokens.extend(ids)
            weights.extend([segment[1]] * len(ids))
    count = len(chunks) * length + len(tokens)
    if tokens or not chunks:
        finish(len(tokens))
    return chunks, count


def _frame(
    tokens: list[int], weights: list[float], start: int, end: int, pad: int | None, length: int
) -> Chunk:
    missing = length - len(tokens)
    framed = [start, *tokens, *[end] * missing, end]
    if pad is not None and pad != end:
        first = framed.index(end) + 1
        framed[first:] = [pad] * (len(framed) - first)
    return Chunk(tuple(framed), (1.0, *weights, *[1.0] * missing, 1.0))
