"""Installed by a member where the bot is no member: it may do nothing there but answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import aiohttp
import discord
import pytest
from simcord.builders import ChannelHandle

from core.errors import OutOfMemory
from tests.simulation import World, answer, buttons, text
from tests.user_install import FOLLOW_UPS, GUILD_ID, Away, Kind


@pytest.fixture(params=get_args(Kind))
def away(world: World, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Away:
    """A place where the bot is no member."""
    return Away(world, monkeypatch, request.param)


async def test_the_place_is_as_discord_tells_it(world: World, away: Away) -> None:
    told: list[discord.Interaction[Any]] = []

    async def noted(interaction: discord.Interaction[Any]) -> None:
        told.append(interaction)

    world.bot.add_listener(noted, "on_interaction")
    post = answer(await away.ann.slash(away.channel, "imagine", prompt="a cat"))
    await away.bob.click(post, label="More…")
    command, press = told
    assert command.is_user_integration()
    # Who presses need not have installed it: Discord says on whose account it is there.
    assert not press.is_user_integration()
    for interaction in told:
        assert not interaction.is_guild_integration()
        assert world.bot.get_guild(interaction.guild_id or GUILD_ID) is None
        assert interaction.channel_id == away.channel.id
    private = isinstance(command.channel, discord.GroupChannel | discord.DMChannel)
    assert (command.guild_id is None) == private == command.context.private_channel
    assert command.user.id == world.ann.id
    assert press.user.id == world.bob.id
    with pytest.raises(discord.Forbidden):
        await world.bot.get_partial_messageable(away.channel.id).send("hello")


async def test_it_draws_there_by_answers_alone(world: World, away: Away) -> None:
    world.engine.hold()
    result = await away.ann.slash(away.channel, "imagine", prompt="a cat")
    await world.engine.started(1)
    world.engine.progress(1, 5)
    await world.env.settle()
    assert "5 / 20" in text(answer(result))
    world.engine.release()
    await world.env.settle()
    (post,) = away.posts()
    assert post.attachments
    assert "New seed" in buttons(post)
    assert (await world.job(1)).state == "delivered"
    assert not away.refused


async def test_what_is_private_is_seen_by_one_alone(world: World, away: Away) -> None:
    await away.ann.slash(away.channel, "imagine", prompt="a cat", private=True)
    await world.env.settle()
    (post,) = away.posts(away.ann)
    assert post.attachments
    assert away.posts(away.bob) == []


@pytest.mark.parametrize("seconds", [0, 120])
async def test_a_server_may_hide_every_answer(world: World, away: Away, seconds: int) -> None:
    away.ephemeral = True
    world.engine.hold()
    await away.ann.slash(away.channel, "imagine", prompt="a cat")
    world.now += seconds
    world.engine.release()
    await world.env.settle()
    (post,) = away.posts(away.ann)
    assert post.attachments
    assert post.flags.ephemeral
    assert away.posts(away.bob) == []
    assert (await world.job(1)).state == "delivered"
    await away.ann.click(post, label="New seed")
    await world.env.settle()
    assert len(away.posts(away.ann)) == 2
    assert (await world.job(2)).state == "delivered"


async def test_a_slow_one_comes_as_one_further_message(world: World, away: Away) -> None:
    world.engine.hold()
    first = answer(await away.ann.slash(away.channel, "imagine", prompt="a cat"))
    world.now += 61
    world.engine.release()
    await world.env.settle()
    (post,) = away.posts()
    assert post.id != first.id
    assert post.attachments
    assert text(post).startswith(f"<@{world.ann.id}>")
    assert [token.follow_ups for token in away.tokens.values()] == [1]
    # The channel is asked once, and never again for this job.
    assert away.refused == {"POST 50001": 1}
    assert (await world.job(1)).message_id == post.id


async def test_the_longest_life_takes_one_further_message(
    world: World, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.posts.delivery.SMALLEST_LIMIT", 10)
    await world.bot.store.servers.update(GUILD_ID, lambda s: replace(s, log_channel=1))
    world.engine.hold()
    # With a remark: this model knows no clip skip.
    await away.ann.slash(away.channel, "imagine", prompt="a cat", model="two", clip_skip=2)
    await world.engine.started(1)
    world.engine.progress(1, 5)
    await world.env.settle()
    world.engine.restart()
    await world.env.settle()
    world.now += 600
    # Too large for the first try.
    world.env.inject_error("POST", "/webhooks/*/*", status=413, code=40005)
    await world.restart(kill=True)
    await world.env.settle()
    (post,) = away.posts()
    assert post.attachments[0].filename.endswith(".webp")
    assert [token.follow_ups for token in away.tokens.values()] == [1]
    assert (await world.job(1)).state == "delivered"


async def test_an_end_without_a_picture_takes_one_too(world: World, away: Away) -> None:
    world.engine.hold()
    await away.ann.slash(away.channel, "imagine", prompt="a cat")
    world.now += 61
    world.engine.fail(1, OutOfMemory(512, 512))
    await world.env.settle()
    (post,) = away.posts()
    assert "isn’t enough VRAM" in text(post)
    assert [token.follow_ups for token in away.tokens.values()] == [1]


async def test_when_no_further_message_is_allowed_it_comes_by_direct_message(
    world: World, away: Away
) -> None:
    world.engine.hold()
    await away.ann.slash(away.channel, "imagine", prompt="a cat")
    (token,) = away.tokens.values()
    token.follow_ups = FOLLOW_UPS
    world.now += 61
    world.engine.release()
    await world.env.settle()
    (post,) = world.ann.user.dm_channel.history()
    assert post.attachments
    assert away.refused == {"POST 50001": 1, "POST 40094": 1}
    # The post with the progress could still be taken away.
    assert away.posts() == []


async def test_an_answer_that_nobody_heard_of_is_no_loss(
    world: World, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = discord.InteractionResponse.send_message

    async def unheard(self: Any, *args: Any, **options: Any) -> None:
        await taken(self, *args, **options)
        raise aiohttp.ServerDisconnectedError

    monkeypatch.setattr(discord.InteractionResponse, "send_message", unheard)
    # And the network stays away for a while.
    world.env.inject_error("PATCH", "/webhooks/*/*/messages/@original", status=503)
    await away.ann.slash(away.channel, "imagine", prompt="a cat")
    await world.env.settle()
    assert away.posts()[-1].attachments
    assert (await world.job(1)).state == "delivered"


# After a quarter of an hour


async def late(world: World, away: Away, seconds: float = 16 * 60) -> None:
    """Ann's picture, done when the token is worth nothing any more."""
    world.engine.hold()
    await away.ann.slash(away.channel, "imagine", prompt="a cat")
    world.now += seconds
    world.engine.release()
    await world.env.settle()


