"""A finished picture arrives, whatever the interaction's age, the file's size and the place."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest
from PIL import Image

import bot.posts.packing
from bot.posts.packing import pack
from bot.store import Picture
from core.pictures.files import read_infotext, write_png
from tests.simulation import World, answer, buttons, components, text

EDIT = "/webhooks/*/*/messages/*"
FOLLOW_UP = "/webhooks/*/*"
CHANNEL = "/channels/*/messages"


async def held(world: World, **options: Any) -> discord.Message:
    """Ann's job, running, with its post."""
    world.engine.hold()
    result = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7, **options)
    await world.engine.started(1)
    await world.env.settle()
    return answer(result).message


def to_ann(world: World) -> list[discord.Message]:
    """The direct messages that ann got."""
    return world.ann.user.dm_channel.history()


async def released(world: World) -> None:
    world.engine.release()
    await world.env.settle()


def requests(world: World, method: str, part: str) -> list[Any]:
    return [r for r in world.env.http_requests if r.method == method and part in r.path]


@pytest.fixture
def patient(world: World) -> None:
    """Sleeps longer than a second are left to the virtual clock."""
    world.env.settle_timeout = 1.0


# Quick and slow.


async def test_a_quick_result_edits_its_post_and_pings_nobody(world: World) -> None:
    post = await held(world)
    await released(world)
    assert [message.id for message in world.posts()] == [post.id]
    last = requests(world, "PATCH", "/webhooks/")[-1].json
    assert last["allowed_mentions"]["parse"] == []
    assert "users" not in last["allowed_mentions"]


async def test_after_a_minute_a_new_message_calls_the_member(world: World) -> None:
    post = await held(world)
    world.now += 61
    await released(world)
    (result,) = world.posts()
    assert result.id != post.id
    assert text(result).startswith(f"<@{world.ann.id}>")
    sent = requests(world, "POST", "/channels/")[-1].json
    assert sent["allowed_mentions"]["users"] == [world.ann.id]
    assert sent["allowed_mentions"]["parse"] == []
    job = await world.job(1)
    assert (job.state, job.message_id) == ("delivered", result.id)


async def test_the_new_message_answers_the_picture_it_came_from(world: World) -> None:
    first = answer(await world.ann.slash(world.channel, "imagine", prompt="x", seed=7))
    world.engine.hold()
    await world.bob.click(first, label="Clip skip +")
    world.now += 61
    await released(world)
    assert world.last.reference is not None
    assert world.last.reference.message_id == first.id


async def test_a_slow_private_result_stays_private(world: World) -> None:
    await held(world, private=True)
    world.now += 61
    await released(world)
    (result,) = world.channel.history(viewer=world.ann)
    assert result.flags.ephemeral
    assert "seed 7" in text(result)
    assert world.channel.history(viewer=world.bob) == []


async def test_past_15_minutes_the_token_is_not_even_tried(world: World) -> None:
    await held(world)
    world.now += 901
    before = len(requests(world, "PATCH", "/webhooks/"))
    await released(world)
    assert len(requests(world, "PATCH", "/webhooks/")) == before
    assert f"<@{world.ann.id}>" in text(world.last)


async def test_past_15_minutes_a_private_result_comes_by_direct_message(world: World) -> None:
    await held(world, private=True)
    world.now += 901
    await released(world)
    (message,) = to_ann(world)
    assert "seed 7" in text(message)
    assert not any("seed 7" in text(post) for post in world.posts())
    assert (await world.job(1)).channel_id == message.channel.id


# What Discord refuses.


@pytest.mark.parametrize(
    ("status", "code"), [(401, 50027), (404, 10015), (404, 10008), (403, 50001)]
)
async def test_a_token_that_died_early(world: World, status: int, code: int) -> None:
    await held(world)
    world.env.inject_error("PATCH", EDIT, status=status, code=code)
    world.env.inject_error("DELETE", EDIT, status=status, code=code)
    await released(world)
    # The post with the progress is gone as well: in the channel the bot may delete its own.
    (result,) = world.posts()
    assert "seed 7" in text(result)
    assert f"<@{world.ann.id}>" in text(result)
    assert (await world.job(1)).state == "delivered"


async def test_a_channel_that_may_not_be_written_to_gets_a_follow_up(world: World) -> None:
    await held(world)
    world.now += 61
    world.env.inject_error("POST", CHANNEL, status=403, code=50013)
    await released(world)
    (result,) = world.posts()
    assert "seed 7" in text(result)
    assert requests(world, "POST", "/webhooks/")


