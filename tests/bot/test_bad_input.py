"""Bad input, through the whole bot: a sentence each, and nothing lost.

What each reader makes of a file or a text is tested beside that reader: images in
tests/core/pictures and tests/bot/ordering, axes in tests/core/sheets, presets and settings of a
server in tests/cogs and tests/bot/store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import discord
import pytest
from simcord.actors import MemberActor

from bot.rules.server import Server
from core.errors import PenultimateError
from tests.bot.actions.test_more import START
from tests.bot.ordering.test_attachments import bomb, text_bomb
from tests.bot.ordering.test_start_image import picture
from tests.simulation import World, answer, text

MIB = 2**20


@pytest.fixture(autouse=True)
def only_what_has_a_sentence(world: World) -> Iterator[None]:
    """Reading the errors accepts them: what has a sentence may happen, a bug may not."""
    yield
    for error in world.env.errors:
        assert isinstance(getattr(error, "original", error), PenultimateError), error


@pytest.fixture
def boss(world: World) -> MemberActor:
    """Somebody who may manage the server."""
    manages = discord.Permissions(manage_guild=True)
    role = world.guild.create_role("Managers", permissions=manages)
    return world.guild.add_member(world.env.create_user("boss"), roles=[role])


async def something_to_lose(world: World) -> None:
    """Ann has a picture and a preset, the server a setting."""
    await world.ann.slash(world.channel, "imagine", prompt="a cat")
    await world.bot.store.presets.save(world.ann.id, "Mine", {"steps": 12})
    await world.bot.store.servers.update(world.guild.id, lambda s: replace(s, max_steps=40))


async def nothing_is_lost(world: World) -> None:
    """All that is there still, nothing came to it, nothing waits; and the next picture is drawn."""
    assert (await world.job(1)).state == "delivered"
    assert await world.bot.store.jobs.get(2) is None
    assert await world.bot.store.jobs.unfinished() == []
    (preset,) = await world.bot.store.presets.list(world.ann.id)
    assert (preset.name, preset.values) == ("Mine", {"steps": 12})
    assert world.bot.gate.server(world.guild.id) == Server(max_steps=40)
    await world.ann.slash(world.channel, "imagine", prompt="a dog")
    assert (await world.job(2)).state == "delivered"


# What is no picture that can be read, and what is said of it.
FILES = {
    "26 MB": (b"\x89PNG" + bytes(26 * MIB), "too large"),
    "20,000 × 20,000": (bomb(20_000, 20_000), "too large"),
    "bomb": (bomb(2**31 - 1, 2**31 - 1), "too large"),
    "no picture": (b"%PDF-1.7 hello", "can’t read that file as an image"),
    "empty": (b"", "can’t read that file as an image"),
    "half": (picture()[:100], "damaged"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("door", ["imagine", "explore", "Use as start image"])
async def test_a_start_image(world: World, name: str, door: str) -> None:
    data, words = FILES[name]
    await something_to_lose(world)
    if door in ("imagine", "explore"):
        file = ("a.png", data)
        said = await world.ann.slash(world.channel, door, prompt="x", start_image=file)
    else:
        message = await world.bob.send(world.channel, "look", attachments=[("a.png", data)])
        said = await world.ann.context_menu(world.channel, door, message)
        if said.modal is not None:
            # A form is shown before its picture is decoded.
            said = await world.ann.submit_modal(said, START)
    assert words in text(answer(said))
    assert answer(said).ephemeral
    await nothing_is_lost(world)


# Its pixels can be a start image all the same.
TEXTS = FILES | {"text bomb": (text_bomb(), "parameters")}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("door", ["Parameters", "Vary"])
async def test_a_picture_whose_parameters_are_wanted(world: World, name: str, door: str) -> None:
    await something_to_lose(world)
    message = await world.bob.send(world.channel, "look", attachments=[("a.png", TEXTS[name][0])])
    said = text(answer(await world.ann.context_menu(world.channel, door, message)))
    sentences = ("too large", "damaged", "can’t read that file as an image", "parameters")
    assert any(words in said for words in sentences), said
    await nothing_is_lost(world)


PASTED = "x\nNegative prompt: y\nSteps: {steps}, Sampler: {sampler}, CFG scale: {cfg}, Size: {size}"
FINE = {"steps": "20", "sampler": "Euler", "cfg": "7", "size": "512x512"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"steps": "9" * 3000}, "Steps “9"),
        ({"steps": "-5"}, "was ignored; it must be from 1 to 150"),
        ({"cfg": "1e999"}, "CFG scale “1e999” was ignored"),
        ({"size": "99999999x1"}, "Size-1 “99999999” was ignored"),
        ({"sampler": "@everyone" * 30}, "no sampler called"),
    ],
)
async def test_pasted_parameters(world: World, wrong: dict[str, str], words: str) -> None:
    """A picture without the value, and a remark that it was left out."""
    pasted = PASTED.format(**FINE | wrong)
    said = text(answer(await world.ann.slash(world.channel, "imagine", prompt=pasted)))
    assert words in said
    job = await world.job(1)
    assert (job.state, job.request.steps, job.request.width) == ("delivered", 20, 512)


@pytest.mark.parametrize(
    ("axis", "values", "words"),
    [
        ("seed", "1-10000", "25 values; yours has 10000"),
        ("seed", "1-99999999999999999999", "values; yours has"),
        ("steps", "7," * 3000, "25 values; yours has 3000"),
        ("cfg_scale", "one, two", "CFG"),
        ("clip_skip", "1-12 (+0)", "clip skip"),
        ("size", "0x0", "width"),
        ("model", "lost", "no model called"),
    ],
)
async def test_an_axis(world: World, axis: str, values: str, words: str) -> None:
    await something_to_lose(world)
    options = {"x_axis": axis, "x_values": values}
    said = text(answer(await world.ann.slash(world.channel, "explore", prompt="x", **options)))
    assert words.casefold() in said.casefold()
    await nothing_is_lost(world)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"steps: 12", "isn’t JSON"),
        (b"\xff\xfe\x00", "isn’t JSON"),
        (b"[" * 60_000, "isn’t JSON"),
        (b"[]", "isn’t a preset"),
        (b'{"steps": 9000}', "no values that can be used here"),
        (bytes(26 * MIB), "too large"),
    ],
)
async def test_a_preset(world: World, data: bytes, words: str) -> None:
    await something_to_lose(world)
    said = await world.ann.slash(world.channel, "preset import", file=("a.json", data), name="Mine")
    assert words in text(answer(said))
    await nothing_is_lost(world)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"max_steps = 3", "isn’t a JSON file"),
        (b'{"max_steps": 3}', "no settings of this bot"),
        (json.dumps({"version": 999, "max_steps": 3}).encode(), "newer version"),
        (bytes(26 * MIB), "too large"),
    ],
)
async def test_a_servers_settings(world: World, boss: MemberActor, data: bytes, words: str) -> None:
    await something_to_lose(world)
    said = await boss.slash(world.channel, "config import", file=("a.json", data))
    assert words in text(answer(said))
    await nothing_is_lost(world)


async def test_roles_and_channels_that_were_deleted_since(world: World, boss: MemberActor) -> None:
    """Numbers of nothing: what names only them still holds, and every panel can be opened."""
    lost = 111
    settings = Server(
        channels=(lost,),
        roles=(lost,),
        model_roles={"plain": (lost,)},
        role_quotas={lost: 3},
        channel_defaults={lost: {"steps": 9}},
        log_channel=lost,
    )
    await world.bot.store.servers.update(world.guild.id, lambda _: settings)
    said = text(answer(await world.ann.slash(world.channel, "imagine", prompt="x")))
    assert "can’t generate images in this channel" in said
    for panel in ("show", "general", "access", "models", "limits", "quota", "defaults"):
        assert text(answer(await boss.slash(world.channel, f"config {panel}")))
    assert world.bot.gate.server(world.guild.id) == settings
    await world.bot.store.servers.update(
        world.guild.id, lambda s: replace(s, channels=(), roles=(), model_roles={})
    )
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert (await world.job(1)).state == "delivered"
