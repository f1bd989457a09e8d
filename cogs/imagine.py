"""/imagine: a prompt and a few options become a picture."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.answers import Interaction
from bot.client import Penultimate
from bot.ordering.orders import Start
from bot.ordering.resolve import OPTIONS
from bot.translate import text
from cogs import options


class ImagineCog(commands.Cog):
    """The main command."""

    def __init__(self, bot: Penultimate) -> None:
        self.jobs = bot.jobs

    @app_commands.command(name="imagine", description=text("command.imagine"))
    @options.shared("prompt", *OPTIONS, "preset", "style")
    @options.shared("start_image", "denoising_strength")
    async def imagine(
        self,
        interaction: Interaction,
        prompt: str,
        negative_prompt: options.Prompt | None = None,
        model: str | None = None,
        vae: str | None = None,
        clip_skip: options.ClipSkip | None = None,
        seed: options.Seed | None = None,
        steps: options.Steps | None = None,
        cfg_scale: options.CfgScale | None = None,
        sampler: str | None = None,
        size: str | None = None,
        count: options.Count | None = None,
        start_image: discord.Attachment | None = None,
        denoising_strength: options.Strength | None = None,
        preset: str | None = None,
        style: str | None = None,
        private: bool | None = None,
    ) -> None:
        """Draw ``prompt``; what is not given comes from the member's preset, the model, the bot."""
        given = dict(iter(interaction.namespace))
        values = {name: value for name, value in given.items() if name in OPTIONS}
        start = Start(start_image, denoising_strength)
        await self.jobs.imagine(interaction, prompt, values, preset, style, start)
