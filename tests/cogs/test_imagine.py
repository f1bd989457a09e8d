"""/imagine from the command to the result: what a member sees, and what is written."""

from __future__ import annotations

import asyncio
import io
import logging
import sqlite3
from typing import Any

import pytest
from PIL import Image

import bot.gate.gate
import bot.jobs.accepting
import bot.ordering.layers
from core.errors import OutOfMemory, Refused
from core.notes import Note
from tests.simulation import World, answer, buttons, components, job_id, model, selects, text


async def test_a_prompt_becomes_a_post_with_its_picture_and_knobs(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    post = answer(result)
    assert post is not None
    assert not post.ephemeral
    assert "a red circle" in text(post)
    assert "clip skip 1" in text(post)
    assert "seed 7" in text(post)
    assert list(buttons(post)) == ["Clip skip −", "Clip skip +", "New seed", "Edit", "More…"]
    assert list(selects(post)) == ["Clip skip or VAE"]
    job = await world.job(1)
    assert job.state == "delivered"
    assert job.message_id == post.id
    assert job.interaction_token is None


async def test_the_picture_carries_alt_text_and_parameters(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="a  red\ncircle", seed=7)
    (attachment,) = answer(result).attachments
    gallery = next(item for item in components(answer(result)) if item["type"] == 12)
    assert gallery["items"][0]["description"] == "a red circle"
    with Image.open(io.BytesIO(await attachment.read())) as picture:
        assert "Seed: 7" in picture.info["parameters"]
    (written,) = await world.bot.store.pictures.of_job(1)
    assert written.attachment_id == attachment.id
    assert written.path.is_file()


async def test_it_is_written_before_anything_is_drawn(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="a red circle")
    await world.engine.started(1)
    await world.env.settle()
    job = await world.job(1)
    assert job.state == "running"
    assert job.message_id == world.last.id
    assert job.interaction_token is not None


async def test_what_is_not_written_is_not_drawn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(world.bot.store.jobs, "create", full)
    result = await world.ann.slash(world.channel, "imagine", prompt="a red circle")
    assert answer(result).ephemeral
    assert "couldn’t be saved" in text(answer(result))
    assert world.bot.queue.snapshot() == ()
    assert world.env.errors


@pytest.fixture
def slow_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is resolved takes 10 s of the virtual clock."""
    layers_of = bot.ordering.layers.layers_of

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(10)
        return await layers_of(*arguments)

    monkeypatch.setattr(bot.gate.gate, "layers_of", slow)
    # Sleeps longer than this are left to the virtual clock.
    world.env.settle_timeout = 1.0


@pytest.mark.usefixtures("slow_disk")
async def test_a_slow_disk_is_bridged_by_thinking(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    await world.env.advance_time(bot.jobs.accepting.SECONDS_TO_DEFER)
    assert answer(result).flags.loading
    await world.env.advance_time(10)
    assert not answer(result).flags.loading
    assert "seed 7" in text(answer(result))


@pytest.mark.usefixtures("slow_disk")
async def test_an_error_after_thinking_ends_the_thinking(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="x", model="nothing")
    await world.env.advance_time(bot.jobs.accepting.SECONDS_TO_DEFER)
    await world.env.advance_time(10)
    assert not answer(result).flags.loading
    assert "no model called" in text(answer(result))
    # What was "thinking" may be for everybody: nobody's prompt is said there.
    assert "```" not in text(answer(result))
    assert world.env.errors


@pytest.mark.parametrize("command", ["imagine", "explore"])
async def test_a_prompt_that_is_not_taken_is_given_back(world: World, command: str) -> None:
    refused = answer(
        await world.ann.slash(world.channel, command, prompt="a ``` @everyone", model="nothing")
    )
    assert refused.ephemeral
    assert "no model called" in text(refused)
    assert "```\na ''' @everyone\n```" in text(refused)
    assert not refused.attachments
    list(world.env.errors)


async def test_a_long_prompt_is_given_back_as_a_file(world: World) -> None:
    prompt = "word " * 1000
    refused = answer(await world.ann.slash(world.channel, "imagine", prompt=prompt[:4000] + "x"))
    assert "up to 4000 characters" in text(refused)
    (file,) = refused.attachments
    assert (await file.read()).decode() == prompt[:4000] + "x"
    list(world.env.errors)


async def test_only_what_differs_is_named(world: World) -> None:
    result = await world.ann.slash(
        world.channel, "imagine", prompt="x", steps=30, size="512x768", sampler="Euler"
    )
    said = text(answer(result))
    assert "steps 30" in said
    assert "size 512×768" in said
    assert "sampler" not in said
    assert "CFG" not in said


async def test_the_models_card_decides_and_is_not_repeated(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="x", model="anime")
    said = text(answer(result))
    assert "clip skip 2" in said
    assert "model anime" in said
    assert "lowres" not in said
    assert (await world.job(1)).request.negative_prompt == "lowres"


async def test_what_was_ignored_is_said(world: World) -> None:
    world.engine.notes = (Note.of("lora_left_out", kind="hypernet", name="cats"),)
    result = await world.ann.slash(world.channel, "imagine", prompt="x")
    assert "`<hypernet:cats>` was ignored" in text(answer(result))


async def test_clip_skip_is_not_offered_where_it_does_nothing(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="x", model="two")
    assert buttons(answer(result))["Clip skip +"]["disabled"]
    assert "Clip skip" not in selects(answer(result))


async def test_a_private_picture_is_seen_by_nobody_else(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="x", private=True)
    assert answer(result).ephemeral
    assert (await world.job(1)).state == "delivered"
    assert world.channel.history(viewer=world.bob) == []


async def test_several_pictures_are_one_post(world: World) -> None:
    result = await world.ann.slash(world.channel, "imagine", prompt="x", count=4, seed=10)
    assert len(answer(result).attachments) == 4
    assert list(buttons(answer(result)))[-4:] == ["1", "2", "3", "4"]


# While it waits and runs.


async def test_the_line_is_shown_and_moves(world: World) -> None:
    world.engine.hold()
    world.engine.rows = 1
    for prompt in ("one", "two", "three"):
        await world.ann.slash(world.channel, "imagine", prompt=prompt)
    await world.env.settle()
    assert "In the queue: 2 of 2" in text(world.last)
    world.engine.finish(1)
    await world.engine.started(2)
    await world.env.settle()
    # The edit waits for its turn; the news is there for whoever asks.
    result = await world.ann.slash(world.channel, "queue")
    assert "1 generating, 1 waiting" in text(answer(result))


async def test_progress_shows_a_small_preview(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="a red circle", steps=20)
    await world.engine.started(1)
    world.engine.progress(1, 5, preview=True)
    await world.env.settle()
    assert "5 / 20" in text(world.last)
    assert [file.filename for file in world.last.attachments] == ["preview.png"]
    assert list(buttons(world.last)) == ["Cancel"]


async def test_the_next_progress_waits_its_turn(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x", steps=20)
    await world.engine.started(1)
    for step in (5, 6):
        world.engine.progress(1, step)
        await world.env.settle()
    assert "5 / 20" in text(world.last)


async def test_a_restart_of_the_engine_is_said_and_survived(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    await world.engine.started(1)
    world.engine.restart()
    await world.env.settle()
    assert "engine is restarting" in text(world.last)
    world.engine.start_again()
    world.engine.release()
    await world.env.settle()
    assert "seed 7" in text(world.last)


async def test_a_job_that_fails_says_why_and_can_be_tried_again(world: World) -> None:
    world.engine.fail_next(OutOfMemory(512, 512))
    await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    assert "isn’t enough VRAM" in text(world.last)
    assert (await world.job(1)).state == "failed"
    again = await world.bob.click(world.last, label="Try again")
    assert "seed 7" in text(answer(again))
    assert (await world.job(2)).state == "delivered"


async def test_what_is_wrong_with_a_file_stands_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.engine.fail_next(Refused("model", "plain", "missing", "unet conv_in.weight"))
    with caplog.at_level(logging.INFO):
        await world.ann.slash(world.channel, "imagine", prompt="x")
    assert "is missing some of its data" in text(world.last)
    assert "conv_in" not in text(world.last)
    assert "lacks unet conv_in.weight" in caplog.text


async def test_cancel_ends_the_job_and_says_so(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.engine.started(1)
    await world.ann.click(world.last, label="Cancel")
    await world.env.settle()
    assert "Canceled" in text(world.last)
    assert (await world.job(1)).state == "cancelled"
    assert world.bot.queue.snapshot() == ()


async def test_only_its_owner_or_a_manager_cancels(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    refused = await world.bob.click(world.last, label="Cancel")
    assert answer(refused).ephemeral
    assert "Only the person who started this" in text(answer(refused))
    assert len(world.bot.queue.snapshot()) == 1
    await world.moderator().click(world.posts()[0], label="Cancel")
    await world.env.settle()
    assert (await world.job(1)).state == "cancelled"


# Bad input: an ephemeral sentence of its own, and nothing else.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "x" * 4001}, "prompt can be up to 4000 characters"),
        ({"prompt": "x", "negative_prompt": ""}, ""),
        ({"prompt": "x", "model": "plian"}, "Did you mean **plain**"),
        ({"prompt": "x", "vae": "other"}, "**other** is made for"),
        ({"prompt": "x", "vae": "gone.ckpt"}, "no VAE called"),
        ({"prompt": "x", "sampler": "magic"}, "no sampler called"),
        ({"prompt": "x", "size": "7x7"}, "a multiple of 8 from 64"),
        ({"prompt": "x", "size": "huge"}, "width x height"),
        ({"prompt": "x", "preset": "lost"}, "no preset called"),
        ({"prompt": "x", "count": 8}, "count must be from 1 to 4"),
    ],
)
async def test_bad_input_is_answered(world: World, options: dict[str, Any], sentence: str) -> None:
    result = await world.ann.slash(world.channel, "imagine", **options)
    assert sentence in text(answer(result))
    assert answer(result).ephemeral == bool(sentence)
    assert bool(world.env.errors) == bool(sentence)
    assert world.bot.queue.snapshot() == ()


async def test_a_clip_skip_of_13_cannot_be_chosen(world: World) -> None:
    command = world.bot.tree.get_command("imagine")
    assert command is not None
    options = {option["name"]: option for option in command.to_dict(world.bot.tree)["options"]}
    assert options["clip_skip"]["max_value"] == 12
    assert options["clip_skip"]["min_value"] == 1


async def test_a_full_queue_is_refused_and_nothing_is_kept(world: World) -> None:
    world.engine.hold()
    for _ in range(world.settings.queue_per_member):
        await world.ann.slash(world.channel, "imagine", prompt="x")
    result = await world.ann.slash(world.channel, "imagine", prompt="x")
    assert answer(result).ephemeral
    assert "waiting and running jobs (5)" in text(answer(result))
    assert world.env.errors
    assert len(await world.bot.store.jobs.unfinished()) == world.settings.queue_per_member


async def test_no_models_at_all_is_a_sentence(world: World) -> None:
    world.bot.catalogue.update(type(world.found)())
    result = await world.ann.slash(world.channel, "imagine", prompt="x")
    assert "No model is installed yet" in text(answer(result))
    assert world.env.errors


# Search, from memory.


async def test_search_finds_models_past_25(world: World) -> None:
    many = tuple(model(f"model {number}") for number in range(100))
    world.bot.catalogue.update(type(world.found)(models=many))
    offered = await world.ann.autocomplete(world.channel, "imagine", "model", "")
    assert len(offered) == 25
    found = await world.ann.autocomplete(world.channel, "imagine", "model", "99")
    assert found[0]["value"] == "model 99"


async def test_search_finds_vaes_and_samplers(world: World) -> None:
    vaes = await world.ann.autocomplete(world.channel, "imagine", "vae", "vi")
    assert [choice["value"] for choice in vaes] == ["vivid"]
    samplers = await world.ann.autocomplete(world.channel, "imagine", "sampler", "2m kar")
    assert "DPM++ 2M Karras" in [choice["value"] for choice in samplers]


def test_job_id_is_read_from_a_control() -> None:
    row = {"type": 1, "components": [{"type": 2, "label": "x", "custom_id": "p:clip:12:3"}]}
    assert job_id(type("Post", (), {"components": [row]})) == 12
