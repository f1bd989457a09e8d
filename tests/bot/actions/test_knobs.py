"""Every control under a post: what it does, who may press it, what happens when things are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import discord
import pytest

import bot.gate.gate
import bot.jobs.accepting
from bot.ordering.layers import Layers
from bot.posts.controls import CLIP_SKIP
from bot.translate import t
from core.models.catalogue import Catalogue
from core.options import SELDOM
from tests.bot.actions.test_every_control import submit
from tests.simulation import World, answer, buttons, components, model, selects, text, vae


@pytest.fixture
async def post(world: World) -> Any:
    """A finished picture of ann's, seed 7, clip skip 1."""
    result = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    return answer(result)


# The three knobs.


async def test_clip_skip_up_keeps_the_seed_and_belongs_to_who_pressed(
    world: World, post: Any
) -> None:
    result = await world.bob.click(post, label="Clip skip +")
    assert "clip skip 2" in text(answer(result))
    assert "seed 7" in text(answer(result))
    job = await world.job(2)
    assert (job.user_id, job.parent_id, job.request.clip_skip) == (world.bob.id, 1, 2)
    assert "clip skip 1" in text(world.posts()[0])


async def test_a_variation_links_to_its_picture(world: World, post: Any) -> None:
    result = await world.bob.click(post, label="New seed")
    assert f"/{world.channel.id}/{post.id}" in text(answer(result))


async def test_the_ends_of_clip_skip_cannot_be_left(world: World, post: Any) -> None:
    assert buttons(post)["Clip skip −"]["disabled"]
    last = await world.ann.select(post, [f"{CLIP_SKIP}12"], custom_id="p:vae:1")
    assert buttons(answer(last))["Clip skip +"]["disabled"]
    assert not buttons(answer(last))["Clip skip −"]["disabled"]


async def test_a_control_may_be_pressed_again_and_again(world: World, post: Any) -> None:
    for _ in range(3):
        await world.bob.click(post, label="Clip skip +")
    assert [work.request.clip_skip for work in world.engine.seen] == [1, 2, 2, 2]


async def test_a_new_seed_changes_nothing_else(world: World, post: Any) -> None:
    await world.ann.click(post, label="New seed")
    before, after = (work.request for work in world.engine.seen)
    assert before.seed != after.seed
    assert before.to_dict() | {"seed": 0} == after.to_dict() | {"seed": 0}


async def test_the_vae_select_offers_what_fits_and_draws_with_it(world: World, post: Any) -> None:
    options = selects(post)["Clip skip or VAE"]["options"]
    values = [option["value"] for option in options]
    assert values == [*(f"{CLIP_SKIP}{k}" for k in range(1, 13)), "Automatic", "vivid", "soft"]
    assert [option["value"] for option in options if option.get("default")] == [f"{CLIP_SKIP}1"]
    assert options[12]["description"] == "In use"
    result = await world.ann.select(post, ["vivid"], custom_id="p:vae:1")
    assert "VAE vivid" in text(answer(result))
    used = world.engine.seen[-1].vae
    assert used is not None
    assert used.name == "vivid"


async def test_vaes_past_24_are_searched(world: World) -> None:
    vaes = tuple(vae(f"vae {number}") for number in range(60))
    world.bot.catalogue.update(Catalogue(models=world.found.models, vaes=vaes))
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    options = selects(post)["Clip skip or VAE"]["options"]
    assert len(options) == 25
    search = await world.ann.select(post, [options[-1]["value"]], custom_id="p:vae:1")
    found = await world.ann.submit_modal(search, {"name": "vae 5"})
    names = [option["value"] for option in selects(answer(found))["VAE"]["options"]]
    assert names[:2] == ["vae 5", "vae 50"]
    await world.ann.select(answer(found), ["vae 50"], custom_id="p:vae:1")
    assert "VAE vae 50" in text(world.last)
    search = await world.ann.select(post, [options[-1]["value"]], custom_id="p:vae:1")
    await world.ann.submit_modal(search, {"name": "vae 59"})
    assert "VAE vae 59" in text(world.last)
    search = await world.ann.select(post, [options[-1]["value"]], custom_id="p:vae:1")
    nothing = await world.ann.submit_modal(search, {"name": "qqqqqq"})
    assert "no VAE called" in text(answer(nothing))


