"""A form that could not be used: why is said, and the same form comes back with what was typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor

from bot.actions.temporary import Temporary
from core.models.catalogue import Catalogue
from tests.bot.actions.test_knobs import EDIT, components_of
from tests.bot.actions.test_more import START
from tests.simulation import World, answer, buttons, components, selects, text, vae

Open = Callable[[World, MemberActor], Awaitable[Any]]


@pytest.fixture
def owner(world: World) -> MemberActor:
    """Somebody who may manage the server."""
    role = world.guild.create_role("Owners", permissions=discord.Permissions(manage_guild=True))
    return world.guild.add_member(world.env.create_user("owner"), roles=[role])


def shown(form: Any) -> dict[str, str]:
    """What stands in a form's fields."""
    return {item["custom_id"]: item.get("value") or "" for item in components_of(form.modal)}


async def result(world: World, who: MemberActor) -> Any:
    return answer(await who.slash(world.channel, "imagine", prompt="a red circle", seed=7))


async def edit(world: World, who: MemberActor) -> Any:
    return await who.click(await result(world, who), label="Edit")


async def start(world: World, who: MemberActor) -> Any:
    panel = answer(await who.click(await result(world, who), label="More…"))
    return await who.click(panel, label="Use as start image")


async def preset(world: World, who: MemberActor) -> Any:
    panel = answer(await who.click(await result(world, who), label="More…"))
    return await who.click(panel, label="Save as preset")


async def numbers(world: World, who: MemberActor) -> Any:
    panel = answer(await who.slash(world.channel, "settings"))
    return await who.click(panel, label="Steps, CFG scale")


async def size(world: World, who: MemberActor) -> Any:
    panel = answer(await who.slash(world.channel, "settings"))
    custom_id = f"s:set_size:{who.id}"
    options = next(item for item in components(panel) if item.get("custom_id") == custom_id)
    return await who.select(panel, [options["options"][-1]["value"]], custom_id=custom_id)


async def limits(world: World, who: MemberActor) -> Any:
    panel = answer(await who.slash(world.channel, "config limits"))
    return await who.click(panel, label="Images and grids")


async def words(world: World, who: MemberActor) -> Any:
    return await who.slash(world.channel, "config words")


async def quota(world: World, who: MemberActor) -> Any:
    panel = answer(await who.slash(world.channel, "config quota"))
    return await who.click(panel, custom_id="s:config_quota_all")


LIMITS = {"max_steps": "30", "max_size": "512", "max_count": "2", "max_cells": "x"}

FORMS: dict[str, tuple[Open, dict[str, str], dict[str, str]]] = {
    "edit": (edit, EDIT | {"clip_skip": "13"}, {"clip_skip": "3"}),
    "start": (start, START | {"denoising_strength": "2"}, {"denoising_strength": "0.5"}),
    "preset": (preset, {"name": " "}, {"name": "soft"}),
    "settings numbers": (numbers, {"steps": "12", "cfg_scale": "99"}, {"cfg_scale": "5"}),
    "settings size": (size, {"typed": "7x7"}, {"typed": "512x768"}),
    "config limits": (limits, LIMITS, {"max_cells": "12"}),
    "config quota": (quota, {"quota": "0"}, {"quota": "20"}),
    "config words": (words, {"words": "fine\n" + "x" * 51}, {"words": "fine"}),
}


@pytest.mark.parametrize("name", FORMS)
async def test_what_was_typed_is_not_lost(world: World, owner: MemberActor, name: str) -> None:
    opened, wrong, right = FORMS[name]
    refused = answer(await owner.submit_modal(await opened(world, owner), wrong))
    assert refused.ephemeral
    assert list(buttons(refused)) == ["Try again"]
    form = await owner.click(refused, label="Try again")
    assert shown(form) == wrong
    # Twice over, as often as one likes.
    refused = answer(await owner.submit_modal(form, wrong))
    form = await owner.click(refused, label="Try again")
    assert shown(form) == wrong
    done = await owner.submit_modal(form, wrong | right)
    assert "Try again" not in buttons(answer(done))


async def test_a_setting_takes_what_was_typed_the_second_time(
    world: World, owner: MemberActor
) -> None:
    refused = answer(await owner.submit_modal(await limits(world, owner), LIMITS))
    assert world.bot.store.servers.get(world.guild.id).max_steps is None
    form = await owner.click(refused, label="Try again")
    await owner.submit_modal(form, LIMITS | {"max_cells": ""})
    server = world.bot.store.servers.get(world.guild.id)
    assert (server.max_steps, server.max_size, server.max_cells) == (30, 512, None)


