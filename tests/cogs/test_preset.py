from __future__ import annotations

from typing import Any

import pytest
from simcord.actors import MemberActor

from bot.settings import Settings
from bot.store.presets import MAX_PER_USER
from core.errors import PenultimateError
from tests.simulation import World, simulate, text


async def slash(
    world: World, command: str, /, *, by: MemberActor | None = None, **options: object
) -> str:
    """The text of the private answer to ann, or whoever used the command."""
    result = await (by or world.ann).slash(world.channel, f"preset {command}", **options)
    # Reading the errors accepts them: what has a sentence may happen, a bug may not.
    for error in world.env.errors:
        assert isinstance(getattr(error, "original", error), PenultimateError)
    assert result.ephemeral
    assert result.response is not None
    return text(result.response)


async def test_save_show_list_delete(settings: Settings) -> None:
    async with simulate(settings) as world:
        said = await slash(world, "save", name="Fast", steps=12, sampler="euler A", size="Portrait")
        assert said == (
            "Saved **Fast**. Use it with `/imagine preset:Fast`.\n"
            "- steps 12\n- sampler Euler a\n- size portrait"
        )
        assert await slash(world, "show", name="FAST") == (
            "**Fast**\n- steps 12\n- sampler Euler a\n- size portrait"
        )
        await slash(world, "save", name="default", clip_skip=2, cfg_scale=7.5, private=True)
        listed = (await slash(world, "list")).splitlines()
        assert listed == [
            "Your presets (2 of 50):",
            "- **default** — clip skip 2; CFG scale 7.5; private yes",
            "- **Fast** — steps 12; sampler Euler a; size portrait",
        ]
        assert await slash(world, "delete", name="fast") == "Deleted **Fast**."
        assert "There’s no preset called **fast**." in await slash(world, "show", name="fast")


async def test_the_default_says_that_it_applies_by_itself(settings: Settings) -> None:
    async with simulate(settings) as world:
        assert "From now on" in await slash(world, "save", name="DEFAULT", steps=9)


async def test_a_preset_applies_to_imagine(settings: Settings) -> None:
    async with simulate(settings) as world:
        await slash(world, "save", name="fast", steps=12)
        await slash(world, "save", name="default", steps=9, clip_skip=3)
        await world.ann.slash(world.channel, "imagine", prompt="a cat", preset="Fast")
        await world.ann.slash(world.channel, "imagine", prompt="a cat")
        await world.bob.slash(world.channel, "imagine", prompt="a cat")
        drawn = [(work.request.steps, work.request.clip_skip) for work in world.engine.seen]
        assert drawn == [(12, 3), (9, 3), (20, 1)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Give at least one value"),
        ({"model": "lost"}, "no model called **lost**"),
        ({"vae": "lost"}, "no VAE called **lost**"),
        ({"size": "7x7"}, "multiple of 8"),
        ({"sampler": "DPM+++"}, "no sampler called"),
        ({"model": "plain", "vae": "other"}, "made for SDXL models"),
    ],
)
async def test_what_cannot_be_saved_gets_a_sentence(
    settings: Settings, options: dict[str, Any], words: str
) -> None:
    async with simulate(settings) as world:
        assert words in await slash(world, "save", name="x", **options)
        assert (await world.bot.store.presets.list(world.ann.id)) == ()


async def test_a_name_too_long(settings: Settings) -> None:
    async with simulate(settings) as world:
        said = await slash(world, "save", name="x" * 41, steps=9)
        assert said == "The preset name must be 1 to 40 characters long; yours has 41."


async def test_an_empty_list_says_how_to_begin(settings: Settings) -> None:
    async with simulate(settings) as world:
        assert "/preset save" in await slash(world, "list")


async def test_fifty_presets_of_the_longest_kind_fit_into_one_post(settings: Settings) -> None:
    async with simulate(settings) as world:
        for number in range(MAX_PER_USER):
            await world.bot.store.presets.save(
                world.ann.id,
                f"{number:02}" + "*" * 38,
                {"negative_prompt": "_" * 4000, "model": "*" * 100, "clip_skip": 2},
            )
        said = await slash(world, "list")
        assert len(said) <= 4000
        assert len(said.splitlines()) == 1 + MAX_PER_USER
        assert "50 presets" in await slash(world, "save", name="one more", steps=3)
        shown = await slash(world, "show", name="00" + "*" * 38)
        assert len(shown) <= 4000


async def test_presets_are_ones_own(settings: Settings) -> None:
    async with simulate(settings) as world:
        await slash(world, "save", name="mine", steps=9)
        assert "no preset called" in await slash(world, "show", by=world.bob, name="mine")


async def test_autocomplete(settings: Settings) -> None:
    async with simulate(settings) as world:
        for name in ("Portrait fast", "Portrait slow", "Anime"):
            await world.bot.store.presets.save(world.ann.id, name, {"steps": 2})

        async def names(command: str, option: str, typed: str) -> list[str]:
            offered = await world.ann.autocomplete(world.channel, command, option, typed)
            return [choice["value"] for choice in offered]

        assert await names("preset show", "name", "port") == ["Portrait fast", "Portrait slow"]
        assert await names("imagine", "preset", "SLOW") == ["Portrait slow"]
        assert await names("preset save", "model", "ani") == ["anime"]
        assert await names("preset save", "vae", "") == [
            "Automatic",
            "None",
            "vivid",
            "soft",
            "other",
        ]
        assert "DPM++ 2M Karras" in await names("preset save", "sampler", "2m kar")
        assert len(await names("preset save", "sampler", "")) == 25
        offered = await names("preset save", "size", "")
        assert offered[:4] == ["square", "portrait", "landscape", "512x512"]
        assert await names("preset save", "size", "512") == ["512x512", "512x768", "768x512"]
        assert await names("preset save", "size", "704x9") == ["704x9"]
        result = await world.bob.autocomplete(world.channel, "preset show", "name", "")
        assert result == []
