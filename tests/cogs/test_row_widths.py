"""A row of buttons is one line on a computer, and each button one line on a phone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import discord
import pytest
from discord import ui

from bot.ordering.layers import Layers
from bot.ordering.resolve import explain
from bot.rules.server import FILE_KINDS, FileKind, Server
from bot.settings import Settings
from cogs import help as pages
from cogs.config.panels import Panels
from cogs.settings.panel import Panel, settings_view
from tests.bot.posts.test_payload_limits import LOCALES, views
from tests.cogs.test_config import longest
from tests.simulation import catalogue, wire

# Discord's posts are 600 pixels wide on a computer and some 300 on a phone. Half a letter of
# Japanese, which is a letter of English, is 8 of them; what stands around a label 40, an emoji 24.
PIXELS, AROUND, EMOJI = 8, 40, 24
LINE, PHONE = 600, 300


def width(button: dict[str, Any]) -> int:
    """About how many pixels wide a button is."""
    wide = (unicodedata.east_asian_width(letter) in "WF" for letter in button.get("label") or "")
    letters = sum(2 if each else 1 for each in wide)
    return PIXELS * letters + AROUND + (EMOJI if button.get("emoji") else 0)


def every_view(locale: discord.Locale) -> Iterator[tuple[str, ui.LayoutView]]:
    yield from views(locale)
    settings = Settings()
    for yours in ({}, {"steps": 9, "private": True}):
        panel = Panel(1, explain(Layers(yours=yours), catalogue(), settings.limits), yours)
        yield "settings.limits", settings_view(panel, catalogue(), settings.limits, locale)
    for server in (Server(), longest()):
        names: dict[FileKind, Sequence[str]] = {kind: ["x"] * 30 for kind in FILE_KINDS}
        panels = Panels(server, None, locale, names, classifier=True)
        yield "config", panels.panel("overview")
        for kind in FILE_KINDS:
            yield kind, panels.panel(f"{kind}s")
            yield kind, panels.file(kind, "x")
        yield "quota", panels.panel("quota")
        yield "nsfw", panels.panel("nsfw")
        yield "general", panels.panel("general")
    for page in pages.PAGES:
        yield "help", pages.help_view(page, [], locale)


@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_no_row_of_buttons_wraps(locale: discord.Locale) -> None:
    seen = 0
    for name, view in every_view(locale):
        for row in wire(view):
            buttons = [item for item in row.get("components", []) if item["type"] == 2]
            labels = [button.get("label") for button in buttons]
            assert sum(map(width, buttons)) <= LINE, (name, labels)
            assert all(width(button) <= PHONE for button in buttons), (name, labels)
            seen += bool(buttons)
    assert seen > 20


def test_wide_letters_count_twice() -> None:
    assert width({"label": "編集"}) == width({"label": "Edit"})
    assert width({"label": "編集", "emoji": {"name": "✏️"}}) == width({"label": "Edit"}) + EMOJI
