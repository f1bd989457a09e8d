"""The message menus: parameters, start image and variation, of pictures of ours and of anybody."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import aiohttp.web
import discord
import pytest
from PIL import Image, PngImagePlugin

from bot.actions.temporary import Temporary
from bot.ordering import attachments
from bot.ordering.attachments import Linked, pictures_in, read_bytes
from bot.ordering.layers import Layers
from bot.posts import parameters
from bot.posts.parameters import imagine_line, parameters_view
from core.errors import PenultimateError, UnreadablePicture
from core.models.catalogue import Catalogue
from core.notes import Note
from core.pictures.files import read_infotext, write_png
from core.pictures.importing import to_request_values
from core.pictures.infotext import parse
from core.pictures.reading import LeftOut, Reading
from tests.jpeg import write_jpeg
from tests.simulation import (
    World,
    answer,
    buttons,
    components,
    selects,
    text,
    within_limits,
)
from tests.small_discord import small_discord

A1111 = (
    "a fox, (red:1.2)\nNegative prompt: lowres\n"
    "Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 42, "
    "Size: 512x768, Model hash: 1234567890, Model: anime, Clip skip: 2, Version: v1.10.1"
)
HIRES = A1111.replace(", Version", ", Denoising strength: 0.4, Hires upscale: 2, Version")


def png(parameters: str = "") -> bytes:
    picture = Image.new("RGB", (60, 30), "red")
    if parameters:
        return write_png(picture, parameters)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def only_what_has_a_sentence(world: World) -> Iterator[None]:
    yield
    for error in world.env.errors:
        assert isinstance(getattr(error, "original", error), PenultimateError)


async def menu(world: World, name: str, message: Any, who: Any = None) -> Any:
    result = await (who or world.ann).context_menu(world.channel, name, message)
    await world.env.settle()
    return result


async def submit(who: Any, shown: Any, **typed: str) -> Any:
    """Send the form as it was filled in, with some fields changed."""
    found = [item.get("component", item) for item in shown.modal["components"]]
    filled = {item["custom_id"]: item.get("value") or "" for item in found}
    return await who.submit_modal(shown, filled | typed)


async def sent(world: World, *files: bytes, name: str = "a.png") -> Any:
    return await world.bob.send(
        world.channel, "look", attachments=[(f"{i}{name}", data) for i, data in enumerate(files)]
    )


async def ours(world: World, **options: Any) -> Any:
    await world.ann.slash(world.channel, "imagine", prompt="a cat", seed=7, clip_skip=3, **options)
    await world.env.settle()
    return world.last


# Parameters


async def test_parameters_of_ours(world: World) -> None:
    shown = answer(await menu(world, "Parameters", await ours(world), world.bob))
    assert shown.ephemeral
    assert "a cat\nSteps: 20" in text(shown)
    assert "/imagine prompt:a cat" in text(shown)
    assert "clip_skip:3" in text(shown)
    assert "seed:7" in text(shown)


async def test_parameters_of_a_stranger(world: World) -> None:
    shown = answer(await menu(world, "Parameters", await sent(world, png(A1111))))
    assert shown.ephemeral
    said = text(shown)
    assert A1111 in said
    line = next(line for line in said.splitlines() if line.startswith("/imagine"))
    assert line == (
        "/imagine prompt:a fox, (red:1.2) negative_prompt:lowres model:anime clip_skip:2 "
        "seed:42 steps:25 cfg_scale:5.5 sampler:DPM++ 2M Karras size:512x768"
    )
    assert "Some parameters have no option: noise source. To use all" in said
    assert "Ignored" not in said


async def test_what_is_ignored_is_said_by_reason(world: World) -> None:
    ignored = (
        ", ADetailer model: face.pt, ADetailer prompt: smile, Face restoration: CodeFormer, RNG: NV"
    )
    told = png(f"<lora:ink:1> {A1111}{ignored}".replace("Model: anime", "Model: gone"))
    said = text(answer(await menu(world, "Parameters", await sent(world, told))))
    assert "-# **Ignored** Model: gone, LoRA: ink — this bot doesn’t have the file" in said
    assert (
        "-# **Ignored** ADetailer model, ADetailer prompt — the extension ADetailer isn’t supported"
    ) in said
    assert "-# **Ignored** Face restoration: CodeFormer — face restoration isn’t supported" in said


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        (discord.Locale.japanese, "-# **無視** Tiling: True — このオプションには対応していません"),
        (discord.Locale.chinese, "-# **已忽略** Tiling: True — 不支持这个选项"),
    ],
)
def test_it_is_said_in_the_members_language(locale: discord.Locale, words: str) -> None:
    found = f"{A1111}, Tiling: True, Version: ComfyUI".replace(", Model: anime", "")
    view, _ = parameters_view(found, locale, catalogue=Catalogue())
    said = str(view.to_components())  # type: ignore[no-untyped-call]
    assert words in said
    assert "ComfyUI" in said


async def test_other_programs_pictures_are_shown_and_varied(world: World) -> None:
    info = PngImagePlugin.PngInfo()
    values = {"positive_prompt": "a fox+", "seed": 4, "steps": 20, "scheduler": "euler"}
    values |= {"width": 64, "height": 64, "cfg_scale": 7, "model": {"name": "anime"}, "new": 3}
    info.add_text("invokeai_metadata", json.dumps(values))
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    message = await sent(world, file.getvalue())
    said = text(answer(await menu(world, "Parameters", message)))
    assert "new: 3 — this setting of InvokeAI isn’t supported" in said
    assert "InvokeAI weights words and adds noise differently" in said
    await menu(world, "Vary", message)
    assert (await world.job(1)).request.prompt == "a (fox:1.1)"


async def test_what_has_no_option_is_named(world: World) -> None:
    said = text(answer(await menu(world, "Parameters", await sent(world, png(HIRES)))))
    assert "Some parameters have no option: hires fix scale" in said


async def test_what_the_samplers_have_of_their_own_is_named(world: World) -> None:
    picture = await sent(world, png(A1111 + ", RNG: NV, NGMS: 2"))
    said = text(answer(await menu(world, "Parameters", picture)))
    named = "Some parameters have no option: noise source, negative guidance minimum sigma."
    assert named in said
    line = next(line for line in said.splitlines() if line.startswith("/imagine"))
    assert not re.search("ngms:|noise_source:", line)


async def test_braces_that_were_words_stay_words(world: World) -> None:
    braces = A1111.replace("a fox", "a {red|blue} fox").replace("lowres", "{bad|worse}")
    post = await sent(world, png(braces))
    line = text(answer(await menu(world, "Parameters", post))).split("/imagine ")[1]
    assert line.startswith(r"prompt:a \{red|blue\} fox, (red:1.2) negative_prompt:\{bad|worse\} ")
    form = await menu(world, "Use as start image", post)
    fields = [item["component"]["value"] for item in form.modal["components"][:2]]
    assert fields == [r"a \{red|blue\} fox, (red:1.2)", r"\{bad|worse\}"]
    await menu(world, "Vary", post)
    drawn = world.engine.seen[-1].items[0].request
    assert drawn.prompt == "a {red|blue} fox, (red:1.2)"
    assert drawn.negative_prompt == "{bad|worse}"


async def test_the_first_picture_that_has_some(world: World) -> None:
    jpeg = write_jpeg(Image.new("RGB", (8, 8)), A1111)
    message = await sent(world, b"not a picture", png(), jpeg, png("other\nSteps: 1, Seed: 2"))
    assert "a fox" in text(answer(await menu(world, "Parameters", message)))


async def test_a_message_without_a_picture(world: World) -> None:
    for message in (
        await world.bob.send(world.channel, "hello"),
        await sent(world, b"\0" * 10, name="a.bin"),
    ):
        for name in ("Parameters", "Vary", "Use as start image"):
            said = text(answer(await menu(world, name, message)))
            assert "has no image the bot can read" in said, name
    assert await world.bot.store.jobs.get(1) is None


async def test_a_picture_without_parameters(world: World) -> None:
    message = await sent(world, png())
    for name in ("Parameters", "Vary"):
        assert "has no generation parameters" in text(answer(await menu(world, name, message)))


@pytest.mark.parametrize("name", ["Parameters", "Vary", "Use as start image"])
async def test_a_damaged_picture(world: World, name: str) -> None:
    assert "damaged" in text(answer(await menu(world, name, await sent(world, png()[:20]))))


async def test_absurd_parameters_get_a_sentence(world: World) -> None:
    long = png("x " * 40_000 + "\nSteps: 20, Sampler: Euler, Seed: 1")
    for name in ("Parameters", "Vary"):
        assert "too long" in text(answer(await menu(world, name, await sent(world, long))))
    long = png("x " * 8_000 + "\nSteps: 20, Sampler: Euler, Seed: 1, CFG scale: 7")
    shown = answer(await menu(world, "Parameters", await sent(world, long)))
    assert [file.filename for file in shown.attachments] == ["parameters.txt"]
    assert "characters long" in text(answer(await menu(world, "Vary", await sent(world, long))))


async def test_a_private_picture_of_ours_is_not_told_of(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="a secret", private=True)
    await world.env.settle()
    job = await world.job(1)
    copy = await world.bob.send(world.channel, "look")
    await world.bot.store.jobs.set_message(job.id, world.channel.id, copy.id)
    assert "secret" not in text(answer(await menu(world, "Parameters", copy, world.bob)))


WHYS = ("file", "mask", "face", "refiner", "regions", "script", "after", "node", "option")


def test_the_longest_answer_is_one_that_discord_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in ("*" * 3000, "`" * 500, "```" * 9000):
        layers = Layers(pasted={"negative_prompt": found, "cfg_scale": 7.0})
        notes = (Note.of("not_used", names="*" * 3000),) * 20
        left = tuple(LeftOut("*" * 300, "*" * 300, Note.of(f"left_{key}")) for key in WHYS)
        reading = Reading({}, left, notes)
        exact = ("hires", "variation_seed", "variation_strength", "denoising_strength")
        read = found, layers, dict.fromkeys(exact), reading
        monkeypatch.setattr(parameters, "read_pasted", lambda *_, read=read: read)
        view, files = parameters_view(found, discord.Locale.japanese, catalogue=Catalogue())
        within_limits(view)
        assert len(files) == 1


def test_the_line_says_what_the_text_said() -> None:
    values, _ = to_request_values(parse(A1111))
    line = imagine_line("a\n  b", {"clip_skip": values["clip_skip"], "cfg_scale": 7.0})
    assert line == "/imagine prompt:a b clip_skip:2 cfg_scale:7"


# Vary


async def test_a_variation_of_ours(world: World) -> None:
    await menu(world, "Vary", await ours(world), world.bob)
    job = await world.job(2)
    assert (job.parent_id, job.user_id, job.request.clip_skip) == (1, world.bob.id, 3)
    assert job.request.seed != 7


async def test_a_variation_of_a_strangers(world: World) -> None:
    await menu(world, "Vary", await sent(world, png(HIRES + ", Mystery: 7")))
    request = (await world.job(1)).request
    assert (request.prompt, request.model, request.clip_skip) == ("a fox, (red:1.2)", "anime", 2)
    assert (request.sampler, request.schedule_type) == ("DPM++ 2M", "Karras")
    assert request.hires is not None
    assert request.seed != 42
    assert "Mystery" in text(world.last)


async def test_a_variation_is_private_where_ones_pictures_are(world: World) -> None:
    await world.bot.store.presets.save(world.ann.id, "default", {"private": True})
    before = len(world.posts())
    await menu(world, "Vary", await sent(world, png(A1111)))
    assert (await world.job(1)).private
    assert len(world.posts()) == before + 1


# Use as start image


async def test_a_start_image_of_ours(world: World) -> None:
    shown = await menu(world, "Use as start image", await ours(world), world.bob)
    await submit(world.bob, shown, prompt="a dog", denoising_strength="0.5")
    await world.env.settle()
    request = (await world.job(2)).request
    assert (request.prompt, request.denoising_strength, request.clip_skip) == ("a dog", 0.5, 3)
    assert request.init_image is not None


async def test_a_start_image_of_a_strangers(world: World) -> None:
    shown = await menu(world, "Use as start image", await sent(world, png(A1111)))
    assert shown.modal is not None
    await submit(world.ann, shown, denoising_strength="0.5")
    await world.env.settle()
    request = (await world.job(1)).request
    assert (request.prompt, request.negative_prompt) == ("a fox, (red:1.2)", "lowres")
    assert (request.clip_skip, request.steps, request.model) == (2, 25, "anime")
    assert request.denoising_strength == 0.5
    assert request.width / request.height == pytest.approx(2, rel=0.1)
    assert request.init_image is not None
    assert read_infotext(request.init_image) is None


async def test_a_picture_that_says_nothing_is_a_start_all_the_same(world: World) -> None:
    shown = await menu(world, "Use as start image", await sent(world, png()))
    await submit(world.ann, shown, prompt="a dog")
    await world.env.settle()
    assert (await world.job(1)).request.prompt == "a dog"


async def test_what_cannot_be_used_gives_the_prompt_back(world: World) -> None:
    shown = await menu(world, "Use as start image", await sent(world, png()))
    told = await submit(world.ann, shown, prompt="a dog", denoising_strength="7")
    assert "0 to 1" in text(answer(told))
    assert "a dog" in text(answer(told))


async def test_a_form_of_before_a_restart_gives_the_prompt_back(world: World) -> None:
    shown = await menu(world, "Use as start image", await sent(world, png()))
    await world.restart()
    told = await submit(world.ann, shown, prompt="a dog")
    assert "has expired" in text(answer(told))
    assert "a dog" in text(answer(told))


async def test_forgotten_forms_do_not_fill_the_memory(world: World) -> None:
    cog: Any = world.bot.get_cog("MessageMenusCog")
    cog._pending = Temporary(2 * len(png()), lambda pending: len(pending.data))
    for _ in range(4):
        shown = await menu(world, "Use as start image", await sent(world, png()))
    assert len(cog._pending) == 2
    await submit(world.ann, shown, prompt="a dog")
    assert (await world.job(1)).request.prompt == "a dog"


# Several pictures in one message


def gallery(message: Any) -> list[str]:
    """The descriptions of the pictures that a post shows."""
    found = [item for item in components(message) if item["type"] == 12]
    return [media["description"] for item in found for media in item["items"]]


@pytest.fixture
def fetched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is linked to comes from the offline Discord."""

    async def read(link: Linked) -> bytes:
        return await world.bot.http.get_from_cdn(link.url)

    monkeypatch.setattr(Linked, "read", read)
    monkeypatch.setattr(attachments, "HOSTS", re.compile(r"cdn\.simcord\.invalid"))


