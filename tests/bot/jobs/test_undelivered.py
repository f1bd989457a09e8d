"""What Discord does not take: little is held for it, and after a week it is over."""

from __future__ import annotations

import gc
import logging
from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.jobs import following
from bot.jobs.following import GIVE_UP_AFTER
from bot.posts.delivery import Delivery
from bot.posts.packing import pack
from bot.store.retention import DAY
from core.errors import OutOfMemory
from core.events import Image
from core.request import Inputs
from tests.bot.ordering.test_start_image import picture
from tests.simulation import World, answer, text

EDIT = "/webhooks/*/*/messages/*"
CHANNEL = "/channels/*/messages"


@pytest.fixture(autouse=True)
def patient(world: World) -> None:
    """Sleeps as long as that are left to the virtual clock."""
    world.env.settle_timeout = 4.0


async def ended(world: World, how: str = "finished", **options: Any) -> discord.Message:
    """Ann's job, which ended during an outage; its message."""
    world.engine.hold()
    result = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7, **options)
    await world.engine.started(1)
    await world.env.settle()
    world.env.inject_error("*", EDIT, status=503, times=None)
    world.env.inject_error("POST", CHANNEL, status=503, times=None)
    if how == "failed":
        world.engine.fail(1, OutOfMemory(512, 512))
    elif how == "cancelled":
        assert await world.bot.jobs.cancel(1)
    world.engine.release()
    await world.env.settle()
    await world.later(60)
    assert (await world.job(1)).state == how
    return answer(result).message


def held(kind: type) -> list[Any]:
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is kind]


async def test_a_delivery_that_waits_holds_no_image(world: World) -> None:
    before = len(held(Image))
    await ended(world)
    assert len(held(Image)) == before


@pytest.mark.parametrize("how", ["finished", "failed", "cancelled"])
async def test_what_waits_holds_no_start_image(
    world: World, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only a test keeps what was logged, with the errors, and what the engine saw.
    monkeypatch.setattr(following.log, "disabled", True)

    def starts() -> int:
        world.engine.seen.clear()
        return len([each for each in held(Inputs) if each.init_image])

    before = starts()
    await ended(world, how, start_image=("start.png", picture(64, 64)))
    assert (await world.job(1)).request.init_image is not None
    assert starts() == before


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_is_given_up_is_kept_no_longer_than_anything(
    world: World, restarted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    await ended(world)
    world.now += GIVE_UP_AFTER
    if restarted:
        await world.restart(kill=True)
        await world.env.settle()
    else:
        await world.later(3600)
        assert "Discord did not take it for a week" in caplog.text
    assert (await world.job(1)).state == "delivered"
    assert await world.bot.store.jobs.undelivered() == []
    # It is still the member's.
    world.env.backend.faults.clear()
    shown = answer(await world.ann.slash(world.channel, "show", id=1))
    assert len(shown.attachments) == 1
    world.now += world.settings.keep_days * DAY
    assert await world.bot.store.retention.delete_old(world.settings.keep_days) == 1


async def test_what_is_given_up_is_not_in_a_log_channel(world: World) -> None:
    channel = world.guild.create_text_channel("log")
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, log_channel=channel.id)
    )
    await ended(world)
    world.now += GIVE_UP_AFTER
    await world.later(3600)
    assert (await world.job(1)).state == "delivered"
    assert list(channel.history()) == []


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_image_that_is_damaged_ends_as_a_sentence_once(
    world: World, restarted: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended(world)
    (found,) = await world.bot.store.pictures.of_job(1)
    found.path.write_bytes(found.path.read_bytes()[:60])
    # Too large to be sent as it is.
    monkeypatch.setattr("bot.posts.delivery.pack", lambda pictures, _: pack(pictures, 50))
    world.env.backend.faults.clear()
    if restarted:
        await world.restart(kill=True)
    await world.later(3600)
    assert len(world.posts()) == 1
    assert "image file no longer exists" in text(world.last)
    assert (await world.job(1)).state == "delivered"
    assert not [each for each in caplog.records if each.exc_info or each.levelno > logging.WARNING]
    await world.restart(kill=True)
    await world.env.settle()
    assert len(world.posts()) == 1


async def test_a_bug_in_a_delivery_that_a_start_takes_up_is_said_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bug(*_: Any, **__: Any) -> bool:
        raise ZeroDivisionError

    await ended(world)
    world.env.backend.faults.clear()
    monkeypatch.setattr(Delivery, "deliver", bug)
    for _ in range(2):
        await world.restart(kill=True)
        await world.env.settle()
        (post,) = world.posts()
        assert "Something went wrong" in text(post)
        assert (await world.job(1)).state == "delivered"
