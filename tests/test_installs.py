"""Direct messages, and the bot installed by a user where it is no member."""

from __future__ import annotations

from typing import Any

import pytest

from bot.client import CONTEXTS, INSTALLS
from tests.simulation import World, answer, buttons, text

# What belongs to a server stays there.
SERVERS_ONLY = {"style", "config"}


async def test_every_command_may_be_installed_and_used_anywhere(world: World) -> None:
    assert (INSTALLS.guild, INSTALLS.user) == (True, True)
    assert (CONTEXTS.guild, CONTEXTS.dm_channel, CONTEXTS.private_channel) == (True, True, True)
    tree = world.bot.tree
    sent = {command.name: command.to_dict(tree) for command in tree.get_commands()}
    assert {"imagine", "history", "show", "cancel", "privacy", "Parameters", "Vary"} <= set(sent)
    for name, command in sent.items():
        if name in SERVERS_ONLY:
            assert command["contexts"] == [0], name
        elif name != "admin":
            assert sorted(command["contexts"]) == [0, 1, 2], name
            assert sorted(command["integration_types"]) == [0, 1], name


# The bot's own direct messages


async def make_in_dm(world: World, **options: Any) -> Any:
    result = await world.ann.user.slash("imagine", **{"prompt": "a cat"} | options)
    await world.env.settle()
    return result


async def test_a_picture_and_its_controls_in_a_direct_message(world: World) -> None:
    await make_in_dm(world)
    (post,) = world.ann.user.dm_channel.history()
    assert post.attachments
    await world.ann.user.click(post, label="Clip skip +")
    await world.env.settle()
    job = await world.job(2)
    assert (job.state, job.guild_id, job.request.clip_skip) == ("delivered", None, 2)
    assert len(world.ann.user.dm_channel.history()) == 2
    assert not world.posts()


async def test_long_waits_end_in_a_new_message_there(world: World) -> None:
    world.engine.hold()
    await make_in_dm(world)
    world.now += 20 * 60
    world.engine.release()
    await world.env.settle()
    (post,) = world.ann.user.dm_channel.history()
    assert post.attachments
    assert (await world.job(1)).message_id == post.id


async def test_ones_own_data_is_reached_from_a_direct_message(world: World) -> None:
    await make_in_dm(world)
    assert "a cat" in text(answer(await world.ann.user.slash("history")))
    assert "a cat" in text(answer(await world.ann.user.slash("show", id=1)))
    assert "0 drawing" in text(answer(await world.ann.user.slash("queue")))
    told = answer(await world.ann.user.slash("cancel", job="1"))
    assert "over already" in text(told)
    asked = await world.ann.user.slash("privacy delete")
    await world.ann.user.click(answer(asked), label="Delete everything")
    await world.env.settle()
    assert await world.bot.store.members.counts(world.ann.id) == (0, 0)


async def test_a_servers_picture_is_not_shown_to_others_in_a_direct_message(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="a cat")
    await world.env.settle()
    told = answer(await world.bob.user.slash("show", id=1))
    assert "no picture called" in text(told)
    world.env.errors  # noqa: B018 - reading them accepts them


# Installed by a user, where the bot may do nothing but answer


@pytest.fixture
def stranger(world: World) -> World:
    """The channel takes nothing from the bot but answers to interactions."""
    path = f"/channels/{world.channel.id}/messages*"
    world.env.inject_error("*", path, status=403, code=50001, times=None)
    return world


async def test_a_quick_picture_comes_as_the_answer(stranger: World) -> None:
    await stranger.ann.slash(stranger.channel, "imagine", prompt="a cat")
    await stranger.env.settle()
    (post,) = stranger.posts()
    assert post.attachments
    assert "New seed" in buttons(post)
    await stranger.bob.click(post, label="Clip skip +")
    await stranger.env.settle()
    assert (await stranger.job(2)).state == "delivered"


async def test_a_slow_one_comes_as_one_further_message(stranger: World) -> None:
    stranger.engine.hold()
    result = await stranger.ann.slash(stranger.channel, "imagine", prompt="a cat")
    stranger.now += 120
    stranger.engine.release()
    await stranger.env.settle()
    assert len(result.followups) == 1
    assert result.followups[0].attachments
    assert (await stranger.job(1)).state == "delivered"


async def test_after_a_quarter_of_an_hour_it_comes_by_direct_message(stranger: World) -> None:
    stranger.engine.hold()
    await stranger.ann.slash(stranger.channel, "imagine", prompt="a cat")
    stranger.now += 16 * 60
    stranger.engine.release()
    await stranger.env.settle()
    (post,) = stranger.ann.user.dm_channel.history()
    assert post.attachments
    assert (await stranger.job(1)).state == "delivered"


async def test_or_it_is_found_in_the_history(stranger: World) -> None:
    stranger.env.inject_error("POST", "/users/@me/channels", status=403, code=50007)
    stranger.engine.hold()
    await stranger.ann.slash(stranger.channel, "imagine", prompt="a cat")
    stranger.now += 16 * 60
    stranger.engine.release()
    await stranger.env.settle()
    assert (await stranger.job(1)).state == "finished"
    shown = answer(await stranger.ann.slash(stranger.channel, "history"))
    assert "a cat" in text(shown)
    result = await stranger.ann.click(shown, label="#1")
    assert answer(result).attachments


async def test_a_picture_of_anybody_is_taken_up_there(stranger: World) -> None:
    message = await stranger.bob.send(stranger.channel, "look")
    told = answer(await stranger.ann.context_menu(stranger.channel, "Parameters", message))
    assert told.ephemeral
    assert "no picture in that message" in text(told)
