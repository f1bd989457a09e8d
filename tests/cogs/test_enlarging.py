"""Upscaling without redrawing: of the bot's own images, of anybody's, and where it is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from core.models.catalogue import Card
from core.pictures.files import read_infotext, write_png
from core.request import Enlarge, GenerationRequest
from tests.cogs.test_message_menus import fetched, only_what_has_a_sentence
from tests.simulation import World, answer, buttons, model, selects, stocked, text

# The pictures that a question shows are fetched from the simulated Discord.
pytestmark = pytest.mark.usefixtures(fetched.__name__, only_what_has_a_sentence.__name__)

A1111 = (
    "a fox\nNegative prompt: lowres\nSteps: 25, Sampler: DPM++ 2M, Schedule type: Karras, "
    "CFG scale: 5.5, Seed: 42, Size: 512x768, Model: gone, Version: v1.10.1"
)
TWO, FOUR = "×2 with …", "×4 with …"


@pytest.fixture
def equipped(world: World) -> World:
    """The bot with add-ons."""
    world.bot.catalogue.update(stocked())
    return world


def last(world: World) -> GenerationRequest:
    return world.engine.seen[-1].request


async def sent(world: World, *files: bytes) -> Any:
    named = [(f"{number}.png", data) for number, data in enumerate(files)]
    return await world.bob.send(world.channel, "look", attachments=named)


async def menu(world: World, message: Any) -> Any:
    result = await world.ann.context_menu(world.channel, "Upscale without redrawing", message)
    await world.env.settle()
    return answer(result)


def foreign(parameters: str, width: int = 60, height: int = 30) -> bytes:
    return write_png(Image.new("RGB", (width, height), "red"), parameters)


async def test_a_result_is_enlarged_as_it_is(equipped: World) -> None:
    world = equipped
    made = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    panel = answer(await world.bob.click(answer(made), label="More…"))
    asked = answer(await world.bob.click(panel, label="Upscale without redrawing"))
    assert asked.ephemeral
    assert list(selects(asked)) == [TWO, "×3 with …", FOUR]
    values = [option["value"] for option in selects(asked)[TWO]["options"]]
    assert values == ["4x-UltraSharp", "RealESRGAN_x4plus", "Lanczos"]
    result = answer(await world.bob.select(asked, [values[0]], custom_id="p:enlarge_two:1"))
    assert not result.ephemeral
    assert "enlarged ×2 with 4x-UltraSharp" in text(result)
    assert "clip skip" not in text(result)
    assert list(buttons(result)) == ["More…"]
    work = world.engine.seen[-1]
    assert work.request.enlarge == Enlarge(2.0, "4x-UltraSharp")
    assert work.items[0].enlarger == stocked().upscalers.find("4x-UltraSharp")
    # The very file of the first job, with its parameters inside.
    first = await world.bot.store.pictures.of_job(1)
    assert work.request.inputs.finished == (await first[0].image()).png
    job = await world.job(2)
    assert (job.user_id, job.parent_id, job.request) == (world.bob.id, 1, work.request)
    # What it was made from is not changed under it, but it can be a start image.
    further = answer(await world.bob.click(result, label="More…"))
    assert list(buttons(further)) == [
        "Use as start image",
        "Parameters",
        "Send to my DMs",
        "Delete",
    ]


async def test_one_of_several_and_the_menu(equipped: World) -> None:
    world = equipped
    await world.ann.slash(world.channel, "imagine", prompt="a cat", seed=7, count=2)
    await world.env.settle()
    asked = await menu(world, world.last)
    assert text(asked) == "Which image?"
    shown = answer(await world.ann.click(asked, label="2"))
    await world.ann.select(shown, ["Lanczos"], custom_id="p:enlarge_four:1:1")
    await world.env.settle()
    assert (last(world).seed, last(world).enlarge) == (8, Enlarge(4.0, "Lanczos"))
    assert last(world).delivered_size == (64, 64), "the fake engine's images have 16 pixels"


async def test_anybody_s_picture_keeps_its_parameters(world: World) -> None:
    asked = await menu(world, await sent(world, foreign(A1111)))
    assert list(selects(asked)) == [TWO, "×3 with …", FOUR]
    assert [option["value"] for option in selects(asked)[TWO]["options"]] == ["Lanczos"]
    await world.ann.select(asked, ["Lanczos"], custom_id="s:enlarge_two")
    await world.env.settle()
    request = last(world)
    assert (request.prompt, request.delivered_size) == ("a fox", (120, 56))
    assert request.inputs.finished is not None
    assert read_infotext(request.inputs.finished) == A1111
    assert "enlarged ×2 with Lanczos" in text(world.last)


async def test_of_several_pictures_one_is_picked(world: World) -> None:
    asked = await menu(world, await sent(world, foreign(""), foreign(A1111, 40, 40)))
    shown = answer(await world.ann.click(asked, label="2"))
    await world.ann.select(shown, ["Lanczos"], custom_id="s:enlarge_two")
    await world.env.settle()
    assert last(world).delivered_size == (80, 80)


async def test_what_is_no_picture_or_too_large_is_refused(world: World) -> None:
    assert "no image" in text(await menu(world, await world.bob.send(world.channel, "hello")))
    asked = await menu(world, await sent(world, foreign("", 1100, 20)))
    refused = answer(await world.ann.select(asked, ["Lanczos"], custom_id="s:enlarge_four"))
    assert "4400×80 pixels; the limit per side here is 4096" in text(refused)
    asked = await menu(world, await sent(world, b"\x89PNG\r\n\x1a\n and no more"))
    refused = answer(await world.ann.select(asked, ["Lanczos"], custom_id="s:enlarge_four"))
    assert "damaged" in text(refused)
    assert world.engine.seen == []


async def test_an_upscaler_by_16_on_a_large_picture_is_refused(equipped: World) -> None:
    world = equipped
    file = replace(stocked().upscalers.entries[0], name="16x", scale=16)
    shelf = type(stocked().upscalers)("upscaler", [file])
    world.bot.catalogue.update(replace(stocked(), upscalers=shelf))
    asked = await menu(world, await sent(world, foreign("", 800, 600)))
    refused = answer(await world.ann.select(asked, ["16x"], custom_id="s:enlarge_two"))
    assert "12800×9600 pixels; the limit per side here is 8192" in text(refused)
    small = await menu(world, await sent(world, foreign("", 80, 60)))
    await world.ann.select(small, ["16x"], custom_id="s:enlarge_two")
    await world.env.settle()
    assert last(world).enlarge == Enlarge(2.0, "16x")


async def test_a_server_s_limits_quota_and_words_hold(world: World) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, max_size=512, words=("fox",))
    )
    asked = await menu(world, await sent(world, foreign(A1111)))
    refused = answer(await world.ann.select(asked, ["Lanczos"], custom_id="s:enlarge_two"))
    assert "fox" in text(refused)
    asked = await menu(world, await sent(world, foreign("", 700, 10)))
    refused = answer(await world.ann.select(asked, ["Lanczos"], custom_id="s:enlarge_three"))
    assert "the limit per side here is 2048" in text(refused)
    assert world.engine.seen == []


async def test_where_the_model_cannot_draw_larger_upscale_enlarges(world: World) -> None:
    small = model("small", size=(128, 128), card=Card(largest=160))
    world.bot.catalogue.update(replace(world.found, models=(small,)))
    made = await world.ann.slash(world.channel, "imagine", prompt="a red square", seed=7)
    panel = answer(await world.ann.click(answer(made), label="More…"))
    result = answer(await world.ann.click(panel, label="Upscale ×1.5"))
    assert last(world).enlarge == Enlarge(1.5, "Lanczos")
    assert last(world).hires is None
    assert "small doesn’t generate well over 160 pixels per side" in text(result)
    asked = {"prompt": "a red square", "hires_scale": 2}
    larger = answer(await world.ann.slash(world.channel, "imagine", **asked))
    assert "small doesn’t generate well over 160 pixels per side" in text(larger)


async def test_an_enlarged_image_is_not_varied(world: World) -> None:
    asked = await menu(world, await sent(world, foreign(A1111)))
    await world.ann.select(asked, ["Lanczos"], custom_id="s:enlarge_two")
    await world.env.settle()
    said = await world.ann.context_menu(world.channel, "Vary", world.last)
    assert "only enlarged, not generated" in text(answer(said))


async def test_it_goes_on_after_a_restart(world: World) -> None:
    world.engine.hold()
    asked = await menu(world, await sent(world, foreign(A1111)))
    await world.ann.select(asked, ["Lanczos"], custom_id="s:enlarge_two")
    await world.engine.started(1)
    await world.restart()
    await world.env.settle()
    assert last(world).enlarge == Enlarge(2.0, "Lanczos")
    assert (await world.job(1)).state == "delivered"


async def test_a_text_that_says_so_is_repeated_with_it(equipped: World) -> None:
    world = equipped
    pasted = A1111 + ", Postprocess upscale by: 2, Postprocess upscaler: 4x-UltraSharp"
    made = answer(await world.ann.slash(world.channel, "imagine", prompt=pasted))
    assert last(world).enlarge == Enlarge(2.0, "4x-UltraSharp")
    assert last(world).delivered_size == (1024, 1536)
    assert "enlarged ×2 with 4x-UltraSharp" in text(made)
    assert "clip skip" in text(made)
    missing = pasted.replace("4x-UltraSharp", "5x-Gone")
    made = answer(await world.ann.slash(world.channel, "imagine", prompt=missing))
    assert last(world).enlarge == Enlarge(2.0, "Lanczos")
    assert "5x-Gone isn’t available, so Lanczos is used" in text(made)
    too_much = pasted.replace("by: 2", "by: 8")
    made = answer(await world.ann.slash(world.channel, "imagine", prompt=too_much))
    assert last(world).enlarge is None
    assert "Postprocess upscale by “8” was ignored" in text(made)
