"""Texts in image files, in all the spellings in which programs and phones write them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from core.errors import UnreadablePicture
from core.pictures import metadata
from core.pictures.files import read_infotext, read_pixels
from core.pictures.metadata import comment_text

TEXT = (
    "a red fox, café\nNegative prompt: bad\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
)
BARE = TEXT.replace("é", "e")
COMMENTS = {
    "little": b"UNICODE\0" + TEXT.encode("utf-16-le"),
    "big": b"UNICODE\0" + TEXT.encode("utf-16-be"),
    "little with its mark": b"UNICODE\0" + b"\xff\xfe" + TEXT.encode("utf-16-le"),
    "big with its mark": b"UNICODE\0" + b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "little in UTF-8 order": b"Unicode\0" + TEXT.encode("utf-16-le"),
    "ascii": b"ASCII\0\0\0" + TEXT.encode(),
    "undefined": bytes(8) + TEXT.encode(),
    "no character set": TEXT.encode(),
    "no character set, with a mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "no character set, UTF-16": TEXT.encode("utf-16-le"),
    "closed by zeros": b"ASCII\0\0\0" + TEXT.encode() + b"\0\0",
}


def jpeg(exif: Image.Exif | bytes = b"", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif, **options)
    return file.getvalue()


def with_comment(comment: object, tag: int = 0x9286, *, inner: bool = True) -> Image.Exif:
    exif = Image.Exif()
    if inner:
        exif[0x8769] = {tag: comment}
    else:
        exif[tag] = comment
    return exif


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "white").save(file, "PNG")
    data = file.getvalue()
    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return data[:33] + made + data[33:]


@pytest.mark.parametrize("comment", COMMENTS.values(), ids=COMMENTS)
def test_every_spelling_of_a_comment_is_read(comment: bytes) -> None:
    assert comment_text(comment) == TEXT
    assert read_infotext(jpeg(with_comment(comment))) == TEXT


@pytest.mark.parametrize("inner", [True, False])
def test_a_comment_may_be_of_another_type_or_place(inner: bool) -> None:
    assert read_infotext(jpeg(with_comment(BARE, inner=inner))) == BARE
    assert read_infotext(jpeg(with_comment(BARE.encode(), inner=inner))) == BARE


@pytest.mark.parametrize(
    "comment",
    [
        b"ASCII\0\0\0Screenshot",
        b'ASCII\0\0\0charset="Ascii" binary comment; oplus_32',
        b"UNICODE\0" + "Screenshot, cat: 3".encode("utf-16-le"),
        b"ASCII\0\0\0" + b" " * 60,
        bytes(64),
        b"\xff" * 64,
        b"",
    ],
)
def test_a_comment_that_is_no_parameters_is_none(comment: bytes) -> None:
    for data in (jpeg(with_comment(comment)), jpeg(comment=comment)):
        assert read_infotext(data) is None


def test_converters_put_the_text_elsewhere() -> None:
    exif = Image.Exif()
    exif[0x010E] = BARE
    windows = Image.Exif()
    windows[0x9C9C] = (TEXT + "\0").encode("utf-16-le")
    assert read_infotext(jpeg(exif)) == BARE
    assert read_infotext(jpeg(windows)) == TEXT
    assert read_infotext(png((b"tEXt", b"Comment\0" + BARE.encode()))) == BARE
    assert read_infotext(png((b"tEXt", b"Title\0a fox"), (b"tEXt", b"Author\0ann"))) is None


def test_a_jpegs_own_comment_is_read() -> None:
    assert read_infotext(jpeg(comment=TEXT.encode())) == TEXT


def test_xmp_is_read() -> None:
    escaped = BARE.replace("\n", "&#10;")
    element = (
        "<x:xmpmeta><rdf:Description><exif:UserComment><rdf:Alt>"
        f'<rdf:li xml:lang="x-default">{escaped}</rdf:li></rdf:Alt></exif:UserComment>'
        "</rdf:Description></x:xmpmeta>"
    )
    attribute = f'<x:xmpmeta><rdf:Description exif:UserComment="{escaped}"/></x:xmpmeta>'
    for xmp in (element, attribute):
        body = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp.encode()
        assert read_infotext(png((b"iTXt", body))) == BARE


def test_utf8_where_latin_1_belongs_is_read() -> None:
    assert read_infotext(png((b"tEXt", b"parameters\0" + TEXT.encode()))) == TEXT
    assert read_infotext(png((b"tEXt", b"parameters\0" + TEXT.encode("latin-1")))) == TEXT


def test_of_a_keyword_that_comes_twice_the_first_counts() -> None:
    other = b"parameters\0other\nSteps: 1"
    assert read_infotext(png((b"tEXt", b"parameters\0" + BARE.encode()), (b"tEXt", other))) == BARE


LONG = bytes(metadata.MAX_TEXT + 2_000_000)
BIG = {
    "iTXt": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)),
    "zTXt": (b"zTXt", b"workflow\0\0" + zlib.compress(LONG)),
    "tEXt": (b"tEXt", b"workflow\0" + LONG),
    "iCCP": (b"iCCP", b"icc\0\0" + zlib.compress(LONG)),
    "broken zTXt": (b"zTXt", b"workflow\0\0nothing packed"),
    "no keyword": (b"tEXt", b"x" * 100),
    "empty": (b"iTXt", b""),
}


@pytest.mark.parametrize("beside", BIG.values(), ids=BIG)
def test_what_is_too_long_does_not_hide_parameters_or_pixels(beside: tuple[bytes, bytes]) -> None:
    said = (b"tEXt", b"parameters\0" + BARE.encode())
    for data in (png(beside, said), png(said, beside)):
        assert read_infotext(data) == BARE
        assert read_pixels(data).getpixel((0, 0)) == (255, 255, 255)


def test_parameters_too_long_are_not_called_none() -> None:
    body = b"parameters\0\0" + zlib.compress(LONG)
    with pytest.raises(UnreadablePicture, match="too long"):
        read_infotext(png((b"zTXt", body)))


def test_many_long_texts_take_a_bounded_memory() -> None:
    packed = zlib.compress(bytes(metadata.MAX_TEXT))
    chunks = [(b"zTXt", b"text%d\0\0" % number + packed) for number in range(50)]
    data = png(*chunks)
    image = PngImagePlugin.PngImageFile(io.BytesIO(metadata.without_texts(data)))
    texts = metadata.texts_in(data, image)
    assert sum(map(len, texts.values())) <= metadata.MAX_TEXTS
    assert texts.too_long


def test_texts_are_cut_out_and_the_pixels_stay() -> None:
    data = png(*BIG.values(), (b"tEXt", b"a\0b"))
    bare = metadata.without_texts(data)
    assert {chunk.kind for chunk in metadata.chunks(bare)} == {b"IHDR", b"IDAT", b"IEND"}
    assert bare == png()
    assert metadata.without_texts(bare) is bare


def test_a_cut_or_endless_file_ends() -> None:
    data = png((b"tEXt", b"a\0b"))
    for length in range(len(data)):
        list(metadata.chunks(data[:length]))
    many = data[:8] + bytes(12) * (metadata.MAX_CHUNKS + 1)
    for read in (read_infotext, read_pixels):
        with pytest.raises(UnreadablePicture, match="damaged"):
            read(many)


def test_16_bit_grey_keeps_its_greys() -> None:
    grey = np.linspace(0, 65535, 64 * 8).astype(np.uint16).reshape(8, 64)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    shown = np.asarray(read_pixels(file.getvalue()))
    assert np.array_equal(shown[:, :, 0], grey >> 8)
    assert np.array_equal(shown[:, :, 1], shown[:, :, 2])
