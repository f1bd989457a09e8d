"""Uses that took so long that they had to be acknowledged before their action knew what to show."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.actions.dispatch import Dispatch
from bot.answers import Interaction
from bot.jobs.accepting import Accepting
from bot.store import Job
from tests.simulation import World, answer, buttons, text


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every use is acknowledged before its action has begun."""
    act = Dispatch._act

    async def slowly(self: Dispatch, interaction: Interaction) -> None:
        # discord.py tells nobody of this moment.
        while not interaction.response.is_done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await act(self, interaction)

    monkeypatch.setattr(Dispatch, "_act", slowly)
    monkeypatch.setattr("bot.answers.SECONDS_TO_ACKNOWLEDGE", 0.05)


@pytest.mark.parametrize("label", ["Clip skip +", "2"])
async def test_a_slow_press_leaves_the_post_as_it_is(
    world: World, label: str, request: Any
) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7, count=2)
    request.getfixturevalue("slow")
    await world.bob.click(answer(made), label=label)
    await world.env.settle()
    before, after = (await world.job(1)), (await world.job(2))
    assert (before.state, after.state) == ("delivered", "delivered")
    assert before.message_id != after.message_id
    assert len(world.posts()) == 2
    assert buttons(world.posts()[0])["Clip skip +"]["custom_id"].split(":")[2] == "1"


async def test_after_a_kill_too(world: World, monkeypatch: pytest.MonkeyPatch, slow: None) -> None:
    async def killed(_: Any, job: Job, __: int | None) -> Job:
        return job

    made = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    world.engine.hold()
    with monkeypatch.context() as patch:
        patch.setattr(Accepting, "posted", killed)
        await world.bob.click(answer(made), label="Clip skip +")
    await world.restart(kill=True)
    await world.env.settle()
    assert (await world.job(2)).state == "delivered"
    assert (await world.job(2)).message_id != (await world.job(1)).message_id


async def test_a_form_that_comes_too_late_is_said(world: World, slow: None) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    await world.bob.click(answer(made), label="Edit")
    (*_, said) = world.channel.history(viewer=world.bob)
    assert "took too long" in text(said)


async def test_what_discord_does_not_let_acknowledge_is_done_all_the_same(
    world: World, slow: None
) -> None:
    world.env.inject_error("POST", "/interactions/*/*/callback", status=404, code=10062, times=None)
    await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    await world.env.settle()
    assert (await world.job(1)).state == "delivered"
    (result,) = world.posts()
    assert "seed 7" in text(result)
