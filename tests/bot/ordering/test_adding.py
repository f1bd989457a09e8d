"""LoRAs and hires fix as options of a command, through the whole bot with the fake engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from discord import Locale
from discord.utils import escape_markdown

from bot.errors import sentence
from bot.exceptions import CannotExplore
from bot.ordering.adding import split_weight
from bot.posts.parameters import parameters_view
from core.errors import NetworkMismatch, UnknownName
from core.request import HiresFix
from core.work import Item
from tests.simulation import World, answer, catalogue, stocked, text, view_components


@pytest.fixture
def stock(world: World) -> World:
    world.bot.catalogue.update(stocked())
    return world


async def items(world: World, command: str = "imagine", **options: Any) -> tuple[Item, ...]:
    await world.ann.slash(world.channel, command, **{"prompt": "x"} | options)
    return world.engine.seen[-1].items


async def refusal(world: World, command: str = "imagine", **options: Any) -> str:
    before = len(world.engine.seen)
    result = await world.ann.slash(world.channel, command, **{"prompt": "x"} | options)
    assert len(world.engine.seen) == before
    # Reading the errors accepts those with a sentence.
    assert list(world.env.errors)
    return text(answer(result))


@pytest.mark.parametrize(
    ("typed", "name", "weight"),
    [
        ("ink", "ink", ""),
        ("ink:0.8", "ink", "0.8"),
        ("ink ： −0.5", "ink", "−0.5"),
        ("<lora:ink:0.8>", "ink", "0.8"),
        ("ink:", "ink", ""),
        ("a:b", "a:b", ""),
    ],
)
def test_a_weight_may_follow_the_name(typed: str, name: str, weight: str) -> None:
    assert split_weight(typed) == (name, weight)


@pytest.mark.parametrize(
    ("lora", "prompt"),
    [
        ("ink", "x <lora:ink:1>"),
        ("INK:0.8", "x <lora:ink:0.8>"),
        ("oil：−0.5", "x <lora:oil:-0.5>"),
        ("any", "x <lora:any:1>"),
        ("{a|b}", "x <lora:{a|b}:1>"),
    ],
)
async def test_its_tag_stands_in_the_prompt(stock: World, lora: str, prompt: str) -> None:
    (item,) = await items(stock, lora=lora)
    assert item.request.prompt == prompt
    (used,) = item.addons.networks
    assert used.file.name.casefold() == split_weight(lora)[0].casefold()


async def test_it_is_added_to_a_pasted_text(stock: World) -> None:
    pasted = "a {cat|dog}\nSteps: 9, Sampler: Euler, Seed: 3, Size: 512x512, Model: anime"
    (item,) = await items(stock, prompt=pasted, lora="oil:0.5")
    assert item.request.prompt == "a {cat|dog} <lora:oil:0.5>"
    assert item.request.steps == 9


async def test_its_trigger_words_are_told_where_the_prompt_has_none(stock: World) -> None:
    await items(stock, lora="ink")
    assert "none is in the prompt: inkdrop, wash." in text(stock.last)
    await items(stock, prompt="an InkDrop", lora="ink")
    assert "none is in the prompt" not in text(stock.last)
    await items(stock, lora="oil")
    assert "none is in the prompt" not in text(stock.last)


async def test_what_cannot_be_used_is_refused(stock: World) -> None:
    assert sentence(NetworkMismatch("LoRA", "wide", "sdxl", "sd1")) in await refusal(
        stock, lora="wide"
    )
    assert sentence(UnknownName("LoRA", "inc", ("ink",))) in await refusal(stock, lora="inc")
    said = await refusal(stock, lora="ink:1e30")
    assert "LoRA weight must be from -100 to 100" in said
    assert await items(stock, lora="wide", model="large")


async def test_the_result_names_what_is_used(stock: World) -> None:
    prompt = "a cat <lora:ink:0.8> <lora:oil:0.25:0.5> <lora:wide:1> <lora:none:1>"
    await items(stock, prompt=prompt, negative_prompt="easynegative, vast")
    said = text(stock.last)
    assert "LoRA ink 0.8, oil 0.5 ·" in said
    assert "embedding EasyNegative, cat" in said
    assert "The LoRA “wide” is made for SDXL" in said
    assert "no LoRA called “none”" in said
    await items(stock, prompt="concatenate")
    assert "embedding" not in text(stock.last)


HIRES: Mapping[str, tuple[dict[str, Any], HiresFix, str]] = {
    "a scale": ({"hires_scale": 1.5}, HiresFix(1.5), ""),
    "a mode": ({"hires_upscaler": "latent (nearest)"}, HiresFix(upscaler="Latent (nearest)"), ""),
    "a file": (
        {"hires_upscaler": "4x-ultrasharp", "hires_scale": 1.25},
        HiresFix(1.25, upscaler="4x-UltraSharp"),
        "4x-UltraSharp",
    ),
    "A1111's name": (
        {"hires_upscaler": "R-ESRGAN 4x+"},
        HiresFix(upscaler="RealESRGAN_x4plus"),
        "RealESRGAN_x4plus",
    ),
    "a strength": (
        {"hires_scale": 2, "denoising_strength": 0.3},
        HiresFix(denoising_strength=0.3),
        "",
    ),
}


@pytest.mark.parametrize("case", HIRES)
async def test_hires_fix_is_an_option(stock: World, case: str) -> None:
    options, hires, file = HIRES[case]
    (item,) = await items(stock, size="512x512", **options)
    assert item.request.hires == hires
    assert (item.upscaler.name if item.upscaler else "") == file
    assert (f"upscaler {escape_markdown(file)}" in text(stock.last)) == bool(file)


async def test_a_pasted_upscaler_is_found_and_may_be_replaced(stock: World) -> None:
    pasted = (
        "x\nSteps: 9, Sampler: Euler, Seed: 3, Size: 512x512, Denoising strength: 0.4, "
        "Hires upscale: 1.5, Hires upscaler: R-ESRGAN 4x+"
    )
    (item,) = await items(stock, prompt=pasted)
    assert item.upscaler is not None
    assert item.upscaler.name == "RealESRGAN_x4plus"
    (item,) = await items(stock, prompt=pasted, hires_upscaler="Nearest")
    assert item.request.hires == HiresFix(1.5, 0, 0.4, "Nearest")
    assert item.upscaler is None


async def test_an_unknown_upscaler_is_refused(stock: World) -> None:
    said = await refusal(stock, hires_upscaler="4x-UltraShap")
    assert sentence(UnknownName("upscaler", "4x-UltraShap", ("4x-UltraSharp",))) in said


EXPLORED: Mapping[str, tuple[dict[str, str], list[str]]] = {
    "names": (
        {"x_axis": "LoRA", "x_values": "none, INK, oil"},
        ["x", "x <lora:ink:1>", "x <lora:oil:1>"],
    ),
    "in the place of the last": (
        {"prompt": "x <lora:oil:0.4> <lora:ink:0.6> y", "x_axis": "lora", "x_values": "any, None"},
        ["x <lora:oil:0.4> <lora:any:0.6> y", "x <lora:oil:0.4>  y"],
    ),
    "weights": (
        {"lora": "ink", "x_axis": "LoRA weight", "x_values": "0, 0.5, −1"},
        ["x <lora:ink:0>", "x <lora:ink:0.5>", "x <lora:ink:-1>"],
    ),
    "both weights": (
        {
            "prompt": "x <lyco:ink:0.5:0.8:4:lbw=OUTALL>",
            "x_axis": "LoRA weight",
            "x_values": "0.1, 1",
        },
        ["x <lyco:ink:0.1:0.1:4:lbw=OUTALL>", "x <lyco:ink:1:1:4:lbw=OUTALL>"],
    ),
    "both axes": (
        {"x_axis": "lora", "x_values": "ink, oil", "y_axis": "lora_weight", "y_values": "0.5, 2"},
        ["x <lora:ink:0.5>", "x <lora:ink:2>", "x <lora:oil:0.5>", "x <lora:oil:2>"],
    ),
    "all that fit": (
        {"x_axis": "lora"},
        [
            *("x", "x <lora:ink:1>", "x <lora:oil:1>", "x <lora:any:1>", "x <lora:{a|b}:1>"),
        ],
    ),
}


@pytest.mark.parametrize("case", EXPLORED)
async def test_axes_of_loras(stock: World, case: str) -> None:
    options, prompts = EXPLORED[case]
    assert [item.request.prompt for item in await items(stock, "explore", **options)] == prompts


async def test_an_axis_without_a_lora_is_refused(stock: World) -> None:
    nothing = sentence(CannotExplore("no_lora"))
    assert nothing in await refusal(stock, "explore", x_axis="LoRA weight")
    assert nothing in await refusal(stock, "explore", x_axis="LoRA", x_values="wide, none")
    said = await refusal(stock, "explore", x_axis="LoRA", x_values="ink, inc")
    assert sentence(UnknownName("LoRA", "inc", ("ink",))) in said
    stock.bot.catalogue.update(catalogue())
    assert nothing in await refusal(stock, "explore", x_axis="LoRA")


async def offered(world: World, option: str, typed: str = "", **given: Any) -> dict[str, str]:
    found = await world.ann.autocomplete(world.channel, "imagine", option, typed, **given)
    return {choice["value"]: choice["name"] for choice in found}


async def test_loras_are_offered_with_their_words(stock: World) -> None:
    found = await offered(stock, "lora", model="plain")
    assert found["ink"] == "ink · inkdrop, wash"
    assert list(found) == ["ink", "oil", "any", "{a|b}"]
    assert (await offered(stock, "lora"))["wide"] == "wide · SDXL"
    assert await offered(stock, "lora", "wash:0.7") == {
        "ink:0.7": "ink:0.7 · SD 1.x · inkdrop, wash"
    }
    assert "4x-UltraSharp" in await offered(stock, "hires_upscaler", "ultra")


async def test_parameters_say_which_loras_the_model_cannot_use(stock: World) -> None:
    pasted = "x <lora:wide:1> <lora:gone:1>\nSteps: 9, Sampler: Euler, Seed: 3, Model: anime"
    view, _ = parameters_view(pasted, Locale.american_english, catalogue=stock.bot.catalogue)
    said = "\n".join(str(each.get("content", "")) for each in view_components(view))
    assert "The LoRA “wide” is made for SDXL" in said
    assert "**Ignored** LoRA: gone" in said
