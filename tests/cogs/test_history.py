"""/history, /show and /cancel: what was made before, brought back, and what is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.errors import sentence
from bot.translate import t
from cogs.history import FACTS_LENGTH, PAGE, PROMPT_LENGTH, PageRow, history_view
from core.errors import OutOfMemory, PenultimateError
from core.options import MAX_PROMPT, MAX_SEED
from tests.simulation import (
    World,
    a_job,
    answer,
    buttons,
    components,
    text,
    within_limits,
)


async def make(world: World, who: Any, count: int = 1, **options: Any) -> None:
    for number in range(count):
        await who.slash(world.channel, "imagine", **{"prompt": f"cat {number}"} | options)
    await world.env.settle()


@pytest.fixture(autouse=True)
def only_what_has_a_sentence(world: World) -> Iterator[None]:
    """Reading the errors accepts them: what has a sentence may happen, a bug may not."""
    yield
    for error in world.env.errors:
        assert isinstance(getattr(error, "original", error), PenultimateError)


def shown(result: Any) -> Any:
    """What was sent in place of "thinking", or as the answer."""
    return answer(result)


# /history


async def test_no_results_yet(world: World) -> None:
    page = shown(await world.ann.slash(world.channel, "history"))
    assert page.ephemeral
    assert "Nothing here yet" in text(page)


async def test_ones_own_newest_first_with_thumbnails(world: World) -> None:
    await make(world, world.ann, 2)
    await make(world, world.bob)
    page = shown(await world.ann.slash(world.channel, "history"))
    assert page.ephemeral
    assert text(page).index("cat 1") < text(page).index("cat 0")
    assert "#3" not in text(page)
    assert sum(item["type"] == 11 for item in components(page)) == 2
    assert {"#1", "#2"} == set(buttons(page))


async def test_pages_turn_and_survive_a_restart(world: World) -> None:
    await make(world, world.ann, PAGE + 2)
    result = await world.ann.slash(world.channel, "history")
    assert buttons(answer(result))["◀"]["disabled"]
    await world.restart()
    await world.ann.click(answer(result), label="▶")
    assert "page 2 of 2" in text(answer(result))
    assert {"#1", "#2", "◀", "▶"} == set(buttons(answer(result)))
    await world.ann.click(answer(result), label="◀")
    assert "page 1" in text(answer(result))


async def test_a_result_is_opened_from_a_page(world: World) -> None:
    await make(world, world.ann, 2)
    page = shown(await world.ann.slash(world.channel, "history"))
    result = await world.ann.click(page, label="#1")
    assert "cat 0" in text(shown(result))
    assert "New seed" in buttons(shown(result))


async def test_rows_are_told_apart_by_what_was_made(world: World) -> None:
    await make(world, world.ann, cfg_scale=5, hires_scale=2)
    asked = {"prompt": "cat", "x_axis": "clip skip", "y_axis": "steps", "y_values": "4, 8"}
    await world.ann.slash(world.channel, "explore", **asked)
    await world.env.settle()
    said = text(shown(await world.ann.slash(world.channel, "history")))
    sheet, upscaled = said.index("**clip skip 1-12**"), said.index("upscaled ×2")
    assert sheet < said.index("steps 4, 8") < upscaled < said.index("CFG scale 5")


async def test_a_page_past_the_end_is_the_last(world: World) -> None:
    await make(world, world.ann, PAGE + 1)
    page = answer(await world.ann.slash(world.channel, "history"))
    await world.ann.click(page, label="▶")
    for number in (1, 2):
        await world.bot.store.jobs.delete(number)
    await world.ann.click(page, custom_id="s:history:0")
    assert "page 1 of 1" in text(page)


async def test_a_lost_file_leaves_the_rest(world: World) -> None:
    await make(world, world.ann, 2)
    (picture,) = await world.bot.store.pictures.of_job(1)
    picture.path.write_bytes(b"")
    page = shown(await world.ann.slash(world.channel, "history"))
    assert "cat 0" in text(page)
    assert sum(item["type"] == 11 for item in components(page)) == 1
    picture.path.unlink()
    result = await world.ann.slash(world.channel, "show", id=1)
    assert "image file no longer exists" in text(shown(result))


def test_the_longest_page_is_one_that_discord_takes() -> None:
    request = replace(a_job().request, prompt="*🎨" * (MAX_PROMPT // 2), seed=MAX_SEED)
    job = replace(a_job(), request=request, private=True)
    line = "x" * (FACTS_LENGTH + PROMPT_LENGTH + 100)
    rows = [PageRow(replace(job, id=10**18 - 1 - number), line, b"x") for number in range(PAGE)]
    view = history_view(rows, 10**5, 10**6, discord.Locale.japanese)
    found = within_limits(view)
    ids = [item["custom_id"] for item in found if "custom_id" in item]
    assert len(ids) == len(set(ids))


# /show


async def test_ones_own_is_brought_back_with_its_controls(world: World) -> None:
    await make(world, world.ann)
    post = shown(await world.ann.slash(world.channel, "show", id=1))
    assert not post.ephemeral
    assert post.attachments
    await world.bob.click(post, label="Clip skip +")
    await world.env.settle()
    assert (await world.job(2)).request.clip_skip == 2
    assert await world.bot.store.posts.job_id(post.id) == 1


async def test_anybodys_public_one_of_this_server(world: World) -> None:
    await make(world, world.ann)
    assert "cat 0" in text(shown(await world.bob.slash(world.channel, "show", id=1)))


async def test_not_from_a_channel_one_cannot_read(world: World) -> None:
    hidden = world.guild.create_text_channel(
        "hidden",
        overwrites={
            world.guild.default_role: discord.PermissionOverwrite(view_channel=False),
            world.ann: discord.PermissionOverwrite(view_channel=True),
        },
    )
    await world.ann.slash(hidden, "imagine", prompt="a secret")
    await world.env.settle()
    told = shown(await world.bob.slash(world.channel, "show", id=1))
    assert told.ephemeral
    assert "no image called **1**" in text(told)
    assert "a secret" in text(shown(await world.ann.slash(world.channel, "show", id=1)))


async def test_not_from_another_server(world: World) -> None:
    elsewhere = world.env.create_guild("Elsewhere")
    there = elsewhere.create_text_channel("pictures")
    eve = elsewhere.add_member(world.env.create_user("eve"))
    await make(world, world.ann)
    assert "no image called" in text(shown(await eve.slash(there, "show", id=1)))


async def test_a_private_one_is_its_owners_alone(world: World) -> None:
    await make(world, world.ann, private=True)
    assert "no image called" in text(shown(await world.bob.slash(world.channel, "show", id=1)))
    mine = shown(await world.ann.slash(world.channel, "show", id=1))
    assert mine.ephemeral
    assert "cat 0" in text(mine)


async def test_not_where_the_owner_allows_no_pictures(world: World) -> None:
    await make(world, world.ann)
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, channels=(1,))
    )
    told = shown(await world.ann.slash(world.channel, "show", id=1))
    assert told.ephemeral
    assert "Try one of these: <#1>" in text(told)


async def test_a_hiding_server_hides_it(world: World) -> None:
    await make(world, world.ann)
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, spoiler=True)
    )
    post = shown(await world.ann.slash(world.channel, "show", id=1))
    (gallery,) = [item for item in components(post) if item["type"] == 12]
    assert gallery["items"][0]["spoiler"]


@pytest.mark.parametrize("number", [1, 999, 2**53 - 1])
async def test_a_number_that_is_nothing(world: World, number: int) -> None:
    told = shown(await world.ann.slash(world.channel, "show", id=number))
    assert f"no image called **{number}**" in text(told)


async def test_what_has_no_picture_says_why(world: World) -> None:
    world.engine.fail_next(OutOfMemory(64, 64))
    await make(world, world.ann)
    told = shown(await world.ann.slash(world.channel, "show", id=1))
    assert "isn’t enough VRAM" in text(told)
    assert "Try again" in buttons(told)
    world.engine.hold()
    await make(world, world.ann)
    told = shown(await world.ann.slash(world.channel, "show", id=2))
    assert "isn’t finished yet" in text(told)


# /cancel


async def test_one_job_is_taken_back(world: World) -> None:
    world.engine.hold()
    await make(world, world.ann, 2)
    told = shown(await world.ann.slash(world.channel, "cancel", job="2"))
    await world.env.settle()
    assert "Canceled: 1" in text(told)
    assert [(await world.job(n)).state for n in (1, 2)] == ["running", "cancelled"]


async def test_all_jobs_are_taken_back_and_nobody_elses(world: World) -> None:
    world.engine.hold()
    await make(world, world.ann, 2)
    await make(world, world.bob)
    told = shown(await world.ann.slash(world.channel, "cancel", job="all"))
    await world.env.settle()
    assert "Canceled: 2" in text(told)
    assert [(await world.job(n)).state for n in (1, 2, 3)] == ["cancelled", "cancelled", "running"]


async def test_the_only_job_needs_no_number(world: World) -> None:
    told = shown(await world.ann.slash(world.channel, "cancel"))
    assert "no jobs in the queue" in text(told)
    world.engine.hold()
    await make(world, world.ann, 1)
    assert "Canceled: 1" in text(shown(await world.ann.slash(world.channel, "cancel")))
    await world.env.settle()
    assert (await world.job(1)).state == "cancelled"
    await make(world, world.ann, 2)
    panel = shown(await world.ann.slash(world.channel, "cancel"))
    assert "cancelled" not in [(await world.job(n)).state for n in (2, 3)]
    assert "Cancel" in buttons(panel)


async def test_what_cannot_be_taken_back(world: World) -> None:
    await make(world, world.ann)
    assert "already ended" in text(shown(await world.ann.slash(world.channel, "cancel", job="#1")))
    assert "Only the person" in text(shown(await world.bob.slash(world.channel, "cancel", job="1")))
    for nonsense in ("", "x", "9" * 18, "9" * 500, "²", "-1"):
        told = shown(await world.ann.slash(world.channel, "cancel", job=nonsense))
        assert "no job called" in text(told)
    told = shown(await world.ann.slash(world.channel, "cancel", job="all"))
    assert "Canceled: 0" in text(told)


async def test_ones_own_jobs_are_offered(world: World) -> None:
    world.engine.hold()
    world.bot.queue.per_owner = 40
    for prompt in ("a cat", "x" * 300):
        await make(world, world.ann, prompt=prompt)
    await make(world, world.bob)
    offered = await world.ann.autocomplete(world.channel, "cancel", "job", "")
    assert [choice["value"] for choice in offered] == ["all", "1", "2"]
    assert all(len(choice["name"]) <= 100 for choice in offered)
    offered = await world.ann.autocomplete(world.channel, "cancel", "job", "CAT")
    assert [choice["value"] for choice in offered] == ["1"]
    await make(world, world.ann, 30)
    assert len(await world.ann.autocomplete(world.channel, "cancel", "job", "")) == 25


async def test_a_job_that_failed_is_shown_in_the_language_of_who_asks(
    world: World, speak: Callable[[str], None]
) -> None:
    error = OutOfMemory(512, 512)
    world.engine.fail_next(error)
    await make(world, world.ann)
    assert sentence(error, "en-US") in text(world.last)
    speak("ja")
    again = answer(await world.ann.slash(world.channel, "show", id=1))
    assert sentence(error, "ja") in text(again)
    assert list(buttons(again)) == [t("control.again", "ja"), t("control.edit", "ja")]
