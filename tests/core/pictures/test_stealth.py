"""Texts hidden in the pixels."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pytest
from PIL import Image

from core.pictures.files import read_infotext
from core.pictures.infotext import parse
from core.pictures.stealth import hidden_text

TEXT = "a fox\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
NOVELAI = {
    "Description": "a fox, {red}",
    "Software": "NovelAI",
    "Source": "Stable Diffusion 81274D13",
    "Comment": json.dumps(
        {"steps": 28, "sampler": "k_euler", "seed": 5, "scale": 11, "uc": "bad", "width": 512}
        | {"height": 768}
    ),
}


def hidden(
    text: bytes, mark: bytes, *, length: int | None = None, size: tuple[int, int] = (61, 67)
) -> Image.Image:
    """A picture of random pixels with ``text`` in their lowest bits, column by column."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    stated = 8 * len(text) if length is None else length
    data = mark + stated.to_bytes(4, "big") + text
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    plane = pixels[:, :, 3:] if mark.startswith(b"stealth_png") else pixels[:, :, :3]
    columns = plane.transpose(1, 0, 2).reshape(-1).copy()
    columns[: len(bits)] = columns[: len(bits)] & 0xFE | bits
    shape = (size[0], size[1], plane.shape[2])
    plane[:] = columns.reshape(shape).transpose(1, 0, 2)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind, lossless=True, exact=True)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("place", [b"stealth_png", b"stealth_rgb"])
def test_what_is_hidden_is_read(place: bytes, kind: str) -> None:
    plain = hidden(TEXT.encode(), place + b"info")
    packed = hidden(gzip.compress(TEXT.encode(), mtime=0), place + b"comp")
    for image in (plain, packed):
        assert hidden_text(image) == TEXT
        assert read_infotext(encoded(image, kind)) == TEXT


def test_without_an_alpha_channel_too() -> None:
    image = hidden(TEXT.encode(), b"stealth_rgbinfo").convert("RGB")
    assert read_infotext(encoded(image)) == TEXT


def test_novelai_hides_what_it_writes() -> None:
    image = hidden(gzip.compress(json.dumps(NOVELAI).encode(), mtime=0), b"stealth_pngcomp")
    text = read_infotext(encoded(image))
    assert text is not None
    parsed = parse(text)
    assert parsed["Prompt"] == "a fox, (red:1.05)"
    assert parsed["Negative prompt"] == "bad"
    assert (parsed["Seed"], parsed["Size-1"], parsed["Clip skip"]) == ("5", "512", "2")


def test_a_text_of_the_file_comes_before_a_hidden_one() -> None:
    file = io.BytesIO()
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", TEXT.replace("a fox", "a dog"))
    hidden(TEXT.encode(), b"stealth_pnginfo").save(file, "PNG", pnginfo=info)
    assert "a dog" in (read_infotext(file.getvalue()) or "")


@pytest.mark.parametrize(
    ("text", "mark", "length"),
    [
        (b"short", b"stealth_pnginfo", 2**32 - 1),
        (b"not packed at all", b"stealth_pngcomp", None),
        (gzip.compress(bytes(100_000), mtime=0)[:40], b"stealth_pngcomp", None),
        (b"", b"stealth_pnginfo", None),
        (b"text", b"stealth_unknown", None),
    ],
)
def test_what_is_broken_is_none(text: bytes, mark: bytes, length: int | None) -> None:
    image = hidden(text, mark, length=length)
    assert not (hidden_text(image) or "").strip("\0")
    assert read_infotext(encoded(image)) is None


def test_a_bomb_in_the_pixels_is_bounded() -> None:
    packed = gzip.compress(bytes(40_000_000), 9)
    image = hidden(packed, b"stealth_pngcomp", size=(700, 700))
    found = hidden_text(image)
    assert found is not None
    assert len(found) <= 4 * 2**20


def test_a_picture_too_small_for_a_mark_has_none() -> None:
    for size in ((1, 1), (3, 2), (1, 200), (200, 1)):
        for mode in ("RGB", "RGBA", "LA", "L", "P"):
            assert hidden_text(Image.new(mode, size)) is None
