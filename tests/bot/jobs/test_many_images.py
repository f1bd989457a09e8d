"""Many start images at once: what may not be drawn is not fetched, and few are held at a time."""

from __future__ import annotations

import asyncio
import io
import mmap
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.exceptions import NotAllowed, QuotaUsed
from bot.gate.origin import Origin
from bot.ordering import attachments
from bot.ordering.layers import Layers
from bot.ordering.orders import Order, Start, new_order
from bot.rules.policy import Asker
from core.errors import QueueFull
from tests.simulation import World


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()


class Files:
    """Attachments; counts the downloads, and how many files are held at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.held = self.most = 0
        decode = attachments._decode

        async def decoded(work: Any, data: bytes) -> Any:
            found = await decode(work, data)
            self.held -= 1
            return found

        monkeypatch.setattr(attachments, "_decode", decoded)

    @property
    def size(self) -> int:
        return 9 * 2**20

    async def read(self) -> bytes:
        self.begun += 1
        self.held += 1
        self.most = max(self.most, self.held)
        for _ in range(20):
            await asyncio.sleep(0)
        return png()


def asks(
    world: World, files: Files, count: int, user_ids: Sequence[int], **fields: Any
) -> list[Any]:
    """So many orders with a start image, of these members in turn."""

    async def ordering() -> Order:
        start = Start(files)  # type: ignore[arg-type]
        limits = world.settings.limits
        return await new_order("x", Layers(option={}), world.bot.catalogue, limits, start=start)

    accepting = world.bot.jobs._accepting
    origins = [
        Origin(
            Asker(user_ids[number % len(user_ids)], frozenset(), (), False),
            world.guild.id,
            world.channel.id,
            1,
            "en-US",
        )
        for number in range(count)
    ]
    return [accepting._accept(replace(each, **fields), ordering, None) for each in origins]


async def test_of_sixty_images_of_one_member_only_those_with_room_are_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(monkeypatch)
    world.engine.hold()
    found = await asyncio.gather(*asks(world, files, 60, [7]), return_exceptions=True)
    assert sum(isinstance(each, QueueFull) for each in found) == 55
    assert files.begun == 5
    assert files.most <= attachments.AT_ONCE
    assert world.bot.jobs._accepting._coming == {}


async def test_however_many_members_few_images_are_held_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(monkeypatch)
    world.engine.hold()
    found = await asyncio.gather(*asks(world, files, 40, range(40)), return_exceptions=True)
    assert not any(isinstance(each, BaseException) for each in found)
    assert (files.begun, files.held) == (40, 0)
    assert files.most <= attachments.AT_ONCE


async def test_who_may_not_draw_is_refused_before_anything_is_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(monkeypatch)
    store = world.bot.store

    async def refused(kind: type[Exception]) -> None:
        (ask,) = asks(world, files, 1, [7])
        with pytest.raises(kind):
            await ask
        assert files.begun == 0

    world.bot.gate.draining = True
    await refused(NotAllowed)
    world.bot.gate.draining = False
    await store.servers.update(world.guild.id, lambda server: replace(server, banned=(7,)))
    await refused(NotAllowed)
    await store.servers.update(world.guild.id, lambda server: replace(server, banned=(), quota=1))
    await store.servers.charge(99, world.guild.id, 7, 1.0, 1)
    await refused(QuotaUsed)
    await store.servers.update(
        world.guild.id, lambda server: replace(server, quota=None, queue_total=1)
    )
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await refused(QueueFull)


def resident() -> int:
    """This process's memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed")
async def test_memory_is_given_back_when_a_file_is_done_with() -> None:
    async with attachments.place():
        size = 2**16
        blocks = [b"x" * size for _ in range(1_000)]
        # The last block stays, so that glibc gives nothing back by itself.
        pin = blocks.pop()
        blocks.clear()
        freed = resident()
    # After what the place had done in that thread.
    await asyncio.wrap_future(attachments._decoder.submit(lambda: None))
    assert freed - resident() > 32 * 2**20
    assert len(pin) == size