async def test_then_it_comes_by_direct_message(world: World, away: Away) -> None:
    await late(world, away)
    (post,) = world.ann.user.dm_channel.history()
    assert post.attachments
    assert text(post).startswith(f"<@{world.ann.id}>")
    assert (await world.job(1)).state == "delivered"
    # What is out of reach stays: the post with the progress.
    (left,) = away.posts()
    assert "Cancel" in buttons(left)
    told = answer(await away.ann.click(left, label="Cancel"))
    assert "already ended" in text(told)


async def test_before_that_the_post_says_so(world: World, away: Away) -> None:
    world.engine.hold()
    result = await away.ann.slash(away.channel, "imagine", prompt="a cat")
    world.engine.progress(1, 1)
    await world.env.settle()
    assert "new message" not in text(answer(result))
    world.now += 13 * 60
    # A change of what is told is told at once.
    world.engine.restart()
    await world.env.settle()
    assert "new message" in text(answer(result))
    world.engine.start_again()
    world.engine.release()
    await world.env.settle()
    assert (await world.job(1)).state == "delivered"


async def test_a_token_that_dies_before_its_time_is_no_loss(world: World, away: Away) -> None:
    away.lifetime = 30
    await late(world, away, 31)
    (post,) = world.ann.user.dm_channel.history()
    assert post.attachments
    assert away.refused["PATCH 50027"] == 1
    assert away.refused["POST 50027"] == 1
    assert (await world.job(1)).state == "delivered"


async def test_a_variation_there_says_where_it_came_from(world: World, away: Away) -> None:
    await late(world, away)
    (post,) = world.ann.user.dm_channel.history()
    await world.ann.user.click(post, label="Clip skip +")
    await world.env.settle()
    result = world.ann.user.dm_channel.history()[-1]
    assert f"/channels/@me/{post.channel.id}/{post.id}" in text(result)


