"""/explore: from the command to the sheet's post, its selects, restarts, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from bot.posts.delivery import Delivery
from bot.settings import Settings
from core.errors import OutOfMemory
from core.models.catalogue import Catalogue
from core.pictures.files import read_infotext
from tests.simulation import (
    World,
    answer,
    buttons,
    components,
    model,
    selects,
    simulate,
    text,
    vae,
)


@pytest.fixture
async def strip(world: World) -> Any:
    """Ann's strip of every clip skip."""
    return answer(await world.ann.slash(world.channel, "explore", prompt="a red circle", seed=7))


@pytest.fixture
async def both(world: World) -> Any:
    """Ann's sheet of two axes."""
    return answer(
        await world.ann.slash(
            world.channel,
            "explore",
            prompt="a red circle",
            seed=7,
            x_axis="clip_skip",
            x_values="1, 2, 4",
            y_axis="vae",
            y_values="vivid, soft",
        )
    )


async def test_a_prompt_alone_becomes_the_clip_skip_strip(world: World, strip: Any) -> None:
    assert not strip.ephemeral
    said = text(strip)
    assert "a red circle" in said
    assert "**clip skip 1-12**" in said
    assert "seed 7" in said
    assert list(buttons(strip)) == ["New seed", "More…"]
    (offered,) = selects(strip).values()
    assert [option["label"] for option in offered["options"]][:2] == ["clip skip 1", "clip skip 2"]
    job = await world.job(1)
    assert job.state == "delivered"
    assert job.sheet is not None


async def test_it_is_one_job_of_one_seed(world: World, strip: Any) -> None:
    (work,) = world.engine.seen
    assert [item.request.clip_skip for item in work.items] == list(range(1, 13))
    assert {item.request.seed for item in work.items} == {7}
    drawn = answer(await world.ann.slash(world.channel, "explore", prompt="x"))
    assert "seed" in text(drawn)
    assert len({item.request.seed for item in world.engine.seen[1].items}) == 1


async def test_only_the_sheet_is_posted_with_alt_text_and_parameters(
    world: World, strip: Any
) -> None:
    (attachment,) = strip.attachments
    gallery = next(item for item in components(strip) if item["type"] == 12)
    described = "Comparison grid (clip skip 1-12): a red circle"
    assert [item["description"] for item in gallery["items"]] == [described]
    data = await attachment.read()
    assert "X Type: Clip skip" in str(read_infotext(data))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.height > picture.width
    pictures = await world.bot.store.pictures.of_job(1)
    assert len(pictures) == 13
    assert all(picture.path.is_file() for picture in pictures)
    assert pictures[0].attachment_id == attachment.id


async def test_a_cell_of_a_strip_is_posted_by_one_select(world: World, strip: Any) -> None:
    result = answer(await world.bob.select(strip, ["4"], custom_id="p:cell_x:1"))
    assert not result.ephemeral
    assert "clip skip 5" in text(result)
    assert len(world.engine.seen) == 1
    job = await world.job(2)
    assert (job.user_id, job.parent_id, job.sheet) == (world.bob.id, 1, None)
    assert job.request.clip_skip == 5
    (cell,) = await world.bot.store.pictures.of_job(2)
    assert "Clip skip: 5" in cell.infotext
    further = await world.bob.click(result, label="Clip skip +")
    assert "clip skip 6" in text(answer(further))


@pytest.mark.parametrize("first", ["x", "y"])
async def test_a_cell_of_two_axes_is_asked_for_in_either_order(
    world: World, both: Any, first: str
) -> None:
    assert len(selects(both)) == 2
    place = {"x": "2", "y": "1"}
    second = "y" if first == "x" else "x"
    panel = answer(await world.bob.select(both, [place[first]], custom_id=f"p:cell_{first}:1"))
    assert panel.ephemeral
    other = f"p:cell_{second}:1:{place[first]}"
    result = answer(await world.bob.select(panel, [place[second]], custom_id=other))
    assert not result.ephemeral
    request = (await world.job(2)).request
    assert (request.clip_skip, request.vae) == (4, "soft")
    # The panel stays for one more.
    other_place = "0"
    await world.bob.select(panel, [other_place], custom_id=other)
    request = (await world.job(3)).request
    assert (request.clip_skip, request.vae) in ((4, "vivid"), (1, "soft"))


