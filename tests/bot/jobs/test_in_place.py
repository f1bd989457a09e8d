"""Where a server wants it, what a member makes under their own newest result takes its place."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.jobs.accepting import SECONDS_TO_DEFER, Accepting
from bot.posts.delivery import Delivery
from bot.store import Job
from core.errors import OutOfMemory
from tests.bot.actions.test_every_control import press
from tests.simulation import World, answer, buttons, components, text
from tests.user_install import GUILD_ID, Away

EDIT = "/webhooks/*/*/messages/*"
CHANNEL = "/channels/*/messages"
MESSAGE = "/channels/*/messages/*"
KILLED = pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])


@pytest.fixture
async def post(world: World) -> discord.Message:
    """A finished picture of ann's, job 1, seed 7, clip skip 1, on a server that wants it."""
    await wanted(world, world.guild.id)
    result = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    return answer(result).message


async def wanted(world: World, guild_id: int) -> None:
    await world.bot.store.servers.update(guild_id, lambda server: replace(server, in_place=True))


async def held(world: World, post: discord.Message) -> discord.Message:
    """Job 2, running in the place of job 1."""
    world.engine.hold()
    await world.ann.click(post, label="Clip skip +")
    await world.engine.started(2)
    await world.env.settle()
    (now,) = world.posts()
    return now


async def released(world: World) -> None:
    world.engine.release()
    await world.env.settle()


async def messages(world: World) -> list[int | None]:
    """The messages of all jobs, by their numbers."""
    rows = await world.bot.store._database.read("SELECT message_id FROM jobs ORDER BY id")
    return [row[0] for row in rows]


def pictures(message: Any) -> list[str]:
    """The files' names in a post's gallery."""
    items = [item for part in components(message) if part["type"] == 12 for item in part["items"]]
    return [item["media"]["url"].rsplit("/")[-1] for item in items]


def seen(world: World) -> list[discord.Message]:
    """What ann sees in the channel, oldest first."""
    return list(world.channel.history(viewer=world.ann))


def is_the_first(message: Any) -> bool:
    """Whether it is job 1's result, with its controls."""
    ids = {part["custom_id"] for part in components(message) if "custom_id" in part}
    return pictures(message) == ["1-1.png"] and {"p:clip:1:2", "p:edit:1"} < ids


# What is replaced.


async def test_a_chain_of_presses_is_one_post(world: World, post: discord.Message) -> None:
    for _ in range(4):
        await world.ann.click(world.last, label="Clip skip +")
    await world.ann.click(world.last, label="New seed")
    (last,) = world.posts()
    assert last.id == post.id
    assert "clip skip 5" in text(last)
    assert "from #5" in text(last)
    assert pictures(last) == ["6-1.png"]
    assert len(last.attachments) == 1
    assert await messages(world) == [None] * 5 + [post.id]


async def test_edit_and_the_select_replace_as_well(world: World, post: discord.Message) -> None:
    form = await world.ann.click(post, label="Edit")
    typed = {"prompt": "a blue square", "clip_skip": "2", "seed": "8", "settings": "9 5 512x512"}
    await world.ann.submit_modal(form, typed)
    await world.ann.select(world.last, ["vivid"], custom_id="p:vae:2")
    (last,) = world.posts()
    assert "a blue square" in text(last)
    assert "VAE vivid" in text(last)


async def test_what_was_replaced_is_not_lost(world: World, post: discord.Message) -> None:
    await world.ann.click(post, label="Clip skip +")
    shown = answer(await world.ann.slash(world.channel, "show", id=1))
    assert pictures(shown) == ["1-1.png"]
    history = answer(await world.ann.slash(world.channel, "history"))
    assert {"#1", "#2"} == set(buttons(history))
    # Its number is no link, and what is made of it by then has none either.
    await world.ann.click(shown, label="Clip skip +")
    assert "from #1" in text(world.last)
    assert "https://" not in text(world.last)


async def test_the_next_is_as_new_as_the_first(world: World, post: discord.Message) -> None:
    await world.ann.click(post, label="Clip skip +")
    await world.bob.click(world.last, label="New seed")
    first, second = world.posts()
    assert "clip skip 2" in text(first)
    assert f"/{post.id})" in text(second)
    await world.ann.click(first, label="New seed")
    assert len(world.posts()) == 3