async def test_what_a_search_finds_is_said_to_who_searches(
    world: World, post: Any, speak: Callable[[str], None]
) -> None:
    speak("zh-CN")
    found = await submit(world, world.bob, "p:vae:1", {"name": "o"})
    options = selects(answer(found))[t("control.vae", "zh-CN")]["options"]
    names = [option["value"] for option in options]
    assert len(names) == 2
    labels = [t("control.vae_option", "zh-CN", name=name) for name in names]
    assert [option["label"] for option in options] == labels
    assert labels != [t("control.vae_option", "en-US", name=name) for name in names]


# Edit.

EDIT = {
    "prompt": "a blue square",
    "negative_prompt": "red",
    "clip_skip": "3",
    "seed": "8",
    "settings": "30, 5.5, 512x768",
}


async def test_edit_comes_filled_in_and_draws_what_was_typed(world: World, post: Any) -> None:
    form = await world.bob.click(post, label="Edit")
    assert form.modal is not None
    fields = {item["custom_id"]: item for item in components_of(form.modal)}
    assert fields["prompt"]["value"] == "a red circle"
    assert fields["seed"]["value"] == "7"
    said = "Steps: 20, CFG scale: 7, Sampler: Euler, Size: 512x512, Model: plain, VAE: Automatic"
    assert sorted(fields["settings"]["value"].split(", ")) == sorted(said.split(", "))
    await world.bob.submit_modal(form, EDIT)
    request = (await world.job(2)).request
    assert (request.prompt, request.negative_prompt) == ("a blue square", "red")
    assert (request.clip_skip, request.seed, request.steps) == (3, 8, 30)
    assert (request.cfg_scale, request.width, request.height) == (5.5, 512, 768)


async def test_edit_reaches_model_sampler_and_vae(world: World, post: Any) -> None:
    form = await world.bob.click(post, label="Edit")
    settings = "sampler： dpm++ 2m karras，Model： ANIME，VAE： vivid，size： portrait"
    await world.bob.submit_modal(form, EDIT | {"settings": settings})
    request = (await world.job(2)).request
    assert (request.sampler, request.schedule_type) == ("DPM++ 2M", "Karras")
    assert (request.model, request.vae, request.steps) == ("anime", "vivid", 20)
    assert request.width < request.height


async def test_all_that_is_wrong_is_said_at_once(world: World, post: Any) -> None:
    form = await world.bob.click(post, label="Edit")
    wrong = {"clip_skip": "13", "seed": "abc", "settings": "Steps: 0, VAE: vivd, Size: 7x7"}
    said = text(answer(await world.bob.submit_modal(form, EDIT | wrong)))
    for part in ("clip skip must be", "seed must be", "steps must be", "no VAE called", "multiple"):
        assert part in said
    assert len(world.engine.seen) == 1


async def test_edit_takes_what_other_keyboards_type(world: World, post: Any) -> None:
    typed = {"clip_skip": "３", "seed": "８", "settings": "３０，５．５、５１２ｘ７６８"}
    form = await world.bob.click(post, label="Edit")
    await world.bob.submit_modal(form, EDIT | typed)
    request = (await world.job(2)).request
    assert (request.clip_skip, request.seed, request.steps) == (3, 8, 30)
    assert (request.cfg_scale, request.width, request.height) == (5.5, 512, 768)


@pytest.mark.parametrize("minus", "-−–ー")
async def test_a_seed_of_minus_one_draws_a_new_one(world: World, post: Any, minus: str) -> None:
    form = await world.bob.click(post, label="Edit")
    await world.bob.submit_modal(form, EDIT | {"seed": f"{minus}1"})
    assert (await world.job(2)).request.seed not in (-1, 7)


