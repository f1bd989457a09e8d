"""What test_made_up_option.py proves in a copy of the code whose table has a row ``sharpness``.

Not collected by itself: there is no such option.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor

import run
from bot.cli import generate
from bot.errors import sentence
from bot.settings import ROOT, Settings
from core.errors import UnknownName
from core.models.cards import read_card
from core.options import Range
from core.pictures import infotext
from core.pictures.importing import to_request_values
from core.request import GenerationRequest
from tests.bot.cli.test_generate import ENGINES, Engine
from tests.simulation import World, answer, catalogue, text

NAME = "sharpness"
OUT_OF_RANGE = sentence(Range(0, 2, whole=False).invalid(NAME, "9"))
NUMBERS = "Steps, CFG scale, sharpness"


@pytest.fixture
def owner(world: World) -> MemberActor:
    manages = discord.Permissions(manage_guild=True)
    role = world.guild.create_role("Managers", permissions=manages)
    return world.guild.add_member(world.env.create_user("owner"), roles=[role])


def told(world: World, command: str, *below: str, name: str = NAME) -> dict[str, Any]:
    """What Discord is told of the option of this command."""
    known: Any = world.bot.tree.get_command(command)
    options = known.to_dict(world.bot.tree)["options"]
    for each in below:
        options = next(option for option in options if option["name"] == each)["options"]
    found: list[dict[str, Any]] = [option for option in options if option["name"] == name]
    assert len(found) == 1
    return found[0]


def drawn(world: World, name: str = NAME) -> list[Any]:
    """The value of each picture of the last job that was asked for."""
    return [getattr(item.request, name) for item in world.engine.seen[-1].items]


def test_this_is_the_copy() -> None:
    assert Path(generate.__file__).is_relative_to(Path.cwd())
    assert Path.cwd() == ROOT


async def test_commands_take_it_within_its_range(world: World) -> None:
    places = [("imagine",), ("explore",), ("preset", "save"), ("config", "defaults")]
    for place in places:
        option = told(world, *place)
        assert (option["type"], option["required"]) == (10, False)
        assert (option["min_value"], option["max_value"]) == (0, 2)
        assert option["description"] == "How sharp"
    await world.ann.slash(world.channel, "imagine", prompt="x", sharpness=1.5)
    assert drawn(world) == [1.5]
    assert "sharpness 1.5" in text(world.last)
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert drawn(world) == [1.0]
    assert "sharpness" not in text(world.last)


async def test_it_is_an_axis_with_values(world: World) -> None:
    asked = {"prompt": "x", "x_axis": "sharpness"}
    await world.ann.slash(world.channel, "explore", **asked)
    assert drawn(world) == [0.0, 0.5, 1.5]
    result = await world.ann.slash(world.channel, "explore", **asked, x_values="9")
    assert OUT_OF_RANGE in text(answer(result))
    # Reading the errors accepts those with a sentence.
    assert list(world.env.errors)


def test_the_infotext_says_it_where_it_is_not_the_default() -> None:
    made: dict[str, Any] = {NAME: 0.5}
    written = infotext.format(GenerationRequest("x", "plain", 7, **made))
    assert ", Sharpness: 0.5," in written
    values, notes = to_request_values(infotext.parse(written))
    assert (values["sharpness"], notes) == (0.5, ())
    assert "Sharpness" not in infotext.format(GenerationRequest("x", "plain", 7))
    values, notes = to_request_values(infotext.parse(written.replace("0.5", "9")))
    assert "sharpness" not in values
    assert "Sharpness “9” was left out; it can be 0 to 2" in map(str, notes)


async def test_the_settings_panel_shows_and_changes_it(world: World) -> None:
    panel = answer(await world.ann.slash(world.channel, "settings"))
    assert "- sharpness **1** —" in text(panel)
    form = await world.ann.click(panel, label=NUMBERS)
    typed = {"steps": "", "cfg_scale": "", "sharpness": "9"}
    refused = answer(await world.ann.submit_modal(form, typed))
    assert OUT_OF_RANGE in text(refused)
    form = await world.ann.click(panel, label=NUMBERS)
    panel = answer(await world.ann.submit_modal(form, typed | {"sharpness": "0.25"}))
    assert "- sharpness **0.25** —" in text(panel)
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert drawn(world) == [0.25]


async def test_the_edit_form_names_and_takes_it(world: World) -> None:
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="x"))
    form = await world.ann.click(post, label="Edit")
    assert form.modal is not None
    field = form.modal["components"][-1]
    assert "Sharpness: 1" in field["component"]["value"]
    assert "Sharpness: 1" in field["description"]
    typed = {"prompt": "x", "negative_prompt": "", "clip_skip": "1", "seed": ""}
    refused = answer(await world.ann.submit_modal(form, typed | {"settings": "sharpness: 9"}))
    assert OUT_OF_RANGE in text(refused)
    form = await world.ann.click(post, label="Edit")
    await world.ann.submit_modal(form, typed | {"settings": "sharpness: 0.25"})
    assert drawn(world) == [0.25]


async def test_a_preset_and_a_server_keep_it(world: World, owner: MemberActor) -> None:
    await owner.slash(world.channel, "config defaults", sharpness=0.75)
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert drawn(world) == [0.75]
    await world.ann.slash(world.channel, "preset save", name="crisp", sharpness=1.75)
    await world.ann.slash(world.channel, "imagine", prompt="x", preset="crisp")
    assert drawn(world) == [1.75]


async def test_a_choice_needs_no_more(world: World) -> None:
    option = told(world, "imagine", name="finish")
    assert [each["value"] for each in option["choices"]] == ["Plain", "Glossy"]
    panel = answer(await world.ann.slash(world.channel, "settings"))
    await world.ann.select(panel, ["Glossy"], custom_id=f"s:set_finish:{world.ann.id}")
    await world.ann.slash(world.channel, "imagine", prompt="x")
    assert drawn(world, "finish") == ["Glossy"]
    await world.ann.slash(world.channel, "explore", prompt="x", x_axis="finish", x_values="plain")
    assert drawn(world, "finish") == ["Plain"]
    result = await world.ann.slash(
        world.channel, "explore", prompt="x", x_axis="finish", x_values="matt"
    )
    assert sentence(UnknownName("finish", "matt")) in text(answer(result))
    assert list(world.env.errors)
    written = infotext.format(world.engine.seen[0].request)
    values, notes = to_request_values(infotext.parse(written))
    assert (values["finish"], notes) == ("Glossy", ())
    _, notes = to_request_values(infotext.parse(written.replace("Glossy", "Matt")))
    assert list(map(str, notes)) == ["there is no finish called “Matt” here"]


def test_a_card_recommends_it(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text("sharpness = 1.5")
    card, warnings = read_card(tmp_path)
    assert (card.values, warnings) == ({"sharpness": 1.5}, ())


def test_the_terminal_has_a_flag(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(generate, "EngineClient", Engine)
    monkeypatch.setattr(Settings, "catalogue", lambda self: catalogue())

    def draw(*arguments: str) -> int:
        asked = ["generate", "x", *arguments, "--out", str(tmp_path)]
        return generate.main(settings, run.parser().parse_args(asked))

    assert draw("--sharpness", "0.5") == 0
    assert getattr(ENGINES[-1].seen[-1].request, NAME) == 0.5
    assert draw("--sharpness", "9") == 2
    assert "must be from 0 to 2, not “9”" in capsys.readouterr().err
