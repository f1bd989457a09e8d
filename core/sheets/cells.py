"""The cells of an X/Y sheet: a request each, and their images drawn as one with legends.

The axes are read in core/sheets/axes.py; core/sheets/drawing.py draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from PIL import Image

from core.errors import InvalidRequest, SheetTooLarge
from core.options import AUTOMATIC, NONE
from core.prompt.tags import with_name, with_weight
from core.request import (
    GenerationRequest,
    HiresFix,
    crossed,
    crossing,
    parse_size,
    split_sampler,
)
from core.sheets.axes import Axis, Value
from core.sheets.drawing import draw_sheet, stack

MAX_CELLS: Final = 400


@dataclass(frozen=True, slots=True)
class Cell:
    """An image of a sheet and its place, counted from 0 at the upper left."""

    row: int
    column: int
    request: GenerationRequest


def cells(
    base: GenerationRequest, x: Axis, y: Axis | None = None, *, limit: int = MAX_CELLS
) -> list[Cell]:
    """Make the cells in the order to run them: the costlier axis changes least often.

    All share ``base``'s seed unless an axis sets it. Raises :class:`SheetTooLarge` beyond
    ``limit``, and what a :class:`GenerationRequest` raises.
    """
    rows: Sequence[Value | None] = y.values if y is not None else (None,)
    if len(x.values) * len(rows) > limit:
        raise SheetTooLarge("cells", len(x.values) * len(rows), limit)
    base = replace(base, count=1)
    sheet = []
    for row, y_value in enumerate(rows):
        for column, x_value in enumerate(x.values):
            pairs = [(x, x_value)] if y is None or y_value is None else [(y, y_value), (x, x_value)]
            # A weight is set in the tag that the other axis may write.
            pairs.sort(key=lambda pair: pair[0].kind.field == "lora_weight")
            request = base
            for axis, value in pairs:
                request = _apply(request, axis, value)
            sheet.append(Cell(row, column, request))
    if y is not None and x.kind.cost > y.kind.cost:
        sheet.sort(key=lambda cell: (cell.column, cell.row))
    return sheet


def draw(
    placed: Sequence[Cell],
    images: Sequence[Image.Image | None],
    x: Axis,
    y: Axis | None = None,
    *,
    fold: int | None = None,
) -> Image.Image:
    """Draw the images of :func:`cells`, given in the cells' order, None for a failed one.

    A sheet of one axis is wrapped after ``fold`` columns, for narrow screens.
    """
    columns = len(x.values)
    fields: list[Image.Image | None] = [None] * (columns * (len(y.values) if y else 1))
    for cell, image in zip(placed, images, strict=True):
        fields[cell.row * columns + cell.column] = image
    if y is not None:
        return draw_sheet(fields, x.labels, y.labels)
    every = fold or columns
    starts = range(0, columns, every)
    return stack([draw_sheet(fields[at : at + every], x.labels[at : at + every]) for at in starts])


def describe(x: Axis, y: Axis | None = None) -> dict[str, str]:
    """Give the pairs that A1111 adds to a sheet's infotext."""
    pairs = {"Script": "X/Y/Z plot", "X Type": x.kind.name, "X Values": x.text}
    return pairs if y is None else pairs | {"Y Type": y.kind.name, "Y Values": y.text}


def _apply(request: GenerationRequest, axis: Axis, value: Value) -> GenerationRequest:
    changes: dict[str, Any] = {axis.kind.field: value}
    match axis.kind.field:
        case "sampler":
            sampler, schedule = split_sampler(str(value))
            changes = {"sampler": sampler}
            if schedule != AUTOMATIC:
                changes["schedule_type"] = schedule
        case "size":
            changes = dict(zip(("width", "height"), parse_size(str(value)), strict=True))
        case "seed_resize":
            sides = ("seed_resize_width", "seed_resize_height")
            changes = dict(zip(sides, parse_size(str(value)), strict=True))
        case "denoising_strength" if request.hires is not None:
            changes = {"hires": replace(request.hires, denoising_strength=float(value))}
        case "schedule_min_sigma" | "schedule_max_sigma" as name:
            low, high = request.schedule_min_sigma, request.schedule_max_sigma
            low, high = (float(value), high) if name.endswith("min_sigma") else (low, float(value))
            if crossed(low, high):
                raise crossing(low, high, name)
        case "hires_upscaler":
            hires = replace(request.hires or HiresFix(), upscaler=str(value))
            changes = {"hires": hires}
        case "lora":
            changes = {"prompt": with_name(request.prompt, "" if value == NONE else str(value))}
        case "lora_weight":
            changes = {"prompt": with_weight(request.prompt, float(value))}
        case "prompt":
            changes = _replaced(request, str(axis.values[0]), str(value))
    return replace(request, **changes)


def _replaced(request: GenerationRequest, wanted: str, value: str) -> dict[str, str]:
    """Apply Prompt S/R: the axis's first value is replaced by ``value`` in both prompts."""
    prompts = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
    if not wanted or not any(wanted in text for text in prompts.values()):
        raise InvalidRequest("prompt", wanted[:80], "contains")
    return {name: text.replace(wanted, value) for name, text in prompts.items()}
