"""Nothing is lost when the bot stops or is killed: buttons, jobs in the line, pictures, forms."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from bot.posts.delivery import Delivery
from core.models.catalogue import Catalogue
from tests.simulation import World, answer, buttons, model, text

KILLED = pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])


@KILLED
async def test_old_controls_work_after_a_restart(world: World, kill: bool) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    await world.restart(kill=kill)
    result = await world.bob.click(answer(made), label="Clip skip +")
    assert "clip skip 2" in text(answer(result))
    assert "seed 7" in text(answer(result))
    panel = await world.ann.click(answer(made), label="More…")
    assert panel.acknowledged


async def test_a_panel_opened_before_still_works(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    panel = await world.ann.click(answer(made), label="More…")
    await world.restart()
    shown = await world.ann.click(answer(panel), label="Parameters")
    assert "Seed: 7" in text(answer(shown))


async def test_a_form_opened_before_still_works(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="a red circle", seed=7)
    form = await world.ann.click(answer(made), label="Edit")
    await world.restart()
    typed = {"prompt": "a blue square", "clip_skip": "2", "seed": "8", "settings": "9 5 512x512"}
    result = await world.ann.submit_modal(form, typed)
    assert "a blue square" in text(answer(result))


@KILLED
async def test_jobs_in_the_line_are_run_again(world: World, kill: bool) -> None:
    world.engine.hold()
    world.engine.rows = 1
    for seed in (7, 8):
        await world.ann.slash(world.channel, "imagine", prompt="x", seed=seed)
    await world.engine.started(1)
    await world.env.settle()
    await world.restart(kill=kill)
    await world.env.settle()
    assert [(await world.job(id_)).state for id_ in (1, 2)] == ["delivered", "delivered"]
    posts = [text(message) for message in world.posts()]
    assert len(posts) == 2
    assert "seed 7" in posts[0]
    assert "seed 8" in posts[1]


async def test_accepted_jobs_are_kept_though_the_bounds_are_tighter_now(world: World) -> None:
    world.engine.hold()
    for _ in range(3):
        await world.ann.slash(world.channel, "imagine", prompt="x")
    world.settings = replace(world.settings, queue_per_member=1)
    await world.restart(kill=True)
    await world.env.settle()
    assert [(await world.job(id_)).state for id_ in (1, 2, 3)] == ["delivered"] * 3


async def test_a_replayed_job_draws_the_same_picture(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    first = (await world.engine.started(1)).request
    await world.restart(kill=True)
    assert world.engine.seen[0].request == first


async def test_killed_between_finished_and_delivered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any, **__: Any) -> bool:
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "deliver", killed)
        await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
        assert (await world.job(1)).state == "finished"
        await world.restart(kill=True)
    await world.restart()
    assert (await world.job(1)).state == "delivered"
    (post,) = world.posts()
    assert "seed 7" in text(post)
    assert len(post.attachments) == 1


async def test_killed_after_sending_and_before_writing_sends_no_second_post(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "_delivered", killed)
        await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
        assert (await world.job(1)).state == "finished"
        await world.restart(kill=True)
    await world.restart()
    assert (await world.job(1)).state == "delivered"
    assert len(world.posts()) == 1


async def test_a_long_job_cut_off_while_delivering_is_sent_under_the_same_nonce(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # simcord knows no nonces, Discord does: equal ones within minutes are one message.
    async def killed(*_: Any) -> None:
        return None

    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    world.now += 120
    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "_delivered", killed)
        world.engine.release()
        await world.env.settle()
        await world.restart(kill=True)
    await world.restart()
    sent = [
        request.json["nonce"]
        for request in world.env.http_requests
        if request.method == "POST" and isinstance(request.json, dict) and "nonce" in request.json
    ]
    assert len(sent) >= 2
    assert len(set(sent)) == 1


UNREADABLE = [
    ("request", "{}"),
    ("request", "not json"),
    ("request", '{"prompt": "x", "model": "plain", "seed": 7, "steps": 4.5}'),
    ("request", '{"prompt": "x", "model": "plain", "seed": 7, "sampler": "Newest"}'),
    ("request", "[]"),
    ("sheet", '[{"axis": "film", "text": "1", "values": [1]}]'),
    ("sheet", '[{"axis": "size", "text": "1", "values": [1]}]'),
    ("sheet", "5"),
    ("notes", "{}5"),
    ("error", "5"),
]


@pytest.mark.parametrize("state", ["queued", "finished"])
@pytest.mark.parametrize(("column", "value"), UNREADABLE)
async def test_a_row_that_cannot_be_read_keeps_no_other_job_waiting(
    world: World, caplog: pytest.LogCaptureFixture, column: str, value: str, state: str
) -> None:
    world.engine.hold()
    made = await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.bob.slash(world.channel, "imagine", prompt="y")
    await world.engine.started(1)
    await world.env.settle()
    await world.bot.close()
    change = f"UPDATE jobs SET {column} = ?, state = ? WHERE id = 1"
    with sqlite3.connect(world.bot.settings.database_path) as connection:
        connection.execute(change, (value, state))
    await world.restart()
    await world.env.settle()
    assert (await world.job(2)).state == "delivered"
    assert "job 1 cannot be read" in caplog.text
    with sqlite3.connect(world.bot.settings.database_path) as connection:
        kept = connection.execute(f"SELECT {column}, state FROM jobs WHERE id = 1").fetchone()
    assert kept == (value, state)
    result = await world.ann.click(answer(made), label="Cancel")
    list(world.env.errors)
    assert "data no longer exists" in text(answer(result))


async def test_after_a_long_stop_the_result_comes_as_a_new_message(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    await world.engine.started(1)
    await world.env.settle()
    world.now += 3600
    await world.restart()
    await world.env.settle()
    (post,) = world.posts()
    assert "seed 7" in text(post)
    assert f"<@{world.ann.id}>" in text(post)
    assert (await world.job(1)).interaction_token is None


async def test_a_model_removed_while_it_was_stopped(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.engine.started(1)
    await world.env.settle()
    world.found = Catalogue(models=(model("another"),))
    await world.restart(kill=True)
    await world.env.settle()
    assert (await world.job(1)).state == "failed"
    assert "no model called **plain**" in text(world.last)


async def test_a_picture_file_removed_while_it_was_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any, **__: Any) -> bool:
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "deliver", killed)
        await world.ann.slash(world.channel, "imagine", prompt="x")
        (picture,) = await world.bot.store.pictures.of_job(1)
        picture.path.unlink()
        await world.restart(kill=True)
    await world.restart()
    assert "image file no longer exists" in text(world.last)
    assert await world.bot.store.jobs.undelivered() == []


async def test_a_stop_leaves_no_job_failed(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.engine.started(1)
    await world.env.settle()
    await world.bot.close()
    assert "Cancel" in buttons(world.last)
    await world.restart()
    await world.env.settle()
    assert (await world.job(1)).state == "delivered"
