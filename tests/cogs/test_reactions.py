"""Reactions: what each does, whose it may be, and what is let go."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import discord
import pytest

from cogs.reactions import PER_MEMBER, SECONDS
from core.errors import OutOfMemory
from tests.simulation import World, answer, job_id, text


@pytest.fixture
async def post(world: World) -> Any:
    """A result of Ann's."""
    await world.ann.slash(world.channel, "imagine", prompt="a cat", seed=7, clip_skip=2)
    await world.env.settle()
    return world.last


async def told(world: World, who: Any) -> list[str]:
    """What stands in somebody's direct messages with the bot."""
    return [text(message) for message in who.user.dm_channel.history()]


@pytest.mark.parametrize(("emoji", "clip_skip"), [("🎲", 2), ("⬆️", 3), ("⬆", 3), ("⬇️", 1)])
async def test_a_reaction_draws_again(world: World, post: Any, emoji: str, clip_skip: int) -> None:
    await world.bob.react(post, emoji)
    await world.env.settle()
    job = await world.job(2)
    assert (job.state, job.user_id, job.parent_id) == ("delivered", world.bob.id, 1)
    assert (job.request.clip_skip, job.request.seed == 7) == (clip_skip, emoji != "🎲")
    assert len(world.posts()) == 2
    assert job.message_id == world.last.id
    assert world.last.reference is not None
    assert world.last.reference.message_id == post.id
    assert [user.id for user in world.last.mentions] in ([], [world.bob.id])


async def test_the_line_is_shown_meanwhile_and_can_be_left(world: World, post: Any) -> None:
    world.engine.hold()
    await world.bob.react(post, "🎲")
    await world.env.settle()
    assert len(world.posts()) == 2
    await world.bob.click(world.last, label="Cancel")
    await world.env.settle()
    assert (await world.job(2)).state == "cancelled"
    assert "Canceled" in text(world.last)


async def test_a_quick_result_takes_the_place_of_the_line(world: World, post: Any) -> None:
    world.engine.hold()
    await world.bob.react(post, "🎲")
    await world.env.settle()
    live = world.last.id
    world.engine.release()
    await world.env.settle()
    assert world.last.id == live
    assert world.last.attachments


async def test_who_waited_long_is_called(world: World, post: Any) -> None:
    world.engine.hold()
    await world.bob.react(post, "🎲")
    await world.env.settle()
    live = world.last.id
    world.now += 120
    world.engine.release()
    await world.env.settle()
    assert world.last.id != live
    assert len(world.posts()) == 2
    assert [user.id for user in world.last.mentions] == [world.bob.id]


async def test_it_works_on_posts_of_before_a_restart(world: World, post: Any) -> None:
    await world.restart()
    await world.bob.react(post, "⬆️")
    await world.env.settle()
    assert (await world.job(2)).request.clip_skip == 3


async def test_the_edge_of_the_range_is_said_in_a_direct_message(world: World, post: Any) -> None:
    await world.bob.react(post, "⬇️")
    await world.env.settle()
    await world.bob.react(world.last, "⬇️")
    await world.env.settle()
    assert len(world.posts()) == 2
    assert "clip skip must be from 1 to 12" in (await told(world, world.bob))[0]


async def test_an_author_deletes(world: World, post: Any) -> None:
    (picture,) = await world.bot.store.pictures.of_job(1)
    await world.ann.react(post, "❌")
    await world.env.settle()
    assert not world.posts()
    assert await world.bot.store.jobs.get(1) is None
    assert not picture.path.exists()


async def test_nobody_else_deletes_but_who_manages_messages(world: World, post: Any) -> None:
    await world.bob.react(post, "❌")
    await world.env.settle()
    assert len(world.posts()) == 1
    assert "can delete it" in (await told(world, world.bob))[0]
    await world.moderator().react(post, "❌")
    await world.env.settle()
    assert not world.posts()


async def test_a_copy_comes_by_direct_message_and_is_a_post_like_any(
    world: World, post: Any
) -> None:
    await world.bob.react(post, "✉️")
    await world.env.settle()
    (copy,) = world.bob.user.dm_channel.history()
    assert job_id(copy) == 1
    assert copy.attachments
    await world.bob.user.set_reaction(copy, "⬆️", reacted=True)
    await world.env.settle()
    assert (await world.job(2)).request.clip_skip == 3
    assert len(world.bob.user.dm_channel.history()) == 2
    await world.ann.react(post, "❌")
    await world.env.settle()
    assert copy.id not in [message.id for message in world.bob.user.dm_channel.history()]


async def test_closed_direct_messages_break_nothing(world: World, post: Any) -> None:
    for _ in range(2):
        world.env.inject_error("POST", "/users/@me/channels", status=403, code=50007)
    await world.bob.react(post, "✉️")
    await world.env.settle()
    assert not world.bob.user.dm_channel.history()


