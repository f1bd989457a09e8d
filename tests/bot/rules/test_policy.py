"""What a server allows: pure answers, and one check for every way a job is made."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.errors import sentence
from bot.exceptions import NotAllowed
from bot.gate.origin import Origin, asker, places_of
from bot.posts.controls import CLIP_SKIP
from bot.rules.policy import (
    Asker,
    check_file,
    check_member,
    check_words,
    may_use,
    quota_of,
    roles_for,
    tightened,
    values_below,
)
from bot.rules.server import Server
from bot.rules.words import QUICK
from bot.settings import Limits
from tests.simulation import World, answer, components, model, spent, text

ANN = Asker(1, frozenset({10, 11}), (100, 200))


@pytest.mark.parametrize(
    ("server", "rule", "allowed"),
    [
        (Server(banned=(1,)), "banned", ""),
        (Server(channels=(101,)), "channel", "<#101>"),
        (Server(roles=(12, 13)), "role", "<@&12>, <@&13>"),
        (Server(nsfw="restricted"), "restricted", "age-restricted"),
    ],
)
def test_who_may_make_nothing(server: Server, rule: str, allowed: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        check_member(server, ANN)
    assert caught.value.rule == rule
    assert allowed in sentence(caught.value)


@pytest.mark.parametrize(
    "server",
    [
        Server(),
        Server(banned=(2,)),
        Server(channels=(100,)),
        Server(channels=(200, 5)),
        Server(roles=(11, 12)),
        Server(nsfw="spoiler"),
    ],
)
def test_who_may(server: Server) -> None:
    check_member(server, ANN)
    check_member(Server(nsfw="restricted"), replace(ANN, age_restricted=True))


def test_models_and_their_roles() -> None:
    server = Server(models=("a", "b"), model_roles={"b": (10,), "c": (12,)})
    assert [may_use(server, ANN, "model", name) for name in "abc"] == [True, True, False]
    with pytest.raises(NotAllowed) as caught:
        check_file(server, ANN, "model", "c")
    assert "Pick one of these: a, b" in sentence(caught.value)
    with pytest.raises(NotAllowed) as caught:
        check_file(replace(server, models=()), ANN, "model", "c")
    assert "<@&12>" in sentence(caught.value)
    check_file(replace(server, models=()), ANN, "model", "d")


def test_a_model_is_the_same_in_any_case() -> None:
    server = Server(
        models=("A", "ß"),
        model_roles={"B": (12,), "a": (10,), "A": (13,)},
        defaults={"model": "A", "vae": "VIVID"},
    )
    check_file(server, ANN, "model", "a")
    check_file(server, ANN, "model", "SS")
    assert not may_use(server, ANN, "model", "c")
    with pytest.raises(NotAllowed, match="model_role"):
        check_file(replace(server, models=()), ANN, "model", "b")
    assert roles_for(server, "model", "a") == (10, 13)
    _, below = values_below(server, ANN, (model("a"),), ("vivid",))
    assert below == {"model": "A", "vae": "VIVID"}


def test_a_long_list_is_named_in_part() -> None:
    error = NotAllowed("model", "x", tuple(f"m{number}" for number in range(200)))
    assert sentence(error).endswith("m10, m11 ….")


def test_words_in_any_of_the_prompts() -> None:
    check_words(Server(words=("blood",)), ["a cat", ""])
    with pytest.raises(NotAllowed, match="word"):
        check_words(Server(words=("blood",)), ["a cat", "(blood:1.2)"])


def test_a_server_narrows_and_never_widens() -> None:
    limits = Limits(max_steps=50, max_count=4)
    assert tightened(limits, Server()) is limits
    assert tightened(limits, Server(max_steps=150, max_count=2)) == replace(limits, max_count=2)


def test_the_best_role_counts() -> None:
    server = Server(quota=5, role_quotas={10: 3, 11: 20, 12: 100})
    assert quota_of(server, ANN) == 20
    assert quota_of(server, Asker(2)) == 5
    assert quota_of(Server(role_quotas={12: 1}), ANN) is None


def test_values_below_a_member() -> None:
    models = (model("a"), model("b"), model("c"))
    server = Server(
        models=("b", "c"),
        defaults={"model": "a", "vae": "gone", "steps": 9},
        channel_defaults={100: {"steps": 7}, 200: {"steps": 6, "model": "c"}},
    )
    channel, below = values_below(server, ANN, models, ("Automatic",))
    assert channel == {"steps": 7, "model": "c"}
    assert below == {"steps": 9, "model": "b"}
    assert values_below(Server(), ANN, models, ()) == ({}, {})


# Through Discord: every way leads past the same check.


async def rule(world: World, **values: Any) -> None:
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, **values))


def refused(world: World, result: Any, words: str) -> None:
    """One ephemeral sentence, and nothing was queued."""
    list(world.env.errors)
    assert answer(result).ephemeral
    assert words in text(answer(result))


EDIT = {
    "prompt": "blood",
    "negative_prompt": "",
    "clip_skip": "1",
    "seed": "7",
    "settings": "20, 7, 512x512",
}


async def test_every_way_to_make_a_picture_is_checked(world: World) -> None:
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="blood", count=2))
    form = await world.ann.click(post, label="Edit")
    await rule(world, words=("blood",))
    drawn = len(world.engine.seen)
    refused(world, await world.ann.slash(world.channel, "imagine", prompt="BLOOD"), "**blood**")
    for label in ("Clip skip +", "New seed", "2"):
        refused(world, await world.ann.click(post, label=label), "**blood**")
    refused(
        world, await world.ann.select(post, [f"{CLIP_SKIP}5"], custom_id="p:vae:1"), "**blood**"
    )
    refused(world, await world.ann.select(post, ["vivid"], custom_id="p:vae:1"), "**blood**")
    refused(world, await world.ann.submit_modal(form, EDIT), "**blood**")
    assert len(world.engine.seen) == drawn
    assert await world.bot.store.jobs.get(2) is None


async def test_the_prompt_of_hires_fix_is_checked(world: World) -> None:
    await rule(world, words=("blood",))
    pasted = "x\nSteps: 9, Seed: 1, Size: 64x64, Hires upscale: 2, Hires prompt: {}"
    prompt = pasted.format("blood")
    refused(world, await world.ann.slash(world.channel, "imagine", prompt=prompt), "**blood**")
    await world.ann.slash(world.channel, "imagine", prompt=pasted.format("a cat"))
    (seen,) = world.engine.seen
    assert (hires := seen.items[0].request.hires) is not None
    assert hires.prompt == "a cat"


async def test_everybodys_role_is_everybodys(world: World) -> None:
    """Its id is the server's, and Discord does not send it among a member's roles."""
    everybody = world.guild.id
    await rule(world, roles=(everybody,), model_roles={"plain": (everybody,)})
    await world.ann.slash(world.channel, "imagine", prompt="x", model="plain")
    assert len(world.engine.seen) == 1
    await rule(world, quota=1, role_quotas={everybody: 2})
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert len(world.engine.seen) == 2
    refused(world, await world.ann.slash(world.channel, "imagine", prompt="x"), " 2 ")


async def test_a_negative_prompt_keeps_out_what_is_blocked(world: World) -> None:
    await rule(world, words=("nsfw",), defaults={"negative_prompt": "nsfw, lowres"})
    # The server's own, and one that was typed: neither is what the picture shows.
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.ann.slash(world.channel, "imagine", prompt="x", negative_prompt="(nsfw:1.4)")
    drawn = [seen.request.negative_prompt for seen in world.engine.seen]
    assert drawn == ["nsfw, lowres", "(nsfw:1.4)"]
    result = await world.ann.slash(world.channel, "imagine", prompt="x, nsfw")
    refused(world, result, "**nsfw**")


async def test_long_and_changing_prompts_are_read_beside_the_event_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, bool]] = []

    def find(prompt: str, words: tuple[str, ...]) -> None:
        read.append((prompt, threading.current_thread() is threading.main_thread()))

    monkeypatch.setattr("bot.rules.policy.find_blocked", find)
    await rule(world, words=("blood",))
    long = "cat " * (QUICK // 4) + "x"
    await world.ann.slash(world.channel, "imagine", prompt="a cat")
    await world.ann.slash(world.channel, "imagine", prompt=long)
    await world.ann.slash(world.channel, "imagine", prompt="a [cat|dog]")
    assert read == [("a cat", True), (long, False), ("a [cat|dog]", False)]


async def test_the_cells_of_a_sheet_are_read_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr("bot.rules.policy.find_blocked", lambda prompt, _: read.append(prompt))
    await rule(world, words=("blood",))
    await world.ann.slash(
        world.channel,
        "explore",
        prompt="a cat",
        x_axis="prompt",
        x_values="cat, dog",
        y_axis="clip_skip",
        y_values="1, 2, 3",
    )
    assert read == ["a cat", "a dog"]


async def test_other_channels_and_their_threads(world: World) -> None:
    other = world.guild.create_text_channel("other")
    await rule(world, channels=(other.id,))
    refused(world, await world.ann.slash(world.channel, "imagine", prompt="x"), f"<#{other.id}>")
    await world.ann.slash(other, "imagine", prompt="x")
    assert len(world.engine.seen) == 1


async def test_a_category_stands_for_its_channels(world: World) -> None:
    category = world.guild.create_category("art")
    inside = world.guild.create_text_channel("inside", category=category)
    await rule(world, channels=(category.id,))
    await world.ann.slash(inside, "imagine", prompt="x")
    assert len(world.engine.seen) == 1


async def test_roles(world: World) -> None:
    role = world.guild.create_role("Artists")
    await rule(world, roles=(role.id,))
    refused(world, await world.ann.slash(world.channel, "imagine", prompt="x"), f"<@&{role.id}>")
    eve = world.guild.add_member(world.env.create_user("eve"), roles=[role])
    await eve.slash(world.channel, "imagine", prompt="x")
    assert len(world.engine.seen) == 1


async def test_age_restricted_channels_only(world: World) -> None:
    await rule(world, nsfw="restricted")
    refused(world, await world.ann.slash(world.channel, "imagine", prompt="x"), "age-restricted")
    adults = world.guild.create_text_channel("adults")
    channel = world.bot.get_channel(adults.id)
    assert isinstance(channel, discord.TextChannel)
    channel.nsfw = True
    await world.ann.slash(adults, "imagine", prompt="x")
    assert len(world.engine.seen) == 1


async def test_a_model_that_is_not_used_here(world: World) -> None:
    await rule(world, models=("anime",))
    result = await world.ann.slash(world.channel, "imagine", prompt="x", model="plain")
    refused(world, result, "Pick one of these: anime")
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert world.engine.seen[-1].request.model == "anime"


@pytest.mark.parametrize(
    ("bound", "options", "words"),
    [
        ({"max_steps": 10}, {"steps": 11}, "steps must be from 1 to 10"),
        ({"max_count": 1}, {"count": 2}, "count must be from 1 to 1"),
        ({"max_size": 512}, {"size": "520x512"}, "64 to 512"),
    ],
)
async def test_bounds(
    world: World, bound: dict[str, int], options: dict[str, Any], words: str
) -> None:
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x", **options))
    await rule(world, **bound)
    refused(world, await world.ann.slash(world.channel, "imagine", prompt="x", **options), words)
    # A replay too.
    refused(world, await world.ann.click(post, label="New seed"), words)
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert len(world.engine.seen) == 2


async def test_the_queue_of_a_member_and_of_a_server(world: World) -> None:
    world.engine.hold()
    await rule(world, queue_per_member=1, queue_total=2)
    await world.ann.slash(world.channel, "imagine", prompt="x")
    result = await world.ann.slash(world.channel, "imagine", prompt="x")
    refused(world, result, "this server’s limit of jobs per member (1)")
    await world.bob.slash(world.channel, "imagine", prompt="x")
    eve = world.guild.add_member(world.env.create_user("eve"))
    refused(
        world,
        await eve.slash(world.channel, "imagine", prompt="x"),
        "This server’s queue is full (limit: 2)",
    )
    assert len(world.engine.seen) == 2
    world.engine.release()


async def test_a_quota_in_pictures_of_a_day(world: World) -> None:
    await rule(world, quota=5)
    await world.ann.slash(world.channel, "imagine", prompt="x", size="1024x1024")
    await world.ann.slash(world.channel, "imagine", prompt="x")
    result = await world.ann.slash(world.channel, "imagine", prompt="x", steps=10)
    refused(world, result, "used all of your 5 images for today")
    await world.bob.slash(world.channel, "imagine", prompt="x")
    world.now += 86_400
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert len(world.engine.seen) == 4


async def test_what_is_cancelled_or_fails_is_given_back(world: World) -> None:
    await rule(world, quota=2)
    world.engine.hold()
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x", count=2))
    assert await spent(world.bot.store, world.guild.id, world.ann.id) == 2
    await world.ann.click(post, label="Cancel")
    world.engine.release()
    assert await spent(world.bot.store, world.guild.id, world.ann.id) == 0


async def test_a_deleted_picture_stays_on_the_account(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.bot.store.jobs.delete(1)
    assert await spent(world.bot.store, world.guild.id, world.ann.id) == 1


async def test_direct_messages_know_no_servers_rules(world: World) -> None:
    assert world.bot.gate.server(None) == Server()
    await world.bot.gate.check(Origin(Asker(world.ann.id), None, None, 1, "en-US"), [])


async def test_accepted_jobs_are_drawn_whatever_is_decided_meanwhile(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="blood")
    await rule(world, words=("blood",), max_steps=5, channels=(5,), banned=(world.ann.id,))
    world.engine.release()
    await world.env.settle()
    assert (await world.job(1)).state == "delivered"


async def test_rules_survive_a_restart(world: World) -> None:
    await rule(world, words=("blood",))
    await world.restart()
    refused(world, await world.ann.slash(world.channel, "imagine", prompt="blood"), "**blood**")


async def test_a_spoiler_hides_the_picture_and_every_preview(world: World) -> None:
    await rule(world, spoiler=True)
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x", count=2)
    await world.engine.started(1)
    world.engine.progress(1, 5, preview=True)
    await world.env.settle()
    assert "5 / 20" in text(world.last)
    assert world.last.attachments == []
    assert not [item for item in components(world.last) if item["type"] == 12]
    world.engine.release()
    await world.env.settle()
    gallery = next(item for item in components(world.last) if item["type"] == 12)
    assert [item["spoiler"] for item in gallery["items"]] == [True, True]
    opened = await world.bob.click(world.last, label="1")
    gallery = next(item for item in components(answer(opened)) if item["type"] == 12)
    assert gallery["items"][0]["spoiler"]


async def test_the_servers_language_is_for_those_the_bot_does_not_speak(world: World) -> None:
    await rule(world, language="en")
    gate = world.bot.gate
    assert gate.locale(world.guild.id, discord.Locale.korean.value) == "en"
    assert gate.locale(world.guild.id, discord.Locale.british_english.value) == "en-GB"
    assert gate.locale(None, discord.Locale.korean.value) == "ko"


async def test_a_thread_is_in_its_channel_and_its_category(world: World) -> None:
    category = world.guild.create_category("art")
    inside = world.guild.create_text_channel("inside", category=category)
    channel = world.bot.get_channel(inside.id)
    assert isinstance(channel, discord.TextChannel)
    thread = await channel.create_thread(name="t", type=discord.ChannelType.public_thread)
    assert places_of(thread) == (thread.id, inside.id, category.id)
    assert places_of(channel) == (inside.id, category.id)
    channel.nsfw = True
    assert asker(discord.Object(1), thread).age_restricted
    assert asker(discord.Object(1), None) == Asker(1)


async def test_the_search_offers_what_one_may_use(world: World) -> None:
    await rule(world, models=("anime", "two"), model_roles={"two": (5,)})
    offered = await world.ann.autocomplete(world.channel, "imagine", "model", "")
    assert [choice["value"] for choice in offered] == ["anime"]
