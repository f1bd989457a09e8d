"""The owner's KEEP_DAYS and KEEP_GB, and what the controls of a post then say."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace

import pytest

from bot.settings import Settings
from bot.store.retention import DAY
from cogs.retention import RetentionCog
from tests.bot.ordering.test_start_image import picture
from tests.simulation import World, answer, buttons, simulate, text


def upkeep(world: World) -> RetentionCog:
    cog = world.bot.get_cog("RetentionCog")
    assert isinstance(cog, RetentionCog)
    return cog


async def test_a_control_of_a_deleted_job_says_so_kindly(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x")
    post = world.last
    world.now += world.settings.keep_days * DAY + 1
    await upkeep(world).keep()
    said = text(answer(await world.ann.click(post, label="More…")))
    assert "The bot keeps images for a limited time" in said


async def test_a_post_whose_file_is_gone_can_still_be_varied(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x")
    post, cog = world.last, upkeep(world)
    # One of 0 would be no limit.
    cog.settings = replace(world.settings, keep_gb=1)
    (picture,) = await world.bot.store.pictures.of_job(1)
    with picture.path.open("r+b") as file:
        file.truncate(2 * 10**9)
    caplog.set_level("INFO")
    await cog.keep()
    assert "beyond KEEP_GB=1: the images of 1 jobs and 0 start images were removed" in caplog.text
    assert not picture.path.exists()
    shown = answer(await world.bob.slash(world.channel, "show", id=1))
    list(world.env.errors)
    assert "image file no longer exists" in text(shown)
    assert "limited time" in text(shown)
    panel = answer(await world.bob.click(post, label="More…"))
    assert "Steps: " in text(answer(await world.bob.click(panel, label="Parameters")))
    await world.bob.click(post, label="New seed")
    assert buttons(world.last)["New seed"]
    assert (await world.job(2)).state == "delivered"


async def test_a_control_that_needs_a_removed_start_image_says_so(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x", start_image=("a.png", picture()))
    post = world.last
    assert await world.bot.store.retention.shrink(0) == (1, 1)
    for label in ("New seed", "Clip skip +"):
        said = text(answer(await world.bob.click(post, label=label)))
        assert "The image that this was made from no longer exists" in said
    assert await world.bot.store.jobs.get(2) is None
    list(world.env.errors)
    # What needs none works.
    panel = answer(await world.bob.click(post, label="More…"))
    assert "Steps: " in text(answer(await world.bob.click(panel, label="Parameters")))
    # So does the same with the image given again.
    await world.ann.slash(world.channel, "imagine", prompt="x", start_image=("a.png", picture()))
    await world.bob.click(post, label="New seed")
    assert (await world.job(3)).state == "delivered"


async def test_without_limits_everything_stays(settings: Settings) -> None:
    async with simulate(replace(settings, keep_days=0, keep_gb=0)) as world:
        await world.ann.slash(world.channel, "imagine", prompt="x")
        world.now += 100_000 * DAY
        await upkeep(world).keep()
        assert (await world.job(1)).state == "delivered"
        asked = answer(await world.ann.slash(world.channel, "privacy delete"))
        assert "days" not in text(asked)


async def test_privacy_says_how_long_things_are_kept(world: World) -> None:
    asked = answer(await world.ann.slash(world.channel, "privacy delete"))
    assert f"{world.settings.keep_days} days after" in text(asked)


async def test_a_start_keeps_to_it(settings: Settings) -> None:
    async with simulate(settings) as world:
        await world.ann.slash(world.channel, "imagine", prompt="x")
        world.now += world.settings.keep_days * DAY + 1
        await world.restart()
        await world.env.settle()
        assert await world.bot.store.jobs.get(1) is None


async def test_a_copy_that_cannot_be_deleted_keeps_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError("not permitted: before-restore-1")

    await world.ann.slash(world.channel, "imagine", prompt="x")
    world.now += world.settings.keep_days * DAY + 1
    monkeypatch.setattr("bot.store.former.delete_old", refused)
    await upkeep(world)._keep()
    assert "not permitted: before-restore-1" in caplog.text
    assert await world.bot.store.jobs.get(1) is None


async def test_a_locked_database_is_tried_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def locked(days: int) -> int:
        raise sqlite3.OperationalError("database is locked")

    cog = upkeep(world)
    monkeypatch.setattr(cog.retention, "delete_old", locked)
    await cog._keep()
    assert "will be later: database is locked" in caplog.text
    assert cog._keep.is_running()


async def test_files_that_the_owner_removed_are_no_trouble(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x")
    shutil.rmtree(world.settings.images_dir)
    await upkeep(world).keep()
