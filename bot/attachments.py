"""A member's picture, taken from Discord: bounded, checked, decoded away from the event loop.

Nothing a file says about itself is trusted but its pixels; what goes on from here is a plain RGB
PNG of a size that can be drawn, or, for its parameters, a text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Final, TypeVar

import aiohttp
import discord

from core.errors import UnreadablePicture
from core.notes import Note
from core.picture import is_animated, read_infotext, read_pixels
from core.request import RANGES

T = TypeVar("T")

MAX_BYTES: Final = 25 * 2**20
# No picture is drawn larger, so none need be kept larger.
MAX_SIDE: Final = int(RANGES["width"].high)
SECONDS_TO_READ: Final = 30.0

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


async def read_start_image(attachment: discord.Attachment) -> bytes:
    """What a member attached, as RGB PNG of at most :data:`MAX_SIDE` pixels a side.

    Raises :class:`~core.errors.UnreadablePicture`, which says why it is no use.
    """
    return (await to_start_image(await read_bytes(attachment))).png


async def read_bytes(attachment: discord.Attachment) -> bytes:
    """The file as it was uploaded, at most :data:`MAX_BYTES`.

    Raises :class:`~core.errors.UnreadablePicture` when it is larger, or not to be had.
    """
    # Discord itself says the size, so that a file too large is not even begun.
    if attachment.size > MAX_BYTES:
        raise UnreadablePicture("too_large", f"{attachment.size / 2**20:.0f} MB")
    try:
        async with asyncio.timeout(SECONDS_TO_READ):
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
    return await _decode(read_infotext, data)


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
