"""Who asks and where: the same value from an interaction and from a reaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from simcord.actors import MemberActor

from bot.gate.origin import Origin
from bot.rules.policy import Asker
from tests.simulation import World, answer


@pytest.fixture
def origins(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Origin]:
    """Everything that the gate was asked for."""
    asked: list[Origin] = []
    check = world.bot.gate.check

    async def noted(origin: Origin, *arguments: Any, **options: Any) -> None:
        asked.append(origin)
        await check(origin, *arguments, **options)

    monkeypatch.setattr(world.bot.gate, "check", noted)
    return asked


def painter(world: World) -> MemberActor:
    role = world.guild.create_role("Painters")
    return world.guild.add_member(world.env.create_user("cleo"), roles=[role])


async def test_a_control_and_a_reaction_say_the_same(world: World, origins: list[Origin]) -> None:
    cleo = painter(world)
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    await cleo.click(post, label="New seed")
    await cleo.react(post, "🎲")
    _, control, reaction = origins
    assert control.who == reaction.who
    assert control.who.user_id == cleo.id
    # The server's own role, which everybody has, and hers.
    assert len(control.who.roles) == 2
    assert control.who.channels == (world.channel.id,)
    assert control.token
    assert control.filesize_limit
    assert reaction == replace(control, token=None, filesize_limit=None)
    assert control.token not in repr(control)


async def test_what_a_job_is_written_with(world: World, origins: list[Origin]) -> None:
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    await world.bob.click(post, label="New seed")
    await world.bob.react(post, "🎲")
    for job_id, origin in enumerate(origins, 1):
        job = await world.job(job_id)
        assert job.user_id == origin.who.user_id
        assert (job.guild_id, job.channel_id) == (world.guild.id, world.channel.id)
        assert job.application_id == origin.application_id
        assert job.locale == origin.locale
    assert [origin.who.user_id for origin in origins] == [world.ann.id, world.bob.id, world.bob.id]


async def test_a_reaction_in_direct_messages_has_no_server(
    world: World, origins: list[Origin]
) -> None:
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    await world.bob.react(post, "✉️")
    await world.env.settle()
    (copy,) = world.bob.user.dm_channel.history()
    await world.bob.user.set_reaction(copy, "🎲", reacted=True)
    await world.env.settle()
    origin = origins[-1]
    assert origin.who == Asker(world.bob.id)
    assert (origin.guild_id, origin.channel_id) == (None, world.bob.user.dm_channel.id)
    assert (await world.job(2)).guild_id is None