async def test_an_empty_seed_draws_a_new_one(world: World, post: Any) -> None:
    form = await world.bob.click(post, label="Edit")
    await world.bob.submit_modal(form, EDIT | {"seed": ""})
    assert (await world.job(2)).request.seed != 7


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"clip_skip": "13"}, "clip skip must be from 1 to 12"),
        ({"clip_skip": "x"}, "clip skip must be from 1 to 12"),
        ({"seed": "abc"}, "seed must be from"),
        ({"settings": "30"}, "like this: `Steps: 20, "),
        ({"settings": "30, seven, 512x512"}, "CFG scale must be from"),
        ({"settings": "30, 7, 7x7"}, "multiple of 8"),
        ({"settings": "30, 7, 2048x2048"}, "to 1536"),
        ({"settings": "Steps: 30, Hires upscale: 2"}, "“Hires upscale” can’t be read here"),
        ({"settings": "Sampler: Eulr"}, "no sampler called"),
        ({"settings": "Model: plan"}, "Did you mean"),
    ],
)
async def test_what_cannot_be_used_is_said_and_given_back(
    world: World, post: Any, wrong: dict[str, str], sentence: str
) -> None:
    form = await world.bob.click(post, label="Edit")
    result = await world.bob.submit_modal(form, EDIT | wrong)
    assert answer(result).ephemeral
    assert sentence in text(answer(result))
    assert "a blue square" in text(answer(result))
    assert len(world.engine.seen) == 1


# Several pictures.


async def test_one_of_several_is_opened_without_drawing_it_again(world: World) -> None:
    four = await world.ann.slash(world.channel, "imagine", prompt="x", count=4, seed=10)
    result = await world.bob.click(answer(four), label="3")
    assert "seed 12" in text(answer(result))
    assert len(answer(result).attachments) == 1
    assert len(world.engine.seen) == 1
    job = await world.job(2)
    assert (job.state, job.user_id, job.request.seed) == ("delivered", world.bob.id, 12)
    further = await world.bob.click(answer(result), label="Clip skip +")
    assert "seed 12" in text(answer(further))


async def test_a_knob_acts_on_all_of_several(world: World) -> None:
    four = await world.ann.slash(world.channel, "imagine", prompt="x", count=4, seed=10)
    result = await world.ann.click(answer(four), label="Clip skip +")
    assert len(answer(result).attachments) == 4


async def test_opening_a_picture_whose_file_is_gone(world: World) -> None:
    four = await world.ann.slash(world.channel, "imagine", prompt="x", count=4)
    for picture in await world.bot.store.pictures.of_job(1):
        picture.path.unlink()
    result = await world.ann.click(answer(four), label="2")
    assert "image file no longer exists" in text(answer(result))


# More…


async def test_more_is_ephemeral_and_short(world: World, post: Any) -> None:
    panel = await world.ann.click(post, label="More…")
    assert answer(panel).ephemeral
    make = ["Compare clip skips", "Compare VAEs", "Upscale ×1.5", "Upscale ×2"]
    make.append("Upscale without redrawing")
    further = ["Vary (Subtle)", "Vary (Strong)", "Use as start image"]
    keep = ["Save as preset", "Parameters", "Pin this seed", "Send to my DMs", "Delete"]
    assert list(buttons(answer(panel))) == make + further + keep


async def test_parameters_can_be_copied(world: World, post: Any) -> None:
    panel = await world.bob.click(post, label="More…")
    shown = await world.bob.click(answer(panel), label="Parameters")
    assert "```\na red circle\nSteps: 20" in text(answer(shown))


async def test_long_parameters_come_as_a_file(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="word " * 799)
    panel = await world.ann.click(answer(made), label="More…")
    shown = await world.ann.click(answer(panel), label="Parameters")
    (file,) = answer(shown).attachments
    assert (await file.read()).startswith(b"word word")