async def test_while_it_waits_the_picture_stays(world: World, post: discord.Message) -> None:
    now = await held(world, post)
    assert pictures(now) == ["1-1.png"]
    assert set(buttons(now)) == {"Cancel"}
    world.engine.progress(2, 5)
    await world.env.settle()
    (now,) = world.posts()
    assert pictures(now) == ["1-1.png"]
    assert len(now.attachments) == 1
    assert "5 / 20" in text(now)
    # It is still job 1's for who reacts or asks what it shows.
    assert await world.bot.store.posts.job_id(post.id) == 1
    await released(world)
    assert pictures(world.last) == ["2-1.png"]
    assert await world.bot.store.posts.job_id(post.id) == 2


async def test_a_spoiler_stays_one_while_it_waits(world: World, post: discord.Message) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, spoiler=True))
    await world.ann.click(post, label="Clip skip +")
    world.engine.hold()
    await world.ann.click(world.last, label="Clip skip +")
    (gallery,) = (part for part in components(world.last) if part["type"] == 12)
    assert [item["spoiler"] for item in gallery["items"]] == [True]


# What is not.


async def test_only_where_a_server_wants_it(world: World, post: discord.Message) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, in_place=False))
    await world.ann.click(post, label="Clip skip +")
    assert len(world.posts()) == 2
    assert is_the_first(world.posts()[0])


async def test_another_members_press_answers(world: World, post: discord.Message) -> None:
    await world.bob.click(post, label="Clip skip +")
    first, second = world.posts()
    assert is_the_first(first)
    assert f"/{post.id})" in text(second)


async def test_what_others_answered_stays(world: World, post: discord.Message) -> None:
    await world.bob.click(post, label="Clip skip +")
    await world.ann.click(post, label="New seed")
    assert is_the_first(world.posts()[0])
    newest = world.last
    await world.ann.click(newest, label="Clip skip +")
    assert len(world.posts()) == 3
    assert world.last.id == newest.id


async def test_the_panel_behind_more_answers(world: World, post: discord.Message) -> None:
    panel = answer(await world.ann.click(post, label="More…"))
    await world.ann.click(panel, label="Vary (Subtle)")
    assert is_the_first(world.posts()[0])
    assert len(world.posts()) == 2


async def test_a_copy_is_answered(world: World, post: discord.Message) -> None:
    copy = answer(await world.ann.slash(world.channel, "show", id=1))
    await world.ann.click(copy, label="Clip skip +")
    assert len(world.posts()) == 3
    assert is_the_first(world.posts()[0])


async def test_a_sheet_is_answered(world: World, post: discord.Message) -> None:
    sheet = answer(await world.ann.slash(world.channel, "explore", prompt="x"))
    await world.ann.click(sheet, label="New seed")
    assert len(world.posts()) == 3


async def test_a_private_result_is_left_alone(world: World, post: discord.Message) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x", private=True)
    await world.ann.click(seen(world)[1], label="Clip skip +")
    assert [pictures(one) for one in seen(world)] == [["1-1.png"], ["2-1.png"], ["3-1.png"]]
    assert await messages(world) == [one.id for one in seen(world)]
    assert seen(world)[2].flags.ephemeral


async def test_what_is_to_be_private_does_not_replace_what_is_public(
    world: World, post: discord.Message
) -> None:
    await world.bot.store.presets.change_yours(world.ann.id, {"private": True})
    await world.ann.click(post, label="Clip skip +")
    first, second = seen(world)
    assert is_the_first(first)
    assert second.flags.ephemeral


async def test_where_the_bot_is_no_member_it_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(world, monkeypatch, "server")
    await wanted(world, GUILD_ID)
    post = answer(await away.ann.slash(away.channel, "imagine", prompt="a cat"))
    await away.ann.click(post, label="Clip skip +")
    assert len(away.posts()) == 2


async def test_what_could_not_be_shown_again_stays(world: World, post: discord.Message) -> None:
    await world.bot.store.retention.shrink(0)
    await world.ann.click(post, label="Clip skip +")
    assert is_the_first(world.posts()[0])
    assert len(world.posts()) == 2


