"""Who may use what: every command there is, and every press of /config and /admin.

What Discord hides it may be told to show, and a panel may stay open longer than a right lasts: so
each is tried by members who are shown it, or make it up, and may not.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import discord
import pytest
from discord import app_commands
from simcord.actors import MemberActor

from bot.rules.server import Server
from tests.bot.actions.test_every_control import CONFIG, press, said, submit
from tests.simulation import World, answer, text

ANYBODY, MANAGER, OWNER = "anybody", "Manage Server", "the bot's owner"

# Each command and menu by its whole name. Where they are, and from whom Discord hides them, is in
# test_installs.py.
WHO: Final[dict[str, str]] = {
    "imagine": ANYBODY,
    "explore": ANYBODY,
    "queue": ANYBODY,
    "cancel": ANYBODY,
    "history": ANYBODY,
    "show": ANYBODY,
    "settings": ANYBODY,
    "models": ANYBODY,
    "help": ANYBODY,
    "Parameters": ANYBODY,
    "Use as start image": ANYBODY,
    "Vary": ANYBODY,
    "Upscale without redrawing": ANYBODY,
    "preset save": ANYBODY,
    "preset list": ANYBODY,
    "preset show": ANYBODY,
    "preset delete": ANYBODY,
    "preset share": ANYBODY,
    "preset export": ANYBODY,
    "preset import": ANYBODY,
    "privacy export": ANYBODY,
    "privacy delete": ANYBODY,
    "style list": ANYBODY,
    "style show": ANYBODY,
    "style save": MANAGER,
    "style delete": MANAGER,
    "config show": MANAGER,
    "config access": MANAGER,
    "config models": MANAGER,
    "config loras": MANAGER,
    "config embeddings": MANAGER,
    "config limits": MANAGER,
    "config quota": MANAGER,
    "config words": MANAGER,
    "config nsfw": MANAGER,
    "config general": MANAGER,
    "config defaults": MANAGER,
    "config ban": MANAGER,
    "config unban": MANAGER,
    "config export": MANAGER,
    "config import": MANAGER,
    "admin status": OWNER,
    "admin drain": OWNER,
    "admin restart": OWNER,
    "admin reload": OWNER,
}
# What must be filled in, where a command can be refused.
FILLED: Final[dict[str, Any]] = {
    "style save": {"style": "ink", "template": "ink, {prompt}"},
    "style delete": {"style": "kept"},
    "config defaults": {"steps": 9},
    "config import": {"file": ("x.json", b'{"version": 1, "max_steps": 9}')},
}
OWNERS_ACTIONS: Final = ("admin_status", "admin_drain:1", "admin_drain:0")


def with_rights(world: World, name: str, **rights: bool) -> MemberActor:
    """A member with a role that has these."""
    role = world.guild.create_role(name, permissions=discord.Permissions(**rights))
    return world.guild.add_member(world.env.create_user(name), roles=[role])


@pytest.fixture
async def post(world: World) -> Any:
    """Something of the bot's to press."""
    return answer(await world.ann.slash(world.channel, "imagine", prompt="x"))


async def shown_to(world: World, who: MemberActor) -> None:
    """An admin of the server shows a member every command, as its settings let him."""
    for command in await world.bot.tree.fetch_commands():
        world.guild.set_command_permissions(command, {who: True})


async def use(world: World, who: MemberActor, name: str) -> Any:
    options = {"member": world.ann} if name in ("config ban", "config unban") else {}
    result = await who.slash(world.channel, name, **options, **FILLED.get(name, {}))
    # Reading the errors accepts those with a sentence.
    list(world.env.errors)
    return result


async def nothing_changed(world: World) -> None:
    assert world.bot.store.servers.get(world.guild.id) == Server()
    assert [style.name for style in await world.bot.store.styles.list(world.guild.id)] in (
        [],
        ["kept"],
    )
    assert not world.bot.gate.draining


# Commands.


async def test_every_command_has_a_line(world: World) -> None:
    tree = world.bot.tree
    commands = {
        command.qualified_name
        for command in tree.walk_commands()
        if isinstance(command, app_commands.Command)
    }
    menus = {
        menu.qualified_name
        for kind in (discord.AppCommandType.message, discord.AppCommandType.user)
        for menu in tree.walk_commands(type=kind)
    }
    assert commands | menus == set(WHO)


async def test_what_has_a_group_of_its_own_is_hidden_with_it(world: World) -> None:
    # Discord hides whole groups. A group with something for everybody cannot be hidden, and what
    # in it is not for everybody must be refused.
    roots: dict[str, set[str]] = {}
    for name, who in WHO.items():
        roots.setdefault(name.partition(" ")[0], set()).add(who)
    hidden = {root for root, who in roots.items() if ANYBODY not in who}
    assert hidden == {
        command.name
        for command in world.bot.tree.get_commands()
        if command.default_permissions is not None
    }