async def test_the_sheets_selects_work_after_a_restart(world: World, both: Any) -> None:
    panel = answer(await world.bob.select(both, ["2"], custom_id="p:cell_x:1"))
    await world.restart(kill=True)
    await world.bob.select(panel, ["0"], custom_id="p:cell_y:1:2")
    request = (await world.job(2)).request
    assert (request.clip_skip, request.vae) == (4, "vivid")


async def test_a_cell_can_be_posted_though_its_vae_is_gone(world: World, both: Any) -> None:
    world.bot.catalogue.update(Catalogue(models=(model("another"),)))
    panel = answer(await world.bob.select(both, ["0"], custom_id="p:cell_x:1"))
    result = answer(await world.bob.select(panel, ["0"], custom_id="p:cell_y:1:0"))
    assert "VAE vivid" in text(result)
    refused = await world.bob.click(result, label="Clip skip +")
    assert "no model called **plain**" in text(answer(refused))


async def test_a_new_seed_draws_the_whole_sheet_again(world: World, both: Any) -> None:
    result = answer(await world.bob.click(both, label="New seed"))
    assert "clip skip 1, 2, 4" in text(result)
    first, second = world.engine.seen
    assert len(second.items) == len(first.items) == 6
    assert second.items[0].request.seed != 7
    assert len({item.request.seed for item in second.items}) == 1
    assert (await world.job(2)).parent_id == 1


async def test_more_of_a_sheet_is_what_makes_sense_for_it(world: World, strip: Any) -> None:
    panel = answer(await world.ann.click(strip, label="More…"))
    labels = ["Save as preset", "Parameters", "Pin this seed", "Send to my DMs", "Delete"]
    assert list(buttons(panel)) == labels
    shown = await world.ann.click(panel, label="Parameters")
    assert "X Values: 1-12" in text(answer(shown))


async def test_deleting_a_sheet_takes_its_cells_along(world: World, strip: Any) -> None:
    pictures = await world.bot.store.pictures.of_job(1)
    panel = answer(await world.ann.click(strip, label="More…"))
    await world.ann.click(panel, label="Delete")
    await world.ann.click(panel, label="Delete")
    assert not any(picture.path.exists() for picture in pictures)
    assert strip.id not in [message.id for message in world.posts()]


async def test_a_private_sheet_and_its_cells_are_seen_by_nobody_else(world: World) -> None:
    post = answer(await world.ann.slash(world.channel, "explore", prompt="x", private=True))
    assert post.ephemeral
    cell = answer(await world.ann.select(post, ["0"], custom_id="p:cell_x:1"))
    assert cell.ephemeral
    assert world.channel.history(viewer=world.bob) == []


# While it waits and runs.


async def test_a_restart_in_mid_sheet_draws_it_from_the_database_alone(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(
        world.channel,
        "explore",
        prompt="x",
        x_axis="seed",
        x_values="-1, -1",
        y_axis="vae",
    )
    first = await world.engine.started(1)
    await world.env.settle()
    assert list(buttons(world.last)) == ["Cancel"]
    await world.restart(kill=True)
    await world.env.settle()
    assert [item.request for item in world.engine.seen[0].items] == [
        item.request for item in first.items
    ]
    assert (await world.job(1)).state == "delivered"
    assert len(selects(world.last)) == 2
    # Both axes are seeds' and VAEs': there is no new seed to draw.
    assert "New seed" not in buttons(world.last)


async def test_killed_before_it_was_delivered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any, **__: Any) -> bool:
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "deliver", killed)
        await world.ann.slash(world.channel, "explore", prompt="x")
        await world.restart(kill=True)
    await world.restart()
    assert (await world.job(1)).state == "delivered"
    assert len(world.last.attachments) == 1


async def test_progress_is_shown_and_cancel_ends_it(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "explore", prompt="x", steps=20)
    await world.engine.started(1)
    world.engine.progress(1, 5, preview=True)
    await world.env.settle()
    assert "5 / 20" in text(world.last)
    refused = await world.bob.click(world.last, label="Cancel")
    assert "Only the person who started this" in text(answer(refused))
    await world.ann.click(world.last, label="Cancel")
    await world.env.settle()
    assert (await world.job(1)).state == "cancelled"


