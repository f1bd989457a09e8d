"""/explore: one prompt over one or two axes, as a sheet with legends."""

from __future__ import annotations

from typing import Final

import discord
from discord import app_commands
from discord.app_commands import Choice
from discord.ext import commands

from bot.answers import Interaction
from bot.client import Penultimate
from bot.ordering.axes import KINDS, VALUES
from bot.ordering.choices import SAMPLER_NAMES
from bot.ordering.orders import Start
from bot.ordering.resolve import OPTIONS
from bot.posts.result import field_key
from bot.translate import text
from cogs import options
from core.models.catalogue import Catalogue, search
from core.request import AUTOMATIC, NONE, SCHEDULE_TYPES
from core.typed import separated

# A sheet has one picture a cell, so there is no count.
SHARED: Final = tuple(name for name in OPTIONS if name != "count")
AXES: Final = [Choice(name=text(field_key(kind.field)), value=kind.field) for kind in KINDS]


class ExploreCog(commands.Cog):
    """Sheets."""

    def __init__(self, bot: Penultimate) -> None:
        self.jobs = bot.jobs
        self.catalogue = bot.catalogue

    @app_commands.command(name="explore", description=text("command.explore"))
    @app_commands.choices(x_axis=AXES, y_axis=AXES)
    @options.shared("prompt", "x_axis", "x_values", "y_axis", "y_values", *SHARED)
    @options.shared("preset", "style", "start_image", "denoising_strength")
    async def explore(
        self,
        interaction: Interaction,
        prompt: str,
        x_axis: str | None = None,
        x_values: str | None = None,
        y_axis: str | None = None,
        y_values: str | None = None,
        negative_prompt: options.Prompt | None = None,
        model: str | None = None,
        vae: str | None = None,
        clip_skip: options.ClipSkip | None = None,
        seed: options.Seed | None = None,
        steps: options.Steps | None = None,
        cfg_scale: options.CfgScale | None = None,
        sampler: str | None = None,
        size: str | None = None,
        start_image: discord.Attachment | None = None,
        denoising_strength: options.Strength | None = None,
        preset: str | None = None,
        style: str | None = None,
        private: bool | None = None,
    ) -> None:
        """Draw a sheet; without an axis it is the strip of every clip skip."""
        given = dict(iter(interaction.namespace))
        values = {name: value for name, value in given.items() if name in SHARED}
        axes = ((x_axis, x_values), (y_axis, y_values))
        start = Start(start_image, denoising_strength)
        await self.jobs.imagine(interaction, prompt, values, preset, style, start, axes)

    @explore.autocomplete("x_values")
    async def x_values(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        """What the x axis can take."""
        return suggestions(interaction.namespace.x_axis or "clip_skip", typed, self.catalogue)

    @explore.autocomplete("y_values")
    async def y_values(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        """What the y axis can take."""
        return suggestions(interaction.namespace.y_axis or "", typed, self.catalogue)


def suggestions(axis: str, typed: str, catalogue: Catalogue) -> list[Choice[str]]:
    """What was typed so far with its last name completed; an example where it is numbers."""
    names = {
        "model": [model.name for model in catalogue.models],
        "vae": [AUTOMATIC, NONE, *(vae.name for vae in catalogue.vaes)],
        "sampler": SAMPLER_NAMES,
        "schedule_type": SCHEDULE_TYPES,
    }.get(axis)
    if names is None:
        return options.choices([typed] if typed else filter(None, [VALUES.get(axis)]))
    before, comma, last = separated(typed).rpartition(",")
    start = f"{before}, " if comma else ""
    found = (f"{start}{name}" for name in search(names, last))
    return options.choices([typed, *found] if comma and last.strip() else found)