@pytest.mark.parametrize("name", [name for name, who in WHO.items() if who != ANYBODY])
async def test_who_is_shown_a_command_and_may_not_use_it_is_refused(
    world: World, name: str
) -> None:
    await world.bot.store.styles.save(world.guild.id, "kept", "x")
    await shown_to(world, world.bob)
    result = await use(world, world.bob, name)
    assert result.modal is None
    assert answer(result).ephemeral
    words = "Manage Server" if WHO[name] == MANAGER else "Only the bot owner can use this"
    assert words in said(result)
    await nothing_changed(world)
    # Somebody who may does not read that.
    if WHO[name] == MANAGER:
        who = with_rights(world, "manager", manage_guild=True)
    else:
        who = with_rights(world, "owner", administrator=True)
        world.bot.owner_id = who.id
    assert words not in said(await use(world, who, name))


@pytest.mark.parametrize("name", [name for name, who in WHO.items() if who == OWNER])
async def test_who_may_do_everything_on_a_server_does_not_own_the_bot(
    world: World, name: str
) -> None:
    admin = with_rights(world, "admin", administrator=True)
    assert "Only the bot owner can use this" in said(await use(world, admin, name))
    await nothing_changed(world)


# Presses and forms.


@pytest.mark.parametrize("action", CONFIG)
async def test_a_press_of_config_needs_the_right_at_that_moment(
    world: World, post: Any, action: str
) -> None:
    moderator = with_rights(world, "moderator", manage_messages=True, manage_channels=True)
    for who in (world.bob, moderator):
        for custom_id in (f"s:{action}", f"s:{action}:0", f"s:{action}:{world.guild.id}"):
            for result in (
                await press(world, who, post, custom_id),
                await submit(world, who, custom_id, {"quota": "1", "words": "x", "max_steps": "9"}),
            ):
                assert result.modal is None
                assert answer(result).ephemeral
                assert "Manage Server" in said(result)
    await nothing_changed(world)


@pytest.mark.parametrize(
    ("action", "value"), [("config_nsfw_set", "spoiler"), ("config_language", "ja")]
)
async def test_a_value_that_is_picked_needs_it_too(
    world: World, post: Any, action: str, value: str
) -> None:
    refused = await press(world, world.bob, post, f"s:{action}", value)
    assert "Manage Server" in said(refused)
    await nothing_changed(world)
    # The same press by somebody who may: so the refusal above was about the right.
    other = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    manager = with_rights(world, "manager", manage_guild=True)
    await press(world, manager, other, f"s:{action}", value)
    server = world.bot.store.servers.get(world.guild.id)
    assert value in [getattr(server, field.name) for field in fields(server)]


async def test_the_right_on_one_server_is_none_on_another(world: World) -> None:
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    user = world.env.create_user("both")
    role = elsewhere.create_role("Owners", permissions=discord.Permissions(manage_guild=True))
    there, here = elsewhere.add_member(user, roles=[role]), world.guild.add_member(user)
    panel = answer(await there.slash(channel, "config nsfw"))
    await there.click(panel, label="Mark all images as spoilers")
    assert world.bot.store.servers.get(elsewhere.id).spoiler
    assert "Manage Server" in said(await submit(world, here, "s:config_spoiler"))
    await nothing_changed(world)


@pytest.mark.parametrize("action", ["config_spoiler", "config_limits", "config_words_set"])
async def test_in_direct_messages_there_is_no_server_to_manage(world: World, action: str) -> None:
    await world.ann.user.slash("imagine", prompt="x")
    post = world.ann.user.dm_channel.last_message
    assert post is not None
    stored = world.env.backend.get_message(world.ann.user.dm_channel.id, post.id)
    stored.components[2]["components"][4]["custom_id"] = f"s:{action}"
    result = await world.ann.user.click(post, custom_id=f"s:{action}")
    assert result.modal is None
    assert "This only works in a server" in text(answer(result))


@pytest.mark.parametrize("action", OWNERS_ACTIONS)
async def test_a_press_of_admin_is_the_owners(world: World, post: Any, action: str) -> None:
    admin = with_rights(world, "admin", administrator=True)
    for who in (world.bob, admin):
        for result in (
            await press(world, who, post, f"s:{action}"),
            await submit(world, who, f"s:{action}"),
        ):
            assert answer(result).ephemeral
            assert "Only the bot owner can use this" in said(result)
    await nothing_changed(world)
    world.bot.owner_id = admin.id
    await press(world, admin, post, f"s:{action}")
    assert world.bot.gate.draining == (action == "admin_drain:1")