async def test_a_sheet_too_large_for_discord_is_shrunk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.posts.delivery.SMALLEST_LIMIT", 10)
    world.engine.hold()
    await world.ann.slash(world.channel, "explore", prompt="x")
    await world.engine.started(1)
    await world.env.settle()
    world.env.inject_error("PATCH", "/webhooks/*/*/messages/*", status=413, code=40005)
    world.engine.release()
    await world.env.settle()
    (file,) = world.last.attachments
    assert file.filename.endswith(".webp")
    assert "X Type: Clip skip" in str(read_infotext(await file.read()))
    assert "Sent as WebP" in text(world.last)


async def test_a_sheet_that_failed_is_tried_again_whole(world: World) -> None:
    world.engine.fail_next(OutOfMemory(512, 512))
    await world.ann.slash(world.channel, "explore", prompt="x", x_values="1, 2")
    assert "isn’t enough VRAM" in text(world.last)
    again = answer(await world.ann.click(world.last, label="Try again"))
    assert "clip skip 1, 2" in text(again)
    assert len(world.engine.seen[1].items) == 2


async def test_edit_after_a_failure_keeps_the_axes(world: World) -> None:
    world.engine.fail_next(OutOfMemory(512, 512))
    await world.ann.slash(world.channel, "explore", prompt="x", x_values="1, 2")
    form = await world.ann.click(world.last, label="Edit")
    typed = {"prompt": "y", "seed": "8", "settings": "9 5 256x256"}
    await world.ann.submit_modal(form, typed)
    requests = [item.request for item in world.engine.seen[1].items]
    assert [(r.prompt, r.clip_skip, r.width) for r in requests] == [("y", 1, 256), ("y", 2, 256)]


# What the cells are.


async def test_models_bring_their_own_vae_and_the_first_one_the_values(world: World) -> None:
    world.bot.catalogue.update(
        Catalogue(
            models=(model("xl", "sdxl", size=(1024, 1024)), *world.found.models),
            vaes=world.found.vaes,
        )
    )
    await world.ann.slash(
        world.channel, "explore", prompt="x", x_axis="model", x_values="anime, plain"
    )
    requests = [item.request for item in world.engine.seen[0].items]
    assert [request.model for request in requests] == ["anime", "plain"]
    # Both as the first one's card says, and of its size.
    assert {request.clip_skip for request in requests} == {2}
    assert {request.width for request in requests} == {512}
    assert {request.vae for request in requests} == {"Automatic"}


async def test_a_count_from_a_preset_is_left_out_and_said(world: World) -> None:
    await world.bot.store.presets.save(world.ann.id, "default", {"count": 4})
    post = answer(await world.ann.slash(world.channel, "explore", prompt="x", x_values="1, 2"))
    assert "shows each combination once" in text(post)
    assert len(world.engine.seen[0].items) == 2
    assert {item.request.count for item in world.engine.seen[0].items} == {1}
    cell = answer(await world.ann.select(post, ["1"], custom_id="p:cell_x:1"))
    assert "shows each combination once" not in text(cell)


async def test_denoising_strength_over_a_start_image(world: World) -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(file, "PNG")
    post = answer(
        await world.ann.slash(
            world.channel,
            "explore",
            prompt="x",
            x_axis="denoising_strength",
            start_image=("start.png", file.getvalue()),
        )
    )
    requests = [item.request for item in world.engine.seen[0].items]
    assert [request.denoising_strength for request in requests] == [0.2, 0.4, 0.6, 0.8]
    assert all(request.init_image for request in requests)
    assert "start image" in text(post)
    cell = answer(await world.ann.select(post, ["1"], custom_id="p:cell_x:1"))
    assert "start image, denoising 0.4" in text(cell)
    assert (await world.job(2)).request.init_image


