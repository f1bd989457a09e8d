"""Drawing of X/Y sheets: pictures in a grid, legends above the columns and left of the rows.

The layout is A1111's. Which picture goes into which cell is decided in core/sheets/cells.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from PIL import Image, ImageDraw, ImageFont

BACKGROUND: Final = "white"
TEXT_COLOUR: Final = "#1f1f1f"
EMPTY_CELL: Final = "#ececec"
MAX_SHEET_PIXELS: Final = 40_000_000
MAX_SIDE: Final = 16_000  # pixels without the gaps; WebP allows 16,383
MAX_LEGEND: Final = 300  # characters
MAX_LINES: Final = 6
# Pillow's own font has ASCII only. These are common on Linux, Windows and macOS.
FONTS: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "segoeui.ttf",
    "YuGothM.ttc",
    "msyh.ttc",
    "Arial Unicode.ttf",
)
UNDEFINED_CHARACTER: Final = "\uffff"


def draw_sheet(
    images: Sequence[Image.Image | None], x_labels: Sequence[str], y_labels: Sequence[str] = ()
) -> Image.Image:
    """Draw pictures, given row by row, on one RGB sheet with a legend for each column and row.

    None is a picture that failed and leaves a grey cell. Cells are as large as the largest
    picture; a sheet over :data:`MAX_SHEET_PIXELS` is scaled down. Without ``y_labels`` there is
    one row. Raises ``ValueError`` when there are not columns × rows pictures.
    """
    columns, rows = len(x_labels), max(1, len(y_labels))
    if len(images) != columns * rows:
        raise ValueError(f"{len(images)} pictures for {columns} × {rows} cells")
    width, height = _cell_size(images, columns, rows)
    gap, pad = max(2, width // 64), max(8, width // 32)
    # Font size in pixels; A1111 uses 1/25 of width and height.
    size = min(56, max(14, (width + height) // 30))
    column_legends = [_legend(text, size, width - pad) for text in x_labels]
    row_legends = [_legend(text, size, max(width * 3 // 4, 8 * size)) for text in y_labels]
    left = math.ceil(max(legend.width for legend in row_legends)) + 2 * pad if row_legends else gap
    top = max((legend.height for legend in column_legends), default=_line_height(size)) + pad
    # A row is at least as high as its legend.
    pitch = max(height, *(legend.height for legend in row_legends), 0) + gap
    sheet = Image.new("RGB", (left + columns * (width + gap), top + rows * pitch), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, legend in enumerate(column_legends):
        centre = left + column * (width + gap) + width // 2
        legend.write(draw, centre, (top - legend.height) // 2)
    for row, legend in enumerate(row_legends):
        middle = top + row * pitch + (pitch - gap) // 2
        legend.write(draw, left // 2, middle - legend.height // 2)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        corner = left + column * (width + gap), top + row * pitch + (pitch - gap - height) // 2
        sheet.paste(_fit(image, width, height), corner)
    return sheet


def stack(sheets: Sequence[Image.Image]) -> Image.Image:
    """Stack sheets vertically, for a single row wrapped into several."""
    width = max(sheet.width for sheet in sheets)
    whole = Image.new("RGB", (width, sum(sheet.height for sheet in sheets)), BACKGROUND)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def _cell_size(images: Sequence[Image.Image | None], columns: int, rows: int) -> tuple[int, int]:
    sizes = [image.size for image in images if image is not None] or [(256, 256)]
    width, height = max(size[0] for size in sizes), max(size[1] for size in sizes)
    # One more of each for the legends.
    total_width, total_height = (columns + 1) * width, (rows + 1) * height
    scale = min(
        1.0,
        math.sqrt(MAX_SHEET_PIXELS / (total_width * total_height)),
        MAX_SIDE / total_width,
        MAX_SIDE / total_height,
    )
    return max(1, int(width * scale)), max(1, int(height * scale))


def _fit(image: Image.Image | None, width: int, height: int) -> Image.Image:
    if image is None:
        return Image.new("RGB", (width, height), EMPTY_CELL)
    if image.size == (width, height):
        return image
    scale = min(width / image.width, height / image.height)
    if scale < 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (width, height), BACKGROUND)
    cell.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return cell


@dataclass(frozen=True, slots=True)
class _Legend:
    """Wrapped lines of text and their font."""

    lines: list[str]
    font: ImageFont.FreeTypeFont

    @property
    def width(self) -> float:
        return max(map(self.font.getlength, self.lines))

    @property
    def height(self) -> int:
        return len(self.lines) * _line_height(self.font.size)

    def write(self, draw: ImageDraw.ImageDraw, centre: int, top: int) -> None:
        """Draw the lines centred on x = ``centre``, from y = ``top`` down."""
        line_height = _line_height(self.font.size)
        for index, line in enumerate(self.lines):
            middle = centre, top + (index + 0.5) * line_height
            draw.text(middle, line, TEXT_COLOUR, self.font, anchor="mm")


def _legend(text: str, size: float, width: int) -> _Legend:
    text = text[:MAX_LEGEND]
    font = _font(text, size)
    return _Legend(_wrap(text, font, width), font)


def _font(text: str, size: float) -> ImageFont.FreeTypeFont:
    """Return the first installed font with the fewest of the text's characters missing."""
    best = cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
    missing = _missing(text, best)
    for name in FONTS if missing else ():
        try:
            font = ImageFont.truetype(name, size)
        except OSError:  # Not on this system.
            continue
        if len(left := _missing(text, font)) < len(missing):
            best, missing = font, left
    return best


def _missing(text: str, font: ImageFont.FreeTypeFont) -> set[str]:
    """Return the characters without a glyph: drawn like an undefined one."""
    nothing = font.getmask(UNDEFINED_CHARACTER)
    return {
        letter
        for letter in set(text)
        if (mask := font.getmask(letter)).size == nothing.size and bytes(mask) == bytes(nothing)
    }


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break text into :data:`MAX_LINES` lines of ``width`` pixels at most, at spaces if it can."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    if len(lines) > MAX_LINES:
        return [*lines[: MAX_LINES - 1], f"{lines[MAX_LINES - 1][:-1]}…"]
    return lines


def _line_height(size: float) -> int:
    """Return the distance from line to line in pixels."""
    return math.ceil(size * 1.25)
