"""Images at other sizes: start images, thumbnails, and copies that are small enough to send."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image

from core.errors import TooLarge, UnreadablePicture
from core.hires import enlarged_size
from core.notes import Note
from core.options import RANGES
from core.pictures.files import is_animated, read_infotext, read_pixels, write_png, write_webp
from core.request import MAX_ENLARGED, Enlarge

# Pixels: no image is generated larger, so no start image need be larger.
MAX_SIDE: Final = int(RANGES["width"].high)
# (scale, WebP quality), tried in this order for an image whose PNG is too large.
STEPS: Final = ((1.0, 90), (1.0, 75), (0.5, 85), (0.25, 85), (0.125, 80))


@dataclass(frozen=True, slots=True)
class StartImage:
    """An image ready for ``Inputs.init_image``; sizes in pixels.

    ``notes`` are on what of the file is not used.
    """

    png: bytes
    width: int
    height: int
    notes: tuple[Note, ...] = ()


def start_image(data: bytes) -> StartImage:
    """Decode an image file of any supported kind: first frame, upright, RGB, bounded.

    Raises :class:`~core.errors.UnreadablePicture`.
    """
    pixels = _bounded(data, MAX_SIDE)
    file = BytesIO()
    # The file's own texts, and where a photograph was taken, are not kept.
    pixels.info.clear()
    pixels.save(file, "PNG", compress_level=1)
    notes = (Note.of("first_frame"),) if is_animated(data) else ()
    return StartImage(file.getvalue(), pixels.width, pixels.height, notes)


@dataclass(frozen=True, slots=True)
class FinishedImage:
    """An image ready for ``Inputs.finished``, with the ``text`` of its parameters inside; empty
    where it has none.
    """

    png: bytes
    text: str
    notes: tuple[Note, ...] = ()


def finished_image(data: bytes, enlarge: Enlarge) -> FinishedImage:
    """Decode an image file of any supported kind that is to be enlarged: first frame, upright, RGB.

    Raises :class:`~core.errors.UnreadablePicture`, and :class:`~core.errors.TooLarge` when it would
    become too large.
    """
    pixels = read_pixels(data)
    larger = enlarged_size(*pixels.size, enlarge.scale)
    if max(larger) > MAX_ENLARGED:
        raise TooLarge(*larger, MAX_ENLARGED)
    try:
        text = read_infotext(data) or ""
    except UnreadablePicture:
        # Its parameters are too long to be any.
        text = ""
    notes = (Note.of("first_frame"),) if is_animated(data) else ()
    return FinishedImage(write_png(pixels, text), text, notes)


def thumbnail(data: bytes, side: int) -> bytes:
    """Return WebP bytes of an image file, at most ``side`` pixels wide and high.

    Raises :class:`~core.errors.UnreadablePicture`.
    """
    file = BytesIO()
    _bounded(data, side).save(file, "WEBP", quality=80)
    return file.getvalue()


def shrink(png: bytes, text: str, limit: int) -> bytes:
    """Return WebP bytes with ``text`` as its infotext, at most ``limit`` if the last step is."""
    pixels, data = read_pixels(png), b""
    for scale, quality in STEPS:
        size = max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale))
        data = write_webp(pixels.resize(size) if scale < 1 else pixels, text, quality=quality)
        if len(data) <= limit:
            break
    return data


def _bounded(data: bytes, side: int) -> Image.Image:
    pixels = read_pixels(data)
    pixels.thumbnail((side, side))
    return pixels
