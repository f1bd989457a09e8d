"""Who may see a picture, and who may take it away, however they ask: one rule for every way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor
from simcord.backend.models import Overwrite
from simcord.builders import ChannelHandle
from simcord.enums import OverwriteType

from core.errors import PenultimateError
from tests.bot.actions.test_every_control import CONTROLS, FORMS, custom_id, press, said, submit
from tests.bot.gate.test_nsfw import Eye, hidden
from tests.bot.gate.test_permissions import with_rights
from tests.simulation import World, answer, buttons, components, text
from tests.user_install import Away

NONE = "no image called **1**"
GONE = "data no longer exists"


@pytest.fixture(autouse=True)
def only_what_has_a_sentence(world: World) -> Iterator[None]:
    """Reading the errors accepts them: what has a sentence may happen, a bug may not."""
    yield
    for error in world.env.errors:
        assert isinstance(getattr(error, "original", error), PenultimateError)


async def draw(world: World, where: ChannelHandle, prompt: str = "a secret") -> Any:
    """A public picture of Ann's, job 1."""
    return answer(await world.ann.slash(where, "imagine", prompt=prompt))


async def show(world: World, who: MemberActor, where: ChannelHandle | None = None) -> Any:
    return answer(await who.slash(where or world.channel, "show", id=1))


def thread(world: World, parent: ChannelHandle, kind: discord.ChannelType) -> ChannelHandle:
    """A thread of Ann's."""
    world.env.backend.create_thread(parent.id, "aside", world.ann.id, type=kind.value)
    return parent.threads[-1]


def hidden_from_all_but_ann(world: World) -> ChannelHandle:
    return world.guild.create_text_channel(
        "hidden",
        overwrites={
            world.guild.default_role: discord.PermissionOverwrite(view_channel=False),
            world.ann: discord.PermissionOverwrite(view_channel=True),
        },
    )


def a_channel_of(world: World, who: MemberActor) -> ChannelHandle:
    """One that somebody moderates, who moderates nothing else."""
    return world.guild.create_text_channel(
        "own", overwrites={who: discord.PermissionOverwrite(manage_messages=True)}
    )


def pictures(message: Any) -> bool:
    return any(item["type"] == 12 for item in components(message))


# Places where /show looks.


async def test_a_private_thread_is_its_members(world: World) -> None:
    aside = thread(world, world.channel, discord.ChannelType.private_thread)
    await draw(world, aside)
    told = await show(world, world.bob)
    assert told.ephemeral
    assert NONE in text(told)
    assert "a secret" in text(await show(world, world.ann))


@pytest.mark.parametrize("added", [True, False])
async def test_who_was_added_to_a_private_thread_or_manages_threads_sees_it(
    world: World, added: bool
) -> None:
    aside = thread(world, world.channel, discord.ChannelType.private_thread)
    await draw(world, aside)
    who = with_rights(world, "keeper", manage_threads=not added)
    if added:
        world.env.backend.add_thread_member(aside.id, who.id)
    assert "a secret" in text(await show(world, who))


async def test_of_a_private_thread_that_the_bot_cannot_ask_nobody_else_hears(world: World) -> None:
    aside = thread(world, world.channel, discord.ChannelType.private_thread)
    await draw(world, aside)
    world.env.backend.add_thread_member(aside.id, world.bob.id)
    path = f"/channels/{aside.id}/thread-members/{world.bob.id}"
    world.env.inject_error("GET", path, status=403, code=50001)
    assert NONE in text(await show(world, world.bob))


@pytest.mark.parametrize("kind", ["thread", "news", "forum", "voice", "stage"])
async def test_every_kind_of_channel_that_all_can_read(world: World, kind: str) -> None:
    guild, public = world.guild, discord.ChannelType.public_thread
    where = {
        "thread": lambda: thread(world, world.channel, public),
        "news": lambda: guild.create_news_channel("news"),
        "forum": lambda: thread(world, guild.create_forum_channel("forum"), public),
        "voice": lambda: guild.create_voice_channel("voice"),
        "stage": lambda: guild.create_stage_channel("stage"),
    }[kind]()
    await draw(world, where)
    assert "a secret" in text(await show(world, world.bob))


async def test_a_voice_channel_that_one_may_not_enter_is_not_read(world: World) -> None:
    voice = world.guild.create_voice_channel("voice")
    deny = discord.Permissions(connect=True).value
    world.env.backend.set_overwrite(
        voice.id, Overwrite(world.guild.id, OverwriteType.ROLE, deny=deny)
    )
    await draw(world, voice)
    assert NONE in text(await show(world, world.bob))


async def test_what_a_channel_that_is_gone_had_is_its_authors(world: World) -> None:
    where = world.guild.create_text_channel("gone")
    await draw(world, where)
    world.env.backend.delete_channel(where.id)
    assert NONE in text(await show(world, world.bob))
    assert "a secret" in text(await show(world, world.ann))


