"""Copies of finished pictures within Discord's file size limit, with their parameters embedded.

A PNG that is too large is sent as WebP, then as a smaller WebP; the file on disk stays as it is.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass

import discord

from bot.store import Picture
from core.errors import UnreadablePicture
from core.pictures.resizing import shrink


@dataclass(frozen=True, slots=True)
class Packed:
    """Files to send, as (name, bytes); ``shrunk`` if one is not the original PNG. ``embeddings``
    are the names of those that the job's pictures were made with.
    """

    files: tuple[tuple[str, bytes], ...]
    shrunk: bool
    embeddings: tuple[str, ...] = ()

    @property
    def largest(self) -> int:
        """Bytes of the largest file."""
        return max(len(data) for _, data in self.files)

    def to_discord(self, description: str) -> list[discord.File]:
        """New ``discord.File`` objects, for each can be sent only once."""
        return [
            discord.File(io.BytesIO(data), name, description=description)
            for name, data in self.files
        ]


async def pack(pictures: Sequence[Picture], limit: int) -> Packed:
    """The pictures' files, each at most ``limit`` bytes if the smallest step is.

    Raises :class:`FileNotFoundError` when a picture's file is missing, or too damaged to be shrunk.
    """
    return await asyncio.to_thread(_pack, pictures, limit)


def _pack(pictures: Sequence[Picture], limit: int) -> Packed:
    files: list[tuple[str, bytes]] = []
    shrunk = False
    for picture in pictures:
        stem = f"{picture.job_id}-{picture.position + 1}"
        data = picture.path.read_bytes()
        if len(data) <= limit:
            files.append((f"{stem}.png", data))
            continue
        shrunk = True
        try:
            files.append((f"{stem}.webp", shrink(data, picture.infotext, limit)))
        except UnreadablePicture as error:
            raise FileNotFoundError(f"{picture.path} is damaged: {error}") from error
    return Packed(tuple(files), shrunk)