# Refused, before anything is written.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"x_axis": "seed", "x_values": "1-10000"}, "25 values; yours has 10000"),
        ({"x_values": "13"}, "clip skip must be from 1 to 12, not “13”"),
        ({"x_values": "one"}, "clip skip must be from 1 to 12, not “one”"),
        ({"x_values": ","}, "like 1-12 or 5, 7, 11, not “,”"),
        ({"x_axis": "steps", "x_values": "10, 151"}, "steps must be from 1 to 150"),
        ({"x_axis": "sampler", "x_values": "Euler, magic"}, "no sampler called **magic**"),
        ({"x_axis": "vae", "x_values": "other"}, "**other** is made for"),
        ({"x_axis": "vae", "x_values": "gone.ckpt"}, "no VAE called"),
        ({"x_axis": "model", "x_values": "plian"}, "Did you mean **plain**"),
        ({"x_axis": "size", "x_values": "7x7"}, "a multiple of 8 from 64"),
        ({"x_axis": "size", "x_values": "2048x2048"}, "to 1536"),
        ({"x_axis": "denoising_strength"}, "without a start image"),
        ({"x_axis": "prompt"}, "put the word to find"),
        ({"x_axis": "prompt", "x_values": "dog, cat"}, "Neither prompt contains “dog”"),
        ({"y_axis": "clip_skip"}, "Both axes change the same thing"),
        ({"y_values": "1, 2"}, "`y_axis`"),
        ({"model": "two"}, "Clip skip has no effect"),
        (
            {"x_values": "1-12", "y_axis": "seed", "y_values": "1-4"},
            "up to 36 images; yours would have 48",
        ),
    ],
)
async def test_bad_input_is_answered(world: World, options: dict[str, Any], sentence: str) -> None:
    result = answer(await world.ann.slash(world.channel, "explore", prompt="x", **options))
    assert sentence in text(result)
    assert result.ephemeral
    assert world.env.errors
    assert await world.bot.store.jobs.unfinished() == []
    assert world.engine.seen == []


async def test_the_owner_decides_how_many_cells(settings: Settings) -> None:
    async with simulate(replace(settings, max_cells=48)) as world:
        await world.ann.slash(
            world.channel, "explore", prompt="x", y_axis="seed", y_values="1-4", size="64x64"
        )
        assert len(world.engine.seen[0].items) == 48


async def test_every_cell_is_held_against_the_servers_rules(world: World) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, models=("plain",), max_steps=30)
    )
    for options, sentence in (
        (
            {"x_axis": "model", "x_values": "plain, anime"},
            "**anime** isn’t available on this server",
        ),
        ({"x_axis": "steps", "x_values": "20, 40"}, "steps must be from 1 to 30"),
    ):
        result = await world.ann.slash(world.channel, "explore", prompt="x", **options)
        assert sentence in text(answer(result))
    assert world.env.errors
    assert world.engine.seen == []


async def test_axes_are_searched_by_their_names(world: World, speak: Callable[[str], None]) -> None:
    async def offered(typed: str) -> dict[str, str]:
        found = await world.ann.autocomplete(world.channel, "explore", "x_axis", typed)
        return {choice["value"]: choice["name"] for choice in found}

    every = await offered("")
    assert list(every)[:2] == ["clip_skip", "cfg_scale"]
    assert len(every) == 25
    assert await offered("rng") == {"noise_source": "noise source"}
    assert set(await offered("penultimate")) == {"discard_penultimate"}
    speak("ja")
    assert await offered("ノイズの") == {"noise_source": "ノイズの生成元"}


@pytest.mark.parametrize(
    ("axis", "values", "name", "expected"),
    [
        ("noise_source", "", "noise_source", ["CPU", "GPU", "NV"]),
        ("RNG source", "nv, cpu", "noise_source", ["NV", "CPU"]),
        ("noise source", "GPU", "noise_source", ["GPU"]),
        ("NGMS", "0-4 (+2)", "ngms", [0.0, 2.0, 4.0]),
        ("SGM noise multiplier", "", "sgm_noise_multiplier", [False, True]),
        ("discard_penultimate", "yes, no", "discard_penultimate", [True, False]),
        ("schedule_type", "Beta, sgm uniform", "schedule_type", ["Beta", "SGM Uniform"]),
        ("Seed resize from", "0x0, 256x512", "seed_resize_height", [0, 512]),
    ],
)
async def test_the_samplers_options_are_axes(
    world: World, axis: str, values: str, name: str, expected: list[Any]
) -> None:
    asked = {"prompt": "x", "x_axis": axis} | ({"x_values": values} if values else {})
    await world.ann.slash(world.channel, "explore", **asked)
    assert [getattr(item.request, name) for item in world.engine.seen[-1].items] == expected


