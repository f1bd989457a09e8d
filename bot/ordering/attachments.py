"""Fetch and decode a member's image: bounded, checked, away from the event loop.

Nothing in a file is trusted but its pixels: what is returned is an RGB PNG of a bounded size, or
the text of its parameters.
"""

from __future__ import annotations

import asyncio
import ctypes
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
import discord

from core.errors import UnreadablePicture
from core.pictures.files import read_infotext
from core.pictures.resizing import FinishedImage, StartImage, finished_image, start_image
from core.request import Enlarge

T = TypeVar("T")


MAX_BYTES: Final = 25 * 2**20
SECONDS_TO_READ: Final = 30.0
# Several times what two prompts of the greatest length and all parameters take.
MAX_TEXT: Final = 32_000
# Whatever a message links to elsewhere is not fetched.
HOSTS: Final = re.compile(r"(cdn\.discordapp\.com|([\w-]+\.)?discordapp\.net)")

# One at a time: the largest takes some 300 MB while it is decoded.
_decoder = ThreadPoolExecutor(1, "picture")

# Files that are downloaded or waiting for their decoder, of everybody together; by event loop.
AT_ONCE: Final = 3
_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@asynccontextmanager
async def place() -> AsyncIterator[None]:
    """Hold one of the places for a file, from its download to its end; give its memory back."""
    loop = asyncio.get_running_loop()
    places = _places.setdefault(loop, asyncio.Semaphore(AT_ONCE))
    try:
        async with places:
            yield
    finally:
        if not places.locked():
            _decoder.submit(give_back)


def give_back() -> None:
    """Give freed memory back to the system, which glibc would keep for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@dataclass(frozen=True, slots=True)
class Linked:
    """An image that a message shows without attaching it: in an embed, or a gallery.

    ``size`` is in bytes; 0 is unknown.
    """

    url: str
    size: int = 0

    async def read(self) -> bytes:
        """Fetch the file, at most :data:`MAX_BYTES`; a redirect is not followed.

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


Readable: TypeAlias = discord.Attachment | Linked


def pictures_in(message: discord.Message) -> list[Readable]:
    """List the images that a message shows, forwarded ones too, in order.

    Each once: a gallery shows files that are attached as well.
    """
    found: list[Readable] = []
    parts: list[discord.Message | discord.MessageSnapshot] = [message, *message.message_snapshots]
    for part in parts:
        files = ((file, file.content_type or "") for file in part.attachments)
        found += [file for file, kind in files if kind.startswith("image/")]
        links = [link for embed in part.embeds for link in (embed.image, embed.thumbnail)]
        urls = [link.proxy_url or link.url for link in links]
        urls += [item.proxy_url or item.url for item in _media(part.components)]
        found += [Linked(url) for url in urls if url and _is_discords(url)]
    once: dict[str, Readable] = {}
    for picture in found:
        once.setdefault(urlsplit(picture.url).path, picture)
    return list(once.values())


def _is_discords(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and bool(HOSTS.fullmatch(parts.hostname or ""))


def _media(components: Iterable[Any]) -> Iterator[discord.UnfurledMediaItem]:
    """Yield every image inside a message's components."""
    for component in components:
        yield from (item.media for item in getattr(component, "items", ()))
        if (media := getattr(component, "media", None)) is not None:
            yield media
        if (accessory := getattr(component, "accessory", None)) is not None:
            yield from _media((accessory,))
        yield from _media(getattr(component, "children", ()))


async def read_bytes(attachment: Readable, patience: float | None = None) -> bytes:
    """Read the file, at most :data:`MAX_BYTES`, within ``patience`` seconds.

    Raises :class:`~core.errors.UnreadablePicture` when it is larger, or cannot be fetched.
    """
    # Discord gives the size, so that a file too large is not fetched at all.
    if attachment.size > MAX_BYTES:
        raise UnreadablePicture("too_large", f"{attachment.size / 2**20:.0f} MB")
    try:
        async with asyncio.timeout(SECONDS_TO_READ if patience is None else patience):
            return await attachment.read()
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        # TimeoutError is an OSError.
        raise UnreadablePicture("missing", str(error)) from error


async def read_start_image(picture: Readable | bytes) -> StartImage:
    """Fetch and decode a start image, in a thread.

    Raises :class:`~core.errors.UnreadablePicture`.
    """
    async with place():
        data = picture if isinstance(picture, bytes) else await read_bytes(picture)
        return await _decode(start_image, data)


async def read_in_turn(picture: Readable) -> bytes:
    """Read the file as :func:`read_bytes`, in one of the places."""
    async with place():
        return await read_bytes(picture)


async def read_parameters(picture: Readable) -> str | None:
    """Fetch an image file and read its parameters, as :func:`parameters_of`."""
    async with place():
        return await parameters_of(await read_bytes(picture))


async def to_finished_image(data: bytes, enlarge: Enlarge) -> FinishedImage:
    """Decode an image that is to be enlarged, in a thread, with its parameters.

    Raises :class:`~core.errors.UnreadablePicture` and :class:`~core.errors.TooLarge`.
    """
    return await _decode(lambda data: finished_image(data, enlarge), data)


async def parameters_of(data: bytes) -> str | None:
    """Read the parameters in an image file as infotext; None when there are none.

    Raises :class:`~core.errors.UnreadablePicture`.
    """
    text = await _decode(read_infotext, data)
    if text is not None and len(text) > MAX_TEXT:
        raise UnreadablePicture("long_text", str(len(text)))
    return text


async def _decode(work: Callable[[bytes], T], data: bytes) -> T:
    return await asyncio.get_running_loop().run_in_executor(_decoder, work, data)