async def test_without_channel_and_token_it_comes_by_direct_message(world: World) -> None:
    await held(world)
    world.now += 901
    world.env.inject_error("POST", f"/channels/{world.channel.id}/messages", status=404, code=10003)
    await released(world)
    (message,) = to_ann(world)
    assert "seed 7" in text(message)
    again = await world.ann.user.click(message, label="Clip skip +")
    assert "clip skip 2" in text(answer(again))


async def test_what_arrives_nowhere_is_kept_for_the_next_start(world: World) -> None:
    await held(world, private=True)
    world.now += 901
    world.env.inject_error("POST", CHANNEL, status=403, code=50007)
    await released(world)
    assert (await world.job(1)).state == "finished"
    await world.restart()
    await world.env.settle()
    assert (await world.job(1)).state == "delivered"
    assert "seed 7" in text(to_ann(world)[-1])


async def test_what_could_not_be_delivered_for_a_week_is_left(world: World) -> None:
    await held(world, private=True)
    world.now += 901
    world.env.inject_error("POST", CHANNEL, status=403, code=50007, times=None)
    await released(world)
    tried = len(requests(world, "POST", "/channels/"))
    world.now += 8 * 86_400
    await world.restart()
    await world.env.settle()
    assert len(requests(world, "POST", "/channels/")) == tried


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("status", [500, 503])
async def test_trouble_of_discords_own_is_waited_out(world: World, status: int) -> None:
    await held(world)
    world.env.inject_error("PATCH", EDIT, status=status, times=2)
    await released(world)
    assert (await world.job(1)).state == "finished"
    await world.env.advance_time(5)
    await world.env.advance_time(30)
    assert (await world.job(1)).state == "delivered"
    assert len(world.posts()) == 1


async def test_being_rate_limited_loses_nothing(world: World) -> None:
    # discord.py itself waits a few times; what is left of a 429 is tried by another way.
    await held(world)
    world.env.inject_error("PATCH", EDIT, status=429)
    await released(world)
    assert "seed 7" in text(world.last)


async def test_a_failed_progress_edit_does_not_matter(world: World) -> None:
    await held(world)
    world.env.inject_error("PATCH", EDIT, status=500)
    world.engine.progress(1, 5)
    await world.env.settle()
    await released(world)
    assert "seed 7" in text(world.last)
    assert len(world.posts()) == 1


@pytest.mark.usefixtures("patient")
async def test_a_network_that_is_gone_for_a_while_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unplugged(*_: Any, **__: Any) -> None:
        raise aiohttp.ClientConnectionError("no route to host")

    await held(world)
    with monkeypatch.context() as patch:
        patch.setattr(discord.Webhook, "edit_message", unplugged)
        world.engine.progress(1, 5)
        await world.env.settle()
        await released(world)
        assert (await world.job(1)).state == "finished"
    await world.env.advance_time(5)
    assert (await world.job(1)).state == "delivered"
    assert len(world.posts()) == 1


async def test_an_answer_that_came_too_late_loses_nothing(world: World) -> None:
    # 10062: Discord waited 3 s and gave up.
    world.env.inject_error("POST", "/interactions/*/*/callback", status=404, code=10062)
    await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    await world.env.settle()
    assert "seed 7" in text(world.last)
    assert (await world.job(1)).state == "delivered"


def reply_lost(monkeypatch: pytest.MonkeyPatch, *, again: bool) -> None:
    """Discord takes the first answer, but what it says to that does not arrive.

    ``again``: discord.py asks once more by itself, and is told that this was answered (40060).
    """
    taken = discord.InteractionResponse.send_message

    async def unheard(self: Any, *args: Any, **options: Any) -> None:
        await taken(self, *args, **options)
        self._response_type = None
        if again:
            await taken(self, *args, **options)
        raise aiohttp.ServerDisconnectedError

    monkeypatch.setattr(discord.InteractionResponse, "send_message", unheard)


