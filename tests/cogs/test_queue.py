"""/queue: the line, one's own jobs in it, and taking one back."""

from __future__ import annotations

from tests.simulation import World, answer, buttons, components, text


async def test_an_empty_line(world: World) -> None:
    shown = answer(await world.ann.slash(world.channel, "queue"))
    assert shown.ephemeral
    assert "0 generating, 0 waiting" in text(shown)
    assert "You have no jobs in the queue" in text(shown)


async def test_ones_own_jobs_and_nobody_elses(world: World) -> None:
    world.engine.hold()
    world.engine.rows = 1
    await world.ann.slash(world.channel, "imagine", prompt="mine, first")
    await world.bob.slash(world.channel, "imagine", prompt="of somebody else")
    await world.ann.slash(world.channel, "imagine", prompt="mine, second")
    shown = answer(await world.ann.slash(world.channel, "queue"))
    assert "1 generating, 2 waiting" in text(shown)
    assert "mine, first" in text(shown)
    assert "**2 of 2**\n-# mine, second" in text(shown)
    assert "somebody else" not in text(shown)


async def test_a_job_is_cancelled_from_the_list(world: World) -> None:
    world.engine.hold()
    world.engine.rows = 1
    for prompt in ("one", "two"):
        await world.ann.slash(world.channel, "imagine", prompt=prompt)
    shown = answer(await world.ann.slash(world.channel, "queue"))
    result = await world.ann.click(shown, custom_id="s:take_back:2")
    await world.env.settle()
    assert result.acknowledged
    assert "1 generating, 0 waiting" in text(shown)
    assert "two" not in text(shown)
    await world.ann.click(shown, label="Cancel")
    assert "You have no jobs in the queue" in text(shown)
    assert not buttons(shown)
    assert (await world.job(2)).state == "cancelled"
    assert (await world.job(1)).state == "cancelled"
    assert "Canceled" in text(world.posts()[1])


async def test_what_is_over_cannot_be_cancelled(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="one")
    shown = answer(await world.ann.slash(world.channel, "queue"))
    world.engine.release()
    await world.env.settle()
    await world.ann.click(shown, label="Cancel")
    assert "You have no jobs in the queue" in text(shown)
    assert "already ended" in text(world.channel.history(viewer=world.ann)[-1])
    assert (await world.job(1)).state == "delivered"


async def test_a_long_list_is_cut(world: World) -> None:
    world.engine.hold()
    world.bot.queue.per_owner = 30
    for _ in range(12):
        await world.ann.slash(world.channel, "imagine", prompt="x")
    shown = answer(await world.ann.slash(world.channel, "queue"))
    assert "and 2 more" in text(shown)
    assert len(components(shown)) <= 40
