"""Nothing that is sent breaks Discord's limits, with the longest of everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import discord
import pytest
from discord import ui
from simcord.components import validate_modal

from bot.ordering.attachments import Linked
from bot.posts import forms, panel, parameters
from bot.posts.controls import custom_id, layout, row
from bot.posts.live import ended_view, live_view
from bot.posts.result import Post, cell_select, result_view, vae_select
from bot.posts.sender import _nonce
from bot.store import Job
from bot.translate import CatalogueTranslator
from cogs.settings.panel import numbers_form
from core.errors import Refused
from core.events import Progress, Queued, Restarting, Started
from core.models.catalogue import Catalogue
from core.notes import NOTES, Note
from core.options import MAX_PROMPT, MAX_SEED
from core.request import Inputs
from core.sheets.sheet import Sheet, axis_of
from tests.cogs.test_settings_panel import longest
from tests.simulation import World, a_job, within_limits

# One character that becomes two when escaped, and one of four bytes.
LONG = ("*🎨" * MAX_PROMPT)[:MAX_PROMPT]
NAME = "*" * 100
NAMES = [f"{LONG[:1000]}{index}" for index in range(25)]
LONGEST = Sheet(axis_of("model", NAMES), axis_of("prompt", ["", *NAMES[1:]]))
LOCALE = discord.Locale.american_english
LOCALES = (LOCALE, discord.Locale.japanese, discord.Locale.chinese, discord.Locale.taiwan_chinese)


def longest_job(locale: discord.Locale = LOCALE) -> Job:
    """Everything as long as it can be."""
    job = a_job(
        prompt=LONG,
        negative_prompt=LONG,
        model=NAME * 2,
        vae=NAME,
        seed=MAX_SEED,
        clip_skip=6,
        count=8,
        steps=150,
        cfg_scale=29.5,
        width=2048,
        height=2048,
        sampler="DPM++ 2M SDE",
        schedule_type="Exponential",
        variation_strength=0.123456,
    )
    values = dict.fromkeys(
        ("kind", "name", "text", "bracket", "limit", "which", "tokens", "chunks", "family"), LONG
    )
    every = tuple(Note.of(key, **_places(key, values)) for key in NOTES)
    facts: dict[str, Any] = {"id": 10**18 - 1, "user_id": 2**63 - 1, "locale": locale.value}
    return replace(job, notes=every * 3, **facts)


def longest_sheet(locale: discord.Locale = LOCALE) -> Job:
    """A sheet of the longest names, 25 on each axis."""
    job = longest_job(locale)
    return replace(job, sheet=LONGEST, request=replace(job.request, count=1, inputs=Inputs(b"x")))


def _places(key: str, values: dict[str, str]) -> dict[str, str]:
    import string

    names = {name for _, name, _, _ in string.Formatter().parse(NOTES[key]) if name}
    return {name: values.get(name, LONG) for name in names}


def views(locale: discord.Locale) -> Iterator[tuple[str, ui.LayoutView]]:
    job = longest_job(locale)
    files = tuple(f"{job.id}-{number}.webp" for number in range(1, 9))
    url = "https://discord.com/channels/" + "/".join(["9" * 19] * 3)
    vaes = tuple(f"{NAME[:-2]}{number:02}" for number in range(60))
    for mention in (False, True):
        post = Post(job, files, vaes=vaes, parent_url=url, mention=mention, remarks=(LONG,))
        yield f"result, mention {mention}", result_view(post)
    for event in (
        Queued(job.id, 10**6, 10**6, 10.0**6),
        Started(job.id),
        Progress(job.id, 150, 150, b"x"),
        Restarting(job.id),
    ):
        for state in ("starting", "ready", "restarting", "stopped"):
            yield f"live {event} {state}", live_view(job, event, state, late=True)
    error = Refused("model", LONG, "unreadable", LONG)
    yield "failed", ended_view(job, error, locale, mention=True)
    yield "cancelled", ended_view(job, None, locale, mention=True)
    yield "panel", panel.panel_view(job, locale, panel.Offers())
    yield "sheet panel", panel.panel_view(longest_sheet(locale), locale, panel.Offers())
    yield "sheet", result_view(replace(post, job=longest_sheet(locale), files=files[:1]))
    yield "cell", layout(row(cell_select(longest_sheet(locale), LONGEST.x, "cell_x", locale, 24)))
    yield "compare", layout(row(vae_select(job, vaes, locale, action="vae_ab", argument=7)))
    pictures = [Linked("https://cdn.discordapp.com/" + "x" * 900 + f"/{n}") for n in range(30)]
    yield "which start", panel.which_start_view(job, pictures[:8], locale)
    yield "which foreign start", panel.which_foreign_view(pictures, locale)
    which = row(panel.which_select(job, locale, 0, "read"))
    read, attached = parameters.parameters_view("x" * 1880, locale, which, catalogue=Catalogue())
    assert not attached
    yield "read", read
    yield "confirm", panel.confirm_view(job, locale)
    yield "seed", panel.seed_view(job, MAX_SEED, locale)
    code, attached = parameters.parameters_view("x" * 3800, locale)
    assert not attached
    yield "code", code
    file, attached = parameters.parameters_view("x" * 3900, locale)
    assert attached
    yield "file", file
    search = ui.LayoutView(timeout=None)
    yield "search", search.add_item(ui.ActionRow(vae_select(job, vaes, locale, search=False)))


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(view, id=f"{locale} {name}")
        for locale in LOCALES
        for name, view in views(locale)
    ],
)
def test_every_view_is_one_that_discord_takes(view: ui.LayoutView) -> None:
    within_limits(view)


@pytest.mark.parametrize("locale", LOCALES)
def test_forms_are_ones_that_discord_takes(locale: discord.Locale) -> None:
    job = longest_job(locale)
    values = {"prompt": LONG, "negative_prompt": LONG, "clip_skip": 12}
    for form in (
        forms.edit_form(job, locale),
        forms.name_form(job, locale, "preset"),
        forms.name_form(job, locale, "vae"),
        forms.name_form(job, locale, "vae_ab", 7),
        forms.start_form(custom_id("start", job.id, 7), values, locale),
        numbers_form(longest(), locale),
    ):
        sent = form.to_dict()
        validate_modal(sent)
        assert len(sent["components"]) <= 5
        assert len(sent["title"]) <= 45
        assert all(len(label["label"]) <= 45 for label in sent["components"])


def test_a_form_holds_the_longest_prompt_whole() -> None:
    form = forms.edit_form(longest_job(), LOCALE).to_dict()
    assert form["components"][0]["component"]["value"] == LONG


def test_ids_of_a_lifetime_fit() -> None:
    assert len(custom_id("x" * 24, 10**18 - 1, 9999)) <= 100
    assert len(_nonce(replace(longest_job(), created_at=4e9))) <= 25


async def _commands(world: World) -> list[dict[str, Any]]:
    """Every command as Discord gets it, in all languages."""
    tree, translator = world.bot.tree, CatalogueTranslator()
    return [await each.get_translated_payload(tree, translator) for each in tree.get_commands()]


def _weight(option: dict[str, Any]) -> int:
    """Names, descriptions and values together, each by its longest language, as Discord counts."""
    own = len(str(option.get("value", "")))
    for name in ("name", "description"):
        said = (option.get(f"{name}_localizations") or {}).values()
        own += max(map(len, [option.get(name) or "", *said]))
    inner = [*(option.get("options") or []), *(option.get("choices") or [])]
    return own + sum(map(_weight, inner))


async def test_commands_are_ones_that_discord_takes(world: World) -> None:
    every = await _commands(world)
    menus = [command for command in every if command.get("type", 1) != 1]
    names = [
        name for menu in menus for name in (menu["name"], *menu["name_localizations"].values())
    ]
    assert all(len(name) <= 32 for name in names)
    assert len(menus) <= 5
    commands = [command for command in every if command not in menus]
    assert {"imagine", "queue"} <= {command["name"] for command in commands}
    for command in commands:
        assert _weight(command) <= 8000
        for option in _options(command):
            said = [option["description"], *option["description_localizations"].values()]
            assert all(1 <= len(each) <= 100 for each in said)
            assert len(option["name"]) <= 32
            assert len(option.get("options") or []) <= 25


def _options(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield command
    for option in command.get("options") or []:
        yield from _options(option)
