"""The texts inside an image file, by keyword: PNG chunks, EXIF, XMP, a JPEG's comment.

The pixels are not decoded. Whatever a file says, its texts take a bounded time and memory.
"""

from __future__ import annotations

import html
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from PIL import Image

from core.errors import UnreadablePicture

# Bytes of one text after decompression, and of all of a file's together.
MAX_TEXT: Final = 4 * 2**20
MAX_TEXTS: Final = 16 * 2**20
# 64 MB in chunks of 8 kB are 8,000.
MAX_CHUNKS: Final = 100_000
# What Pillow's readers raise on damaged files.
DECODE_ERRORS: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error)

# The keywords of comments, which may say anything.
COMMENT: Final = "UserComment"
XMP_COMMENT: Final = "XMP UserComment"
JPEG_COMMENT: Final = "comment"
COMMENTS: Final = (COMMENT, XMP_COMMENT, JPEG_COMMENT)

PNG: Final = b"\x89PNG\r\n\x1a\n"
# Pillow refuses a whole file for a text or a profile that is too long for it.
_DROPPED: Final = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_EXIF_IFD: Final = 0x8769
_USER_COMMENT: Final = 0x9286
# Windows' own tags of title, comment, author, keywords and subject: bytes of UTF-16.
_WINDOWS: Final = range(0x9C9B, 0x9CA0)
_XMP: Final = "XML:com.adobe.xmp"
# ComfyUI writes "prompt:{…}" and "workflow:{…}" into the tags of a camera's maker and model.
_LABELLED: Final = re.compile(r"(prompt|workflow):\s*(?=\{)", re.IGNORECASE)


class Texts(dict[str, str]):
    """Texts by keyword. ``too_long`` is the length of one that was left out, 0 if none was."""

    too_long = 0


class PngChunk(NamedTuple):
    """One chunk of a PNG: its kind, its body, and where all of it stands in the file."""

    kind: bytes
    body: memoryview
    start: int
    end: int


def chunks(data: bytes) -> Iterator[PngChunk]:
    """Yield the whole chunks of a PNG, up to its end or to where it is cut off.

    Raises :class:`UnreadablePicture` where there are more than :data:`MAX_CHUNKS`.
    """
    view, at = memoryview(data), len(PNG)
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            return
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        kind = bytes(view[at + 4 : at + 8])
        yield PngChunk(kind, view[at + 8 : end - 4], at, end)
        if kind == b"IEND":
            return
        at = end
    raise UnreadablePicture("damaged", f"more than {MAX_CHUNKS} chunks")


def without_texts(data: bytes) -> bytes:
    """Return a PNG without its texts and colour profile; its pixels are the same."""
    kept, at = bytearray(), 0
    for chunk in chunks(data):
        if chunk.kind in _DROPPED:
            kept += data[at : chunk.start]
            at = chunk.end
    return bytes(kept + data[at:]) if at else data


def texts_in(data: bytes, image: Image.Image) -> Texts:
    """Read the texts of the file ``data``, which Pillow has opened as ``image``.

    Raises :class:`UnreadablePicture` where its EXIF is damaged.
    """
    texts = Texts()
    if data.startswith(PNG):
        _add_chunks(texts, data)
    for name in ("xmp", JPEG_COMMENT):
        value = image.info.get(name)
        if isinstance(value, bytes):
            text = value[:MAX_TEXT].decode("utf-8", "replace")
            texts.setdefault(_XMP if name == "xmp" else name, text.strip("\0 \ufeff"))
    _add_exif(texts, image)
    if comment := _xmp_comment(texts.get(_XMP, "")):
        texts[XMP_COMMENT] = comment
    return texts


def _add_chunks(texts: Texts, data: bytes) -> None:
    """Add a PNG's texts; of a keyword that comes twice, the first."""
    total = 0
    for kind, body, _, _ in chunks(data):
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        if total > MAX_TEXTS:
            texts.too_long = max(texts.too_long, total)
            return
        keyword, _, rest = bytes(body[: MAX_TEXT + 80]).partition(b"\0")
        raw = _unpacked(kind, rest)
        if raw is None:
            continue
        total += len(raw)
        if len(raw) > MAX_TEXT or total > MAX_TEXTS:
            texts.too_long = max(texts.too_long, len(raw))
            continue
        texts.setdefault(keyword.decode("latin-1").strip(), _decoded(raw))


def _unpacked(kind: bytes, rest: bytes) -> bytes | None:
    """The text's bytes, one more than allowed where there are more; None where they are damaged."""
    packed = kind == b"zTXt"
    if packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        # Behind the flags are a language and a translated keyword.
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if not packed:
        return rest[: MAX_TEXT + 1]
    try:
        return zlib.decompressobj().decompress(rest, MAX_TEXT + 1)
    except zlib.error:
        return None


def _decoded(raw: bytes) -> str:
    # A tEXt chunk is Latin-1, but many programs write UTF-8 into it.
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _add_exif(texts: Texts, image: Image.Image) -> None:
    # getexif() on a PNG without EXIF would decode the pixels.
    if "exif" not in image.info:
        return
    try:
        exif = image.getexif()
        inner = exif.get_ifd(_EXIF_IFD)
        own = dict(exif)
    except DECODE_ERRORS as error:
        raise UnreadablePicture("damaged", str(error)) from error
    for tag, value in own.items():
        if tag in _WINDOWS and isinstance(value, bytes):
            value = value.decode("utf-16-le", "replace")
        if isinstance(value, str) and (label := _LABELLED.match(value)):
            texts.setdefault(label[1].lower(), _as_written(value[label.end() :]))
        elif isinstance(value, str):
            texts.setdefault(f"EXIF {tag:#x}", _as_written(value).strip("\0 "))
    for value in (inner.get(_USER_COMMENT), own.get(_USER_COMMENT)):
        comment = comment_text(value)
        if comment:
            texts.setdefault(COMMENT, comment)


def _as_written(value: str) -> str:
    """Undo Pillow's reading of an ASCII tag as Latin-1, where it was UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def comment_text(value: object) -> str:
    """Decode an EXIF UserComment in any of the spellings found in files; empty if it is none.

    It should begin with the name of its character set in 8 bytes, but may have none.
    """
    if isinstance(value, str):
        return _as_written(value).strip("\0 \ufeff")
    if not isinstance(value, bytes):
        return ""
    mark, body = value[:8].upper(), value[8:]
    if mark == b"UNICODE\0":
        text = _utf16(body)
    elif mark == b"JIS\0\0\0\0\0":
        text = body.decode("iso2022_jp", "replace")
    elif mark in (b"ASCII\0\0\0", bytes(8)):
        text = _decoded(body)
    else:
        text = _utf16(value) if 2 * value.count(0) >= len(value) - 1 > 0 else _decoded(value)
    return text.strip("\0 \ufeff")


def _utf16(body: bytes) -> str:
    # EXIF does not fix the byte order. In Western text the upper bytes are zero.
    little = body[1::2].count(0) > body[::2].count(0)
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        little = body[:2] == b"\xff\xfe"
    return body.decode("utf-16-le" if little else "utf-16-be", "replace")


def _xmp_comment(xmp: str) -> str:
    """The UserComment in XMP, as an element or an attribute."""
    start = xmp.find("<exif:UserComment")
    end = xmp.find("</exif:UserComment>", start)
    if 0 <= start < end:
        return html.unescape(re.sub(r"<[^<>]*>", "", xmp[start:end])).strip()
    start = xmp.find('exif:UserComment="')
    if start < 0:
        return ""
    start += len('exif:UserComment="')
    return html.unescape(xmp[start : xmp.find('"', start)]).strip()