async def test_of_several_of_ours_one_is_picked_by_its_picture(world: World) -> None:
    message = await ours(world, count=4)
    asked = answer(await menu(world, "Use as start image", message, world.bob))
    assert asked.ephemeral
    assert gallery(asked) == ["Image 1", "Image 2", "Image 3", "Image 4"]
    assert list(buttons(asked)) == ["1", "2", "3", "4"]
    form = await world.bob.click(asked, label="3")
    await submit(world.bob, form, prompt="a dog", seed="1")
    pictures = await world.bot.store.pictures.of_job(1)
    request = (await world.job(2)).request
    assert request.init_image == await pictures[2].read()
    # The question stays, for another.
    await submit(world.bob, await world.bob.click(asked, label="1"), prompt="a dog")
    assert (await world.job(3)).request.init_image == await pictures[0].read()


@pytest.mark.usefixtures("fetched")
async def test_of_several_of_anybodys_one_is_picked_by_its_picture(world: World) -> None:
    message = await sent(world, png(), png(A1111), png())
    asked = answer(await menu(world, "Use as start image", message))
    assert asked.ephemeral
    assert gallery(asked) == ["Image 1", "Image 2", "Image 3"]
    await world.restart()
    form = await world.ann.click(asked, label="2")
    assert form.modal is not None
    await submit(world.ann, form)
    await world.env.settle()
    request = (await world.job(1)).request
    assert (request.prompt, request.clip_skip) == ("a fox, (red:1.2)", 2)
    form = await world.ann.click(asked, label="3")
    await submit(world.ann, form, prompt="a dog")
    await world.env.settle()
    assert (await world.job(2)).request.clip_skip == 1


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize("count", [1, 2])
async def test_ours_whose_file_is_gone_is_taken_from_the_message(world: World, count: int) -> None:
    message = await ours(world, count=count)
    for picture in await world.bot.store.pictures.of_job(1):
        picture.path.unlink()
    form = await menu(world, "Use as start image", message)
    if count > 1:
        form = await world.ann.click(answer(form), label="2")
    await submit(world.ann, form, denoising_strength="0.5")
    await world.env.settle()
    request = (await world.job(2)).request
    assert (request.prompt, request.clip_skip) == ("a cat", 3)
    assert request.init_image is not None


