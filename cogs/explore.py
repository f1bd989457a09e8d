"""/explore: a prompt over one or two axes, as a sheet with legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from discord import Locale, app_commands
from discord.app_commands import Choice
from discord.ext import commands

from bot.answers import Interaction
from bot.client import Penultimate
from bot.ordering.axes import KINDS
from bot.ordering.choices import SAMPLER_NAMES, lora_names
from bot.ordering.orders import Start
from bot.posts.result import field_key
from bot.translate import t, text
from cogs import options
from core.models.catalogue import Catalogue
from core.models.names import search
from core.options import NONE, OPTIONS, Place, names
from core.typed import separated

GIVEN: Final = ("x_axis", "x_values", "y_axis", "y_values")
FLAGS: Final = ("False", "True")


class ExploreCog(commands.Cog):
    """The command for sheets, and the autocomplete of its values."""

    def __init__(self, bot: Penultimate) -> None:
        self.jobs = bot.jobs
        self.catalogue = bot.catalogue

    @app_commands.command(name="explore", description=text("command.explore"))
    @options.takes("prompt", *GIVEN, *names(Place.EXPLORE), *options.AROUND)
    async def explore(self, interaction: Interaction, /, **given: Any) -> None:
        """Draw a sheet; without an axis it is that of every clip skip."""
        prompt, preset, style = given["prompt"], given["preset"], given["style"]
        locale = interaction.locale
        axes = [(_field(given[f"{each}_axis"], locale), given[f"{each}_values"]) for each in "xy"]
        start = Start(given["start_image"], given["denoising_strength"])
        values = options.given_options(given)
        await self.jobs.imagine(interaction, prompt, values, preset, style, start, axes)

    @explore.autocomplete("x_axis")
    @explore.autocomplete("y_axis")
    async def axis(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        """Search the axes, of which there are more than Discord shows."""
        return axes_like(typed, interaction.locale)

    @explore.autocomplete("x_values")
    async def x_values(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        """Suggest values of the x axis."""
        axis = _field(interaction.namespace.x_axis, interaction.locale)
        return suggestions(axis or "clip_skip", typed, self.catalogue, interaction.namespace.model)

    @explore.autocomplete("y_values")
    async def y_values(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        """Suggest values of the y axis."""
        axis = _field(interaction.namespace.y_axis, interaction.locale)
        return suggestions(axis or "", typed, self.catalogue, interaction.namespace.model)


def axes_like(typed: str, locale: Locale) -> list[Choice[str]]:
    """Find axes by their name in the member's language or A1111's, the usual ones first."""
    labels = {kind.field: t(field_key(kind.field), locale) for kind in KINDS}
    known = {f"{labels[kind.field]} {kind.name} {kind.field}": kind.field for kind in KINDS}
    found = [known[name] for name in search(known, typed)]
    return [Choice(name=labels[field], value=field) for field in found]


def _field(named: str | None, locale: Locale) -> str | None:
    """Find the axis that is named as its choice shows it; any other text stays."""
    labels = {t(field_key(kind.field), locale).casefold(): kind.field for kind in KINDS}
    return labels.get(named.strip().casefold(), named) if named else named


def suggestions(
    axis: str, typed: str, catalogue: Catalogue, model: str | None = None
) -> list[Choice[str]]:
    """Complete the last name typed; for an axis of numbers, give an example.

    LoRAs are those that fit the ``model``, if one is given.
    """
    offered: Sequence[str] = ()
    match axis:
        case "model":
            offered = [each.name for each in catalogue.models]
        case "vae":
            offered = catalogue.vae_names
        case "sampler":
            offered = SAMPLER_NAMES
        case "hires_upscaler":
            offered = catalogue.upscaler_names
        case "lora":
            offered = [NONE, *lora_names(catalogue, catalogue.find(model) if model else None)]
    offered = offered or (OPTIONS[axis].choices if axis in OPTIONS else ())
    if axis in OPTIONS and OPTIONS[axis].type is bool:
        offered = FLAGS
    if not offered:
        example = next((kind.example for kind in KINDS if kind.field == axis), "")
        return options.choices(filter(None, [typed or example]))
    before, comma, last = separated(typed).rpartition(",")
    start = f"{before}, " if comma else ""
    found = (f"{start}{name}" for name in search(offered, last))
    return options.choices([typed, *found] if comma and last.strip() else found)