async def test_a_search_that_found_nothing_can_be_changed(world: World) -> None:
    vaes = tuple(vae(f"vae {number}") for number in range(60))
    world.bot.catalogue.update(Catalogue(models=world.found.models, vaes=vaes))
    post = await result(world, world.ann)
    search = selects(post)["Clip skip or VAE"]["options"][-1]["value"]
    form = await world.ann.select(post, [search], custom_id="p:vae:1")
    refused = answer(await world.ann.submit_modal(form, {"name": "qqqqqq"}))
    form = await world.ann.click(refused, label="Try again")
    assert shown(form) == {"name": "qqqqqq"}
    await world.ann.submit_modal(form, {"name": "vae 59"})
    assert world.engine.seen[-1].request.vae == "vae 59"


async def test_a_full_queue_and_a_blocked_word_lose_no_prompt_either(world: World) -> None:
    form = await edit(world, world.ann)
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, words=("blue",))
    )
    refused = answer(await world.ann.submit_modal(form, EDIT))
    assert "doesn’t allow the word **blue**" in text(refused)
    assert "a blue square" in text(refused)
    form = await world.ann.click(refused, label="Try again")
    world.bot.queue.per_owner = 0
    refused = answer(await world.ann.submit_modal(form, EDIT | {"prompt": "a green square"}))
    assert "limit of waiting and running jobs" in text(refused)
    assert shown(await world.ann.click(refused, label="Try again"))["prompt"] == "a green square"


async def test_who_may_not_draw_is_not_asked_to_try_again(world: World) -> None:
    form = await edit(world, world.ann)
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, banned=(world.ann.id,))
    )
    refused = answer(await world.ann.submit_modal(form, EDIT))
    assert "banned from generating images" in text(refused)
    assert not buttons(refused)


async def test_after_a_restart_the_form_is_gone_and_the_prompt_is_there(world: World) -> None:
    form = await edit(world, world.ann)
    refused = answer(await world.ann.submit_modal(form, EDIT | {"seed": "x"}))
    await world.restart()
    gone = answer(await world.ann.click(refused, label="Try again"))
    assert gone.ephemeral
    assert "form has expired" in text(gone)
    assert "a blue square" in text(refused)


async def test_a_form_opened_before_a_restart_comes_back_too(
    world: World, owner: MemberActor
) -> None:
    form = await limits(world, owner)
    await world.restart()
    refused = answer(await owner.submit_modal(form, LIMITS))
    assert shown(await owner.click(refused, label="Try again")) == LIMITS


async def test_nobody_else_reads_what_was_typed(world: World) -> None:
    post = await result(world, world.ann)
    form = await world.ann.click(post, label="Edit")
    await world.ann.submit_modal(form, EDIT | {"seed": "x"})
    (number,) = world.bot.retry._kept._values
    # What somebody would send who makes up a custom_id of his own.
    stored = world.env.backend.get_message(world.channel.id, post.id)
    stored.components[2]["components"][4]["custom_id"] = f"s:typed_again:{number}"
    refused = await world.bob.click(post, custom_id=f"s:typed_again:{number}")
    assert refused.modal is None
    assert "Only the person who made this" in text(answer(refused))


async def test_an_answer_that_came_late_stands_in_the_place_of_thinking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.jobs.accepting.SECONDS_TO_DEFER", 0.0)
    made = await world.ann.slash(world.channel, "imagine", prompt="x", private=True)
    form = await world.ann.click(answer(made), label="Edit")
    refused = await world.ann.submit_modal(form, EDIT | {"settings": "20, 7, 2048x2048"})
    assert not answer(refused).flags.loading
    assert list(buttons(answer(refused))) == ["Try again"]


def test_what_is_kept_is_bounded() -> None:
    kept: Temporary[str] = Temporary(10, len)
    first, second = kept.keep("12345"), kept.keep("1234")
    assert (kept.get(first), kept.get(second), kept.get(None)) == ("12345", "1234", None)
    third = kept.keep("xx")
    assert kept.get(first) is None
    assert (kept.get(second), kept.get(third)) == ("1234", "xx")
    assert len(kept) == 2
    assert len({first, second, third}) == 3
    kept.keep("x" * 11)
    assert len(kept) == 0