async def test_with_closed_messages_it_waits_in_the_history(world: World, away: Away) -> None:
    dm = f"/channels/{world.ann.user.dm_channel.id}/messages"
    world.env.inject_error("POST", dm, status=403, code=50007)
    await late(world, away)
    assert (await world.job(1)).state == "finished"
    shown = answer(await away.ann.slash(away.channel, "history"))
    assert shown.ephemeral
    assert "a cat" in text(shown)
    brought = answer(await away.ann.click(shown, label="#1"))
    assert brought.attachments
    assert "Clip skip +" in buttons(brought)
    # And it is sent as soon as that is possible.
    assert (await world.job(1)).state == "finished"
    await world.restart()
    await world.env.settle()
    assert (await world.job(1)).state == "delivered"
    assert world.ann.user.dm_channel.history()[-1].attachments


# What is under a picture there


@pytest.fixture
async def picture(world: World, away: Away) -> discord.Message:
    """Ann's, for everybody there."""
    await away.ann.slash(away.channel, "imagine", prompt="a cat", seed=7)
    await world.env.settle()
    (post,) = away.posts()
    return post


async def test_others_press_and_get_their_own(
    world: World, away: Away, picture: discord.Message
) -> None:
    await away.bob.click(picture, label="Clip skip +")
    await world.env.settle()
    job = await world.job(2)
    assert (job.state, job.user_id, job.request.clip_skip) == ("delivered", world.bob.id, 2)
    assert len(away.posts()) == 2
    assert not away.refused


async def test_more_is_for_who_pressed(world: World, away: Away, picture: discord.Message) -> None:
    panel = answer(await away.bob.click(picture, label="More…"))
    assert panel.ephemeral
    assert "Delete" not in buttons(panel)
    told = answer(await away.bob.click(panel, label="Parameters"))
    assert "Seed: 7" in text(told)
    await away.bob.click(panel, label="Vary (Subtle)")
    await away.bob.click(panel, label="Send to my DMs")
    await world.env.settle()
    assert (await world.job(2)).state == "delivered"
    assert world.bob.user.dm_channel.history()[-1].attachments
    assert not away.refused


async def test_who_is_not_reached_is_told(
    world: World, away: Away, picture: discord.Message
) -> None:
    # 50278: no server in common, and not installed either.
    world.env.inject_error("POST", "/users/@me/channels", status=403, code=50278)
    panel = answer(await away.bob.click(picture, label="More…"))
    told = answer(await away.bob.click(panel, label="Send to my DMs"))
    assert "direct messages" in text(told)


async def test_deleting_says_that_the_post_stays(
    world: World, away: Away, picture: discord.Message
) -> None:
    panel = answer(await away.ann.click(picture, label="More…"))
    asked = answer(await away.ann.click(panel, label="Delete"))
    told = answer(await away.ann.click(asked, label="Delete"))
    assert "couldn’t be removed" in text(told)
    assert await world.bot.store.jobs.get(1) is None
    assert [post.id for post in away.posts()] == [picture.id]
    refused = answer(await away.bob.click(picture, label="New seed"))
    assert "data no longer exists" in text(refused)


async def test_the_commands_of_ones_own(world: World, away: Away, picture: discord.Message) -> None:
    shown = answer(await away.ann.slash(away.channel, "show", id=1))
    assert shown.attachments
    told = answer(await away.bob.slash(away.channel, "show", id=1))
    assert "no image called" in text(told)
    assert "0 generating" in text(answer(await away.ann.slash(away.channel, "queue")))
    assert "Your settings" in text(answer(await away.ann.slash(away.channel, "settings")))
    assert not away.refused
    world.env.errors  # noqa: B018 - reading them accepts them


async def test_a_sheet_and_one_of_its_cells(world: World, away: Away) -> None:
    sheet = answer(await away.ann.slash(away.channel, "explore", prompt="a cat"))
    await away.bob.select(sheet, ["4"], custom_id="p:cell_x:1")
    await world.env.settle()
    assert away.posts()[-1].attachments
    assert (await world.job(2)).state == "delivered"
    assert not away.refused


async def test_a_shared_preset_is_taken_back(world: World, away: Away) -> None:
    await away.ann.slash(away.channel, "preset save", name="Fast", steps=9)
    post = answer(await away.ann.slash(away.channel, "preset share", name="Fast"))
    await away.bob.click(post, label="Import")
    await away.ann.click(post, label="Stop sharing")
    (left,) = (each for each in away.posts() if not each.flags.ephemeral)
    assert "no longer shared" in text(left)
    assert not away.refused


async def test_ones_data_goes_though_a_post_stays(
    world: World, away: Away, picture: discord.Message
) -> None:
    asked = answer(await away.ann.slash(away.channel, "privacy delete"))
    await away.ann.click(asked, label="Delete everything")
    await world.env.settle()
    assert await world.bot.store.members.counts(world.ann.id) == (0, 0)
    assert picture.id in [post.id for post in away.posts()]
    assert away.refused == {"DELETE 50001": 1}


