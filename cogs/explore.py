"""/explore: a prompt over one or two axes, as a sheet with legends."""

from __future__ import annotations

from typing import Any, Final

from discord import app_commands
from discord.app_commands import Choice
from discord.ext import commands

from bot.answers import Interaction
from bot.client import Penultimate
from bot.ordering.axes import KINDS
from bot.ordering.choices import SAMPLER_NAMES
from bot.ordering.orders import Start
from bot.posts.result import field_key
from bot.translate import text
from cogs import options
from core.models.catalogue import Catalogue
from core.models.names import search
from core.options import OPTIONS, Place, names
from core.typed import separated

GIVEN: Final = ("x_axis", "x_values", "y_axis", "y_values")
AXES: Final = [Choice(name=text(field_key(kind.field)), value=kind.field) for kind in KINDS]


class ExploreCog(commands.Cog):
    """The command for sheets, and the autocomplete of its values."""

    def __init__(self, bot: Penultimate) -> None:
        self.jobs = bot.jobs
        self.catalogue = bot.catalogue

    @app_commands.command(name="explore", description=text("command.explore"))
    @app_commands.choices(x_axis=AXES, y_axis=AXES)
    @options.takes("prompt", *GIVEN, *names(Place.EXPLORE), *options.AROUND)
    async def explore(self, interaction: Interaction, /, **given: Any) -> None:
        """Draw a sheet; without an axis it is that of every clip skip."""
        prompt, preset, style = given["prompt"], given["preset"], given["style"]
        axes = [(given[f"{each}_axis"], given[f"{each}_values"]) for each in "xy"]
        start = Start(given["start_image"], given["denoising_strength"])
        values = options.given_options(given)
        await self.jobs.imagine(interaction, prompt, values, preset, style, start, axes)

    @explore.autocomplete("x_values")
    async def x_values(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        """Suggest values of the x axis."""
        return suggestions(interaction.namespace.x_axis or "clip_skip", typed, self.catalogue)

    @explore.autocomplete("y_values")
    async def y_values(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        """Suggest values of the y axis."""
        return suggestions(interaction.namespace.y_axis or "", typed, self.catalogue)


def suggestions(axis: str, typed: str, catalogue: Catalogue) -> list[Choice[str]]:
    """Complete the last name typed; for an axis of numbers, give an example."""
    offered = {
        "model": [model.name for model in catalogue.models],
        "vae": catalogue.vae_names,
        "sampler": SAMPLER_NAMES,
    }.get(axis) or (OPTIONS[axis].choices if axis in OPTIONS else ())
    if not offered:
        example = next((kind.example for kind in KINDS if kind.field == axis), "")
        return options.choices(filter(None, [typed or example]))
    before, comma, last = separated(typed).rpartition(",")
    start = f"{before}, " if comma else ""
    found = (f"{start}{name}" for name in search(offered, last))
    return options.choices([typed, *found] if comma and last.strip() else found)