@pytest.mark.parametrize(
    ("axis", "values", "said"),
    [
        ("eta", "0, 1", "no effect with this sampler"),
        ("schedule_rho", "3, 5", "no effect with this sampler"),
        ("emphasis", "", "no effect with this sampler"),
        ("ngms", "-1", "must be from 0 to 15, not"),
        ("ngms", "inf", "must be from 0 to 15, not “inf”"),
        ("ensd", "99999999999", "must be from -2147483648 to 4294967295"),
        ("sgm noise multiplier", "maybe", "must be yes or no, not “maybe”"),
        ("noise_source", "TPU", "noise source called **TPU**"),
        ("vertigo", "1", "called **vertigo**"),
    ],
)
async def test_an_axis_that_cannot_be_is_refused(
    world: World, axis: str, values: str, said: str
) -> None:
    asked = {"prompt": "x", "x_axis": axis} | ({"x_values": values} if values else {})
    result = await world.ann.slash(world.channel, "explore", **asked)
    assert said in text(answer(result))
    assert list(world.env.errors)
    assert world.engine.seen == []


async def test_a_sheet_that_is_gone(world: World, both: Any) -> None:
    panel = answer(await world.bob.select(both, ["0"], custom_id="p:cell_x:1"))
    await world.bot.store.jobs.delete(1)
    for message, place in ((both, "p:cell_x:1"), (panel, "p:cell_y:1:0")):
        result = await world.bob.select(message, ["0"], custom_id=place)
        assert "data no longer exists" in text(answer(result))


async def test_a_cell_whose_file_is_gone(world: World, strip: Any) -> None:
    for picture in await world.bot.store.pictures.of_job(1):
        picture.path.unlink()
    result = await world.bob.select(strip, ["0"], custom_id="p:cell_x:1")
    assert "image file no longer exists" in text(answer(result))


# Search, from memory.


@pytest.mark.parametrize(
    ("axis", "typed", "first"),
    [
        (None, "", "1-12"),
        ("clip_skip", "1, 2", "1, 2"),
        ("vae", "", "Automatic"),
        ("vae", "vivid, so", "vivid, so"),
        ("model", "an", "anime"),
        ("sampler", "2m kar", "DPM++ 2M Karras"),
    ],
)
async def test_values_are_completed(world: World, axis: str | None, typed: str, first: str) -> None:
    filled = {"x_axis": axis} if axis else {}
    found = await world.ann.autocomplete(world.channel, "explore", "x_values", typed, **filled)
    assert found[0]["value"] == first


@pytest.mark.parametrize("typed", ["vae 1, vae 59", "vae 1、vae 59"])
async def test_the_last_name_of_several_is_completed(world: World, typed: str) -> None:
    many = tuple(vae(f"vae {number}") for number in range(60))
    world.bot.catalogue.update(Catalogue(models=world.found.models, vaes=many))
    found = await world.ann.autocomplete(world.channel, "explore", "y_values", typed, y_axis="vae")
    assert "vae 1, vae 59" in [choice["value"] for choice in found]
    assert len(found) <= 25
    nothing = await world.ann.autocomplete(world.channel, "explore", "y_values", "")
    assert nothing == []


async def test_a_y_axis_alone_makes_a_sheet(world: World) -> None:
    await world.ann.slash(world.channel, "explore", prompt="x", y_axis="cfg_scale")
    await world.env.settle()
    job = await world.job(1)
    assert job.state == "delivered"
    assert job.sheet is not None
    assert [len(axis.values) for axis in job.sheet.axes] == [6, 6]


async def test_a_range_with_the_dash_of_a_phone(world: World) -> None:
    await world.ann.slash(world.channel, "explore", prompt="x", x_values="1–4")
    await world.env.settle()
    sheet = (await world.job(1)).sheet
    assert sheet is not None
    assert sheet.x.values == (1, 2, 3, 4)