async def test_menus_on_any_message(world: World, away: Away, picture: discord.Message) -> None:
    told = answer(await away.ann.context_menu(away.channel, "Parameters", picture))
    assert told.ephemeral
    assert "Seed: 7" in text(told)
    form = await away.bob.context_menu(away.channel, "Use as start image", picture)
    assert form.modal
    await away.bob.context_menu(away.channel, "Vary", picture)
    await world.env.settle()
    job = await world.job(2)
    assert (job.state, job.user_id) == ("delivered", world.bob.id)
    look = await away.bob.send(away.channel, "look")
    told = answer(await away.ann.context_menu(away.channel, "Parameters", look))
    assert "has no image the bot can read" in text(told)
    assert not away.refused


async def test_no_reaction_is_put_under_it_and_none_is_heard(
    world: World, away: Away, picture: discord.Message
) -> None:
    await away.bob.react(picture, "🎲")
    await world.env.settle()
    assert len(away.posts()) == 1
    assert not any("/reactions/" in each.path for each in world.env.http_requests)


async def test_in_a_thread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(world, monkeypatch, "server")
    thread = world.env.backend.create_thread(away.channel.id, "a thread", away.ann.id)
    channel = ChannelHandle(world.env, away.guild, thread)
    result = await away.ann.slash(channel, "imagine", prompt="a cat")
    await world.env.settle()
    post = answer(result)
    assert post.attachments
    await away.bob.click(post, label="Clip skip +")
    await world.env.settle()
    assert (await world.job(2)).state == "delivered"
    assert not away.refused


# A server's rules


async def test_a_servers_styles_are_not_elsewhere(world: World, away: Away) -> None:
    await world.bot.store.styles.save(world.guild.id, "film", "a photo of {prompt}", "")
    told = answer(await away.ann.slash(away.channel, "imagine", prompt="a cat", style="film"))
    assert told.ephemeral
    assert "no style called" in text(told)
    world.env.errors  # noqa: B018 - reading them accepts them


async def test_where_nobody_set_rules_the_bots_own_hold(world: World, away: Away) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, words=("cat",)))
    told = answer(await world.ann.slash(world.channel, "imagine", prompt="a cat"))
    assert "doesn’t allow the word" in text(told)
    post = answer(await away.ann.slash(away.channel, "imagine", prompt="a cat"))
    assert post.attachments
    world.env.errors  # noqa: B018 - reading them accepts them


async def away_server(world: World, monkeypatch: pytest.MonkeyPatch, **rules: Any) -> Away:
    """A server that the bot was taken from, or never came to as a member, with rules."""
    away = Away(world, monkeypatch, "server")
    await world.bot.store.servers.update(GUILD_ID, lambda s: replace(s, **rules))
    return away


async def test_what_a_servers_owners_decided_holds_for_everybody_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = await away_server(world, monkeypatch, banned=(world.ann.id,), words=("dog",))
    told = answer(await away.ann.slash(away.channel, "imagine", prompt="a cat"))
    assert not told.attachments
    told = answer(await away.bob.slash(away.channel, "imagine", prompt="a dog"))
    assert not told.attachments
    post = answer(await away.bob.slash(away.channel, "imagine", prompt="a cat"))
    assert post.attachments
    world.env.errors  # noqa: B018 - reading them accepts them


async def test_roles_count_though_the_bot_cannot_see_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = await away_server(world, monkeypatch)
    artists = away.guild.create_role("Artists")
    cleo = away.guild.add_member(world.env.create_user("cleo"), roles=[artists])
    await world.bot.store.servers.update(GUILD_ID, lambda s: replace(s, roles=(artists.id,)))
    told = answer(await away.ann.slash(away.channel, "imagine", prompt="a cat"))
    assert not told.attachments
    post = answer(await cleo.slash(away.channel, "imagine", prompt="a cat"))
    assert post.attachments
    world.env.errors  # noqa: B018 - reading them accepts them


async def test_a_log_channel_out_of_reach_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = await away_server(world, monkeypatch)
    await world.bot.store.servers.update(
        GUILD_ID, lambda s: replace(s, log_channel=away.channel.id)
    )
    post = answer(await away.ann.slash(away.channel, "imagine", prompt="a cat"))
    assert post.attachments
    assert away.refused == {"POST 50001": 1}
    assert (await world.job(1)).state == "delivered"
