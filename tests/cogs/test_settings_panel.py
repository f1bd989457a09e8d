"""The settings panel is one that Discord takes, with the longest of everything in it."""

from __future__ import annotations

import discord
import pytest
from discord import Locale
from simcord.components import validate_modal

from bot.ordering.layers import LAYERED
from bot.ordering.resolve import Explained
from bot.settings import Limits
from cogs.settings.panel import Panel, numbers_form, search_form, settings_view
from core.errors import Refused
from core.models.catalogue import Catalogue
from core.options import SELDOM
from tests.simulation import model, vae, within_limits

LOCALES = (Locale.american_english, Locale.japanese, Locale.chinese, Locale.taiwan_chinese)
MANY = Catalogue(
    models=tuple(model("*" * 97 + f"{number:03}") for number in range(60)),
    vaes=tuple(vae("*" * 97 + f"{number:03}") for number in range(60)),
)


def longest() -> Panel:
    values = dict.fromkeys(LAYERED, "*🎨" * 2000) | {
        "model": MANY.models[50].name,
        "vae": MANY.vaes[50].name,
        "clip_skip": 12,
        "steps": 150,
        "cfg_scale": 29.5,
        "count": 8,
        "seed": 2**32 - 1,
        "private": True,
    }
    values |= dict.fromkeys(SELDOM, "-2147483648")
    error = Refused("model", "*" * 4000, "unreadable", "*" * 4000)
    explained = Explained(values, dict.fromkeys(LAYERED, "channel"), MANY.models[50], error)
    return Panel(2**63 - 1, explained, values, remark="x" * 400)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_longest_panel_fits(locale: Locale) -> None:
    view = settings_view(longest(), MANY, Limits(max_count=8), locale)
    found = within_limits(view)
    shown = [o["value"] for i in found for o in i.get("options", []) if o.get("default")]
    assert MANY.models[50].name in shown


@pytest.mark.parametrize("locale", LOCALES)
def test_its_forms_fit(locale: Locale) -> None:
    forms = [numbers_form(longest(), locale)]
    forms += [search_form(n, 2**63 - 1, locale) for n in ("model", "vae", "sampler", "size")]
    for form in forms:
        sent = form.to_dict()
        validate_modal(sent)
        assert len(sent["title"]) <= 45
        for item in sent["components"]:
            assert len(item["label"]) <= 45
            assert len(item.get("description") or "") <= 100


def test_a_form_holds_what_is_yours_and_shows_what_is_not() -> None:
    values = dict.fromkeys(LAYERED, "") | {"steps": 20, "cfg_scale": 7.0}
    explained = Explained(values, dict.fromkeys(LAYERED, "bot"), MANY.models[0])
    sent = numbers_form(Panel(1, explained, {"steps": 12}), discord.Locale.american_english)
    steps, scale = (item["component"] for item in sent.to_dict()["components"])
    assert (steps.get("value"), steps["placeholder"]) == ("12", "20")
    assert (scale.get("value"), scale["placeholder"]) == (None, "7")
