"""Server styles: who may make them, what they do to a prompt, what is refused."""

from __future__ import annotations

from typing import Any

import discord
import pytest
from simcord.actors import MemberActor

from bot.store import Store, Style
from bot.store.styles import MAX_PER_SERVER, MAX_TEMPLATE
from core.errors import InvalidRequest, UnknownName
from tests.simulation import World, answer, text

PLACE = "a photo of {prompt}, film grain"


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (Style("x", PLACE), ("a photo of a cat, film grain", "bad")),
        (Style("x", "film grain"), ("a cat, film grain", "bad")),
        (Style("x", "{prompt}, {prompt}", "blurry"), ("a cat, a cat", "bad, blurry")),
        (Style("x", "{prompt} {a|b}"), ("a cat {a|b}", "bad")),
    ],
)
def test_a_style_goes_around_the_prompt(style: Style, expected: tuple[str, str]) -> None:
    assert style.applied("a cat", "bad") == expected


def test_nothing_is_joined_to_nothing() -> None:
    assert Style("x", "film", "blurry").applied("", "") == ("film", "blurry")
    assert Style("x", "{prompt}").applied("say {prompt}", "") == ("say {prompt}", "")


@pytest.fixture
def manager(world: World) -> MemberActor:
    """Somebody who may manage the server."""
    manages = discord.Permissions(manage_guild=True)
    role = world.guild.create_role("Managers", permissions=manages)
    return world.guild.add_member(world.env.create_user("boss"), roles=[role])


async def slash(world: World, by: MemberActor, command: str, **options: Any) -> str:
    result = await by.slash(world.channel, f"style {command}", **options)
    assert result.ephemeral
    # Reading the errors accepts them: what is refused is raised, and answered.
    assert world.env.errors is not None
    return text(answer(result))


async def test_save_list_show_use_delete(world: World, manager: MemberActor) -> None:
    said = await slash(
        world, manager, "save", style="Film", template=PLACE, negative_prompt="blurry"
    )
    assert said == (
        "Saved the style **Film**. Everyone here can use it with `/imagine style:Film`.\n"
        "a photo of {prompt}, film grain\nNegative prompt: blurry"
    )
    assert "**Film** — a photo of {prompt}" in await slash(world, world.ann, "list")
    assert "Negative prompt: blurry" in await slash(world, world.ann, "show", style="FILM")
    await world.ann.slash(
        world.channel, "imagine", prompt="a cat", style="film", negative_prompt="bad"
    )
    request = (await world.job(1)).request
    assert request.prompt == "a photo of a cat, film grain"
    assert request.negative_prompt == "bad, blurry"
    assert await slash(world, manager, "delete", style="film") == "Deleted the style **Film**."
    assert "no style called" in await slash(world, world.ann, "show", style="film")


async def test_a_style_adds_to_the_models_own_negative_prompt(world: World) -> None:
    await world.bot.store.styles.save(world.guild.id, "film", "film", "blurry")
    await world.ann.slash(world.channel, "imagine", prompt="a", model="anime", style="film")
    assert (await world.job(1)).request.negative_prompt == "lowres, blurry"


async def test_only_managers_save_and_delete(world: World) -> None:
    await world.bot.store.styles.save(world.guild.id, "film", PLACE)
    refused = await slash(world, world.ann, "save", style="x", template="y")
    assert "You need these permissions" in refused
    assert "You need these permissions" in await slash(world, world.ann, "delete", style="film")
    assert [style.name for style in await world.bot.store.styles.list(world.guild.id)] == ["film"]


async def test_a_style_that_is_not_there_draws_nothing(world: World) -> None:
    await world.bot.store.styles.save(world.guild.id, "film", PLACE)
    result = await world.ann.slash(world.channel, "imagine", prompt="a", style="flim")
    said = text(answer(result))
    assert said.startswith("There’s no style called **flim**. Did you mean **film**?\n")
    assert world.engine.seen == []
    assert world.env.errors


async def test_a_style_that_makes_the_prompt_too_long_is_refused(world: World) -> None:
    await world.bot.store.styles.save(world.guild.id, "film", "x" * MAX_TEMPLATE + PLACE[:0])
    result = await world.ann.slash(world.channel, "imagine", prompt="y" * 2500, style="film")
    assert "up to 4000 characters" in text(answer(result))
    assert world.env.errors


async def test_the_list_is_empty_at_first(world: World) -> None:
    assert "no styles yet" in await slash(world, world.ann, "list")


async def test_the_longest_list_fits_into_one_post(world: World) -> None:
    for number in range(MAX_PER_SERVER):
        await world.bot.store.styles.save(
            world.guild.id, f"{number:02}" + "*" * 38, "_" * MAX_TEMPLATE, "_" * MAX_TEMPLATE
        )
    said = await slash(world, world.ann, "list")
    assert len(said) <= 4000
    assert len(said.splitlines()) == 1 + MAX_PER_SERVER
    assert len(await slash(world, world.ann, "show", style="00" + "*" * 38)) <= 4000


async def test_no_more_than_fifty(world: World, manager: MemberActor) -> None:
    for number in range(MAX_PER_SERVER):
        await world.bot.store.styles.save(world.guild.id, str(number), "x")
    assert "50 styles" in await slash(world, manager, "save", style="more", template="x")
    assert "Saved" in await slash(world, manager, "save", style="7", template="x")


async def test_names_and_texts_are_bounded(store: Store) -> None:
    for name, template, negative in (
        ("", "x", ""),
        ("x" * 41, "x", ""),
        ("x", " ", ""),
        ("x", "x" * (MAX_TEMPLATE + 1), ""),
        ("x", "x", "x" * (MAX_TEMPLATE + 1)),
    ):
        with pytest.raises(InvalidRequest):
            await store.styles.save(1, name, template, negative)
    assert await store.styles.list(1) == ()


async def test_a_servers_styles_are_its_own(store: Store) -> None:
    await store.styles.save(1, "Film", PLACE)
    assert await store.styles.list(2) == ()
    for server in (2, None):
        with pytest.raises(UnknownName):
            await store.styles.get(server, "film")
    with pytest.raises(UnknownName):
        await store.styles.delete(2, "film")


async def test_search(world: World) -> None:
    for name in ("Film", "Oil", "Fine line"):
        await world.bot.store.styles.save(world.guild.id, name, "x")
    offered = await world.ann.autocomplete(world.channel, "imagine", "style", "fi")
    assert [choice["value"] for choice in offered] == ["Film", "Fine line"]
    offered = await world.ann.autocomplete(world.channel, "style show", "style", "oil")
    assert [choice["value"] for choice in offered] == ["Oil"]