async def test_of_two_presses_at_once_one_answers(world: World, post: discord.Message) -> None:
    await held(world, post)
    # The other client still shows the controls.
    await press(world, world.ann, post, "p:clip:1:3")
    await released(world)
    first, second = world.posts()
    assert (first.id, pictures(first)) == (post.id, ["2-1.png"])
    assert pictures(second) == ["3-1.png"]


# Jobs that end without a picture.


async def test_a_cancelled_job_gives_the_post_back(world: World, post: discord.Message) -> None:
    now = await held(world, post)
    await world.ann.click(now, label="Cancel")
    (now,) = world.posts()
    assert is_the_first(now)
    assert "Canceled." in text(now)
    assert await messages(world) == [post.id, None]
    assert (await world.job(2)).interaction_token is None
    await released(world)
    await world.ann.click(now, label="Clip skip +")
    (now,) = world.posts()
    assert pictures(now) == ["3-1.png"]
    assert "Canceled." not in text(now)


async def test_a_failed_job_gives_the_post_back_and_says_why(
    world: World, post: discord.Message
) -> None:
    world.engine.fail_next(OutOfMemory(512, 512))
    await world.ann.click(post, label="Clip skip +")
    first, said = world.posts()
    assert is_the_first(first)
    assert first.id == post.id
    assert "VRAM" in text(said)
    assert f"<@{world.ann.id}>" in text(said)
    assert said.reference is not None
    assert said.reference.message_id == post.id
    assert {"Try again", "Edit"} <= set(buttons(said))
    assert await messages(world) == [post.id, said.id]
    assert await world.bot.store.posts.to_delete() == []
    await world.ann.click(first, label="New seed")
    assert pictures(world.posts()[0]) == ["3-1.png"]
    assert len(world.posts()) == 2


async def test_a_post_that_cannot_be_given_back_tells_the_end(
    world: World, post: discord.Message
) -> None:
    await held(world, post)
    await world.bot.store.pictures.delete_files(1)
    world.engine.fail(2, OutOfMemory(512, 512))
    await world.env.settle()
    (now,) = world.posts()
    assert now.id == post.id
    assert "VRAM" in text(now)
    assert await messages(world) == [None, post.id]


async def test_a_post_is_given_back_through_the_channel_after_15_minutes(
    world: World, post: discord.Message
) -> None:
    await held(world, post)
    world.now += 901
    world.engine.fail(2, OutOfMemory(512, 512))
    await world.env.settle()
    first, said = world.posts()
    assert is_the_first(first)
    assert "VRAM" in text(said)


async def test_a_post_is_given_back_once_discord_is_back(
    world: World, post: discord.Message
) -> None:
    world.env.settle_timeout = 1.0
    now = await held(world, post)
    world.env.inject_error("PATCH", EDIT, status=503, times=1)
    await world.ann.click(now, label="Cancel")
    await world.env.advance_time(5)
    (now,) = world.posts()
    assert is_the_first(now)


# The post goes, the time goes.


@pytest.mark.parametrize("fails", [False, True])
async def test_the_post_is_deleted_meanwhile(
    world: World, post: discord.Message, fails: bool
) -> None:
    await held(world, post)
    world.env.backend.delete_message(world.channel.id, post.id)
    if fails:
        world.engine.fail(2, OutOfMemory(512, 512))
        await world.env.settle()
    await released(world)
    (now,) = world.posts()
    assert now.id != post.id
    assert f"<@{world.ann.id}>" in text(now)
    assert ("VRAM" in text(now)) == fails
    assert "https://" not in text(now)
    assert await messages(world) == [None, now.id]


async def test_its_job_is_deleted_meanwhile(world: World, post: discord.Message) -> None:
    await held(world, post)
    job = await world.job(1)
    assert await world.bot.jobs.delete(job)
    await released(world)
    (now,) = world.posts()
    assert pictures(now) == ["2-1.png"]
    assert (await world.job(2)).parent_id is None


