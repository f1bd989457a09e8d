"""What was sent comes once, though the bot could not note it and Discord has forgotten its nonce.

simcord knows no nonces, so what is sent again is a second message.
"""

from __future__ import annotations

from typing import Any

import discord
import pytest

from bot.jobs.accepting import Accepting
from bot.posts.delivery import Delivery
from bot.posts.sender import SECONDS_TO_OPEN, Sender
from bot.store import Job
from tests.simulation import World, answer, buttons, text

HISTORY = "/channels/*/messages"


@pytest.fixture(autouse=True)
def clock(world: World) -> None:
    """The bot's clock begins so long before Discord's that jobs end when Discord's begins."""
    world.env.settle_timeout = 3.0
    world.now = world.env.backend.clock.now().timestamp() - 901


async def held(world: World, **options: Any) -> discord.Message:
    """Ann's job, running, with its post."""
    world.engine.hold()
    result = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7, **options)
    await world.engine.started(1)
    await world.env.settle()
    world.now += 901
    return answer(result).message


def messages(world: World) -> list[discord.Message]:
    """All that Ann sees of the bot's."""
    return [*world.posts(), *world.ann.user.dm_channel.history()]


async def killed(*_: Any, **__: Any) -> None:
    return None


def lost(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The reply to what a method sends first is lost."""
    method, calls = getattr(Sender, name), []

    async def sending(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        sent = await method(*arguments, **options)
        if len(calls) == 1:
            raise ConnectionResetError
        return sent

    monkeypatch.setattr(Sender, name, sending)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_a_result_that_a_stop_left_unnoted(
    world: World, monkeypatch: pytest.MonkeyPatch, kill: bool, private: bool
) -> None:
    await held(world, private=private)
    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "_delivered", killed)
        world.engine.release()
        await world.env.settle()
        await world.restart(kill=kill)
    sent = [each.id for each in messages(world) if each.attachments]
    await world.restart()
    await world.env.settle()
    assert len(sent) == 1
    assert [each.id for each in messages(world) if each.attachments] == sent
    job = await world.job(1)
    assert (job.state, job.message_id) == ("delivered", sent[0])


async def test_a_result_whose_reply_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await held(world)
    lost(monkeypatch, "send")
    world.engine.release()
    await world.env.settle()
    assert (await world.job(1)).state == "finished"
    await world.env.advance_time(10)
    (post,) = messages(world)
    assert "seed 7" in text(post)
    assert (await world.job(1)).state == "delivered"


async def test_its_channel_is_closed_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(world)
    lost(monkeypatch, "send")
    world.engine.release()
    await world.env.settle()
    world.env.inject_error("*", HISTORY, status=403, code=50001, times=None)
    await world.later(100)
    assert (await world.job(1)).state == "finished"
    world.env.backend.faults.clear()
    await world.later(1000)
    (post,) = messages(world)
    assert "seed 7" in text(post)
    assert (await world.job(1)).state == "delivered"


async def test_its_channel_stays_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await held(world)
    lost(monkeypatch, "send")
    world.engine.release()
    await world.env.settle()
    world.env.inject_error("GET", HISTORY, status=403, code=50001, times=None)
    world.now += SECONDS_TO_OPEN
    await world.env.advance_time(10)
    assert (await world.job(1)).state == "delivered"


async def test_an_ending_whose_reply_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    post = await held(world)
    lost(monkeypatch, "send")
    await world.ann.click(post, label="Cancel")
    await world.env.advance_time(10)
    (said,) = messages(world)
    assert "Canceled" in text(said)
    assert not (await world.job(1)).untold


async def test_an_announcement_whose_reply_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answer(await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)).message
    world.now += 901
    lost(monkeypatch, "announce")
    await world.ann.react(first, "🎲")
    await world.env.advance_time(10)
    assert (await world.job(2)).state == "delivered"
    _, result = messages(world)
    assert "Cancel" not in buttons(result)
    assert len(result.attachments) == 1


async def test_an_answer_whose_token_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unnoted(_: Any, job: Job, __: int | None) -> Job:
        return job

    with monkeypatch.context() as patch:
        patch.setattr(Accepting, "posted", unnoted)
        await held(world)
    await world.restart(kill=True)
    await world.env.settle()
    (result,) = messages(world)
    assert "seed 7" in text(result)
    assert (await world.job(1)).message_id == result.id


async def test_a_first_post_that_could_not_be_noted_goes_with_its_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answer(await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)).message
    world.now += 901
    world.engine.hold()
    lost(monkeypatch, "announce")
    await world.ann.react(first, "🎲")
    assert len(world.posts()) == 2
    assert await world.bot.jobs.delete(await world.job(2))
    assert [each.id for each in world.posts()] == [first.id]