@pytest.mark.usefixtures("fetched")
async def test_a_picked_picture_that_is_no_use_is_a_sentence(world: World) -> None:
    message = await sent(world, png(), png()[:20])
    asked = answer(await menu(world, "Use as start image", message))
    refused = answer(await world.ann.click(asked, label="2"))
    assert refused.ephemeral
    assert "damaged" in text(refused)


async def test_a_hidden_picture_stays_hidden_in_the_question(world: World) -> None:
    message = await world.bob.send(
        world.channel, "look", attachments=[("SPOILER_a.png", png()), ("b.png", png())]
    )
    asked = answer(await menu(world, "Use as start image", message))
    (shown,) = [item for item in components(asked) if item["type"] == 12]
    assert all(media["spoiler"] for media in shown["items"])


async def test_a_sheet_is_no_start_image(world: World) -> None:
    await world.ann.slash(world.channel, "explore", prompt="a cat")
    await world.env.settle()
    told = answer(await menu(world, "Use as start image", world.last))
    assert told.ephemeral
    assert "Post one of them with the menu" in text(told)


async def test_parameters_of_each_of_several_of_ours(world: World) -> None:
    shown = answer(await menu(world, "Parameters", await ours(world, count=4), world.bob))
    assert "seed:7" in text(shown)
    (which,) = selects(shown).values()
    assert [option["label"] for option in which["options"]][3] == "Image 4"
    await world.restart()
    shown = answer(await world.bob.select(shown, ["3"], custom_id="p:read:1"))
    assert "seed:10" in text(shown)
    assert "Seed: 10" in text(shown)
    (which,) = selects(shown).values()
    assert [option["value"] for option in which["options"] if option.get("default")] == ["3"]
    await world.bot.store.jobs.delete(1)
    gone = answer(await world.bob.select(shown, ["0"], custom_id="p:read:1"))
    assert "data no longer exists" in text(gone)


