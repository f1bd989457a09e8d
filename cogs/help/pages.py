"""What /help says: a few pages, each one post, in the member's language. Pure layout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import discord
from discord import Locale, app_commands, ui

from bot.answers import excerpt
from bot.posts.controls import Standing, layout, row, standing_select
from bot.settings import SHIPPED_DATA
from bot.translate import t

# A page and how many paragraphs it has in the catalogue.
PAGES: Final = {
    "start": 4,
    "clip_skip": 4,
    "vae": 4,
    "prompt": 8,
    "controls": 8,
    "commands": 1,
}
# One post holds 4,000 characters of text.
MAX_TEXT: Final = 4000

Command = app_commands.Command[Any, ..., Any]


def picture_of(page: str) -> Path | None:
    """The small sheet that goes with a page, where one is shipped."""
    path = SHIPPED_DATA / "help" / f"{page}.webp"
    return path if path.is_file() else None


def help_view(
    page: str, commands: Iterable[Command], locale: Locale, *, picture: str | None = None
) -> ui.LayoutView:
    """A page; ``picture`` is the name of the file sent with it. An unknown page is the first."""
    page = page if page in PAGES else next(iter(PAGES))
    items: list[ui.Item[Any]] = [ui.TextDisplay(_text(page, commands, locale))]
    if picture is not None:
        alt = t(f"help.{page}.picture", locale)
        media = discord.MediaGalleryItem(f"attachment://{picture}", description=alt)
        items.append(ui.MediaGallery(media))
    return layout(*items, row(_pages(page, locale)))


def _text(page: str, commands: Iterable[Command], locale: Locale) -> str:
    lines = [t(f"help.{page}.title", locale)]
    lines += [t(f"help.{page}.{number}", locale) for number in range(1, PAGES[page] + 1)]
    if page == "commands":
        lines += _commands(commands, locale)
    return "\n".join(lines)[:MAX_TEXT]


def _commands(commands: Iterable[Command], locale: Locale) -> list[str]:
    """Every command that anybody may use, with its own description."""
    return [
        f"- `/{command.qualified_name}` {_description(command, locale)}"
        for command in sorted(commands, key=lambda command: command.qualified_name)
        if (command.root_parent or command).default_permissions is None
    ]


def _description(command: Command, locale: Locale) -> str:
    said = command._locale_description
    key = said.extras.get("key") if said else None
    return t(key, locale) if key else excerpt(command.description, 100)


def _pages(page: str, locale: Locale) -> Standing:
    options = [
        discord.SelectOption(label=t(f"help.{name}.name", locale), value=name, default=name == page)
        for name in PAGES
    ]
    return standing_select(t("help.placeholder", locale), "help", options=options)
