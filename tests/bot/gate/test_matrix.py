"""Every cell of the table in docs/servers.md, tried; and the table is of today."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from simcord.actors import MemberActor

from bot.upkeep.pace import MemberPace
from tests.bot.actions.test_every_control import CONTROLS, REACTIONS, custom_id, press, said
from tests.bot.gate import matrix
from tests.bot.gate.matrix import BOTS, COLUMNS, MAKER, MAY, MEMBER, MODERATOR, SERVERS
from tests.bot.gate.test_permissions import FILLED, WHO, shown_to, with_rights
from tests.simulation import World, answer

RIGHTS: dict[str, dict[str, bool]] = {
    MODERATOR: {"manage_messages": True},
    SERVERS: {"manage_guild": True},
    MEMBER: {},
    BOTS: {},
}
REFUSALS = ("Manage Server", "Only the bot owner", "Only the person who")


def somebody(world: World, column: str, number: int) -> MemberActor:
    """A new member of that column."""
    if column == MAKER:
        return world.ann
    who = with_rights(world, f"{number}", **RIGHTS[column])
    if column == BOTS:
        world.bot.owner_id = who.id
    return who


async def refused(world: World, using: Any) -> bool:
    result = await using
    list(world.env.errors)
    words = said(result) if result.response is not None or result.modal is not None else ""
    return any(each in words for each in REFUSALS)


def test_the_table_in_the_docs_is_of_today() -> None:
    document = matrix.DOCUMENT.read_text("utf-8")
    assert matrix.table() in document, "run: python -m tests.bot.gate.matrix"


# What must be filled in where a command does something.
REQUIRED: dict[str, dict[str, Any]] = {
    "imagine": {"prompt": "x"},
    "explore": {"prompt": "x"},
    "cancel": {"job": "999"},
    "show": {"id": 1},
    **{f"preset {name}": {"name": "x"} for name in ("save", "show", "delete", "share", "export")},
    "style show": {"style": "kept"},
}


@pytest.fixture(autouse=True)
def unhurried(world: World) -> None:
    """Nobody is too fast."""
    world.bot._pace = MemberPace(itertools.count(step=60).__next__)


@pytest.mark.parametrize("column", COLUMNS)
async def test_commands(world: World, column: str) -> None:
    for number, (name, line) in enumerate(WHO.items()):
        if not name[0].islower():
            # Menus of messages and images, which test_message_menus.py opens as anybody.
            continue
        who = somebody(world, column, number)
        # Discord hides some of them, and an admin may show them to anybody.
        await shown_to(world, who)
        options = {"member": world.bob} if name in ("config ban", "config unban") else {}
        options |= FILLED.get(name, {}) | REQUIRED.get(name, {})
        using = who.slash(world.channel, name, **options)
        assert await refused(world, using) == (column not in MAY[line]), (name, column)
        world.bot.gate.draining = False


@pytest.mark.parametrize("column", COLUMNS)
async def test_controls(world: World, column: str) -> None:
    for number, action in enumerate(CONTROLS):
        await world.ann.slash(world.channel, "imagine", prompt="x")
        job = len(world.engine.seen)
        # From another post, which has no control of that name.
        other = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
        who = somebody(world, column, number)
        using = press(world, who, other, custom_id(action, job), CONTROLS[action][2])
        assert await refused(world, using) == (column not in MAY[CONTROLS[action][0]]), action


@pytest.mark.parametrize("column", COLUMNS)
async def test_reactions(world: World, column: str) -> None:
    for number, (emoji, line) in enumerate(REACTIONS.items()):
        post = answer(await world.ann.slash(world.channel, "imagine", prompt="x")).message
        who = somebody(world, column, number)
        await who.react(post, emoji)
        await world.env.settle()
        words = [each.content for each in who.user.dm_channel.history()]
        assert any(REFUSALS[2] in each for each in words) == (column not in MAY[line]), emoji
