"""/admin: for the bot's owner alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import discord
import pytest
from simcord.actors import MemberActor

from bot.settings import Settings
from core.errors import Refused
from core.models.catalogue import Catalogue
from core.serving.client import EngineStatus
from core.serving.cluster.fleet import FleetStatus
from tests.simulation import Engine, World, answer, buttons, model, simulate, text, vae

COMMANDS = ("status", "drain", "reload", "restart")


@pytest.fixture
def owner(world: World) -> MemberActor:
    """The application's owner, who is an admin here too."""
    admin = admin_of(world, "owner")
    world.bot.owner_id = admin.id
    return admin


def admin_of(world: World, name: str) -> MemberActor:
    permissions = discord.Permissions(administrator=True)
    role = world.guild.create_role(f"Admins of {name}", permissions=permissions)
    return world.guild.add_member(world.env.create_user(name), roles=[role])


async def admin(world: World, owner: MemberActor, name: str) -> Any:
    result = await owner.slash(world.channel, f"admin {name}")
    # A refusal is an error that the test has to look at, or it fails at its end.
    list(world.env.errors)
    return answer(result)


@pytest.mark.parametrize("name", COMMANDS)
async def test_members_do_not_see_it_and_admins_of_a_server_may_not(
    world: World, owner: MemberActor, name: str
) -> None:
    assert f"admin {name}" not in world.ann.available_commands(world.channel)
    refused = await admin(world, admin_of(world, "other"), name)
    assert refused.ephemeral
    assert text(refused) == "Only the bot owner can use this."
    assert not world.bot.gate.draining


async def test_the_team_of_an_application_may(world: World) -> None:
    member = admin_of(world, "member")
    world.bot.owner_ids = {member.id}
    assert "Queue" in text(await admin(world, member, "status"))


async def test_status_says_how_things_stand(world: World, owner: MemberActor) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    said = text(await admin(world, owner, "status"))
    assert "Queue: 1 generating, 0 waiting" in said
    assert "Engine: ready, on fake" in said
    assert "Speed" not in said
    assert "Engine restarts: 0" in said
    assert "Loaded models: plain" in said
    assert "VRAM" not in said
    world.engine.release()