async def test_long_parameters_of_each_of_several_are_files(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="word " * 799, count=2, seed=7)
    await world.env.settle()
    shown = answer(await menu(world, "Parameters", world.last))
    shown = answer(await world.ann.select(shown, ["1"], custom_id="p:read:1"))
    (file,) = shown.attachments
    assert b"Seed: 8" in await file.read()


async def test_a_variation_of_several_is_several(world: World) -> None:
    await menu(world, "Vary", await ours(world, count=4), world.bob)
    request = (await world.job(2)).request
    assert request.count == 4
    assert request.seed != 7


async def test_a_sheet_over_seeds_has_no_variation(world: World) -> None:
    await world.ann.slash(world.channel, "explore", prompt="a cat", x_axis="seed", x_values="1, 2")
    await world.env.settle()
    told = answer(await menu(world, "Vary", world.last))
    assert "its own value for that" in text(told)
    assert len(world.engine.seen) == 1


# Pictures that are not attached


class Part:
    """What of a message is looked at."""

    def __init__(self, **values: Any) -> None:
        empty: dict[str, Any] = {"attachments": [], "embeds": [], "components": []}
        self.__dict__ |= empty | {"message_snapshots": []} | values


def test_embeds_galleries_and_forwards_are_looked_through_each_picture_once() -> None:
    own = "https://cdn.discordapp.com/attachments/1/2/"
    embed = discord.Embed().set_image(url=f"{own}a")

    def item(name: str) -> Any:
        return type("Item", (), {"media": discord.UnfurledMediaItem(own + name)})()

    gallery = type("Gallery", (), {"items": [item("b"), item("a"), item("b?ex=1")]})()
    box = type("Box", (), {"children": [gallery]})()
    message: Any = Part(
        embeds=[embed], components=[box], message_snapshots=[Part(components=[item("c")])]
    )
    # A file that is attached is in a gallery under another host and with another signature.
    assert pictures_in(message) == [Linked(own + name) for name in "abc"]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "http://cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com.example.com/a.png",
        "https://discordapp.net@example.com/a.png",
        "file:///etc/passwd",
        "http://127.0.0.1/a.png",
    ],
)
def test_nothing_is_fetched_from_elsewhere(url: str) -> None:
    message: Any = Part(embeds=[discord.Embed().set_image(url=url)])
    assert pictures_in(message) == []


async def test_a_linked_picture_is_fetched_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(request: aiohttp.web.Request) -> aiohttp.web.Response:
        if request.path == "/gone.png":
            raise aiohttp.web.HTTPNotFound
        return aiohttp.web.Response(body=b"x" * 200_000)

    async with small_discord(serve) as address:
        assert len(await read_bytes(Linked(f"{address}/a.png"))) == 200_000
        with pytest.raises(UnreadablePicture, match="could not be fetched"):
            await read_bytes(Linked(f"{address}/gone.png"))
        monkeypatch.setattr(attachments, "MAX_BYTES", 100_000)
        with pytest.raises(UnreadablePicture, match="too large"):
            await read_bytes(Linked(f"{address}/a.png"))
