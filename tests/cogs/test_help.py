"""/help: every page in every language, its picture, and that it lists what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from discord import Locale, app_commands
from PIL import Image

from bot.settings import ROOT
from bot.translate import CatalogueTranslator, catalogues
from cogs import help as pages
from cogs.help import PAGES, help_view, picture_of
from tests.simulation import World, answer, components, selects, text, within_limits
from tests.simulation import view_text as words

LOCALES = (Locale.american_english, Locale.japanese, Locale.chinese, Locale.taiwan_chinese)


def listed(world: World) -> list[Any]:
    return [c for c in world.bot.tree.walk_commands() if isinstance(c, app_commands.Command)]


async def test_every_page_fits_in_every_language(world: World) -> None:
    for locale in LOCALES:
        for page in PAGES:
            view = help_view(
                page, listed(world), locale, picture="x.webp" if page == "vae" else None
            )
            within_limits(view)
            # Nothing is cut off, and there is room for more commands.
            assert 100 < len(words(view)) < 3900, (locale, page)


def test_every_paragraph_is_shown() -> None:
    for language, keys in catalogues().items():
        found = {key for key in keys if key.startswith("help.") and key.split(".")[-1].isdecimal()}
        expected = {f"help.{page}.{i + 1}" for page, n in PAGES.items() for i in range(n)}
        assert found == expected, language


async def test_clip_skip_says_when_to_use_two(world: World) -> None:
    post = answer(await world.ann.slash(world.channel, "help", page="clip_skip"))
    assert post.ephemeral
    assert "**Use 2** for anime models" in text(post)


async def test_pages_are_turned_also_after_a_restart(world: World) -> None:
    post = answer(await world.ann.slash(world.channel, "help"))
    assert text(post).startswith("## Getting started")
    await world.restart()
    result = await world.ann.select(post, ["vae"], custom_id="s:help")
    assert text(answer(result)).startswith("## VAE")
    options = selects(answer(result))["Choose a topic"]["options"]
    assert [option["value"] for option in options] == list(PAGES)
    assert [option["value"] for option in options if option.get("default")] == ["vae"]


async def test_a_page_that_is_not_there_is_the_first(world: World) -> None:
    view = help_view("../secrets", listed(world), Locale.american_english)
    assert words(view).startswith("## Getting started")


async def test_the_commands_are_those_there_are(world: World) -> None:
    said = text(answer(await world.ann.slash(world.channel, "help", page="commands")))
    for command in listed(world):
        open_to_all = (command.root_parent or command).default_permissions is None
        assert (f"`/{command.qualified_name}`" in said) == open_to_all
    assert "- `/help` Help: clip skip, VAE" in said


async def test_the_walk_for_members_names_every_command_there_is(world: World) -> None:
    page = (ROOT / "docs" / "members.md").read_text("utf-8")
    for_all = {
        command.qualified_name
        for command in listed(world)
        if (command.root_parent or command).default_permissions is None
    }
    roots = "|".join({name.split()[0] for name in for_all})
    named = set(re.findall(rf"/((?:{roots})(?: (?:{_leaves(for_all)}))?)\b", page))
    assert for_all <= named
    every = {command.qualified_name.split()[0] for command in listed(world)}
    assert {name.split()[0] for name in re.findall(r"`/([a-z ]+)", page)} <= every


def _leaves(names: set[str]) -> str:
    return "|".join({name.split()[1] for name in names if " " in name})


async def test_pages_are_offered_by_their_names_in_every_language(world: World) -> None:
    # As choices, which Discord itself searches: there are few, and they are always the same.
    command = world.bot.tree.get_command("help")
    assert command is not None
    sent = await command.get_translated_payload(world.bot.tree, CatalogueTranslator())
    (option,) = sent["options"]
    assert not option.get("autocomplete")
    assert [choice["value"] for choice in option["choices"]] == list(PAGES)
    clip_skip = option["choices"][1]
    assert clip_skip["name"] == "Clip skip"
    assert clip_skip["name_localizations"]["ja"] == "Clip skip"


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder with a picture for one page."""
    (tmp_path / "help").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "help" / "clip_skip.webp")
    monkeypatch.setattr(pages, "SHIPPED_DATA", tmp_path)


@pytest.mark.usefixtures("pictures")
async def test_a_page_shows_its_picture_and_the_next_page_does_not(world: World) -> None:
    post = answer(await world.ann.slash(world.channel, "help", page="clip_skip"))
    assert [file.filename for file in post.attachments] == ["clip_skip.webp"]
    gallery = next(item for item in components(post) if item["type"] == 12)
    assert "clip skip 1 to 12" in gallery["items"][0]["description"]
    result = await world.ann.select(post, ["vae"], custom_id="s:help")
    assert answer(result).attachments == []
    assert picture_of("vae") is None


def test_shipped_pictures_are_small_and_described() -> None:
    for page in PAGES:
        path = picture_of(page)
        if path is not None:
            assert path.stat().st_size < 500_000
            assert f"help.{page}.picture" in catalogues()["en"]
