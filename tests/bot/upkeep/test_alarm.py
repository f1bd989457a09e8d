"""The owner's alarm, where the bot is a team's: each member is told once of each change."""

from __future__ import annotations

from dataclasses import replace

import discord
import pytest
from simcord.actors import MemberActor

from core.serving.client import EngineStatus
from tests.simulation import World

SECONDS = 15


@pytest.fixture
def team(world: World) -> tuple[MemberActor, MemberActor]:
    world.bot.owner_ids = {world.ann.id, world.bob.id}
    return world.ann, world.bob


async def seen(world: World, *statuses: EngineStatus) -> None:
    """One look at engines of these states."""
    world.bot.alarm._engines = lambda: statuses
    await world.env.advance_time(SECONDS)


def told(member: MemberActor) -> list[discord.Message]:
    return list(member.user.dm_channel.history())


async def unreachable(world: World, member: MemberActor) -> None:
    """Discord takes no message to a member, and it is not that theirs are closed."""
    channel = (await world.bot.create_dm(discord.Object(member.id))).id
    path = f"/channels/{channel}/messages"
    world.env.inject_error("POST", path, status=400, code=50035, times=None)


@pytest.mark.parametrize("which", [0, 1])
async def test_one_who_cannot_be_told_keeps_nobody_else_from_it(
    world: World, team: tuple[MemberActor, MemberActor], which: int
) -> None:
    up = world.engine.status
    down = replace(up, state="stopped", reason="no such card")
    await unreachable(world, team[which])
    for state in (up, down, down, down):
        await seen(world, state)
    assert len(told(team[1 - which])) == 1
    assert told(team[which]) == []
    # Who was told that it is down is told that it is over; who could not be is told neither.
    for state in (up, up):
        await seen(world, state)
    assert len(told(team[1 - which])) == 2
    world.env.backend.faults.clear()
    await seen(world, up)
    assert told(team[which]) == []


async def test_who_could_not_be_told_is_told_later(
    world: World, team: tuple[MemberActor, MemberActor]
) -> None:
    down = replace(world.engine.status, state="stopped", reason="no such card")
    await unreachable(world, team[0])
    await seen(world, down)
    world.env.backend.faults.clear()
    await seen(world, down)
    assert [len(told(member)) for member in team] == [1, 1]


async def test_engines_are_told_of_one_by_one(
    world: World, team: tuple[MemberActor, MemberActor]
) -> None:
    up = world.engine.status
    one, two = (replace(up, device=f"cuda:{number}") for number in range(2))
    await seen(world, replace(one, state="stopped"), replace(two, state="stopped"))
    await seen(world, one, replace(two, state="stopped"))
    for member in team:
        said = [message.content for message in told(member)]
        assert ["cuda:0" in each for each in said] == [True, False, True]


async def test_a_card_in_whose_place_another_device_works_is_told(
    world: World, team: tuple[MemberActor, MemberActor]
) -> None:
    """``DEVICE=auto`` without its card is the CPU: ready, and hours an image."""
    up = world.engine.status
    card, cpu = (replace(up, device_name=name) for name in ("GeForce", "CPU"))
    begins = replace(up, state="starting", device_name="")
    await unreachable(world, team[0])
    for state in (begins, card, replace(card, state="restarting"), cpu, cpu):
        await seen(world, state)
    (said,) = told(team[1])
    assert "GeForce" in said.content
    assert "CPU" in said.content
    assert "/admin restart" in said.content
    world.env.backend.faults.clear()
    await seen(world, cpu)
    # And when it is down between the two.
    for state in (replace(cpu, state="stopped"), card, card):
        await seen(world, state)
    for member in team:
        assert ["now uses" in each.content for each in told(member)] == [True, False, False, True]


async def test_discord_is_asked_once_for_the_owner(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, asked = world.bot.application_info, 0

    async def counted() -> discord.AppInfo:
        nonlocal asked
        asked += 1
        return await ask()

    monkeypatch.setattr(world.bot, "application_info", counted)
    world.env.inject_error("GET", "/oauth2/applications/@me", status=400, code=0)
    down = replace(world.engine.status, state="stopped")
    for _ in range(4):
        await seen(world, down)
    # The first time it did not answer.
    assert asked == 2
