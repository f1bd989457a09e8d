"""/imagine: generate images from a prompt and options."""

from __future__ import annotations

from typing import Any

from discord import app_commands
from discord.ext import commands

from bot.answers import Interaction
from bot.client import Penultimate
from bot.ordering.orders import Start
from bot.translate import text
from cogs import options
from core.options import Place, names


class ImagineCog(commands.Cog):
    """The command."""

    def __init__(self, bot: Penultimate) -> None:
        self.jobs = bot.jobs

    @app_commands.command(name="imagine", description=text("command.imagine"))
    @options.takes("prompt", *names(Place.IMAGINE), *options.AROUND)
    async def imagine(self, interaction: Interaction, /, **given: Any) -> None:
        """Draw a prompt; what is not given comes from the layers below."""
        prompt, preset, style = given["prompt"], given["preset"], given["style"]
        start = Start(given["start_image"], given["denoising_strength"])
        values = options.given_options(given)
        await self.jobs.imagine(interaction, prompt, values, preset, style, start)
