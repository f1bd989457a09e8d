"""/preset: a member's own named values. The one called ``default`` applies by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers, options
from bot.answers import Interaction, excerpt
from bot.controls import layout
from bot.defaults import OPTIONS, checked
from bot.store.names import MAX_NAME
from bot.store.presets import MAX_PER_USER, YOURS
from bot.translate import t, text

if TYPE_CHECKING:
    from bot.client import Penultimate

# One post holds 4,000 characters of text; a list of every preset must fit into one.
MAX_TEXT: Final = 4000
HEADER: Final = 200
# Escaping can double a name.
NAME_LENGTH: Final = 2 * MAX_NAME
VALUE_LENGTH: Final = 200


class PresetCog(
    commands.GroupCog, group_name="preset", group_description=text("command.preset.about")
):
    """Save, list, show, delete. Every answer is for the member alone."""

    def __init__(self, bot: Penultimate) -> None:
        self.bot = bot

    @app_commands.command(name="save", description=text("command.preset.save"))
    @options.shared("name", *OPTIONS)
    async def save(
        self,
        interaction: Interaction,
        name: str,
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
        private: bool | None = None,
    ) -> None:
        """Keep the values that are given, in place of a preset of the same name."""
        given = dict(iter(interaction.namespace))
        values = checked(given, self.bot.catalogue, self.bot.settings)
        if not values:
            await answers.say(interaction, t("preset.nothing_given", interaction.locale))
            return
        preset = await self.bot.store.presets.save(interaction.user.id, name, values)
        yours = preset.name.casefold() == YOURS
        key = "preset.saved_default" if yours else "preset.saved"
        said = t(key, interaction.locale, name=excerpt(preset.name, NAME_LENGTH))
        await _show(interaction, said, preset.values)

    @app_commands.command(name="list", description=text("command.preset.list"))
    async def list(self, interaction: Interaction) -> None:
        """Every preset of the member, a line each."""
        presets = await self.bot.store.presets.list(interaction.user.id)
        locale = interaction.locale
        if not presets:
            await answers.say(interaction, t("preset.none", locale))
            return
        lines = [t("preset.count", locale, count=len(presets), limit=MAX_PER_USER)]
        width = (MAX_TEXT - HEADER) // len(presets) - len("- **** — \n")
        for preset in presets:
            name = excerpt(preset.name, width * 2 // 3)
            said = "; ".join(_said(preset.values, locale))
            if len(said) > width - len(name):
                said = said[: width - len(name) - 1].rstrip("\\ ") + "…"
            lines.append(f"- **{name}** — {said}")
        await answers.show(interaction, layout(ui.TextDisplay("\n".join(lines))))

    @app_commands.command(name="show", description=text("command.preset.show"))
    @options.shared("name")
    async def show(self, interaction: Interaction, name: str) -> None:
        """Every value of one preset."""
        preset = await self.bot.store.presets.get(interaction.user.id, name)
        title = f"**{excerpt(preset.name, NAME_LENGTH)}**"
        await _show(interaction, title, preset.values)

    @app_commands.command(name="delete", description=text("command.preset.delete"))
    @options.shared("name")
    async def delete(self, interaction: Interaction, name: str) -> None:
        """Delete one preset. Pictures made with it keep their values."""
        preset = await self.bot.store.presets.get(interaction.user.id, name)
        await self.bot.store.presets.delete(interaction.user.id, preset.name)
        title = excerpt(preset.name, NAME_LENGTH)
        await answers.say(interaction, t("preset.deleted", interaction.locale, name=title))


async def _show(interaction: Interaction, title: str, values: Mapping[str, Any]) -> None:
    lines = [title, *(f"- {item}" for item in _said(values, interaction.locale))]
    await answers.show(interaction, layout(ui.TextDisplay("\n".join(lines))))


def _said(values: Mapping[str, Any], locale: Locale) -> list[str]:
    """``clip skip 2`` for each value, in the order of the options."""
    return [
        f"{t(f'option.{name}', locale)} {_value(values[name], locale)}"
        for name in OPTIONS
        if name in values
    ]


def _value(value: Any, locale: Locale) -> str:
    if isinstance(value, bool):
        return t("word.yes" if value else "word.no", locale)
    if isinstance(value, float):
        return f"{value:g}"
    return excerpt(str(value), VALUE_LENGTH) or "—"


async def setup(bot: Penultimate) -> None:
    """Called by discord.py when the bot loads this file."""
    await bot.add_cog(PresetCog(bot))
