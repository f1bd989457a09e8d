"""Behind "More…": what is made from a picture, and what happens when something is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core import variations
from core.errors import TooLarge
from core.models.catalogue import Catalogue
from core.request import GenerationRequest, HiresFix
from tests.bot.actions.test_knobs import components_of
from tests.simulation import World, answer, buttons, model, selects, text, vae


@pytest.fixture
async def panel(world: World) -> Any:
    """Bob's panel of ann's picture, seed 7."""
    made = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    return answer(await world.bob.click(answer(made), label="More…"))


def last_request(world: World) -> GenerationRequest:
    return world.engine.seen[-1].request


# Sheets of one picture.


async def test_explore_draws_every_clip_skip_of_this_picture(world: World, panel: Any) -> None:
    result = answer(await world.bob.click(panel, label="Compare clip skips"))
    assert "**clip skip 1-12**" in text(result)
    assert "from [this image]" in text(result)
    requests = [item.request for item in world.engine.seen[1].items]
    assert [request.clip_skip for request in requests] == list(range(1, 13))
    assert {request.seed for request in requests} == {7}
    job = await world.job(2)
    assert (job.user_id, job.parent_id) == (world.bob.id, 1)


async def test_vae_ab_asks_which_and_decodes_the_same_latents(world: World, panel: Any) -> None:
    asked = answer(await world.bob.click(panel, label="Compare VAEs"))
    assert asked.ephemeral
    (offered,) = selects(asked).values()
    assert [option["value"] for option in offered["options"]] == ["vivid", "soft"]
    result = answer(await world.bob.select(asked, ["soft"], custom_id="p:vae_ab:1"))
    assert not result.ephemeral
    assert "**VAE Automatic, soft**" in text(result)
    first, second = (item.request for item in world.engine.seen[1].items)
    assert replace(first, vae="soft") == second
    assert len(result.attachments) == 1


async def test_vae_ab_needs_no_question_where_there_is_one_other(world: World) -> None:
    world.bot.catalogue.update(Catalogue(models=world.found.models, vaes=(vae("vivid"),)))
    made = answer(await world.ann.slash(world.channel, "imagine", prompt="x", vae="vivid"))
    panel = answer(await world.ann.click(made, label="More…"))
    result = answer(await world.ann.click(panel, label="Compare VAEs"))
    assert "**VAE vivid, Automatic**" in text(result)


async def test_vae_ab_is_not_offered_where_there_is_nothing_to_compare(
    world: World, panel: Any
) -> None:
    world.bot.catalogue.update(Catalogue(models=world.found.models))
    made = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    assert "Compare VAEs" not in buttons(answer(await world.ann.click(made, label="More…")))
    # The panel from before still has the button.
    result = await world.bob.click(panel, label="Compare VAEs")
    assert "only one VAE" in text(answer(result))


async def test_vae_ab_past_24_is_searched(world: World) -> None:
    vaes = tuple(vae(f"vae {number}") for number in range(60))
    world.bot.catalogue.update(Catalogue(models=world.found.models, vaes=vaes))
    made = answer(await world.ann.slash(world.channel, "imagine", prompt="x", count=2))
    panel = answer(await world.ann.click(made, label="More…"))
    await world.ann.select(panel, ["1"], custom_id="p:which:1")
    asked = answer(await world.ann.click(panel, label="Compare VAEs"))
    (offered,) = selects(asked).values()
    assert len(offered["options"]) == 25
    search = offered["options"][-1]["value"]
    form = await world.ann.select(asked, [search], custom_id="p:vae_ab:1:1")
    found = answer(await world.ann.submit_modal(form, {"name": "vae 5"}))
    (offered,) = selects(found).values()
    assert offered["options"][0]["value"] == "vae 5"
    await world.ann.select(found, ["vae 50"], custom_id="p:vae_ab:1:1")
    assert [item.request.vae for item in world.engine.seen[-1].items] == ["Automatic", "vae 50"]
    form = await world.ann.select(asked, [search], custom_id="p:vae_ab:1:1")
    await world.ann.submit_modal(form, {"name": "vae 59"})
    assert [item.request.vae for item in world.engine.seen[-1].items] == ["Automatic", "vae 59"]
    form = await world.ann.select(asked, [search], custom_id="p:vae_ab:1:1")
    nothing = await world.ann.submit_modal(form, {"name": "qqqqq"})
    assert "no VAE called" in text(answer(nothing))


async def test_clip_skip_is_not_explored_where_it_does_nothing(world: World) -> None:
    made = answer(await world.ann.slash(world.channel, "imagine", prompt="x", model="two"))
    panel = answer(await world.ann.click(made, label="More…"))
    assert "Compare clip skips" not in buttons(panel)
    assert "Upscale ×2" in buttons(panel)


# Other pictures of one picture.


@pytest.mark.parametrize(("label", "scale"), [("Upscale ×1.5", 1.5), ("Upscale ×2", 2.0)])
async def test_upscale_is_hires_fix_of_this_picture(
    world: World, panel: Any, label: str, scale: float
) -> None:
    result = answer(await world.bob.click(panel, label=label))
    assert f"upscaled ×{scale:g}" in text(result)
    first, second = (work.request for work in world.engine.seen)
    assert second.hires is not None
    assert second.hires.scale == scale
    assert replace(second, hires=None) == first
    again = answer(await world.bob.click(result, label="More…"))
    assert "Upscale ×2" not in buttons(again)


async def test_upscale_is_bounded_with_a_sentence(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", size="1024x512")
    panel = answer(await world.ann.click(answer(made), label="More…"))
    refused = answer(await world.ann.click(panel, label="Upscale ×2"))
    assert refused.ephemeral
    assert "2048×1024" in text(refused)
    assert "1536" in text(refused)
    assert len(world.engine.seen) == 1
    await world.ann.click(panel, label="Upscale ×1.5")
    assert last_request(world).final_size == (1536, 768)


def test_sizes_that_nobody_can_draw_are_too_large() -> None:
    request = GenerationRequest("x", "plain", 1, width=1536, height=64)
    with pytest.raises(TooLarge):
        variations.upscaled(request, 1.5, 4096)
    assert variations.upscaled(request, 4 / 3, 2048).final_size == (2048, 80)


@pytest.mark.parametrize(("label", "strength"), [("Vary (Subtle)", 0.15), ("Vary (Strong)", 0.45)])
async def test_vary_turns_the_noise_towards_another_seed(
    world: World, panel: Any, label: str, strength: float
) -> None:
    result = answer(await world.bob.click(panel, label=label))
    assert f"variation strength {strength}" in text(result)
    assert "seed 7" in text(result)
    first, second = (work.request for work in world.engine.seen)
    assert second.variation_strength == strength
    assert replace(second, variation_seed=0, variation_strength=0.0) == first
    await world.bob.click(panel, label=label)
    assert last_request(world).variation_seed != second.variation_seed


async def test_a_variation_of_a_variation_says_what_it_varies(world: World, panel: Any) -> None:
    result = answer(await world.bob.click(panel, label="Vary (Strong)"))
    assert "not of the variation you chose" not in text(result)
    panel = answer(await world.bob.click(result, label="More…"))
    again = answer(await world.bob.click(panel, label="Vary (Subtle)"))
    assert "not of the variation you chose" in text(again)


async def test_one_of_several_is_picked_in_the_panel(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", count=4, seed=10)
    panel = answer(await world.ann.click(answer(made), label="More…"))
    await world.ann.select(panel, ["2"], custom_id="p:which:1")
    (which,) = selects(panel).values()
    assert [option["value"] for option in which["options"] if option.get("default")] == ["2"]
    await world.ann.click(panel, label="Upscale ×2")
    assert (last_request(world).seed, last_request(world).count) == (12, 1)
    shown = answer(await world.ann.click(panel, label="Parameters"))
    assert "Seed: 12" in text(shown)
    await world.ann.click(panel, label="Pin this seed")
    assert "Seed **12**" in text(panel)


async def test_of_several_variations_one_is_one(world: World, panel: Any) -> None:
    request = GenerationRequest("x", "m", 5, variation_seed=9, variation_strength=0.2, count=3)
    assert request.alone(2) == replace(request, variation_seed=11, count=1)
    last = 2**32 - 1
    assert GenerationRequest("x", "m", last, count=2).alone(1).seed == 0


# Use as start image.

START = {
    "prompt": "a blue square",
    "negative_prompt": "",
    "denoising_strength": "0.5",
    "clip_skip": "3",
    "seed": "8",
}


async def test_a_picture_is_used_as_start_image(world: World, panel: Any) -> None:
    form = await world.bob.click(panel, label="Use as start image")
    assert form.modal is not None
    fields = {item["custom_id"]: item.get("value") for item in components_of(form.modal)}
    assert fields["prompt"] == "a red circle"
    assert fields["denoising_strength"] == "0.6"
    result = answer(await world.bob.submit_modal(form, START))
    assert "start image, denoising 0.5" in text(result)
    request = (await world.job(2)).request
    assert (request.prompt, request.clip_skip, request.seed) == ("a blue square", 3, 8)
    (parent,) = await world.bot.store.pictures.of_job(1)
    assert request.init_image == await parent.read()
    # Its variations keep it.
    further = await world.bob.click(result, label="Clip skip +")
    assert "start image" in text(answer(further))
    assert (await world.job(3)).request.init_image == request.init_image


async def test_an_upscaled_picture_starts_without_its_second_pass(world: World, panel: Any) -> None:
    upscaled = answer(await world.bob.click(panel, label="Upscale ×2"))
    panel = answer(await world.bob.click(upscaled, label="More…"))
    form = await world.bob.click(panel, label="Use as start image")
    await world.bob.submit_modal(form, START | {"seed": ""})
    request = last_request(world)
    assert request.hires is None
    assert (request.width, request.height) == (512, 512)
    assert request.seed != 7


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"denoising_strength": "2"}, "denoising strength must be from 0 to 1"),
        ({"denoising_strength": "much"}, "denoising strength must be from 0 to 1"),
        ({"denoising_strength": "nan"}, "denoising strength must be from 0 to 1"),
        ({"clip_skip": "13"}, "clip skip must be from 1 to 12"),
        ({"seed": "-5"}, "seed must be from"),
    ],
)
async def test_what_cannot_be_used_is_said_and_given_back(
    world: World, panel: Any, wrong: dict[str, str], sentence: str
) -> None:
    form = await world.bob.click(panel, label="Use as start image")
    result = answer(await world.bob.submit_modal(form, START | wrong))
    assert result.ephemeral
    assert sentence in text(result)
    assert "a blue square" in text(result)
    assert len(world.engine.seen) == 1


async def test_a_form_opened_before_a_restart_still_works(world: World, panel: Any) -> None:
    form = await world.bob.click(panel, label="Use as start image")
    await world.restart(kill=True)
    result = await world.bob.submit_modal(form, START)
    assert "a blue square" in text(answer(result))


# Send to my DMs.


async def test_the_post_is_sent_to_the_members_dms(world: World, panel: Any) -> None:
    sent = answer(await world.bob.click(panel, label="Send to my DMs"))
    assert sent.ephemeral
    assert "direct messages" in text(sent)
    (message,) = world.bob.user.dm_channel.history()
    assert "seed 7" in text(message)
    assert "Job 1" in text(message)
    assert len(message.attachments) == 1
    further = await world.bob.user.click(message, label="Clip skip +")
    assert "clip skip 2" in text(answer(further))
    assert len(world.posts()) == 1


async def test_closed_dms_are_a_sentence(world: World, panel: Any) -> None:
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    result = answer(await world.bob.click(panel, label="Send to my DMs"))
    assert "can’t send you direct messages" in text(result)
    assert not result.flags.loading


async def test_a_sheet_goes_to_dms_as_one_picture(world: World) -> None:
    made = answer(await world.ann.slash(world.channel, "explore", prompt="x"))
    panel = answer(await world.ann.click(made, label="More…"))
    await world.ann.click(panel, label="Send to my DMs")
    (message,) = world.ann.user.dm_channel.history()
    assert len(message.attachments) == 1
    cell = await world.ann.user.select(message, ["3"], custom_id="p:cell_x:1")
    assert "clip skip 4" in text(answer(cell))


# When something is gone.

MAKERS = (
    "Compare clip skips",
    "Compare VAEs",
    "Upscale ×1.5",
    "Upscale ×2",
    "Vary (Subtle)",
    "Vary (Strong)",
    "Use as start image",
    "Send to my DMs",
)


@pytest.mark.parametrize("label", MAKERS)
async def test_a_job_that_is_gone(world: World, panel: Any, label: str) -> None:
    await world.bot.store.jobs.delete(1)
    result = answer(await world.bob.click(panel, label=label))
    assert result.ephemeral
    assert "data no longer exists" in text(result)


@pytest.mark.parametrize("label", MAKERS[:6])
async def test_a_model_that_was_removed(world: World, panel: Any, label: str) -> None:
    world.bot.catalogue.update(Catalogue(models=(model("another"),)))
    result = answer(await world.bob.click(panel, label=label))
    assert result.ephemeral
    assert "no model called **plain**" in text(result)
    assert len(world.engine.seen) == 1


async def test_without_its_model_a_picture_can_still_be_kept(world: World) -> None:
    made = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    world.bot.catalogue.update(Catalogue(models=(model("another"),)))
    panel = answer(await world.ann.click(made, label="More…"))
    assert "Send to my DMs" in buttons(panel)
    assert "Compare clip skips" not in buttons(panel)


async def test_a_vae_that_was_removed(world: World, panel: Any) -> None:
    asked = answer(await world.bob.click(panel, label="Compare VAEs"))
    world.bot.catalogue.update(Catalogue(models=world.found.models, vaes=(vae("soft"),)))
    result = answer(await world.bob.select(asked, ["vivid"], custom_id="p:vae_ab:1"))
    assert "no VAE called **vivid**" in text(result)


async def test_a_picture_whose_file_is_gone(world: World, panel: Any) -> None:
    form = await world.bob.click(panel, label="Use as start image")
    (picture,) = await world.bot.store.pictures.of_job(1)
    picture.path.unlink()
    assert "image file no longer exists" in text(answer(await world.bob.submit_modal(form, START)))
    sent = answer(await world.bob.click(panel, label="Send to my DMs"))
    assert "image file no longer exists" in text(sent)
    # What is drawn anew needs no file.
    await world.bob.click(panel, label="Upscale ×2")
    assert len(world.engine.seen) == 2


@pytest.mark.parametrize(
    "action", ["explore", "upscale", "vary_subtly", "take_seed", "cell_x", "cell_y"]
)
async def test_a_made_up_custom_id_does_nothing(world: World, action: str) -> None:
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    stored = world.env.backend.get_message(world.channel.id, post.id)
    control = stored.components[2]["components"][4]
    control["custom_id"] = f"p:{action}:1:99"
    result = answer(await world.bob.click(post, custom_id=control["custom_id"]))
    assert "image file no longer exists" in text(result)
    assert len(world.engine.seen) == 1
    assert await world.bot.store.presets.list(world.bob.id) == ()


async def test_makers_of_a_private_picture_are_private(world: World) -> None:
    made = answer(await world.ann.slash(world.channel, "imagine", prompt="x", private=True))
    panel = answer(await world.ann.click(made, label="More…"))
    result = answer(await world.ann.click(panel, label="Compare clip skips"))
    assert result.ephemeral
    assert (await world.job(2)).private


async def test_a_full_queue_is_refused(world: World, panel: Any) -> None:
    world.engine.hold()
    for _ in range(world.settings.queue_per_member):
        await world.bob.click(panel, label="Vary (Subtle)")
    result = answer(await world.bob.click(panel, label="Compare clip skips"))
    assert "waiting and running jobs (5)" in text(result)


def test_a_start_image_has_no_second_pass() -> None:
    request = GenerationRequest("x", "m", 1, hires=HiresFix(), variation_strength=0.5)
    started = variations.started_from(request, b"png", 0.3)
    assert (started.hires, started.variation_strength) == (None, 0.0)
    assert (started.init_image, started.denoising_strength) == (b"png", 0.3)
