"""Under a sheet, and in reactions to it: every control changes something, for each kind of axis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.ordering.axes import KINDS
from bot.posts import forms
from core.errors import OutOfMemory
from core.request import GenerationRequest
from core.sheets.sheet import Sheet, axis_of
from tests.cogs.test_message_menus import png
from tests.simulation import World, a_job, answer, buttons, selects, stocked, text

FIELDS = tuple(kind.field for kind in KINDS)
# Values for the axes that have none by themselves, or too many.
VALUES = {"prompt": "cat, dog", "sampler": "Euler, DDIM", "model": "plain, anime"}
# Samplers that use what the axis changes.
SAMPLERS = {
    "eta": "Euler a",
    "eta_ddim": "DDIM",
    "eta_noise_seed_delta": "Euler a",
    "schedule_min_sigma": "Euler Karras",
    "schedule_max_sigma": "Euler Karras",
    "schedule_rho": "Euler Karras",
    "beta_alpha": "Euler Beta",
    "beta_beta": "Euler Beta",
    "unipc_order": "UniPC",
}
# Prompts of which what the axis changes is used.
PROMPTS = {
    "old_timelines": "a [(cat:1.2):dog:5]",
    "lora_weight": "a (cat:1.2) <lora:ink:1>",
}
NGMS = "a cat\nSteps: 20, Sampler: Euler, Size: 512x512, NGMS: 2, RNG: CPU"


async def drawn(world: World, field: str, **options: Any) -> Any:
    """Ann's sheet over one thing."""
    if field in ("lora", "lora_weight"):
        world.bot.catalogue.update(stocked())
    if field in VALUES:
        options["x_values"] = VALUES[field]
    if field in SAMPLERS:
        options["sampler"] = SAMPLERS[field]
    if field != "sgm_noise_multiplier":
        options["start_image"] = ("a.png", png())
    prompt = NGMS if field == "ngms_all_steps" else PROMPTS.get(field, "a (cat:1.2)")
    result = await world.ann.slash(
        world.channel, "explore", prompt=prompt, x_axis=field, seed=7, **options
    )
    await world.env.settle()
    return answer(result)


def cells(world: World, number: int) -> list[GenerationRequest]:
    return [item.request for item in world.engine.seen[number].items]


async def told(world: World, who: Any) -> list[str]:
    """What stands in somebody's direct messages with the bot."""
    return [text(message) for message in who.user.dm_channel.history()]


@pytest.mark.parametrize("field", FIELDS)
async def test_nothing_under_a_sheet_draws_the_same_again(world: World, field: str) -> None:
    post = await drawn(world, field)
    # What draws: a cell of the sheet needs no drawing.
    assert set(buttons(post)) - {"More…"} == (set() if field == "seed" else {"New seed"})
    assert len(selects(post)) == 1
    if "New seed" in buttons(post):
        await world.bob.click(post, label="New seed")
        assert not set(cells(world, 0)) & set(cells(world, 1))
    await world.bob.select(post, ["1"], custom_id="p:cell_x:1")
    request = (await world.job(len(world.engine.seen) + 1)).request
    assert request == cells(world, 0)[1]


@pytest.mark.parametrize("field", FIELDS)
async def test_more_of_a_sheet_keeps_what_is_the_sheets(world: World, field: str) -> None:
    panel = answer(await world.ann.click(await drawn(world, field), label="More…"))
    seed = [] if field == "seed" else ["Pin this seed"]
    keep = ["Save as preset", "Parameters", *seed, "Send to my DMs", "Delete"]
    assert list(buttons(panel)) == keep
    form = await world.ann.click(panel, label="Save as preset")
    await world.ann.submit_modal(form, {"name": "default"})
    kept = set(await world.bot.store.presets.yours(world.ann.id))
    every = {"negative_prompt", "model", "vae", "clip_skip", "steps", "cfg_scale", "sampler"}
    every |= {"ngms"} if field == "ngms_all_steps" else set()
    assert kept == (every | {"size"}) - {"sampler" if field == "schedule_type" else field}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("emoji", ["🎲", "⬆️", "⬇️"])
async def test_a_reaction_to_a_sheet_changes_it_or_says_why_not(
    world: World, field: str, emoji: str
) -> None:
    post = await drawn(world, field, **({} if field == "clip_skip" else {"clip_skip": 3}))
    await world.bob.react(post, emoji)
    await world.env.settle()
    if field == ("seed" if emoji == "🎲" else "clip_skip"):
        assert len(world.engine.seen) == 1
        assert len(world.posts()) == 1
        (said,) = await told(world, world.bob)
        assert "its own value for that" in said
    else:
        assert not set(cells(world, 0)) & set(cells(world, 1))
        assert await told(world, world.bob) == []


@pytest.mark.parametrize("emoji", ["⬆️", "⬇️"])
async def test_arrows_say_where_clip_skip_does_nothing(world: World, emoji: str) -> None:
    result = await world.ann.slash(
        world.channel, "imagine", prompt="a cat", model="two", clip_skip=3
    )
    await world.bob.react(answer(result), emoji)
    await world.env.settle()
    assert len(world.engine.seen) == 1
    (said,) = await told(world, world.bob)
    assert "has no effect on SD 2.x" in said


async def test_arrows_work_where_it_does_something_for_one_of_the_models(world: World) -> None:
    result = await world.ann.slash(
        world.channel, "explore", prompt="a cat", x_axis="model", x_values="two, plain"
    )
    await world.bob.react(answer(result), "⬆️")
    await world.env.settle()
    assert len(world.engine.seen) == 2


async def test_a_made_up_custom_id_draws_no_sheet_twice(world: World) -> None:
    post = await drawn(world, "clip_skip")
    stored = world.env.backend.get_message(world.channel.id, post.id)
    stored.components[2]["components"][0]["custom_id"] = "p:clip:1:3"
    refused = answer(await world.bob.click(post, custom_id="p:clip:1:3"))
    assert refused.ephemeral
    assert "its own value for that" in text(refused)
    assert len(world.engine.seen) == 1


# Edit stands under a sheet that failed.


@pytest.mark.parametrize("field", FIELDS)
def test_edit_asks_nothing_that_the_sheet_has_its_own_values_of(field: str) -> None:
    kind = next(kind for kind in KINDS if kind.field == field)
    job = replace(a_job(), sheet=Sheet(axis_of(field, (kind.type("1"), kind.type("2")))))
    form = forms.edit_form(job, discord.Locale.american_english).to_dict()
    asked = {label["component"]["custom_id"] for label in form["components"]}
    every = {"prompt", "negative_prompt", "clip_skip", "seed", "settings"}
    assert asked == every - ({field} if field in ("clip_skip", "seed") else set())


@pytest.mark.parametrize("field", ["clip_skip", "seed"])
async def test_edit_of_a_failed_sheet_keeps_its_axis(world: World, field: str) -> None:
    world.engine.fail_next(OutOfMemory(512, 512))
    post = await drawn(world, field, x_values="1, 2")
    form = await world.ann.click(post, label="Edit")
    typed = {"prompt": "a cat", "negative_prompt": "", "settings": "9, 5, 256x256"}
    typed |= {"seed": "8"} if field == "clip_skip" else {"clip_skip": "4"}
    await world.ann.submit_modal(form, typed)
    first, second = cells(world, 1)
    assert (getattr(first, field), getattr(second, field), first.steps) == (1, 2, 9)
    assert (first.seed, first.clip_skip) == ((8, 1) if field == "clip_skip" else (1, 4))
