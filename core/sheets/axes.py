"""Axes of an X/Y sheet: what can vary, and how an axis's text is read into values.

The names, the syntax and the values are those of A1111's X/Y/Z plot script.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from typing import Final

from core.errors import InvalidRequest, SheetTooLarge, UnknownName
from core.options import AUTOMATIC, OPTIONS, RANGES, AxisKind, Range
from core.pictures.sampler_names import sampler_of
from core.request import draw_seed, parse_size
from core.typed import half_width, separated

MAX_VALUES: Final = 150
MAX_TEXT: Final = 10_000

_NUMBER: Final = r"[+-]?\d+(?:\.\d*)?"
_RANGE: Final = re.compile(
    rf"({_NUMBER})\s*-\s*({_NUMBER})\s*(?:\(\s*([+-]\d+(?:\.\d*)?)\s*\)|\[\s*(\d+)\s*\])?"
)

Value = int | float | str | bool
# How a yes or no is typed; A1111's own are the first.
_FLAGS: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


AXES: Final = sorted(
    (option.axis for option in OPTIONS.values() if option.axis), key=lambda kind: kind.order
)


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis as it was typed (``text``), and its values, none of them −1."""

    kind: AxisKind
    text: str
    values: tuple[Value, ...]

    @property
    def labels(self) -> list[str]:
        """The legends as A1111 writes them: ``Clip skip: 2``."""
        shown = [round(value, 8) if isinstance(value, float) else value for value in self.values]
        return [str(value) if self.kind.bare else f"{self.kind.name}: {value}" for value in shown]


def parse_axis(name: str, text: str) -> list[Value]:
    """Read an axis's text as values; a seed of −1 stays.

    Numbers: ``1-12`` inclusive, ``1-10 (+2)``, ``10-1 (-3)``, ``1-10 [5]`` for five values
    evenly spread, and comma lists of these, as any keyboard writes them. Names: a comma list,
    ``"in quotes, with commas"``; True and False, or yes and no. Raises :class:`UnknownName` for an
    axis or sampler there is not, :class:`InvalidRequest` for what is no such value or out of range,
    :class:`SheetTooLarge` beyond :data:`MAX_VALUES`.
    """
    return _values(kind_of(name), text, MAX_VALUES)


def read_axis(name: str, text: str, *, limit: int = MAX_VALUES) -> Axis:
    """Read an axis for a sheet as :func:`parse_axis` does: 1 to ``limit`` values, each −1 drawn."""
    kind = kind_of(name)
    values = _values(kind, text, limit)
    if not values:
        raise _no_values(kind, text)
    if kind.field in ("seed", "variation_seed"):
        values = [draw_seed() if value == -1 else value for value in values]
    return Axis(kind, text, tuple(values))


def kind_of(name: str) -> AxisKind:
    """Find the axis by A1111's name or the option's. Raises :class:`UnknownName`."""
    names = {
        _plain(alias): kind for kind in AXES for alias in (kind.name, kind.field, *kind.aliases)
    }
    if kind := names.get(_plain(name)):
        return kind
    close = get_close_matches(_plain(name), names, n=3)
    raise UnknownName("axis", name[:80], tuple(dict.fromkeys(names[each].name for each in close)))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name[:80]).strip().casefold()


def _values(kind: AxisKind, text: str, limit: int) -> list[Value]:
    if len(text) > MAX_TEXT:
        raise SheetTooLarge("characters", len(text), MAX_TEXT)
    plain = half_width(text) if _is_number(kind) else separated(text)
    try:
        fields = [
            field.strip()
            for line in csv.reader(StringIO(plain), skipinitialspace=True)
            for field in line
        ]
    except csv.Error:
        raise _no_values(kind, text) from None
    # Only Prompt S/R takes an empty value: the word is removed.
    fields = [field for field in fields if field or kind.field == "prompt"]
    count = sum(_count(kind, field) for field in fields)
    if count > MAX_VALUES:
        raise SheetTooLarge("values", count, limit)
    values: list[Value] = []
    for field in fields:
        values += _numbers(kind, field) if _is_number(kind) else [_name(kind, field)]
    # Of a range in fractions fewer values may be left than were counted.
    if len(values) > limit:
        raise SheetTooLarge("values", len(values), limit)
    return values


