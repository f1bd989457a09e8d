"""/help: what clip skip and VAE are, how to write a prompt, and what there is to press."""

from __future__ import annotations

import asyncio
import io
from typing import Any, Final

import discord
from discord import app_commands, ui
from discord.app_commands import Choice
from discord.ext import commands

from bot.actions.dispatch import standing
from bot.answers import Interaction
from bot.client import Penultimate
from bot.posts.controls import chosen
from bot.translate import text
from cogs.help.pages import PAGES, help_view, picture_of

FIRST: Final = next(iter(PAGES))
CHOICES: Final = [Choice(name=text(f"help.{page}.name"), value=page) for page in PAGES]


class HelpCog(commands.Cog):
    """The command and its select of pages, for the member alone."""

    def __init__(self, bot: Penultimate) -> None:
        self.bot = bot
        bot.actions.add(self)

    @app_commands.command(name="help", description=text("command.help"))
    @app_commands.describe(page=text("describe.page"))
    @app_commands.choices(page=CHOICES)
    async def help(self, interaction: Interaction, page: str = FIRST) -> None:
        """One page; without a name the first."""
        view, files = await self._page(page, interaction)
        await interaction.response.send_message(view=view, files=files, ephemeral=True)

    @standing("help")
    async def _turned(self, interaction: Interaction, _: int | None) -> None:
        """Another page was picked: it takes this one's place."""
        view, files = await self._page(chosen(interaction), interaction)
        await interaction.response.edit_message(view=view, attachments=files)

    async def _page(self, page: str, interaction: Interaction) -> tuple[ui.LayoutView, Any]:
        path = picture_of(page) if page in PAGES else None
        listed = [
            command
            for command in self.bot.tree.walk_commands()
            if isinstance(command, app_commands.Command)
        ]
        name = path.name if path else None
        view = help_view(page, listed, interaction.locale, picture=name)
        if path is None:
            return view, []
        picture = io.BytesIO(await asyncio.to_thread(path.read_bytes))
        return view, [discord.File(picture, path.name)]
