"""/settings: every control of the panel, who may press it, bad input, and restarts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.exceptions import NoModels
from bot.ordering.layers import Layers
from bot.ordering.resolve import explain
from bot.translate import t
from cogs.settings.panel import Panel, settings_view
from core.models.catalogue import Catalogue
from tests.simulation import World, answer, buttons, model, selects, text, vae

LOCALE = discord.Locale.american_english


async def opened(world: World) -> Any:
    result = await world.ann.slash(world.channel, "settings")
    assert result.ephemeral
    return answer(result)


async def yours(world: World) -> dict[str, Any]:
    return dict(await world.bot.store.presets.yours(world.ann.id))


def line(message: Any, name: str) -> str:
    return next(part for part in text(message).splitlines() if part.startswith(f"- {name} "))


async def pick(world: World, panel: Any, name: str, value: str) -> Any:
    custom_id = f"s:{name}:{world.ann.id}"
    return answer(await world.ann.select(panel, [value], custom_id=custom_id))


async def test_the_panel_says_every_value_and_why(world: World) -> None:
    await world.bot.store.presets.save(world.ann.id, "default", {"steps": 12, "model": "anime"})
    await world.bot.store.servers.update(
        world.guild.id,
        lambda server: replace(
            server,
            defaults={"cfg_scale": 5.5},
            channel_defaults={world.channel.id: {"sampler": "DDIM"}},
        ),
    )
    panel = await opened(world)
    assert text(panel).splitlines()[2:] == [
        "- negative prompt **lowres** — model recommendation",
        "- model **anime** — set by you",
        "- VAE **Automatic** — bot default",
        "- clip skip **2** — model recommendation",
        "- steps **12** — set by you",
        "- CFG scale **5.5** — server default",
        "- sampler **DDIM** — channel default",
        "- size **512x512** — model recommendation",
        "- image count **1** — bot default",
        "- noise source **CPU** — bot default",
        "- private **no** — bot default",
    ]


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("model", "anime", "anime"),
        ("vae", "vivid", "vivid"),
        ("clip_skip", "2", 2),
        ("sampler", "Euler Karras", "Euler Karras"),
        ("size", "portrait", "portrait"),
        ("size", "512x768", "512x768"),
        ("count", "3", 3),
    ],
)
async def test_a_select_sets_a_value_that_applies(
    world: World, name: str, value: str, kept: Any
) -> None:
    panel = await pick(world, await opened(world), f"set_{name}", value)
    assert await yours(world) == {name: kept}
    words = t(f"option.{name}")
    assert line(panel, words) == f"- {words} **{value}** — set by you"
    options = selects(panel)[words]["options"]
    assert [option["value"] for option in options if option.get("default")] == [value]
    await world.ann.slash(world.channel, "imagine", prompt="x")
    request = (await world.job(1)).request
    drawn = {
        "sampler": f"{request.sampler} {request.schedule_type}",
        "size": "portrait" if (request.width, request.height) == (416, 624) else "512x768",
    }
    assert drawn.get(name, getattr(request, name, None)) == kept


async def test_steps_and_cfg_are_typed(world: World) -> None:
    panel = await opened(world)
    form = await world.ann.click(panel, label="Steps, CFG scale")
    result = await world.ann.submit_modal(form, {"steps": "12", "cfg_scale": " 5.5 "})
    assert await yours(world) == {"steps": 12, "cfg_scale": 5.5}
    assert line(answer(result), "steps") == "- steps **12** — set by you"
    form = await world.ann.click(answer(result), label="Steps, CFG scale")
    assert form.modal is not None
    await world.ann.submit_modal(form, {"steps": "", "cfg_scale": "6"})
    assert await yours(world) == {"cfg_scale": 6.0}
    form = await world.ann.click(answer(result), label="Steps, CFG scale")
    await world.ann.submit_modal(form, {"steps": "１２", "cfg_scale": "５．５"})
    assert await yours(world) == {"steps": 12, "cfg_scale": 5.5}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"steps": "x", "cfg_scale": ""}, "steps must be from 1 to 150"),
        ({"steps": "151", "cfg_scale": ""}, "steps must be from 1 to 150"),
        ({"steps": "", "cfg_scale": "nan"}, "CFG scale must be from 1 to 30"),
        ({"steps": "", "cfg_scale": "0"}, "CFG scale must be from 1 to 30"),
        ({"steps": "1.5", "cfg_scale": ""}, "steps must be from"),
    ],
)
async def test_bad_numbers_change_nothing(world: World, typed: dict[str, str], words: str) -> None:
    form = await world.ann.click(await opened(world), label="Steps, CFG scale")
    result = await world.ann.submit_modal(form, typed)
    assert words in text(answer(result))
    assert await yours(world) == {}


async def test_private_and_public(world: World) -> None:
    panel = answer(await world.ann.click(await opened(world), label="Make results private"))
    assert await yours(world) == {"private": True}
    result = await world.ann.slash(world.channel, "imagine", prompt="x")
    assert answer(result).ephemeral
    await world.ann.click(panel, label="Make results public")
    assert await yours(world) == {"private": False}


async def test_a_size_of_ones_own(world: World) -> None:
    panel = await opened(world)
    last = selects(panel)["size"]["options"][-1]
    assert last["label"] == "Another size…"
    custom_id = f"s:set_size:{world.ann.id}"
    form = await world.ann.select(panel, [last["value"]], custom_id=custom_id)
    await world.ann.submit_modal(form, {"typed": "640 x 448"})
    assert await yours(world) == {"size": "640x448"}
    form = await world.ann.select(panel, [last["value"]], custom_id=custom_id)
    refused = await world.ann.submit_modal(form, {"typed": "7x7"})
    assert "multiple of 8" in text(answer(refused))
    assert await yours(world) == {"size": "640x448"}
    again = await opened(world)
    options = selects(again)["size"]["options"]
    assert [option["value"] for option in options if option.get("default")] == ["640x448"]


async def test_more_than_25_models_vaes_and_samplers_are_searched(world: World) -> None:
    world.bot.catalogue.update(
        Catalogue(
            models=tuple(model(f"model {number}") for number in range(60)),
            vaes=tuple(vae(f"vae {number}") for number in range(60)),
        )
    )
    await world.bot.store.presets.save(world.ann.id, "default", {"model": "model 50"})
    panel = await opened(world)
    for name, words, typed, several, kept in (
        ("model", "model", "model 5", "model 55", "model 59"),
        ("vae", "VAE", "vae 5", "vae 55", "vae 59"),
        ("sampler", "sampler", "uniform", "LMS Uniform", "LCM Beta"),
    ):
        options = selects(panel)[words]["options"]
        assert len(options) == 25
        custom_id = f"s:set_{name}:{world.ann.id}"
        form = await world.ann.select(panel, [options[-1]["value"]], custom_id=custom_id)
        found = answer(await world.ann.submit_modal(form, {"typed": typed}))
        offered = [option["value"] for option in selects(found)[words]["options"]]
        assert several in offered
        assert len(offered) <= 25
        await pick(world, found, f"set_{name}", several)
        assert (await yours(world))[name] == several
        form = await world.ann.select(panel, [options[-1]["value"]], custom_id=custom_id)
        await world.ann.submit_modal(form, {"typed": kept})
        assert (await yours(world))[name] == kept
        form = await world.ann.select(panel, [options[-1]["value"]], custom_id=custom_id)
        nothing = await world.ann.submit_modal(form, {"typed": "qqqqqq"})
        assert "called **qqqqqq**" in text(answer(nothing))
    panel = await opened(world)
    chosen = [o["value"] for o in selects(panel)["model"]["options"] if o.get("default")]
    assert chosen == ["model 59"]


async def test_one_value_is_let_go_and_then_all(world: World) -> None:
    values = {"steps": 12, "seed": 7, "negative_prompt": "bad", "clip_skip": 3}
    await world.bot.store.presets.save(world.ann.id, "Default", values)
    panel = await opened(world)
    assert line(panel, "seed") == "- seed **7** — set by you"
    reset = selects(panel)["Reset one of your settings"]["options"]
    assert [option["value"] for option in reset] == [
        "negative_prompt",
        "clip_skip",
        "seed",
        "steps",
        "everything",
    ]
    panel = await pick(world, panel, "reset", "seed")
    assert "seed" not in await yours(world)
    assert "- seed" not in text(panel)
    panel = await pick(world, panel, "reset", "everything")
    assert await world.bot.store.presets.list(world.ann.id) == ()
    assert "Reset one of your settings" not in selects(panel)
    assert "— set by you" not in text(panel)


async def test_a_vae_does_not_follow_to_a_model_it_does_not_fit(world: World) -> None:
    panel = await pick(world, await opened(world), "set_vae", "vivid")
    panel = await pick(world, panel, "set_model", "anime")
    assert await yours(world) == {"model": "anime", "vae": "vivid"}
    panel = await pick(world, panel, "set_model", "two")
    assert await yours(world) == {"model": "two"}
    assert "The VAE vivid doesn’t work with this model" in text(panel)
    assert "VAE" not in selects(panel)


async def test_what_is_gone_is_said_and_can_be_replaced(world: World) -> None:
    await world.bot.store.presets.save(world.ann.id, "default", {"model": "lost", "vae": "gone"})
    panel = await opened(world)
    assert line(panel, "model") == "- model **lost** — set by you"
    assert (
        "Nothing can be generated with these settings: There’s no model called **lost**."
        in text(panel)
    )
    panel = await pick(world, panel, "set_model", "anime")
    assert await yours(world) == {"model": "anime"}
    assert "Nothing can be generated" not in text(panel)


async def test_a_model_gone_between_showing_and_pressing(world: World) -> None:
    panel = await opened(world)
    world.bot.catalogue.update(Catalogue(models=(model("other"),)))
    said = await pick(world, panel, "set_model", "anime")
    assert "no model called **anime**" in text(said)
    assert await yours(world) == {}


async def test_a_vae_of_another_family_is_refused(world: World) -> None:
    panel = await opened(world)
    await world.bot.store.presets.save(world.ann.id, "default", {"model": "two"})
    said = await pick(world, panel, "set_vae", "vivid")
    assert "made for SD 1.x" in text(said)
    assert await yours(world) == {"model": "two"}


async def test_nobody_elses_press_works(world: World) -> None:
    """Nobody else sees the panel; even so."""
    explained = explain(Layers(), world.bot.catalogue, world.settings.limits)
    panel = Panel(world.ann.id, explained, {"steps": 9})
    view = settings_view(panel, world.bot.catalogue, world.settings.limits, LOCALE)
    channel = world.bot.get_channel(world.channel.id)
    assert isinstance(channel, discord.TextChannel)
    post = await channel.send(view=view)
    bobs = await world.bob.click(post, label="Make results private")
    assert "Only the person who made this" in text(answer(bobs))
    await world.bob.select(post, ["2"], custom_id=f"s:set_clip_skip:{world.ann.id}")
    for member in (world.ann, world.bob):
        assert await world.bot.store.presets.list(member.id) == ()


async def test_controls_and_forms_survive_a_restart(world: World) -> None:
    panel = await opened(world)
    form = await world.ann.click(panel, label="Steps, CFG scale")
    await world.restart()
    await world.ann.submit_modal(form, {"steps": "9", "cfg_scale": ""})
    await pick(world, panel, "set_clip_skip", "4")
    assert await yours(world) == {"steps": 9, "clip_skip": 4}
    assert list(buttons(panel)) == ["Steps, CFG scale", "Make results private"]


async def test_the_servers_bounds_are_shown(world: World) -> None:
    await world.bot.store.servers.update(
        world.guild.id, lambda server: replace(server, max_count=2, max_size=512)
    )
    panel = await opened(world)
    assert len(selects(panel)["image count"]["options"]) == 2
    sizes = [option["value"] for option in selects(panel)["size"]["options"]]
    assert sizes[:-1] == ["square", "512x512"]


async def test_without_models_there_is_a_sentence(world: World) -> None:
    world.bot.catalogue.update(Catalogue())
    assert "No model is installed yet" in text(await opened(world))
    (error,) = world.env.errors
    assert isinstance(getattr(error, "original", error), NoModels)
