"""Image files: writing them with their infotext, and reading untrusted ones.

Only PNG, JPEG and WebP are opened, recognised by their first bytes. The pixels are decoded for the
parameters only where the file's texts have none: they may be hidden in the pixels.
"""

from __future__ import annotations

import json
import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from core.errors import UnreadablePicture
from core.pictures import foreign, metadata
from core.pictures.metadata import DECODE_ERRORS, PNG

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    # RGB, (height, width, 3).
    Pixels: TypeAlias = NDArray[uint8]

MAX_PIXELS: Final = 36_000_000  # a 6000×6000 photograph; decoded, about 100 MB
MAX_BYTES: Final = 64 * 2**20

# Where a WebP file's first chunks are.
_HEADERS: Final = 2**16
_EXIF_IFD: Final = 0x8769
_USER_COMMENT: Final = 0x9286


def write_png(picture: Image.Image | Pixels, text: str, *, level: int = 1) -> bytes:
    """Return PNG bytes with ``text`` as ``parameters``: a tEXt chunk, iTXt beyond Latin-1.

    ``level`` is zlib's; 1 takes two thirds of the default's time for a few percent more bytes.
    """
    info = PngImagePlugin.PngInfo()
    if _would_be_misread(text):
        info.add_itxt("parameters", text)
    else:
        info.add_text("parameters", text)
    return _save(picture, "PNG", pnginfo=info, compress_level=level)


def _would_be_misread(text: str) -> bool:
    """Whether the Latin-1 of a tEXt chunk would be taken for UTF-8, which some programs write."""
    try:
        return not text.isascii() and bool(text.encode("latin-1").decode("utf-8"))
    except UnicodeError:
        return False


def write_webp(picture: Image.Image | Pixels, text: str, *, quality: int = 90) -> bytes:
    """Return WebP bytes with ``text`` as EXIF UserComment."""
    return _save(picture, "WEBP", quality=quality, exif=_exif(text))


def _save(picture: Image.Image | Pixels, kind: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = BytesIO()
    image.convert("RGB").save(file, kind, **options)
    return file.getvalue()


def _exif(text: str) -> bytes:
    exif = Image.Exif()
    exif[_EXIF_IFD] = {_USER_COMMENT: b"UNICODE\0" + text.encode("utf-16-be")}
    return exif.tobytes()


def read_infotext(data: bytes) -> str | None:
    """Return the generation parameters in an image file as A1111's text; None if it has none.

    Those of other programs are translated (:mod:`core.pictures.foreign`). Raises
    :class:`UnreadablePicture` when ``data`` is no readable PNG, JPEG or WebP.
    """
    image = _open(data)
    texts = metadata.texts_in(data, image)
    found = foreign.to_infotext(texts, image.size)
    width, height = image.size
    lossless = data.startswith(PNG) or b"VP8L" in data[:_HEADERS]
    if found is None and lossless and width * height <= MAX_PIXELS:
        found = foreign.to_infotext(_hidden_texts(_load(image)), image.size)
    if found is None and texts.too_long:
        raise UnreadablePicture("long_text", str(texts.too_long))
    return found


def _hidden_texts(image: Image.Image) -> dict[str, str]:
    """The texts in the pixels, by keyword as they would stand in the file."""
    # Only here, because numpy takes its time to import, and few pictures get so far.
    from core.pictures.stealth import hidden_text

    text = hidden_text(image)
    if text is None:
        return {}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return {metadata.COMMENT: text}
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }


def read_pixels(data: bytes) -> Image.Image:
    """Decode an image file to RGB: first frame, EXIF orientation applied, on white as in A1111.

    Raises :class:`UnreadablePicture` when it is damaged, too large or of another kind.
    """
    image = _load(_open(data))
    try:
        image = _to_8_bits(ImageOps.exif_transpose(image))
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image).convert("RGB")
        return image.convert("RGB")
    except DECODE_ERRORS as error:
        raise UnreadablePicture("damaged", str(error)) from error


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Take the upper 8 bits of 16-bit grey, as Pillow does by itself for colour."""
    if not image.mode.startswith("I"):
        return image
    import numpy as np

    grey = np.asarray(image).astype(np.int64)
    shown = (grey.clip(0, 0xFFFF) >> 8).astype(np.uint8)
    if isinstance(white := image.info.get("transparency"), int):
        shown[grey == white] = 255
    return Image.fromarray(shown)


def is_picture(data: bytes) -> bool:
    """Whether a file begins as a PNG, JPEG or WebP does."""
    return data.startswith((PNG, b"\xff\xd8\xff")) or (
        data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    )


def is_animated(data: bytes) -> bool:
    """Return whether an image file has several frames. Raises :class:`UnreadablePicture`."""
    return bool(getattr(_open(data), "is_animated", False))


def _open(data: bytes) -> Image.Image:
    """Read the file's header, with the reader for its first bytes."""
    if len(data) > MAX_BYTES:
        raise UnreadablePicture("too_large", f"{len(data) / 2**20:.0f} MB")
    try:
        if data.startswith(PNG):
            return PngImagePlugin.PngImageFile(BytesIO(metadata.without_texts(data)))
        if data.startswith(b"\xff\xd8\xff"):
            return JpegImagePlugin.JpegImageFile(BytesIO(data))
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            # Unlike the other readers, WebP's allocates all pixels when it opens a file.
            _check_size(*_webp_size(data))
            return WebPImagePlugin.WebPImageFile(BytesIO(data))
    except DECODE_ERRORS as error:
        raise UnreadablePicture("damaged", str(error)) from error
    raise UnreadablePicture("kind")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read width and height from a WebP file's first chunk: extended, lossless or lossy."""
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", body[6:10])
    return width & 0x3FFF, height & 0x3FFF


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadablePicture("too_large", f"{width}×{height} px")


def _load(image: Image.Image) -> Image.Image:
    _check_size(*image.size)
    try:
        image.load()
    except DECODE_ERRORS as error:
        raise UnreadablePicture("damaged", str(error)) from error
    return image
