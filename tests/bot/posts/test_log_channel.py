"""The log channel: who made what, with a delete button; and what never stops a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import discord
import pytest
from simcord.builders import ChannelHandle

from bot.posts.log_channel import log_view
from tests.simulation import World, a_job, answer, buttons, text, view_text, within_limits


@pytest.fixture
async def log(world: World) -> ChannelHandle:
    channel = world.guild.create_text_channel("log")
    await world.bot.store.servers.update(
        world.guild.id, lambda s: replace(s, log_channel=channel.id)
    )
    return channel


def entries(log: ChannelHandle) -> list[discord.Message]:
    return list(log.history())


async def test_a_picture_is_noted_with_a_link_and_its_prompt(
    world: World, log: ChannelHandle
) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="a *red* circle")
    (entry,) = entries(log)
    job = await world.job(1)
    assert f"<@{world.ann.id}> generated [this image]" in text(entry)
    assert f"/{world.guild.id}/{world.channel.id}/{job.message_id}" in text(entry)
    assert r"a \*red\* circle" in text(entry)
    path = f"/channels/{log.id}/messages"
    (sent,) = (each for each in world.env.http_requests if each.path.endswith(path))
    assert sent.json is not None
    assert sent.json["allowed_mentions"] == {"parse": []}


async def test_who_manages_messages_deletes_from_the_log(world: World, log: ChannelHandle) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x")
    moderator = world.moderator()
    asked = await moderator.click(entries(log)[0], label="Delete")
    assert answer(asked).ephemeral
    await moderator.click(answer(asked), label="Delete")
    assert await world.bot.store.jobs.get(1) is None
    assert world.posts() == []
    gone = await moderator.click(entries(log)[0], label="Delete")
    assert "data no longer exists" in text(answer(gone))


async def test_nobody_else_deletes(world: World, log: ChannelHandle) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x")
    refused = await world.bob.click(entries(log)[0], label="Delete")
    assert "Only the person who made this" in text(answer(refused))
    assert await world.bot.store.jobs.get(1) is not None


async def test_of_a_private_picture_only_who_made_one_is_noted(
    world: World, log: ChannelHandle
) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="secret", private=True)
    (entry,) = entries(log)
    assert text(entry) == f"<@{world.ann.id}> generated a private image."
    # Nobody else reaches a private picture, so there is nothing here that could be deleted.
    assert buttons(entry) == {}


async def test_what_no_channel_took_has_no_link(world: World, log: ChannelHandle) -> None:
    path = f"/channels/{world.channel.id}/messages"
    world.env.inject_error("POST", path, status=403, code=50013)
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="a cat")
    world.now += 16 * 60
    world.engine.release()
    await world.env.settle()
    assert world.ann.user.dm_channel.history()
    (entry,) = entries(log)
    assert "was sent to them by direct message: a cat" in text(entry)
    assert "/channels/" not in text(entry)
    assert "Delete" in buttons(entry)


async def test_variations_are_noted_and_failures_are_not(world: World, log: ChannelHandle) -> None:
    from core.errors import OutOfMemory

    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    await world.bob.click(post, label="New seed")
    assert [f"<@{world.bob.id}>" in text(entry) for entry in entries(log)] == [False, True]
    world.engine.fail_next(OutOfMemory(512, 512))
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert len(entries(log)) == 2


async def test_a_log_that_is_gone_stops_nothing(world: World) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, log_channel=111))
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert (await world.job(1)).state == "delivered"


def test_the_longest_entry_is_one_that_discord_takes() -> None:
    job: Any = replace(a_job(prompt="*🎨" * 2000), guild_id=2**63 - 1, message_id=2**63 - 1)
    view = log_view(job, "en-US")
    within_limits(view)
    assert len(view_text(view)) < 1000