def _count(kind: AxisKind, field: str) -> int:
    """Count the values of a field without making them: a range may have billions."""
    found = _RANGE.fullmatch(field)
    if not _is_number(kind) or found is None:
        return 1
    start, end, step, count = found.groups()
    try:
        if count is not None:
            return int(count)
        if kind.type is int:
            return max(0, -((int(start) - int(end) - 1) // int(step or 1)))
        return _steps(float(start), float(end), float(step or 1))
    except (ValueError, OverflowError, ZeroDivisionError):
        # The error is raised where the value is read.
        return 1


def _steps(first: float, last: float, stride: float) -> int:
    return max(0, math.ceil((last + stride - first) / stride))


def _no_values(kind: AxisKind, text: str) -> InvalidRequest:
    return InvalidRequest(kind.field, text[:80], "numbers" if _is_number(kind) else "names")


def _is_number(kind: AxisKind) -> bool:
    return kind.type in (int, float)


def _numbers(kind: AxisKind, field: str) -> list[int | float]:
    allowed = RANGES[kind.field]
    found = _RANGE.fullmatch(field)
    try:
        if found is None:
            numbers: list[int | float] = [kind.type(field)]  # type: ignore[list-item]
        elif kind.type is int:
            numbers = list(_whole(*found.groups()))
        else:
            numbers = list(_fractional(allowed, *found.groups()))
    except (ValueError, OverflowError):
        raise allowed.invalid(kind.field, field[:80]) from None
    for number in numbers:
        if not (number == -1 and "seed" in kind.field):
            allowed.check(kind.field, number)
    return numbers


def _whole(start: str, end: str, step: str | None, count: str | None) -> Sequence[int]:
    first, last = int(start), int(end)
    if count is not None:
        return [int(value) for value in _spread(first, last, int(count))]
    return range(first, last + 1, int(step or 1))


def _fractional(
    allowed: Range, start: str, end: str, step: str | None, count: str | None
) -> Sequence[float]:
    """List a range, which ends as in A1111 with the first value at or past its end, if allowed."""
    first, last = float(start), float(end)
    if count is not None:
        return _spread(first, last, int(count))
    stride = float(step or 1)
    if stride == 0:
        raise ValueError(step)
    length = _steps(first, last, stride)
    # Added up as numpy.arange does, to the same digits.
    stride = (first + stride) - first
    values = []
    for value in (first + index * stride for index in range(length)):
        if not allowed.low <= value <= allowed.high and (value - last) * stride > 0:
            if not math.isclose(value, last, abs_tol=1e-9):
                continue
            value = last
        values.append(value)
    return values


def _spread(first: float, last: float, count: int) -> list[float]:
    """List ``count`` values from first to last, added up as numpy.linspace does."""
    if count < 2:
        return [float(first)] * count
    stride = (last - first) / (count - 1)
    return [index * stride + first for index in range(count - 1)] + [float(last)]


def _name(kind: AxisKind, field: str) -> str | bool:
    """Spell a name as the request does. Models and VAEs are checked against the catalogue later."""
    if kind.type is bool:
        if (flag := _FLAGS.get(half_width(field).casefold())) is None:
            raise InvalidRequest(kind.field, field[:80], "yes_no")
        return flag
    match kind.field:
        case "sampler":
            sampler, schedule = sampler_of(field)
            return sampler if schedule == AUTOMATIC else f"{sampler} {schedule}"
        case "size" | "seed_resize":
            start = "" if kind.field == "size" else "seed_resize_"
            width, height = parse_size(field)
            RANGES[f"{start}width"].check(f"{start}width", width)
            RANGES[f"{start}height"].check(f"{start}height", height)
            return f"{width}x{height}"
        case name:
            return OPTIONS[name].spelt(field) if OPTIONS[name].choices else field