async def test_a_result_is_saved_as_a_preset(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", clip_skip=2, steps=33)
    panel = await world.bob.click(answer(made), label="More…")
    form = await world.bob.click(answer(panel), label="Save as preset")
    await world.bob.submit_modal(form, {"name": "Soft"})
    result = await world.bob.slash(world.channel, "imagine", prompt="y", preset="soft")
    request = (await world.job(2)).request
    assert (request.clip_skip, request.steps) == (2, 33)
    assert "clip skip 2" in text(answer(result))


async def test_a_preset_of_a_pasted_text_has_its_samplers_options(world: World) -> None:
    pasted = "x\nSteps: 9, Sampler: Euler a, Seed: 5, Eta: 0.5, ENSD: 31337, Size: 512x512"
    made = await world.ann.slash(world.channel, "imagine", prompt=pasted)
    assert "noise source GPU" in text(answer(made))
    panel = await world.bob.click(answer(made), label="More…")
    form = await world.bob.click(answer(panel), label="Save as preset")
    await world.bob.submit_modal(form, {"name": "wild"})
    kept = (await world.bot.store.presets.get(world.bob.id, "wild")).values
    wanted = {"eta": 0.5, "eta_noise_seed_delta": 31337, "noise_source": "GPU"}
    assert {name: kept[name] for name in kept if name in SELDOM} == wanted
    await world.bob.slash(world.channel, "imagine", prompt="y", preset="wild")
    request = (await world.job(2)).request
    assert {name: getattr(request, name) for name in wanted} == wanted


async def test_a_seed_is_taken_and_let_go(world: World, post: Any) -> None:
    panel = await world.bob.click(post, label="More…")
    taken = await world.bob.click(answer(panel), label="Pin this seed")
    assert "Seed **7**" in text(answer(panel))
    await world.bob.slash(world.channel, "imagine", prompt="y")
    assert (await world.job(2)).request.seed == 7
    await world.bob.click(answer(panel), label="Unpin the seed")
    assert await world.bot.store.presets.yours(world.bob.id) == {}
    assert taken.acknowledged


async def test_delete_asks_and_deletes(world: World, post: Any) -> None:
    panel = await world.ann.click(post, label="More…")
    await world.ann.click(answer(panel), label="Delete")
    await world.ann.click(answer(panel), label="Keep it")
    assert "Save as preset" in buttons(answer(panel))
    await world.ann.click(answer(panel), label="Delete")
    (path,) = [picture.path for picture in await world.bot.store.pictures.of_job(1)]
    await world.ann.click(answer(panel), label="Delete")
    assert "Deleted" in text(answer(panel))
    assert post.id not in [message.id for message in world.posts()]
    assert await world.bot.store.jobs.get(1) is None
    assert not path.exists()


async def test_nobody_else_is_offered_delete(world: World, post: Any) -> None:
    panel = await world.bob.click(post, label="More…")
    assert "Delete" not in buttons(answer(panel))


async def test_who_manages_messages_may_delete(world: World, post: Any) -> None:
    moderator = world.moderator()
    panel = await moderator.click(post, label="More…")
    await moderator.click(answer(panel), label="Delete")
    await moderator.click(answer(panel), label="Delete")
    assert await world.bot.store.jobs.get(1) is None


async def test_a_right_that_was_taken_away_no_longer_deletes(world: World, post: Any) -> None:
    moderator = world.moderator()
    panel = await moderator.click(post, label="More…")
    await moderator.click(answer(panel), label="Delete")
    for role in world.env.backend.guilds[world.guild.id].roles.values():
        role.permissions = 0 if role.name == "Moderators" else role.permissions
    refused = await moderator.click(answer(panel), label="Delete")
    assert "Only the person who made this" in text(answer(refused))
    assert await world.bot.store.jobs.get(1) is not None


# Private pictures.


async def test_variations_of_a_private_picture_are_private(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", private=True)
    result = await world.ann.click(answer(made), label="Clip skip +")
    assert answer(result).ephemeral
    assert (await world.job(2)).private


async def test_nobody_else_reaches_a_private_job(world: World, post: Any) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="secret", private=True)
    # What somebody would send who makes up a custom_id of his own.
    world.env.backend.get_message(world.channel.id, post.id).components[2]["components"][4][
        "custom_id"
    ] = "p:more:2"
    result = await world.bob.click(post, custom_id="p:more:2")
    assert "secret" not in text(answer(result))
    assert "data no longer exists" in text(answer(result))


async def test_who_keeps_pictures_private_presses_for_oneself(world: World, post: Any) -> None:
    await world.bot.store.presets.save(world.bob.id, "default", {"private": True})
    pressed = [
        await world.bob.click(post, label="Clip skip +"),
        await world.bob.click(post, label="New seed"),
        await world.bob.select(post, ["vivid"], custom_id="p:vae:1"),
        await world.bob.context_menu(world.channel, "Vary", post),
    ]
    assert all(answer(result).ephemeral for result in pressed)
    assert all([(await world.job(number)).private for number in (2, 3, 4, 5)])
    assert len(world.posts()) == 1
    assert not answer(await world.ann.click(post, label="New seed")).ephemeral


async def test_a_server_may_keep_all_pictures_private(world: World, post: Any) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, defaults={"private": True})
    )
    await world.bot.store.presets.save(world.bob.id, "default", {"private": False})
    assert answer(await world.ann.click(post, label="New seed")).ephemeral
    assert not answer(await world.bob.click(post, label="New seed")).ephemeral