@pytest.mark.parametrize("again", [False, True])
async def test_a_first_answer_whose_reply_is_lost_leaves_no_second_post(
    world: World, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    reply_lost(monkeypatch, again=again)
    post = await held(world, private=True)
    assert (await world.job(1)).message_id == post.id
    world.engine.progress(1, 5)
    await world.env.settle()
    (shown,) = world.channel.history(viewer=world.ann)
    assert "5 / 20" in text(shown)
    await released(world)
    (result,) = world.channel.history(viewer=world.ann)
    assert result.id == post.id
    assert "seed 7" in text(result)
    assert to_ann(world) == []


async def test_a_failure_is_told_after_15_minutes_too(world: World) -> None:
    from core.errors import OutOfMemory

    await held(world)
    world.now += 901
    world.engine.fail(1, OutOfMemory(512, 512))
    await world.env.settle()
    (post,) = world.posts()
    assert "isn’t enough VRAM" in text(post)
    assert f"<@{world.ann.id}>" in text(post)
    assert "Try again" in buttons(post)


@pytest.mark.usefixtures("patient")
async def test_an_end_is_told_when_discord_is_back(world: World) -> None:
    post = await held(world)
    world.env.inject_error("PATCH", EDIT, status=503)
    await world.ann.click(post, label="Cancel")
    await world.env.settle()
    assert "Canceled" not in text(world.last)
    assert (await world.job(1)).untold
    await world.env.advance_time(5)
    assert "Canceled" in text(world.last)
    assert (await world.job(1)).state == "cancelled"


async def test_a_post_deleted_meanwhile_comes_anew(world: World) -> None:
    post = await held(world)
    await world.moderator().delete(post)
    await released(world)
    assert "seed 7" in text(world.last)


async def test_a_private_post_that_is_gone_comes_by_direct_message(world: World) -> None:
    await held(world, private=True)
    world.env.inject_error("PATCH", EDIT, status=404, code=10008)
    await released(world)
    (result,) = to_ann(world)
    assert "seed 7" in text(result)
    assert world.channel.history(viewer=world.bob) == []


# Too large.


async def test_too_large_for_discord_becomes_webp_with_its_parameters(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.posts.delivery.SMALLEST_LIMIT", 10)
    await held(world)
    world.env.inject_error("PATCH", EDIT, status=413, code=40005)
    await released(world)
    (file,) = world.last.attachments
    assert file.filename == "1-1.webp"
    assert "Sent as WebP" in text(world.last)
    assert "Seed: 7" in (read_infotext(await file.read()) or "")
    gallery = next(item for item in components(world.last) if item["type"] == 12)
    assert gallery["items"][0]["description"] == "x"
    assert (await world.bot.store.pictures.of_job(1))[0].path.suffix == ".png"


async def test_too_large_whatever_is_tried_is_kept(world: World) -> None:
    await held(world)
    world.env.inject_error("*", "/webhooks/*/*/messages/*", status=413, code=40005, times=None)
    await released(world)
    assert (await world.job(1)).state == "finished"


def noise(folder: Path, position: int = 0) -> Picture:
    """A picture that does not compress."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{position}.png"
    pixels = Image.effect_noise((256, 256), 100).convert("RGB")
    path.write_bytes(write_png(pixels, "a prompt\nSteps: 1, Seed: 7, Size: 256x256"))
    return Picture(
        1, position, 7, 256, 256, "a prompt\nSteps: 1, Seed: 7, Size: 256x256", None, path
    )


@pytest.mark.parametrize("limit", [60_000, 12_000, 2_500])
async def test_pictures_are_packed_below_the_limit(tmp_path: Path, limit: int) -> None:
    packed = await pack([noise(tmp_path)], limit)
    assert packed.shrunk
    assert packed.largest <= limit
    ((name, data),) = packed.files
    assert name == "1-1.webp"
    assert read_infotext(data) == "a prompt\nSteps: 1, Seed: 7, Size: 256x256"


async def test_what_fits_is_sent_untouched(tmp_path: Path) -> None:
    pictures: Sequence[Picture] = [noise(tmp_path, 0), noise(tmp_path, 1)]
    packed = await pack(pictures, 10 * 2**20)
    assert not packed.shrunk
    assert packed.files[1] == ("1-2.png", pictures[1].path.read_bytes())
    assert io.BytesIO(packed.files[0][1]).read(4) == b"\x89PNG"


async def test_the_servers_own_limit_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    async def noted(pictures: Sequence[Picture], limit: int) -> bot.posts.packing.Packed:
        asked.append(limit)
        return await pack(pictures, limit)

    monkeypatch.setattr("bot.posts.delivery.pack", noted)
    await world.ann.slash(world.channel, "imagine", prompt="x")
    # What simcord's interactions say.
    assert asked == [26_214_400]