async def test_a_lost_file_is_said(world: World, post: Any) -> None:
    (picture,) = await world.bot.store.pictures.of_job(1)
    picture.path.unlink()
    await world.bob.react(post, "✉️")
    await world.env.settle()
    assert "image file no longer exists" in (await told(world, world.bob))[0]


async def test_other_emoji_and_other_messages_mean_nothing(world: World, post: Any) -> None:
    await world.bob.react(post, "👍")
    somebody = await world.bob.send(world.channel, "hello")
    await world.bob.react(somebody, "🎲")
    await world.bob.react(somebody, "❌")
    await world.env.settle()
    assert await world.bot.store.jobs.get(2) is None
    assert len(world.posts()) == 2


async def test_a_private_picture_is_its_owners(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="a cat", private=True)
    await world.env.settle()
    job = await world.job(1)
    channel = await world.bot.create_dm(discord.Object(world.ann.id))
    await world.bot.delivery.copy(job, channel.send)
    (copy,) = world.ann.user.dm_channel.history()
    await world.ann.user.set_reaction(copy, "🎲", reacted=True)
    await world.env.settle()
    child = await world.job(2)
    assert child.private
    assert child.state == "delivered"
    assert not world.posts()
    emoji = discord.PartialEmoji(name="🎲")
    facts = {"message_id": copy.id, "user_id": world.bob.id, "emoji": emoji}
    event = type("Event", (), facts)()
    assert await world.bot.get_cog("ReactionsCog")._job(event) is None  # type: ignore[union-attr]


async def test_an_owner_switches_them_off(world: World, post: Any) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, reactions=False)
    )
    await world.bob.react(post, "🎲")
    await world.ann.react(post, "❌")
    await world.env.settle()
    assert len(world.posts()) == 1


async def test_a_hundred_at_once_are_a_few(world: World, post: Any) -> None:
    for _ in range(PER_MEMBER + 3):
        await world.bob.react(post, "⬆️")
        await world.bob.unreact(post, "⬆️")
    await world.env.settle()
    assert len(await world.bot.store.jobs.of_user(world.bob.id)) == PER_MEMBER
    world.now += SECONDS + 1
    await world.bob.react(post, "⬆️")
    await world.env.settle()
    assert len(await world.bot.store.jobs.of_user(world.bob.id)) == PER_MEMBER + 1


async def test_a_full_queue_is_said(world: World, post: Any) -> None:
    world.engine.hold()
    world.bot.queue.per_owner = 1
    await world.bob.react(post, "🎲")
    await world.bob.react(post, "⬆️")
    await world.env.settle()
    assert "limit of waiting and running jobs" in (await told(world, world.bob))[0]


async def test_bots_are_not_answered(world: World, post: Any) -> None:
    other = world.guild.add_member(world.env.create_user("other", bot=True))
    await other.react(post, "🎲")
    await world.env.settle()
    assert len(world.posts()) == 1
    result = await world.ann.slash(world.channel, "queue")
    assert "0 generating" in text(answer(result))


async def unanswered(world: World, post: Any, *emoji: str) -> bool:
    """Whether nothing came of Bob's reactions: no job, no message, no trouble."""
    before = len(world.posts())
    for each in emoji:
        await world.bob.react(post, each)
    await world.env.settle()
    drawn = await world.bot.store.jobs.of_user(world.bob.id)
    return not drawn and len(world.posts()) == before and not await told(world, world.bob)


async def test_what_has_no_picture_yet_takes_no_reaction(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="a cat", clip_skip=2)
    assert await unanswered(world, world.last, "✉️", "🎲", "⬆️")
    world.engine.release()
    await world.env.settle()


async def test_what_failed_takes_none_and_goes_with_a_cross(world: World) -> None:
    world.engine.fail_next(OutOfMemory(512, 512))
    await world.ann.slash(world.channel, "imagine", prompt="a cat")
    await world.env.settle()
    assert (await world.job(1)).state == "failed"
    assert await unanswered(world, world.last, "✉️", "🎲", "⬆️")
    await world.ann.react(world.last, "❌")
    await world.env.settle()
    assert not world.posts()


async def test_who_keeps_pictures_private_gets_their_own_by_direct_message(
    world: World, post: Any
) -> None:
    await world.bot.store.presets.save(world.bob.id, "default", {"private": True})
    await world.bob.react(post, "🎲")
    await world.env.settle()
    assert (await world.job(2)).private
    assert len(world.posts()) == 1
    (copy,) = world.bob.user.dm_channel.history()
    assert copy.attachments


async def test_who_reacts_while_the_disk_is_full_is_told(
    world: World, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(type(world.bot.store.jobs), "create", full)
    await world.bob.react(post, "🎲")
    await world.env.settle()
    (said,) = await told(world, world.bob)
    assert "couldn’t be saved" in said