async def test_what_its_author_brought_to_the_server_is_public_there(world: World) -> None:
    await world.ann.user.slash("imagine", prompt="a secret")
    assert NONE in text(await show(world, world.bob))
    brought = await show(world, world.ann)
    assert GONE not in said(await world.bob.click(brought, label="More…"))
    assert "a secret" in text(await show(world, world.bob))


async def test_what_is_shown_to_one_alone_is_not_public_there(world: World) -> None:
    adults = hidden_from_all_but_ann(world)
    channel = world.bot.get_channel(adults.id)
    assert isinstance(channel, discord.TextChannel)
    channel.nsfw = True
    await draw(world, adults)
    alone = await show(world, world.ann)
    assert alone.ephemeral
    assert pictures(alone)
    assert GONE not in said(await world.ann.click(alone, label="More…"))
    assert NONE in text(await show(world, world.bob))


# Made-up ids.


@pytest.mark.parametrize("action", CONTROLS)
async def test_nobody_else_reaches_what_was_drawn_in_a_direct_message(
    world: World, action: str
) -> None:
    await world.ann.user.slash("imagine", prompt="a secret")
    post = answer(await world.bob.slash(world.channel, "imagine", prompt="x"))
    result = await press(world, world.bob, post, custom_id(action, 1), CONTROLS[action][2])
    assert GONE in said(result)
    assert len(world.engine.seen) == 2
    assert (await world.job(1)).state == "delivered"


@pytest.mark.parametrize("action", FORMS)
async def test_nor_with_a_form(world: World, action: str) -> None:
    await world.ann.user.slash("imagine", prompt="a secret")
    result = await submit(world, world.bob, f"p:{action}:1", FORMS[action])
    assert GONE in said(result)
    assert len(world.engine.seen) == 1


async def test_nor_what_is_on_another_server(world: World) -> None:
    elsewhere = world.env.create_guild("Elsewhere")
    there = elsewhere.create_text_channel("pictures")
    eve = elsewhere.add_member(world.env.create_user("eve"))
    await eve.slash(there, "imagine", prompt="a secret")
    post = answer(await world.bob.slash(world.channel, "imagine", prompt="x"))
    for action in ("more", "parameters", "open"):
        assert GONE in said(await press(world, world.bob, post, custom_id(action, 1)))


async def test_nor_what_is_in_a_channel_that_one_cannot_read(world: World) -> None:
    await draw(world, hidden_from_all_but_ann(world))
    post = answer(await world.bob.slash(world.channel, "imagine", prompt="x"))
    assert GONE in said(await press(world, world.bob, post, "p:more:1"))
    assert "no job called" in said(await world.bob.slash(world.channel, "cancel", job="1"))


@pytest.mark.parametrize("kind", ["server", "group", "friend"])
async def test_where_the_bot_is_no_member_the_post_is_enough(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    away = Away(world, monkeypatch, kind)
    await away.ann.slash(away.channel, "imagine", prompt="a secret")
    (post,) = away.posts()
    panel = answer(await away.bob.click(post, label="More…"))
    form = await away.bob.click(panel, label="Use as start image")
    menu = await away.bob.context_menu(away.channel, "Use as start image", target=post)
    for modal in (form.modal, menu.modal):
        assert modal is not None
        result = await submit(world, away.bob, modal["custom_id"], FORMS["start"], away.channel)
        assert GONE not in said(result)
    assert len(world.engine.seen) == 3
    # A number says nothing of who was shown the answer.
    assert NONE in text(answer(await away.bob.slash(away.channel, "show", id=1)))


# Taking away.


@pytest.mark.parametrize("action", ["delete_now", "remove", "delete"])
async def test_a_channels_moderator_does_not_delete_what_was_made_in_another(
    world: World, action: str
) -> None:
    await draw(world, world.channel)
    own = a_channel_of(world, world.bob)
    shown = await show(world, world.bob, own)
    panel = answer(await world.bob.click(shown, label="More…"))
    assert "Delete" not in buttons(panel)
    stored = world.env.backend.get_message(own.id, shown.id)
    control = next(item for item in components(shown) if item.get("label") == "More…")
    replaced = f"p:{action}:1"
    for row in stored.components:
        for item in row.get("components", []):
            if item.get("custom_id") == control["custom_id"]:
                item["custom_id"] = replaced
    result = await world.bob.click(shown, custom_id=replaced)
    assert "where it was made" in said(result)
    assert await world.bot.store.jobs.get(1) is not None


async def test_nor_with_a_reaction(world: World) -> None:
    await draw(world, world.channel)
    own = a_channel_of(world, world.bob)
    shown = await show(world, world.bob, own)
    await world.bob.react(shown, "❌")
    assert await world.bot.store.jobs.get(1) is not None
    assert "where it was made" in text(world.bob.user.dm_channel.last_message)


async def test_the_moderator_of_its_own_channel_deletes_every_post_of_it(world: World) -> None:
    own = a_channel_of(world, world.bob)
    await draw(world, own)
    shown = await show(world, world.ann)
    await world.bob.react(shown, "❌")
    assert await world.bot.store.jobs.get(1) is None
    assert not world.posts()


async def test_no_moderator_reaches_what_is_private(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="a secret", private=True)
    post = answer(await world.bob.slash(world.channel, "imagine", prompt="x"))
    for action in ("more", "remove"):
        assert GONE in said(await press(world, world.moderator(), post, f"p:{action}:1"))
        post = answer(await world.bob.slash(world.channel, "imagine", prompt="x"))


async def test_whoever_moderates_the_server_deletes_what_came_by_direct_message(
    world: World,
) -> None:
    await draw(world, world.channel)
    await world.bot.store.jobs.set_message(1, world.ann.user.dm_channel.id, 1)
    post = answer(await world.bob.slash(world.channel, "imagine", prompt="x"))
    assert GONE in said(await press(world, world.bob, post, "p:remove:1"))
    asked = answer(await press(world, world.moderator(), post, "p:remove:1"))
    assert "Delete" in buttons(asked)


# What a server's rules say of a picture that is shown there.


async def test_a_blocked_word_is_not_brought_to_the_server(world: World) -> None:
    await world.ann.user.slash("imagine", prompt="a gore")
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, words=("gore",))
    )
    told = await show(world, world.ann)
    assert told.ephemeral
    assert "doesn’t allow the word **gore**" in text(told)
    assert not pictures(told)


