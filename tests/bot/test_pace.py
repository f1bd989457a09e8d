"""One member who presses without end: refused cheaply, and others are served as before."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest

from bot.upkeep.pace import BURST, MAX_MEMBERS, RATE, MemberPace
from tests.simulation import World, answer, text


def test_what_hands_do_is_allowed_and_a_flood_is_not() -> None:
    now = [0.0]
    pace = MemberPace(lambda: now[0])
    assert [pace.allows(1) for _ in range(int(BURST) + 5)] == [True] * int(BURST) + [False] * 5
    assert pace.allows(2)
    now[0] += 1
    assert sum(pace.allows(1) for _ in range(50)) == RATE
    now[0] += 60
    assert sum(pace.allows(1) for _ in range(100)) == BURST


def test_members_who_are_at_rest_are_forgotten() -> None:
    now = [0.0]
    pace = MemberPace(lambda: now[0])
    for user_id in range(MAX_MEMBERS + 5):
        now[0] += 1
        pace.allows(user_id)
    assert len(pace._left) < 20


def test_a_crowd_is_forgotten_once_it_rests() -> None:
    now = [0.0]
    pace = MemberPace(lambda: now[0])
    assert all(pace.allows(user_id) for user_id in range(2 * MAX_MEMBERS))
    now[0] += BURST / RATE
    assert pace.allows(-1)
    assert set(pace._left) == {-1}


def presses(world: World, user_id: int, count: int, kind: int = 2) -> list[dict[str, Any]]:
    """Interactions of one member as Discord sends them, of the /queue command."""
    (command,) = [each for each in world.bot.tree.get_commands() if each.name == "queue"]
    return [
        {
            "id": str(10**18 + number),
            "application_id": "1",
            "type": kind,
            "token": f"token-{number}",
            "version": 1,
            "user": {"id": str(user_id), "username": "x", "discriminator": "0", "avatar": None},
            "channel_id": "5",
            "channel": {"id": "5", "type": 1},
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {},
            "context": 1,
            "attachment_size_limit": 10,
            "data": {"id": "9", "name": command.name, "type": 1},
        }
        for number in range(count)
    ]


async def test_of_a_flood_only_what_hands_do_reaches_the_library(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    parsed: list[Any] = []
    said: list[str] = []

    async def refused(interaction: discord.Interaction[Any], error: Exception) -> None:
        said.append(f"{interaction.user.id} {type(error).__name__}")

    monkeypatch.setattr("bot.client.refuse", refused)
    for data in presses(world, 7, 10_000):
        world.bot._in_turn(parsed.append, data)
    for data in presses(world, 8, 5):
        world.bot._in_turn(parsed.append, data)
    await world.env.settle()
    assert len(parsed) == BURST + 5
    assert said == ["7 TooFast"]
    assert "member 7: 9959 uses too fast to be answered" in caplog.text
    assert world.bot._refused == {}
    # What is typed gets no answer, for Discord shows none.
    for data in presses(world, 7, 5, kind=4):
        world.bot._in_turn(parsed.append, data)
    await world.env.settle()
    assert len(said) == 1


async def test_refusals_that_discord_takes_slowly_are_one_a_member_and_hold_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    floods, others = range(20, 30), range(100, 150)
    parsed: list[Any] = []
    said: list[int] = []
    taken = asyncio.Event()

    async def refused(interaction: discord.Interaction[Any], error: Exception) -> None:
        said.append(interaction.user.id)
        await taken.wait()

    monkeypatch.setattr("bot.client.refuse", refused)
    for user_id in floods:
        for data in presses(world, user_id, 500):
            world.bot._in_turn(parsed.append, data)
    await asyncio.sleep(0)
    assert said == list(floods)
    assert len(world.bot._refusing) == len(floods)
    # Whoever else comes meanwhile is served, all of them.
    parsed.clear()
    coming = [data for user_id in others for data in presses(world, user_id, 5)]
    for data in coming:
        world.bot._in_turn(parsed.append, data)
    assert parsed == coming
    taken.set()
    await world.env.settle()
    assert (world.bot._refused, world.bot._refusing) == ({}, set())


async def test_who_is_too_fast_is_told_and_then_served_again(world: World) -> None:
    now = [0.0]
    world.bot._pace = MemberPace(lambda: now[0])
    for _ in range(int(BURST)):
        await world.ann.slash(world.channel, "queue")
    said = answer(await world.ann.slash(world.channel, "queue"))
    assert said.ephemeral
    assert "too fast" in text(said)
    other = answer(await world.bob.slash(world.channel, "queue"))
    assert "Queue" in text(other)
    now[0] += 5
    assert "Queue" in text(answer(await world.ann.slash(world.channel, "queue")))
