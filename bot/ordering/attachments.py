"""A member's picture, taken from Discord: bounded, checked, decoded away from the event loop.

Nothing a file says about itself is trusted but its pixels; what goes on from here is a plain RGB
PNG of a size that can be drawn, or, for its parameters, a text.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
import discord

from core.errors import UnreadablePicture
from core.notes import Note
from core.options import RANGES
from core.pictures.files import is_animated, read_infotext, read_pixels

T = TypeVar("T")


class Readable(Protocol):
    """A file that can be fetched: a :class:`discord.Attachment`, or :class:`Linked`."""

    @property
    def size(self) -> int:
        """Bytes, as far as they are known; 0 where they are not."""
        ...

    @property
    def url(self) -> str:
        """Where it is."""
        ...

    async def read(self) -> bytes:
        """The whole file."""
        ...


MAX_BYTES: Final = 25 * 2**20
# No picture is drawn larger, so none need be kept larger.
MAX_SIDE: Final = int(RANGES["width"].high)
SECONDS_TO_READ: Final = 30.0
# Two prompts and everything else there is to say, several times over.
MAX_TEXT: Final = 32_000
# Whatever a message links to elsewhere is not fetched.
HOSTS: Final = re.compile(r"(cdn\.discordapp\.com|([\w-]+\.)?discordapp\.net)")

# One picture at a time: the largest takes some 300 MB while it is decoded.
_decoder = ThreadPoolExecutor(1, "picture")


@dataclass(frozen=True, slots=True)
class StartImage:
    """A picture ready for ``GenerationRequest.init_image``; sizes in pixels.

    ``notes`` say what of the file is not used.
    """

    png: bytes
    width: int
    height: int
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Linked:
    """A picture that a message shows without attaching it: in an embed, or a gallery."""

    url: str
    size: int = 0

    async def read(self) -> bytes:
        """The file, from Discord's own hosts alone, and no more of it than is of use.

        Raises :class:`~core.errors.UnreadablePicture`, :class:`aiohttp.ClientError`.
        """
        data = b""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url, allow_redirects=False, raise_for_status=True) as answer,
        ):
            async for part in answer.content.iter_chunked(2**16):
                data += part
                if len(data) > MAX_BYTES:
                    raise UnreadablePicture("too_large", f"> {MAX_BYTES // 2**20} MB")
        return data


def pictures_in(message: discord.Message) -> list[Readable]:
    """The pictures that a message shows, of anybody's, forwarded ones too, in order.

    Each once: a gallery shows files that are attached as well.
    """
    found: list[Readable] = []
    parts: list[discord.Message | discord.MessageSnapshot] = [message, *message.message_snapshots]
    for part in parts:
        found += [file for file in part.attachments if _is_picture(file)]
        links = [link for embed in part.embeds for link in (embed.image, embed.thumbnail)]
        urls = [link.proxy_url or link.url for link in links]
        urls += [item.proxy_url or item.url for item in _media(part.components)]
        found += [Linked(url) for url in urls if url and _is_discords(url)]
    once: dict[str, Readable] = {}
    for picture in found:
        once.setdefault(urlsplit(picture.url).path, picture)
    return list(once.values())


def _is_picture(file: discord.Attachment) -> bool:
    return (file.content_type or "").startswith("image/")


def _is_discords(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(HOSTS.fullmatch(parts.hostname or ""))


def _media(components: Iterable[Any]) -> Iterator[discord.UnfurledMediaItem]:
    """Every picture inside a message's components."""
    for component in components:
        yield from (item.media for item in getattr(component, "items", ()))
        if (media := getattr(component, "media", None)) is not None:
            yield media
        if (accessory := getattr(component, "accessory", None)) is not None:
            yield from _media((accessory,))
        yield from _media(getattr(component, "children", ()))


async def read_bytes(attachment: Readable, patience: float | None = None) -> bytes:
    """The file as it is, at most :data:`MAX_BYTES`, within ``patience`` seconds.

    Raises :class:`~core.errors.UnreadablePicture` when it is larger, or not to be had.
    """
    # Discord itself says the size, so that a file too large is not even begun.
    if attachment.size > MAX_BYTES:
        raise UnreadablePicture("too_large", f"{attachment.size / 2**20:.0f} MB")
    try:
        async with asyncio.timeout(SECONDS_TO_READ if patience is None else patience):
            return await attachment.read()
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        # OSError is a time-out, too.
        raise UnreadablePicture("missing", str(error)) from error


async def to_start_image(data: bytes) -> StartImage:
    """An image file of any kind we read, made plain: first frame, upright, RGB, bounded.

    Raises :class:`~core.errors.UnreadablePicture`.
    """
    return await _decode(_start_image, data)


async def parameters_of(data: bytes) -> str | None:
    """The parameters in an image file, as A1111's text; None when there are none.

    Raises :class:`~core.errors.UnreadablePicture`.
    """
    text = await _decode(read_infotext, data)
    if text is not None and len(text) > MAX_TEXT:
        raise UnreadablePicture("long_text", str(len(text)))
    return text


async def _decode(work: Callable[[bytes], T], data: bytes) -> T:
    return await asyncio.get_running_loop().run_in_executor(_decoder, work, data)


def _start_image(data: bytes) -> StartImage:
    pixels = read_pixels(data)
    pixels.thumbnail((MAX_SIDE, MAX_SIDE))
    file = BytesIO()
    # As it is: none of the file's own texts, nor where a photograph was taken.
    pixels.info.clear()
    pixels.save(file, "PNG", compress_level=1)
    notes = (Note.of("first_frame"),) if is_animated(data) else ()
    return StartImage(file.getvalue(), pixels.width, pixels.height, notes)
