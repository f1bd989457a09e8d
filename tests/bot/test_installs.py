"""Where each command is, and what works in the bot's direct messages."""

from __future__ import annotations

from typing import Any

import discord

from tests.simulation import World, answer, text

SERVER, BOT_DM, PRIVATE_CHANNEL = 0, 1, 2
ADDED_TO_SERVER, ADDED_TO_ACCOUNT = 0, 1

# What is for members works wherever Discord lets a bot be; what belongs to a server stays there,
# and so does what its owner must be able to hide.
EVERYWHERE = ([ADDED_TO_SERVER, ADDED_TO_ACCOUNT], [SERVER, BOT_DM, PRIVATE_CHANNEL])
IN_SERVERS = ([ADDED_TO_SERVER], [SERVER])
COMMANDS = {
    "imagine": EVERYWHERE,
    "explore": EVERYWHERE,
    "queue": EVERYWHERE,
    "cancel": EVERYWHERE,
    "history": EVERYWHERE,
    "show": EVERYWHERE,
    "preset": EVERYWHERE,
    "settings": EVERYWHERE,
    "models": EVERYWHERE,
    "help": EVERYWHERE,
    "privacy": EVERYWHERE,
    "Parameters": EVERYWHERE,
    "Use as start image": EVERYWHERE,
    "Vary": EVERYWHERE,
    "Upscale without redrawing": EVERYWHERE,
    "style": IN_SERVERS,
    "config": IN_SERVERS,
    "admin": IN_SERVERS,
}
# Who sees it before a server's admins say otherwise; everybody sees the rest.
HIDDEN = {
    "config": discord.Permissions(manage_guild=True),
    "admin": discord.Permissions(administrator=True),
}


async def test_where_each_command_is(world: World) -> None:
    tree = world.bot.tree
    sent = {command.name: command.to_dict(tree) for command in tree.get_commands()}
    there = {
        name: (sorted(command["integration_types"]), sorted(command["contexts"]))
        for name, command in sent.items()
    }
    assert there == COMMANDS
    hidden = {
        name: discord.Permissions(int(command["default_member_permissions"]))
        for name, command in sent.items()
        if command["default_member_permissions"] is not None
    }
    assert hidden == HIDDEN


async def test_what_is_a_servers_is_not_in_direct_messages(world: World) -> None:
    owner = world.env.create_user("owner")
    world.bot.owner_id = owner.id
    there = {name.split()[0] for name in owner.available_commands()}
    assert there == {
        name for name, where in COMMANDS.items() if where == EVERYWHERE and name.islower()
    }


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


async def test_reactions_are_heard_there(world: World) -> None:
    await make_in_dm(world)
    (post,) = world.ann.user.dm_channel.history()
    await world.ann.user.set_reaction(post, "🎲", reacted=True)
    await world.env.settle()
    assert (await world.job(2)).state == "delivered"
    assert len(world.ann.user.dm_channel.history()) == 2


async def test_deleting_takes_the_post_there(world: World) -> None:
    await make_in_dm(world)
    (post,) = world.ann.user.dm_channel.history()
    panel = answer(await world.ann.user.click(post, label="More…"))
    asked = answer(await world.ann.user.click(panel, label="Delete"))
    told = answer(await world.ann.user.click(asked, label="Delete"))
    assert text(told) == "Deleted."
    assert post.id not in [left.id for left in world.ann.user.dm_channel.history()]


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
    assert "0 generating" in text(answer(await world.ann.user.slash("queue")))
    told = answer(await world.ann.user.slash("cancel", job="1"))
    assert "already ended" in text(told)
    asked = await world.ann.user.slash("privacy delete")
    await world.ann.user.click(answer(asked), label="Delete everything")
    await world.env.settle()
    assert await world.bot.store.members.counts(world.ann.id) == (0, 0)


async def test_a_servers_picture_is_not_shown_to_others_in_a_direct_message(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="a cat")
    await world.env.settle()
    told = answer(await world.bob.user.slash("show", id=1))
    assert "no image called" in text(told)
    world.env.errors  # noqa: B018 - reading them accepts them