async def test_a_cell_of_one_who_keeps_pictures_private(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", count=2)
    await world.bot.store.presets.save(world.bob.id, "default", {"private": True})
    opened = await world.bob.click(answer(made), custom_id="p:open:1:1")
    assert answer(opened).ephemeral
    assert (await world.job(2)).private


async def test_while_it_is_not_known_whether_it_is_private_nobody_else_sees_it(
    world: World, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: Any) -> Layers:
        await asyncio.sleep(10)
        return Layers()

    monkeypatch.setattr(bot.gate.gate, "layers_of", slow)
    world.env.settle_timeout = 1.0
    result = await world.bob.click(post, label="New seed")
    await world.env.advance_time(bot.jobs.accepting.SECONDS_TO_DEFER)
    assert answer(result).flags.loading
    assert answer(result).ephemeral
    await world.env.advance_time(10)
    assert not answer(result).flags.loading


async def test_what_is_known_to_be_public_waits_in_public(
    world: World, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = world.bot.store.jobs.create

    async def slow(*arguments: Any, **values: Any) -> Any:
        await asyncio.sleep(10)
        return await write(*arguments, **values)

    monkeypatch.setattr(world.bot.store.jobs, "create", slow)
    world.env.settle_timeout = 1.0
    result = await world.bob.click(post, label="New seed")
    await world.env.advance_time(bot.jobs.accepting.SECONDS_TO_DEFER)
    assert answer(result).flags.loading
    assert not answer(result).ephemeral
    await world.env.advance_time(10)


# When something is gone.


async def test_a_job_that_is_gone(world: World, post: Any) -> None:
    await world.bot.store.jobs.delete(1)
    result = await world.ann.click(post, label="Clip skip +")
    assert answer(result).ephemeral
    assert "data no longer exists" in text(answer(result))


async def test_a_model_that_was_removed(world: World, post: Any) -> None:
    world.bot.catalogue.update(Catalogue(models=(model("another"),)))
    result = await world.ann.click(post, label="Clip skip +")
    assert answer(result).ephemeral
    assert "no model called **plain**" in text(answer(result))


async def test_a_vae_that_was_removed(world: World, post: Any) -> None:
    world.bot.catalogue.update(Catalogue(models=world.found.models))
    result = await world.ann.select(post, ["vivid"], custom_id="p:vae:1")
    assert "no VAE called **vivid**" in text(answer(result))


async def test_a_picture_whose_parent_was_deleted_stands_alone(world: World, post: Any) -> None:
    await world.ann.click(post, label="New seed")
    await world.bot.store.jobs.delete(1)
    result = await world.ann.click(world.last, label="Clip skip +")
    assert "clip skip 2" in text(answer(result))


async def test_a_bug_is_answered_with_a_number(
    world: World, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.bot.jobs, "vary", broken)
    result = await world.ann.click(post, label="Clip skip +")
    assert "Something went wrong" in text(answer(result))


async def test_one_posts_controls_survive_another_posts_changes(world: World, post: Any) -> None:
    # discord.py unregisters a pattern for every post when one view is mutated or stopped.
    panel = await world.ann.click(post, label="More…")
    await world.ann.click(answer(panel), label="Delete")
    await world.ann.click(answer(panel), label="Keep it")
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.ann.click(world.last, label="Cancel")
    await world.env.settle()
    world.engine.release()
    await world.later(3600)
    result = await world.ann.click(post, label="Clip skip +")
    assert "clip skip 2" in text(answer(result))


def components_of(modal: dict[str, Any]) -> list[dict[str, Any]]:
    """A modal's fields, out of their labels."""
    wrapped = type("Form", (), {"components": modal["components"]})
    return [item for item in components(wrapped) if "custom_id" in item]


def test_controls_are_only_ever_made_fresh() -> None:
    # A guard for the next reader: every control in a view is our one DynamicItem.
    from bot.posts.controls import Control, button, layout, row

    view = layout(row(button("x", "clip", 1, 2)))
    dispatchable = [item for item in view.walk_children() if item.is_dispatchable()]
    assert all(isinstance(item, (Control, discord.ui.ActionRow)) for item in dispatchable)
    assert view.timeout is None
