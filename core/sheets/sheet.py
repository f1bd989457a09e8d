"""The sheet of a job: its axes over a base request, its cells, and the image with legends.

The image of the whole is the job's image 0, so that whatever shows a job's first image shows the
sheet; the cells follow row by row.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image as PillowImage

from core.errors import UnknownName
from core.events import Image
from core.pictures import infotext
from core.pictures.files import write_png
from core.request import GenerationRequest
from core.sheets import cells as grid
from core.sheets.axes import AXES, Axis, Value
from core.sheets.cells import MAX_CELLS, Cell
from core.sheets.drawing import MAX_SHEET_PIXELS, MAX_SIDE

# The cells' share of a sheet's longest side; the rest is for legends.
CELLS_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a job's cells differ in: with its base request, all that is needed to repeat it."""

    x: Axis
    y: Axis | None = None

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The one or two axes."""
        return (self.x,) if self.y is None else (self.x, self.y)

    def varies(self, field: str) -> bool:
        """Whether one of the axes is this field of the request."""
        return any(axis.kind.field == field for axis in self.axes)

    @property
    def options(self) -> set[str]:
        """The options that vary. A schedule type is part of the option sampler."""
        parts = {
            "schedule_type": {"sampler"},
            "seed_resize": {"seed_resize_width", "seed_resize_height"},
        }
        fields = [axis.kind.field for axis in self.axes]
        return set[str]().union(*(parts.get(field, {field}) for field in fields))

    def cells(self, base: GenerationRequest, *, limit: int = MAX_CELLS) -> list[Cell]:
        """Make the cells in the order to run them.

        Raises :class:`~core.errors.SheetTooLarge` beyond ``limit``, and what a request raises.
        """
        return grid.cells(base, self.x, self.y, limit=limit)

    def position(self, row: int, column: int) -> int:
        """Give the index of a cell among the job's images."""
        return 1 + row * len(self.x.values) + column

    def request(self, base: GenerationRequest, position: int) -> GenerationRequest:
        """Make the request of the cell that is the job's image ``position``."""
        wanted = divmod(position - 1, len(self.x.values))
        return next(c.request for c in self.cells(base) if (c.row, c.column) == wanted)

    def to_json(self) -> list[dict[str, Any]]:
        """Convert the axes to JSON's types."""
        return [
            {"axis": axis.kind.field, "text": axis.text, "values": list(axis.values)}
            for axis in self.axes
        ]

    @classmethod
    def from_json(cls, axes: list[dict[str, Any]]) -> Sheet:
        """Make a sheet from :meth:`to_json`'s values. Raises :class:`~core.errors.UnknownName`, or
        :class:`ValueError` for values that the axis cannot have."""
        return cls(*(_axis(each["axis"], each["text"], each["values"]) for each in axes))


def axis_of(field: str, values: Sequence[Value]) -> Axis:
    """Make the axis of a request's ``field`` with these values."""
    return _axis(field, ", ".join(map(_quoted, values)), values)


def _quoted(value: Value) -> str:
    text = str(value)
    if any(sign in text for sign in ',，、"\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _axis(field: str, text: str, values: Sequence[Value]) -> Axis:
    kind = next((kind for kind in AXES if kind.field == field), None)
    if kind is None:
        raise UnknownName("axis", str(field))
    taken = int | float if kind.type is float else kind.type
    # A bool is an int to Python.
    if not all(
        isinstance(value, taken) and (kind.type is bool or not isinstance(value, bool))
        for value in values
    ):
        raise ValueError(values)
    return Axis(kind, text, tuple(values))


def pictures_of(
    sheet: Sheet, base: GenerationRequest, images: Sequence[Image], *, folded: bool = True
) -> list[Image]:
    """List the images that a job keeps: the sheet, then its cells row by row.

    ``images`` are in the order of :meth:`Sheet.cells`. A sheet of one axis is ``folded`` to a
    screen's shape. Takes seconds: call it in a thread.
    """
    placed = sorted(
        zip(sheet.cells(base), images, strict=True), key=lambda pair: (pair[0].row, pair[0].column)
    )
    cells, images = [cell for cell, _ in placed], [image for _, image in placed]
    columns = columns_of_strip(len(cells)) if folded and not sheet.y else len(sheet.x.values)
    scale = _scale(images, columns)
    small = [_opened(image.png, scale) for image in images]
    drawn = grid.draw(cells, small, sheet.x, sheet.y, fold=columns)
    text = _infotext(sheet, cells[0].request, images[0])
    png = write_png(drawn, text)
    return [Image(png, cells[0].request.seed, drawn.width, drawn.height, text), *images]


def columns_of_strip(count: int) -> int:
    """Give the columns of a wrapped sheet of one axis: a little higher than wide, for phones."""
    return count if count <= 3 else max(2, round(math.sqrt(count * 0.75)))


def _scale(images: Sequence[Image], columns: int) -> float:
    """Give the scale, at most 1, at which the cells fit into a sheet's limits."""
    width = max(image.width for image in images)
    height = max(image.height for image in images)
    rows = math.ceil(len(images) / columns)
    return min(
        1.0,
        math.sqrt(MAX_SHEET_PIXELS / (columns * width * rows * height)),
        CELLS_SHARE * MAX_SIDE / (columns * width),
        CELLS_SHARE * MAX_SIDE / (rows * height),
    )


def _opened(png: bytes, scale: float) -> PillowImage.Image:
    with PillowImage.open(io.BytesIO(png)) as picture:
        size = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))
        return picture.resize(size, PillowImage.Resampling.LANCZOS) if scale < 1 else picture.copy()


def _infotext(sheet: Sheet, request: GenerationRequest, first: Image) -> str:
    """Write a sheet's infotext as A1111 does: the first cell's, with the axes added."""
    known = infotext.parse(first.infotext)
    return infotext.format(
        request,
        model_hash=str(known.get("Model hash", "")),
        vae=str(known.get("VAE", "")),
        vae_hash=str(known.get("VAE hash", "")),
        extra=grid.describe(sheet.x, sheet.y),
    )