async def test_status_of_a_card_that_died_once(
    world: World, owner: MemberActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = EngineStatus(
        state="restarting",
        pid=None,
        device_name="A card",
        warm=("*" * 100,) * 16,
        restarts=3,
        rows_free=0,
        speed=12.3456,
        reason="out of " + "memory " * 1000,
        memory=(3 * 2**30, 8 * 2**30),
    )
    monkeypatch.setattr(type(world.engine), "status", property(lambda _: status))
    said = text(await admin(world, owner, "status"))
    assert "Engine: restarting, on A card" in said
    assert "VRAM: 3.0 of 8.0 GiB" in said
    assert "Speed: 12.3 " in said
    assert "Reason for the last stop: out of memory" in said
    assert len(said) <= 4000


async def test_status_names_each_of_several_engines(
    world: World, owner: MemberActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = EngineStatus(
        state="ready",
        pid=1,
        device_name="A card" * 100,
        warm=("*" * 100,) * 16,
        restarts=123,
        rows_free=0,
        speed=1234.5678,
        reason="out of " + "memory " * 1000,
        memory=(3 * 2**30, 8 * 2**30),
    )
    statuses = iter([replace(status, device=f"cuda:{number}") for number in range(8)])
    monkeypatch.setattr(type(world.engine), "status", property(lambda _: next(statuses)))
    engines: list[Any] = world.bot.engines
    engines.extend([world.engine] * 7)
    said = text(await admin(world, owner, "status"))
    for number in range(8):
        assert f"Engine: ready, on cuda:{number} (A card" in said
    assert len(said) <= 4000
    del engines[1:]


async def test_status_of_a_cluster_with_many_engines_fits(
    world: World, owner: MemberActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cog: Any = world.bot.get_cog("AdminCog")
    status = replace(world.engine.status, device="gpu" * 100, device_name="A card" * 100)
    monkeypatch.setattr(type(world.engine), "status", property(lambda _: status))
    reason = "the Ray cluster cannot be reached" * 100
    monkeypatch.setattr(cog, "fleet", Mock(status=FleetStatus("restarting", "ray://h:1", reason)))
    monkeypatch.setattr(cog, "engines", [world.engine] * 40)
    said = text(await admin(world, owner, "status"))
    assert "- Cluster: restarting, at ray\\://h:1\n- Reason for the last stop: the Ray" in said
    assert said.count("- Engine: ") == 16
    assert "… and 24 more." in said
    assert len(said) <= 4000


async def test_drain_finishes_the_rest_and_takes_nothing_new(
    world: World, owner: MemberActor
) -> None:
    world.engine.hold()
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    panel = await admin(world, owner, "drain")
    assert "Not taking new jobs. Jobs left: 1." in text(panel)
    refused = await world.bob.slash(world.channel, "imagine", prompt="x")
    assert world.env.errors  # The refusal; what nobody looked at fails the test.
    assert answer(refused).ephemeral
    assert "isn’t taking new jobs" in text(answer(refused))
    world.engine.release()
    await world.env.settle()
    assert (await world.job(1)).state == "delivered"
    refused = await world.bob.click(world.last, label="New seed")
    assert "isn’t taking new jobs" in text(answer(refused))
    await owner.click(panel, label="Resume taking jobs")
    await world.bob.slash(world.channel, "imagine", prompt="x")
    assert len(world.engine.seen) == 2
    assert post is not None


async def test_a_drain_waits_for_every_card_also_when_one_is_lost(tmp_path: Path) -> None:
    values = {"DATA_DIR": str(tmp_path / "data"), "DEVICE": "cuda:0,cuda:1"}
    async with simulate(Settings.load(values, dotenv_path=None)) as world:
        owner = admin_of(world, "owner")
        world.bot.owner_id = owner.id
        one, two = world.bot.engines
        assert isinstance(one, Engine)
        assert isinstance(two, Engine)
        for engine in (one, two):
            engine.rows = 1
            engine.hold()
        for number in range(3):
            await world.ann.slash(world.channel, "imagine", prompt=f"number {number}")
        assert (len(one.running), len(two.running)) == (1, 1)
        assert "Jobs left: 3." in text(await admin(world, owner, "drain"))
        await one.close()
        two.release()
        await world.env.settle()
        assert [(await world.job(number)).state for number in (1, 2, 3)] == ["delivered"] * 3
        assert len(two.seen) == 3
        refused = await world.bob.slash(world.channel, "imagine", prompt="x")
        assert world.env.errors  # The refusal; what nobody looked at fails the test.
        assert "isn’t taking new jobs" in text(answer(refused))


async def test_the_buttons_are_the_owners_alone(world: World, owner: MemberActor) -> None:
    panel = await admin(world, owner, "status")
    assert set(buttons(panel)) == {"Refresh", "Stop taking jobs"}
    await owner.click(panel, label="Stop taking jobs")
    assert world.bot.gate.draining
    assert "Resume taking jobs" in buttons(panel)
    world.bot.owner_id = 1
    refused = await owner.click(panel, label="Resume taking jobs")
    assert "Only the bot owner can use this" in text(answer(refused))
    assert world.bot.gate.draining
    refused = await owner.click(panel, label="Refresh")
    assert "Only the bot owner can use this" in text(answer(refused))


async def test_a_restart_ends_the_drain(world: World, owner: MemberActor) -> None:
    await admin(world, owner, "drain")
    await world.restart()
    assert not world.bot.gate.draining


async def test_reload_says_what_is_new_gone_and_refused(world: World, owner: MemberActor) -> None:
    world.found = Catalogue(
        models=(model("plain"), model("brand new")),
        vaes=(vae("vivid"),),
        refused=(Refused("model", "bad", "pickle"), Refused("model", "tune", "family", "a LoRA")),
        warnings=("card.toml: steps must be a number",),
    )
    said = text(await admin(world, owner, "reload"))
    assert "Models: 2 · VAEs: 1" in said
    assert "New: brand new" in said
    assert "Removed: anime, other, soft, two" in said
    assert "**bad** is a pickle file" in said
    assert "**tune** is of a type this bot doesn’t support" in said
    assert "(a LoRA)" in said
    assert "steps must be a number" in said
    await world.ann.slash(world.channel, "imagine", prompt="x", model="brand new")
    assert world.engine.seen[-1].model.name == "brand new"


async def test_reload_without_news(world: World, owner: MemberActor) -> None:
    assert "No changes." in text(await admin(world, owner, "reload"))


async def test_reload_of_very_many_fits_into_a_post(world: World, owner: MemberActor) -> None:
    world.found = Catalogue(
        models=tuple(model("*" * 95 + f"{number:05}") for number in range(2000)),
        refused=tuple(Refused("model", "*" * 100, "unreadable", "x" * 500) for _ in range(99)),
        warnings=("*" * 2000,) * 99,
    )
    said = text(await admin(world, owner, "reload"))
    assert len(said) <= 4000
    assert "more." in said


async def test_add_ons_that_a_scan_had_no_time_for_are_read_afterwards(
    world: World, owner: MemberActor
) -> None:
    world.found = replace(world.found, unread=1)
    turns = 0
    scanned = world.bot._make_catalogue

    def scan(settings: Any) -> Catalogue:
        nonlocal turns
        turns += 1
        if turns == 3:
            world.found = replace(world.found, unread=0)
        return scanned(settings)

    world.bot._make_catalogue = scan
    await admin(world, owner, "reload")
    await world.bot._reading
    assert (turns, world.bot.catalogue.unread) == (3, 0)


async def test_a_restart_begins_what_runs_again(world: World, owner: MemberActor) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="x")
    await world.engine.started(1)
    said = await admin(world, owner, "restart")
    assert "restarting" in text(said)
    assert world.engine.status.restarts == 1


async def test_the_owner_is_told_of_an_engine_that_stays_down_once(
    world: World, owner: MemberActor
) -> None:
    up = world.engine.status
    down = replace(up, state="stopped", reason="no such card: [a](http://b)")
    now = [up]
    world.bot.alarm._engines = lambda: now
    for state, count in ((down, 1), (down, 1), (up, 2), (up, 2), (down, 3)):
        now[:] = [state]
        await world.env.advance_time(15)
        told = list(owner.user.dm_channel.history())
        assert len(told) == count, [message.content for message in told]
    assert "no such card" in told[0].content
    assert "/admin restart" in told[0].content
    assert "runs again" in told[1].content
