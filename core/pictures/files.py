"""Image files: writing them with their infotext, and reading untrusted ones.

Only PNG, JPEG and WebP are opened, recognised by their first bytes. Parameters are read from the
header where they are there, without decoding the pixels.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from core.errors import UnreadablePicture
from core.pictures import foreign
from core.pictures.infotext import looks_like_infotext

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    # RGB, (height, width, 3).
    Pixels: TypeAlias = NDArray[uint8]

MAX_PIXELS: Final = 36_000_000  # a 6000×6000 photograph; decoded, about 100 MB
MAX_BYTES: Final = 64 * 2**20

_EXIF_IFD: Final = 0x8769
_USER_COMMENT: Final = 0x9286
_TEXT_CHUNKS: Final = (b"tEXt", b"zTXt", b"iTXt")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
# What Pillow's readers raise on damaged files.
_DECODE_ERRORS: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error)


def write_png(picture: Image.Image | Pixels, text: str, *, level: int = 1) -> bytes:
    """Return PNG bytes with ``text`` as ``parameters``: a tEXt chunk, iTXt beyond Latin-1.

    ``level`` is zlib's; 1 takes two thirds of the default's time for a few percent more bytes.
    """
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    return _save(picture, "PNG", pnginfo=info, compress_level=level)


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

    Those of ComfyUI, InvokeAI, NovelAI and Fooocus are translated. Raises
    :class:`UnreadablePicture` when ``data`` is no readable PNG, JPEG or WebP.
    """
    image = _open(data)
    found = _infotext_in(image)
    if found is None and data.startswith(_PNG) and any(kind in data for kind in _TEXT_CHUNKS):
        # Text chunks may follow the pixels, which then have to be decoded.
        _load(image)
        found = _infotext_in(image)
    return found


def read_pixels(data: bytes) -> Image.Image:
    """Decode an image file to RGB: first frame, EXIF orientation applied, on white as in A1111.

    Raises :class:`UnreadablePicture` when it is damaged, too large or of another kind.
    """
    image = _load(_open(data))
    try:
        image = ImageOps.exif_transpose(image)
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image).convert("RGB")
        return image.convert("RGB")
    except _DECODE_ERRORS as error:
        raise UnreadablePicture("damaged", str(error)) from error


def is_animated(data: bytes) -> bool:
    """Return whether an image file has several frames. Raises :class:`UnreadablePicture`."""
    return bool(getattr(_open(data), "is_animated", False))


def _open(data: bytes) -> Image.Image:
    """Read the file's header, with the reader for its first bytes."""
    if len(data) > MAX_BYTES:
        raise UnreadablePicture("too_large", f"{len(data) / 2**20:.0f} MB")
    try:
        if data.startswith(_PNG):
            return PngImagePlugin.PngImageFile(BytesIO(data))
        if data.startswith(b"\xff\xd8\xff"):
            return JpegImagePlugin.JpegImageFile(BytesIO(data))
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            # Unlike the other readers, WebP's allocates all pixels when it opens a file.
            _check_size(*_webp_size(data))
            return WebPImagePlugin.WebPImageFile(BytesIO(data))
    except _DECODE_ERRORS as error:
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
    except _DECODE_ERRORS as error:
        raise UnreadablePicture("damaged", str(error)) from error
    return image


def _infotext_in(image: Image.Image) -> str | None:
    texts = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
    comment = _user_comment(image)
    if comment:
        texts.setdefault("parameters", comment)
    plain = texts.get("parameters")
    if plain is not None and looks_like_infotext(plain):
        return plain
    return foreign.to_infotext(texts) or (None if foreign.is_json(plain) else plain)


def _user_comment(image: Image.Image) -> str | None:
    # getexif() on a PNG without EXIF would decode the pixels.
    if "exif" not in image.info:
        return None
    try:
        value = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except _DECODE_ERRORS as error:
        raise UnreadablePicture("damaged", str(error)) from error
    if not isinstance(value, bytes):
        return None
    charset, body = value[:8], value[8:]
    if charset != b"UNICODE\0":
        return body.decode("utf-8", "replace")
    # EXIF does not fix the byte order. In Western text the upper bytes are zero.
    little = body[1::2].count(0) > body[::2].count(0)
    return body.decode("utf-16-le" if little else "utf-16-be", "replace")
