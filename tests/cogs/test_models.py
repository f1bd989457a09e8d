from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from discord import Locale

from bot.posts.controls import Standing
from bot.settings import Settings
from cogs.models import PAGE, SECTIONS, _network, panel
from core.models.addons import NetworkFile, Shelf
from core.models.cards import Card
from core.models.catalogue import Catalogue
from tests.simulation import World, answer, buttons, catalogue, model, simulate, stocked, text, vae

ALL = ["Models", "VAEs", "LoRAs", "Embeddings", "Upscalers", "Samplers"]


def many(count: int, length: int = 0, description: str = "") -> Catalogue:
    names = [f"{number:03}" + "*" * length for number in range(count)]
    card = Card(description=description, values={"clip_skip": 2})
    return Catalogue(
        models=tuple(model(name, card=card) for name in names),
        vaes=tuple(replace(vae(name), card=card) for name in names),
    )


async def opened(world: World) -> Any:
    result = await world.ann.slash(world.channel, "models")
    assert result.ephemeral
    assert result.response is not None
    return result.response


async def test_models_vaes_and_samplers(settings: Settings) -> None:
    async with simulate(settings) as world:
        post = await opened(world)
        said = text(post)
        assert "**Models** (3)" in said
        assert "- **anime** · SD 1.x · 512x512 · clip skip 2" in said
        assert list(buttons(post)) == ALL
        pressed = await world.ann.click(post, label="VAEs")
        post = pressed.response or post
        assert "- **vivid** · works with 2 of 3 models" in text(post.message)
        pressed = await world.ann.click(post, label="Samplers")
        assert "**DPM++ 2M**" in text(post.message)
        assert "Karras" in text(post.message)


async def test_pages(settings: Settings) -> None:
    async with simulate(settings) as world:
        world.bot.catalogue.update(many(2 * PAGE + 1))
        post = await opened(world)
        assert list(buttons(post)) == [*ALL, "◀", "▶", "Search"]
        assert buttons(post)["◀"]["disabled"]
        for page, first in ((2, "010"), (3, "020")):
            await world.ann.click(post, label="▶")
            assert f"page {page} of 3" in text(post.message)
            assert f"- **{first}**" in text(post.message)
        assert buttons(post.message)["▶"]["disabled"]
        await world.ann.click(post, label="◀")
        assert "page 2 of 3" in text(post.message)
        # Models were removed since: the last page there is.
        world.bot.catalogue.update(catalogue())
        await world.ann.click(post, label="▶")
        assert "**Models** (3)" in text(post.message)


async def test_buttons_work_after_a_restart(settings: Settings) -> None:
    async with simulate(settings) as world:
        post = await opened(world)
        await world.restart()
        await world.ann.click(post, label="VAEs")
        assert "**VAEs**" in text(post.message)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("page", [0, 1, 4, 99])
@pytest.mark.parametrize(
    "found", [Catalogue(), catalogue(), many(50, length=200, description="_" * 500)]
)
def test_every_page_fits_discord(found: Catalogue, section: str, page: int) -> None:
    view = panel(found, section, page, Locale.american_english)
    assert view.content_length() <= 4000
    turns = [item for item in view.walk_children() if isinstance(item, Standing)]
    assert len({turn.custom_id for turn in turns}) == len(turns) >= len(SECTIONS)


async def test_addons(settings: Settings) -> None:
    async with simulate(settings) as world:
        world.bot.catalogue.update(stocked())
        post = await opened(world)
        shown = {
            "LoRAs": "- **ink** · SD 1.x · `1a2b3c4d5e6f`\n  Trigger words: inkdrop, wash",
            "Embeddings": "- **EasyNegative** · SD 1.x · vectors: 8",
            "Upscalers": "- **4x-UltraSharp** · ×4",
        }
        for label, line in shown.items():
            await world.ann.click(post, label=label)
            assert line in text(post.message)


def test_only_the_page_of_thousands_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    files = tuple(
        NetworkFile("*" * 100, Path("x"), "sdxl", "", "f" * 12, ("word" * 20,) * 20)
        for _ in range(10_000)
    )
    written: list[NetworkFile] = []

    def write(file: NetworkFile, locale: Locale) -> str:
        written.append(file)
        return _network(file, locale)

    monkeypatch.setattr("cogs.models._network", write)
    found = Catalogue(networks=Shelf("LoRA", files))
    view = panel(found, "loras", 500, Locale.japanese)
    assert view.content_length() <= 4000
    assert len(written) == PAGE


async def test_a_long_list_is_searched(settings: Settings) -> None:
    async with simulate(settings) as world:
        networks = [
            NetworkFile(f"style {number:02}", Path(f"{number}.safetensors"), triggers=("ink",))
            for number in range(2 * PAGE)
        ] + [NetworkFile("oil", Path("oil.safetensors"), alias="Thick Paint")]
        world.bot.catalogue.update(replace(catalogue(), networks=Shelf("LoRA", networks)))
        post = await opened(world)
        assert "Search" not in buttons(post)
        shown = await world.ann.click(post, label="LoRAs")
        post = shown.response or post
        form = await world.ann.click(post, label="Search")
        found = await world.ann.submit_modal(form, {"name": "thick"})
        assert found.response is not None
        assert "**LoRAs** (1) with “thick”" in text(found.response)
        assert "**oil**" in text(found.response)
        assert list(buttons(found.response)) == [*ALL, "Search"]
        form = await world.ann.click(found.response, label="Search")
        found = await world.ann.submit_modal(form, {"name": "INK"})
        assert f"({2 * PAGE})" in text(found.response)
        assert text(found.response).count("- **") == PAGE
        form = await world.ann.click(answer(found), label="Search")
        found = await world.ann.submit_modal(form, {"name": "gone"})
        assert "**LoRAs** (0)" in text(found.response)