async def test_after_a_minute_a_new_message_replaces_the_post(
    world: World, post: discord.Message
) -> None:
    await held(world, post)
    world.now += 61
    await released(world)
    (now,) = world.posts()
    assert now.id != post.id
    assert text(now).startswith(f"<@{world.ann.id}>")
    assert pictures(now) == ["2-1.png"]
    assert "from #1" in text(now)
    assert now.reference is None
    assert await messages(world) == [None, now.id]


async def test_a_token_that_died_early_is_not_needed(world: World, post: discord.Message) -> None:
    await held(world, post)
    world.env.inject_error("PATCH", EDIT, status=404, code=10015, times=None)
    await released(world)
    (now,) = world.posts()
    assert (now.id, pictures(now)) == (post.id, ["2-1.png"])


async def test_what_comes_by_direct_message_leaves_the_post(
    world: World, post: discord.Message
) -> None:
    await held(world, post)
    world.now += 901
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=403, code=50001)
    await released(world)
    sent = list(world.ann.user.dm_channel.history())
    assert pictures(sent[-1]) == ["2-1.png"]
    (now,) = world.posts()
    assert is_the_first(now)
    assert await messages(world) == [post.id, sent[-1].id]
    assert await world.bot.store.posts.to_delete() == []


# The bot stops.


@KILLED
async def test_a_restart_while_it_runs(world: World, post: discord.Message, kill: bool) -> None:
    await held(world, post)
    await world.restart(kill=kill)
    await world.env.settle()
    (now,) = world.posts()
    assert (now.id, pictures(now)) == (post.id, ["2-1.png"])
    assert await messages(world) == [None, post.id]


async def test_a_restart_and_then_no_picture(world: World, post: discord.Message) -> None:
    await held(world, post)
    found, world.found = world.found, replace(world.found, models=world.found.models[1:])
    await world.restart(kill=True)
    await world.env.settle()
    first, said = world.posts()
    assert is_the_first(first)
    assert "plain" in text(said)
    world.found = found


async def test_killed_between_the_edit_and_writing_it(
    world: World, post: discord.Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "_delivered", killed)
        await world.ann.click(post, label="Clip skip +")
        assert (await world.job(2)).state == "finished"
        await world.restart(kill=True)
    await world.restart()
    (now,) = world.posts()
    assert (now.id, pictures(now)) == (post.id, ["2-1.png"])
    assert (await world.job(2)).state == "delivered"
    assert await messages(world) == [None, post.id]


# Accepting takes long.


async def pressed_slowly(
    world: World, post: discord.Message, monkeypatch: pytest.MonkeyPatch, *, private: bool
) -> None:
    """A press that is acknowledged before its job is written."""
    write = world.bot.store.jobs.create

    async def slow(*arguments: Any, **values: Any) -> Job:
        await asyncio.sleep(10)
        return await write(*arguments, **values)

    await world.bot.store.presets.change_yours(world.ann.id, {"private": private})
    monkeypatch.setattr(world.bot.store.jobs, "create", slow)
    world.env.settle_timeout = 1.0
    await world.ann.click(post, label="Clip skip +")
    await world.env.advance_time(SECONDS_TO_DEFER)
    (only,) = seen(world)
    assert is_the_first(only)
    await world.env.advance_time(10)


async def test_what_is_acknowledged_is_replaced(
    world: World, post: discord.Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pressed_slowly(world, post, monkeypatch, private=False)
    (now,) = seen(world)
    assert (now.id, pictures(now)) == (post.id, ["2-1.png"])


async def test_what_is_acknowledged_and_private_is_for_one_alone(
    world: World, post: discord.Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pressed_slowly(world, post, monkeypatch, private=True)
    first, second = seen(world)
    assert is_the_first(first)
    assert second.flags.ephemeral
    assert pictures(second) == ["2-1.png"]


async def test_the_acknowledged_message_is_no_answer_to_look_for(
    world: World, post: discord.Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(accepting: Accepting, job: Job, _: int | None) -> Job:
        return job

    monkeypatch.setattr(Accepting, "posted", lost)
    await pressed_slowly(world, post, monkeypatch, private=True)
    assert is_the_first(world.posts()[0])
    (sent,) = world.ann.user.dm_channel.history()
    assert pictures(sent) == ["2-1.png"]
    assert (await world.job(2)).state == "delivered"
