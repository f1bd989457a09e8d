"""A job that is deleted, wherever it is by then: nothing of it stays, and nothing more is said."""

from __future__ import annotations

from typing import Any

import pytest

from bot.translate import t
from tests.bot.actions.test_every_control import press
from tests.simulation import World, answer, text


@pytest.fixture
async def other(world: World) -> Any:
    """A finished picture of Ann's, job 1, from whose post one gets at others."""
    return answer(await world.ann.slash(world.channel, "imagine", prompt="x"))


async def by_control(world: World, post: Any, other: Any, number: int) -> None:
    asked = answer(await press(world, world.ann, other, f"p:remove:{number}"))
    said = text(answer(await world.ann.click(asked, label=t("control.delete"))))
    assert said == t("panel.deleted")


async def by_reaction(world: World, post: Any, other: Any, number: int) -> None:
    await world.ann.react(post, "❌")


@pytest.mark.parametrize("delete", [by_control, by_reaction])
async def test_a_running_job_leaves_no_post(world: World, other: Any, delete: Any) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="a red circle")
    await world.engine.started(2)
    await delete(world, world.last, other, 2)
    await world.env.settle()
    assert await world.bot.store.jobs.get(2) is None
    assert [post.id for post in world.posts()] == [other.id]
    assert world.bot.queue.snapshot() == ()
    world.engine.release()
    await world.env.settle()
    assert [post.id for post in world.posts()] == [other.id]
    assert len(list(world.settings.images_dir.rglob("*.png"))) == 1


@pytest.mark.parametrize("delete", [by_control, by_reaction])
async def test_a_finished_job_leaves_no_post_either(world: World, other: Any, delete: Any) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await delete(world, world.last, other, 2)
    assert await world.bot.store.jobs.get(2) is None
    assert [post.id for post in world.posts()] == [other.id]
