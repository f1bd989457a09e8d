"""What was said is written before, and what could not be said or sent is tried again by itself."""

from __future__ import annotations

import sqlite3
from typing import Any

import discord
import pytest

from bot.jobs.accepting import Accepting
from bot.jobs.following import Following
from bot.posts.delivery import Delivery
from bot.posts.farewells import REFUSALS
from bot.store import Job
from core.errors import OutOfMemory
from tests.simulation import World, answer, buttons, text

EDIT = "/webhooks/*/*/messages/*"
CHANNEL = "/channels/*/messages"
MESSAGE = "/channels/*/messages/*"
KILLED = pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])


@pytest.fixture(autouse=True)
def patient(world: World) -> None:
    """Sleeps longer than a second are left to the virtual clock."""
    world.env.settle_timeout = 1.0


async def held(world: World, **options: Any) -> discord.Message:
    """Ann's job, running, with its post."""
    world.engine.hold()
    result = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7, **options)
    await world.engine.started(1)
    await world.env.settle()
    return answer(result).message


async def released(world: World) -> None:
    world.engine.release()
    await world.env.settle()


async def tokens(world: World) -> list[Any]:
    rows = await world.bot.store._database.read("SELECT interaction_token FROM jobs ORDER BY id")
    return [row[0] for row in rows]


# A finished picture that Discord does not take.


async def test_an_outage_longer_than_all_retries_is_waited_out(world: World) -> None:
    await held(world)
    world.env.inject_error("*", "/webhooks/*/*/messages/*", status=503, times=None)
    world.env.inject_error("POST", CHANNEL, status=503, times=None)
    await released(world)
    for _ in range(12):
        await world.later(600)
    assert (await world.job(1)).state == "finished"
    world.env.backend.faults.clear()
    await world.later(3600)
    assert (await world.job(1)).state == "delivered"
    assert len(world.posts()) == 1


@pytest.mark.parametrize("event", ["resumed", "ready"])
async def test_when_the_gateway_is_back_what_waits_is_sent_at_once(
    world: World, event: str
) -> None:
    await held(world)
    world.env.inject_error("PATCH", EDIT, status=503, times=6)
    await released(world)
    for wait in (5, 30, 120, 600):
        await world.later(wait)
    assert (await world.job(1)).state == "finished"
    world.env.backend.faults.clear()
    world.bot.dispatch(event)
    await world.env.settle()
    assert (await world.job(1)).state == "delivered"
    assert len(world.posts()) == 1


async def test_what_no_route_takes_is_tried_again_without_a_restart(world: World) -> None:
    await held(world, private=True)
    world.now += 901
    world.env.inject_error("POST", CHANNEL, status=403, code=50007)
    await released(world)
    assert (await world.job(1)).state == "finished"
    await world.later(3600)
    assert (await world.job(1)).state == "delivered"


# Words and what is written.