async def test_nor_one_in_a_cell_of_a_sheet(world: World) -> None:
    await world.ann.user.slash("explore", prompt="a cat", x_axis="prompt", x_values="cat, gore")
    assert (await world.job(1)).state == "delivered"
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, words=("gore",))
    )
    assert "doesn’t allow the word" in text(await show(world, world.ann))


async def test_nor_what_a_model_drew_that_is_not_used_there(world: World) -> None:
    await world.ann.user.slash("imagine", prompt="x", model="anime")
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, models=("plain",))
    )
    told = await show(world, world.ann)
    assert told.ephemeral
    assert "isn’t available on this server" in text(told)


async def test_nor_by_the_buttons_of_a_history(world: World) -> None:
    await world.ann.user.slash("imagine", prompt="gore")
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, words=("gore",))
    )
    page = answer(await world.ann.slash(world.channel, "history"))
    assert "doesn’t allow the word" in said(await world.ann.click(page, label="#1"))


async def test_nor_outside_of_age_restricted_channels(world: World) -> None:
    await world.ann.user.slash("imagine", prompt="x")
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, nsfw="restricted")
    )
    assert "can only be generated in age-restricted channels" in text(await show(world, world.ann))
    adults = world.guild.create_text_channel("adults")
    channel = world.bot.get_channel(adults.id)
    assert isinstance(channel, discord.TextChannel)
    channel.nsfw = True
    assert pictures(await show(world, world.ann, adults))


@pytest.mark.parametrize("verdict", [True, False, None])
async def test_an_older_picture_is_looked_at_as_a_new_one(
    world: World, verdict: bool | None
) -> None:
    await world.ann.user.slash("imagine", prompt="x")
    eye = world.bot.gate.classifier = Eye(verdict)
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, nsfw="block"))
    result = await world.ann.slash(world.channel, "show", id=1)
    assert eye.seen == [1]
    if verdict is False:
        assert pictures(answer(result))
        assert not hidden(answer(result))
        return
    assert not pictures(answer(result))
    words = "blocks NSFW images" if verdict else "check isn’t working"
    assert words in text(answer(result))
    assert [post.id for post in world.posts()] == [answer(result).id]


@pytest.mark.parametrize("verdict", [True, False])
async def test_where_nsfw_pictures_are_hidden_it_is_looked_at_too(
    world: World, verdict: bool
) -> None:
    await world.ann.user.slash("imagine", prompt="x")
    world.bot.gate.classifier = Eye(verdict)
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, nsfw="spoiler"))
    assert hidden(await show(world, world.ann)) is verdict


async def test_one_of_several_is_looked_at_as_a_new_one(world: World) -> None:
    several = answer(await world.ann.slash(world.channel, "imagine", prompt="x", count=2))
    world.bot.gate.classifier = Eye(True)
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, nsfw="block"))
    await world.ann.click(several, label="1")
    assert not pictures(world.last)
    assert "blocks NSFW images" in text(world.last)


# While nothing new is taken.


async def test_while_draining_what_is_drawn_is_shown_and_opened(world: World) -> None:
    several = answer(await world.ann.slash(world.channel, "imagine", prompt="x", count=2))
    world.bot.gate.draining = True
    await world.ann.click(several, label="2")
    assert (await world.job(2)).state == "delivered"
    assert pictures(world.last)
    assert pictures(await show(world, world.ann))
    refused = await world.ann.click(several, label="New seed")
    assert "about to restart" in said(refused)
