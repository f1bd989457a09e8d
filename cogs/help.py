"""/help: a few pages, each one post, about clip skip, VAEs, prompts, controls and commands."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import discord
from discord import Locale, app_commands, ui
from discord.app_commands import Choice
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import MAX_TEXT, Interaction, excerpt
from bot.client import Penultimate
from bot.posts.controls import Standing, chosen, layout, row, select_options, standing_select
from bot.settings import SHIPPED_DATA
from bot.translate import t, text

# A page and how many paragraphs it has in the catalogue.
PAGES: Final = {
    "start": 4,
    "clip_skip": 4,
    "vae": 4,
    "prompt": 8,
    "controls": 8,
    "commands": 1,
}
FIRST: Final = next(iter(PAGES))
CHOICES: Final = [Choice(name=text(f"help.{page}.name"), value=page) for page in PAGES]

Command = app_commands.Command[Any, ..., Any]


class HelpCog(commands.Cog):
    """The command and the select of pages below each page, for the member alone."""

    def __init__(self, bot: Penultimate) -> None:
        self.tree = bot.tree
        self.catalogue = bot.catalogue

    @app_commands.command(name="help", description=text("command.help"))
    @app_commands.describe(page=text("describe.page"))
    @app_commands.choices(page=CHOICES)
    async def help(self, interaction: Interaction, page: str = FIRST) -> None:
        """Show one page; without a name the first."""
        view, files = await self._page(page, interaction)
        await answers.show(interaction, view, files)

    @standing("help")
    async def _select(self, interaction: Interaction, _: int | None) -> None:
        """Show the page that was picked in place of this one."""
        view, files = await self._page(chosen(interaction), interaction)
        await answers.change(interaction, view, files)

    async def _page(self, page: str, interaction: Interaction) -> tuple[ui.LayoutView, Any]:
        every = self.tree.walk_commands()
        listed = [command for command in every if isinstance(command, app_commands.Command)]
        path = picture_of(page) if page in PAGES else None
        if path is None:
            models = self.catalogue.models
            prompts = models[0].card.prompts if models else ()
            return help_view(page, listed, interaction.locale, prompts=prompts), []
        picture = io.BytesIO(await asyncio.to_thread(path.read_bytes))
        view = help_view(page, listed, interaction.locale, picture=path.name)
        return view, [discord.File(picture, path.name)]


def picture_of(page: str) -> Path | None:
    """The small sheet that goes with a page, where one is shipped."""
    path = SHIPPED_DATA / "help" / f"{page}.webp"
    return path if path.is_file() else None


def help_view(
    page: str,
    commands: Iterable[Command],
    locale: Locale,
    *,
    picture: str | None = None,
    prompts: Sequence[str] = (),
) -> ui.LayoutView:
    """A page; ``picture`` is the name of the file sent with it. An unknown page is the first.

    ``prompts``, from the default model's card, stand on the first.
    """
    page = page if page in PAGES else FIRST
    items: list[ui.Item[Any]] = [ui.TextDisplay(_text(page, commands, locale, prompts))]
    if picture is not None:
        alt = t(f"help.{page}.picture", locale)
        media = discord.MediaGalleryItem(f"attachment://{picture}", description=alt)
        items.append(ui.MediaGallery(media))
    return layout(*items, row(_pages(page, locale)))


def _text(page: str, commands: Iterable[Command], locale: Locale, prompts: Sequence[str]) -> str:
    lines = [t(f"help.{page}.title", locale)]
    lines += [t(f"help.{page}.{number}", locale) for number in range(1, PAGES[page] + 1)]
    if page == FIRST and prompts:
        lines.append(t("help.start.prompts", locale))
        lines += [f"- `{prompt}`" for prompt in prompts]
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
    options = select_options({name: t(f"help.{name}.name", locale) for name in PAGES}, page)
    return standing_select(t("help.placeholder", locale), "help", options=options)
