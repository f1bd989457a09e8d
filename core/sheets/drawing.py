"""Draws an X/Y sheet: pictures in a grid, legends above the columns and left of the rows.

Laid out like A1111's, in the font that comes with Pillow as far as that goes;
core/sheets/cells.py says what goes where.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from PIL import Image, ImageDraw, ImageFont

PAPER: Final = "white"
INK: Final = "#1f1f1f"
EMPTY: Final = "#ececec"
MAX_SHEET_PIXELS: Final = 40_000_000
MAX_SIDE: Final = 16_000  # less the gaps; WebP ends at 16,383
MAX_LEGEND: Final = 300  # characters
MAX_LINES: Final = 6
# Pillow's own font ends with ASCII. Beyond that, what Linux, Windows and macOS usually have.
FONTS: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "segoeui.ttf",
    "YuGothM.ttc",
    "msyh.ttc",
    "Arial Unicode.ttf",
)
NO_CHARACTER: Final = "\uffff"


def draw_sheet(
    images: Sequence[Image.Image | None], x_labels: Sequence[str], y_labels: Sequence[str] = ()
) -> Image.Image:
    """Pictures, row by row, on one RGB sheet with a legend to each column and row.

    None is a picture that did not come about and leaves a grey field. Pictures of unequal size
    are fitted into the largest one's; a sheet over :data:`MAX_SHEET_PIXELS` is drawn smaller.
    Without ``y_labels`` there is one row. Raises ``ValueError`` when there are not columns ×
    rows pictures.
    """
    columns, rows = len(x_labels), max(1, len(y_labels))
    if len(images) != columns * rows:
        raise ValueError(f"{len(images)} pictures for {columns} × {rows} cells")
    width, height = _cell_size(images, columns, rows)
    gap, pad = max(2, width // 64), max(8, width // 32)
    # Near A1111's proportion (a 25th), within what is readable and calm.
    size = min(56, max(14, (width + height) // 30))
    heads = [_legend(text, size, width - pad) for text in x_labels]
    titles = [_legend(text, size, max(width * 3 // 4, 8 * size)) for text in y_labels]
    left = math.ceil(max(title.width for title in titles)) + 2 * pad if titles else gap
    top = max((head.height for head in heads), default=_pitch(size)) + pad
    # A row is at least as high as its title.
    down = max(height, *(title.height for title in titles), 0) + gap
    sheet = Image.new("RGB", (left + columns * (width + gap), top + rows * down), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        across = left + column * (width + gap) + width // 2
        head.write(draw, across, (top - head.height) // 2)
    for row, title in enumerate(titles):
        middle = top + row * down + (down - gap) // 2
        title.write(draw, left // 2, middle - title.height // 2)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        corner = left + column * (width + gap), top + row * down + (down - gap - height) // 2
        sheet.paste(_fitted(image, width, height), corner)
    return sheet


def stack(sheets: Sequence[Image.Image]) -> Image.Image:
    """Sheets one below the other, as a strip too long for a screen is folded."""
    width = max(sheet.width for sheet in sheets)
    whole = Image.new("RGB", (width, sum(sheet.height for sheet in sheets)), PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def _cell_size(images: Sequence[Image.Image | None], columns: int, rows: int) -> tuple[int, int]:
    sizes = [image.size for image in images if image is not None] or [(256, 256)]
    width, height = max(size[0] for size in sizes), max(size[1] for size in sizes)
    # The legends take up to a column and a row beside the cells.
    across, down = (columns + 1) * width, (rows + 1) * height
    scale = min(
        1.0,
        math.sqrt(MAX_SHEET_PIXELS / (across * down)),
        MAX_SIDE / across,
        MAX_SIDE / down,
    )
    return max(1, int(width * scale)), max(1, int(height * scale))


def _fitted(image: Image.Image | None, width: int, height: int) -> Image.Image:
    if image is None:
        return Image.new("RGB", (width, height), EMPTY)
    if image.size == (width, height):
        return image
    scale = min(width / image.width, height / image.height)
    if scale < 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (width, height), PAPER)
    cell.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return cell


@dataclass(frozen=True, slots=True)
class _Legend:
    """Lines in a font that has their characters, as far as one is here."""

    lines: list[str]
    font: ImageFont.FreeTypeFont

    @property
    def width(self) -> float:
        return max(map(self.font.getlength, self.lines))

    @property
    def height(self) -> int:
        return len(self.lines) * _pitch(self.font.size)

    def write(self, draw: ImageDraw.ImageDraw, across: int, top: int) -> None:
        """Centred on ``across``, from ``top`` down."""
        pitch = _pitch(self.font.size)
        for index, line in enumerate(self.lines):
            middle = across, top + (index + 0.5) * pitch
            draw.text(middle, line, INK, self.font, anchor="mm")


def _legend(text: str, size: float, width: int) -> _Legend:
    text = text[:MAX_LEGEND]
    font = _font(text, size)
    return _Legend(_wrap(text, font, width), font)


def _font(text: str, size: float) -> ImageFont.FreeTypeFont:
    """Of the fonts that are here, the first that lacks the fewest of the text's characters."""
    best = cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
    lacking = _lacking(text, best)
    for name in FONTS if lacking else ():
        try:
            font = ImageFont.truetype(name, size)
        except OSError:  # Not on this system.
            continue
        if len(left := _lacking(text, font)) < len(lacking):
            best, lacking = font, left
    return best


def _lacking(text: str, font: ImageFont.FreeTypeFont) -> set[str]:
    """The characters which the font draws as it draws one that does not exist."""
    nothing = font.getmask(NO_CHARACTER)
    return {
        letter
        for letter in set(text)
        if (mask := font.getmask(letter)).size == nothing.size and bytes(mask) == bytes(nothing)
    }


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines no wider than ``width`` pixels, at spaces where there are any; at most six."""
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


def _pitch(size: float) -> int:
    """From line to line, in pixels."""
    return math.ceil(size * 1.25)