async def test_a_cancelled_job_does_not_come_back_after_a_kill(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        return None

    await held(world)
    monkeypatch.setattr(Following, "ended", killed)
    result = await world.ann.slash(world.channel, "cancel", job="1")
    assert "Canceled" in text(answer(result))
    await world.restart(kill=True)
    await world.env.settle()
    assert (await world.job(1)).state == "cancelled"
    assert world.engine.seen == []


async def test_a_failed_job_does_not_come_back_after_a_kill(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Delivery.tell_ended
    written = []

    async def telling(self: Delivery, job: Job, *rest: Any, **again: Any) -> Any:
        written.append((await world.job(job.id)).state)
        return await told(self, job, *rest, **again)

    monkeypatch.setattr(Delivery, "tell_ended", telling)
    await held(world)
    world.engine.fail(1, OutOfMemory(512, 512))
    await world.env.settle()
    assert written == ["failed"]


async def test_a_job_cancelled_as_its_picture_comes_is_told_so(world: World) -> None:
    # The row says so before the queue does.
    await held(world)
    assert await world.bot.store.jobs.set_state(1, "cancelled")
    await released(world)
    assert "Canceled" in text(world.last)
    assert (await world.job(1)).state == "cancelled"
    assert await world.bot.store.pictures.of_job(1) == ()


@KILLED
async def test_a_cancellation_that_was_not_told_is_told_after_a_restart(
    world: World, kill: bool
) -> None:
    post = await held(world)
    world.env.inject_error("*", EDIT, status=503, times=None)
    await world.ann.click(post, label="Cancel")
    await world.env.settle()
    assert "Canceled" not in text(world.last)
    world.env.backend.faults.clear()
    await world.restart(kill=kill)
    await world.env.settle()
    (post,) = world.posts()
    assert "Canceled" in text(post)
    assert (await world.job(1)).state == "cancelled"


async def test_a_cancellation_that_no_route_takes_is_told_later(world: World) -> None:
    post = await held(world)
    world.env.inject_error("*", EDIT, status=403, code=50001)
    world.env.inject_error("POST", CHANNEL, status=403, code=50001)
    world.env.inject_error("POST", "/webhooks/*/*", status=403, code=50001)
    world.env.inject_error("POST", CHANNEL, status=403, code=50007)
    world.now += 61
    await world.ann.click(post, label="Cancel")
    await world.env.settle()
    await world.restart()
    await world.env.settle()
    assert any("Canceled" in text(each) for each in world.posts())


# The post before the last.


async def test_an_old_post_whose_deletion_is_refused_once_goes_later(world: World) -> None:
    post = await held(world)
    world.now += 61
    world.env.inject_error("DELETE", EDIT, status=403, code=50001)
    world.env.inject_error("DELETE", MESSAGE, status=403, code=50001, times=2)
    await released(world)
    assert post.id in [message.id for message in world.posts()]
    await world.later(3600)
    assert post.id not in [message.id for message in world.posts()]
    assert await world.bot.store.posts.to_delete() == []


async def test_a_deleted_jobs_post_whose_deletion_fails_once_goes_later(world: World) -> None:
    post = await held(world)
    world.env.inject_error("DELETE", EDIT, status=503)
    world.env.inject_error("DELETE", MESSAGE, status=503, times=5)
    await world.ann.react(post, "❌")
    await world.env.settle()
    assert await world.bot.store.jobs.get(1) is None
    world.env.backend.faults.clear()
    await world.later(3600)
    assert post.id not in [message.id for message in world.posts()]
    assert await world.bot.store.posts.to_delete() == []


async def test_refusals_within_one_pause_count_once(world: World) -> None:
    post = await held(world)
    world.now += 61
    world.env.inject_error("DELETE", "*", status=403, code=50001, times=None)
    await released(world)
    for _ in range(REFUSALS):
        world.bot.farewells.wake()
        await world.env.settle()
    world.env.backend.faults.clear()
    await world.later(3600)
    assert post.id not in [message.id for message in world.posts()]


async def test_killed_before_the_old_post_was_deleted_it_goes_after_the_restart(
    world: World,
) -> None:
    post = await held(world)
    world.now += 61
    world.env.inject_error("DELETE", "*", status=503, times=None)
    await released(world)
    assert (await world.job(1)).state == "delivered"
    world.env.backend.faults.clear()
    await world.restart(kill=True)
    await world.env.settle()
    assert post.id not in [message.id for message in world.posts()]


# The first answer.


@KILLED
@pytest.mark.parametrize("seconds", [10, 120])
async def test_an_answer_that_was_sent_and_not_noted_is_found_again(
    world: World, monkeypatch: pytest.MonkeyPatch, kill: bool, seconds: int
) -> None:
    async def killed(_: Any, job: Job, __: int | None) -> Job:
        return job

    with monkeypatch.context() as patch:
        patch.setattr(Accepting, "posted", killed)
        post = await held(world)
    assert (await world.job(1)).message_id is None
    world.now += seconds
    await world.restart(kill=kill)
    await world.env.settle()
    (result,) = world.posts()
    assert "seed 7" in text(result)
    assert (result.id == post.id) == (seconds == 10)


async def test_such_an_answer_shows_the_progress_after_the_restart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(_: Any, job: Job, __: int | None) -> Job:
        return job

    with monkeypatch.context() as patch:
        patch.setattr(Accepting, "posted", killed)
        post = await held(world)
    await world.bot.close()
    world.make_bot()
    holding = world.bot.setup_hook

    async def held_again() -> None:
        await holding()
        world.engine.hold()

    monkeypatch.setattr(world.bot, "setup_hook", held_again)
    await world.env.restart_bot(world.bot)
    await world.engine.started(1)
    await world.env.settle()
    assert (await world.job(1)).message_id == post.id
    assert "Cancel" in buttons(world.last)
    await released(world)


# Tokens.


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_the_token_of_a_job_without_a_picture_goes_when_it_was_told(
    world: World, how: str
) -> None:
    post = await held(world)
    assert await tokens(world) != [None]
    if how == "failed":
        world.engine.fail(1, OutOfMemory(512, 512))
    else:
        await world.ann.click(post, label="Cancel")
    await world.env.settle()
    assert (await world.job(1)).state == how
    assert await tokens(world) == [None]


async def test_no_token_outlives_its_15_minutes(world: World) -> None:
    await held(world)
    world.now += 901
    await world.env.advance_time(60)
    assert await tokens(world) == [None]


@pytest.mark.parametrize("how", ["delivered", "failed", "cancelled", "expired", "deleted"])
async def test_what_is_erased_is_in_no_file_a_minute_later(world: World, how: str) -> None:
    def found(words: str) -> list[str]:
        files = world.settings.data_dir.glob("penultimate.sqlite3*")
        return [path.name for path in files if words.encode() in path.read_bytes()]

    post = await held(world)
    (token,) = await tokens(world)
    assert found(token)
    if how == "failed":
        world.engine.fail(1, OutOfMemory(512, 512))
    elif how == "cancelled":
        await world.ann.click(post, label="Cancel")
    elif how == "expired":
        world.now += 901
    elif how == "deleted":
        await world.bot.jobs.delete(await world.job(1))
    else:
        await released(world)
    await world.env.settle()
    await world.env.advance_time(60)
    assert found(token) == []


# The disk.


@pytest.mark.parametrize("error", [OSError(28, "No space left"), sqlite3.OperationalError("full")])
async def test_a_full_disk_ends_the_job_with_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def full(*_: Any, **__: Any) -> bool:
        raise error

    await held(world)
    monkeypatch.setattr(type(world.bot.store.jobs), "finish", full)
    await released(world)
    assert "couldn’t be saved" in text(world.last)
    assert (await world.job(1)).state == "failed"
    await world.restart(kill=True)
    await world.env.settle()
    assert world.engine.seen == []
    assert len(world.posts()) == 1


async def test_a_row_that_cannot_be_written_is_written_as_soon_as_it_can(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    await held(world)
    with monkeypatch.context() as patch:
        for name in ("finish", "end"):
            patch.setattr(type(world.bot.store.jobs), name, full)
        await released(world)
        assert "couldn’t be saved" in text(world.last)
        assert (await world.job(1)).state == "running"
    await world.env.advance_time(60)
    assert (await world.job(1)).state == "failed"
    assert len(world.posts()) == 1


# A disk that is full, or a database that is locked, at any moment after that.


def fails_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """The first call of a method raises what a full disk raises."""
    method = getattr(owner, name)
    failed: list[str] = []

    async def first(*arguments: Any, **options: Any) -> Any:
        if not failed:
            failed.append(name)
            raise sqlite3.OperationalError("database or disk is full")
        return await method(*arguments, **options)

    monkeypatch.setattr(owner, name, first)


async def test_a_result_that_could_not_be_noted_is_sent_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(world)
    world.now += 61
    fails_once(monkeypatch, type(world.bot.store.pictures), "set_attachments")
    await released(world)
    assert (await world.job(1)).state == "finished"
    await world.env.advance_time(40)
    assert (await world.job(1)).state == "delivered"
    (result,) = world.posts()
    assert "seed 7" in text(result)


async def test_an_answer_that_could_not_be_noted_is_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_once(monkeypatch, type(world.bot.store.jobs), "set_message")
    await held(world)
    await released(world)
    assert (await world.job(1)).state == "delivered"
    (result,) = world.posts()
    assert "seed 7" in text(result)


async def test_posts_are_deleted_though_the_list_could_not_be_read_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = await held(world)
    world.now += 61
    world.env.inject_error("DELETE", EDIT, status=403, code=50001)
    world.env.inject_error("DELETE", MESSAGE, status=403, code=50001)
    monkeypatch.setattr("bot.posts.farewells.PAUSE", 5.0)
    fails_once(monkeypatch, type(world.bot.store.posts), "to_delete")
    await released(world)
    await world.env.advance_time(10)
    assert post.id not in [message.id for message in world.posts()]


async def test_a_post_that_is_the_jobs_again_is_not_deleted(world: World) -> None:
    post = await held(world)
    jobs = world.bot.store.jobs
    await jobs.set_message(1, world.channel.id, 12345)
    assert [place.message_id for place in await world.bot.store.posts.to_delete()] == [post.id]
    await jobs.set_message(1, world.channel.id, post.id)
    assert [place.message_id for place in await world.bot.store.posts.to_delete()] == [12345]
    await released(world)
