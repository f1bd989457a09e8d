"""A member's picture: what is taken, what is refused with which sentence, and its bounds."""

from __future__ import annotations

import asyncio
import struct
import threading
import zlib
from io import BytesIO
from typing import Any

import discord
import pytest
from PIL import Image, PngImagePlugin

from bot.errors import sentence
from bot.ordering import attachments
from bot.ordering.attachments import MAX_BYTES, parameters_of
from core.errors import UnreadablePicture
from core.pictures.resizing import MAX_SIDE


class Attachment:
    """What ``discord.Attachment`` shows of itself, without a Discord."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.data = data
        self.size = len(data) if size is None else size
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        return self.data


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(width: int, height: int) -> bytes:
    """A few hundred bytes that say they are ``width`` by ``height`` pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(999)))


def text_bomb() -> bytes:
    """A small picture with a compressed text of 200 MB."""
    plain = encoded(Image.new("RGB", (8, 8)))
    squeezed = zlib.compressobj(9)
    body = b"".join(squeezed.compress(bytes(2**20)) for _ in range(200)) + squeezed.flush()
    return plain[:33] + chunk(b"zTXt", b"parameters\0\0" + body) + plain[33:]


def opened(png: bytes) -> Image.Image:
    image = Image.open(BytesIO(png))
    image.load()
    return image


async def read_start_image(attachment: Any) -> bytes:
    """What becomes of an attachment, as /imagine has it."""
    return (await attachments.read_start_image(attachment)).png


async def taken(data: bytes) -> Image.Image:
    return opened(await read_start_image(Attachment(data)))


async def refused(attachment: Any) -> str:
    with pytest.raises(UnreadablePicture) as refusal:
        await read_start_image(attachment)
    return sentence(refusal.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_what_members_send_becomes_a_plain_png(kind: str) -> None:
    image = await taken(encoded(Image.new("RGB", (40, 24), "red"), kind))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (40, 24))
    pixel = image.getpixel((20, 12))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 250
    assert max(pixel[1:]) < 5


async def test_cmyk_and_transparent_and_turned_pictures_are_understood() -> None:
    assert (await taken(encoded(Image.new("CMYK", (8, 8)), "JPEG"))).getpixel((4, 4)) == (255,) * 3
    assert (await taken(encoded(Image.new("RGBA", (8, 8))))).getpixel((4, 4)) == (255,) * 3
    assert (await taken(encoded(Image.new("I;16", (8, 8))))).mode == "RGB"
    turned = Image.Exif()
    turned[0x0112] = 6
    assert (await taken(encoded(Image.new("RGB", (8, 16)), "JPEG", exif=turned))).size == (16, 8)


async def test_what_the_file_tells_about_its_owner_stays_behind() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a secret place")
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    data = encoded(Image.new("RGB", (8, 8)), pnginfo=info, exif=exif, icc_profile=b"a camera")
    assert b"a secret place" in data
    kept = await read_start_image(Attachment(data))
    assert b"secret" not in kept
    assert b"eXIf" not in kept
    assert b"iCCP" in data
    assert b"iCCP" not in kept


async def test_a_large_picture_is_made_small_enough_to_keep() -> None:
    start = await attachments.read_start_image(encoded(Image.new("RGB", (5000, 2500), "blue")))
    assert (start.width, start.height) == (MAX_SIDE, MAX_SIDE // 2)
    assert opened(start.png).size == (start.width, start.height)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_of_an_animation_the_first_frame_and_a_note(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    moving = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    start = await attachments.read_start_image(moving)
    pixel = opened(start.png).getpixel((4, 4))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 250
    assert [note.key for note in start.notes] == ["first_frame"]
    assert not (await attachments.read_start_image(encoded(frames[0], kind))).notes


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "can’t read that file as an image"),
        (b"%PDF-1.7 hello", "can’t read that file as an image"),
        (encoded(Image.new("RGB", (8, 8)), "GIF"), "can’t read that file as an image"),
        (encoded(Image.new("RGB", (64, 64)))[:60], "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"RIFF\0\0\0\0WEBP", "damaged"),
        (bomb(20_000, 20_000), "too large (20000×20000 px)"),
        (bomb(2**31 - 1, 2**31 - 1), "too large"),
    ],
    ids=["empty", "pdf", "gif", "cut", "head", "riff", "20000", "bomb"],
)
async def test_what_is_no_use_gets_a_sentence(data: bytes, said: str) -> None:
    assert said in await refused(Attachment(data))


async def test_a_text_that_is_too_long_does_not_spoil_the_pixels() -> None:
    data = text_bomb()
    assert (await taken(data)).size == (8, 8)
    with pytest.raises(UnreadablePicture, match="too long"):
        await parameters_of(data)


async def test_a_file_too_large_is_not_even_fetched() -> None:
    attachment = Attachment(b"", size=26 * 2**20)
    assert "too large (26 MB)" in await refused(attachment)
    assert attachment.reads == 0
    just = Attachment(encoded(Image.new("RGB", (8, 8))), size=MAX_BYTES)
    await read_start_image(just)
    assert just.reads == 1


@pytest.mark.parametrize(
    "trouble",
    [
        discord.NotFound(type("R", (), {"status": 404, "reason": "x"})(), "gone"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_what_does_not_come_gets_a_sentence(trouble: Exception) -> None:
    class Lost(Attachment):
        async def read(self) -> bytes:
            raise trouble

    assert "couldn’t be downloaded" in await refused(Lost(b"x"))


async def test_a_file_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Attachment):
        async def read(self) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(attachments, "SECONDS_TO_READ", 0.0)
    assert "couldn’t be downloaded" in await refused(Silent(b"x"))


async def test_nothing_is_decoded_on_the_loop_and_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: set[int] = set()

    def reading(data: bytes) -> str:
        threads.add(threading.get_ident())
        return data.decode()

    monkeypatch.setattr(attachments, "read_infotext", reading)
    found = await asyncio.gather(*(parameters_of(b"%d" % i) for i in range(5)))
    assert found == list("01234")
    assert len(threads) == 1
    assert threading.get_ident() not in threads
