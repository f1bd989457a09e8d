"""/settings: a panel for a member's default values.

It edits the member's preset ``default``, one value at a time; nothing of it is kept in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from discord import app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction
from bot.client import Penultimate
from bot.exceptions import NotYours
from bot.gate.origin import of_interaction
from bot.ordering.layers import LAYERED
from bot.ordering.resolve import checked, explain
from bot.posts.controls import SEARCH, chosen
from bot.posts.forms import read_all
from bot.translate import t, text
from cogs.settings.panel import (
    EVERYTHING,
    NUMBERS,
    SELECTS,
    Panel,
    numbers_form,
    offered,
    search_form,
    settings_view,
)
from core.errors import UnknownName, VaeMismatch
from core.models.names import find
from core.options import RANGES

NAME_LENGTH: Final = 50
# The options that are searched, by the kind of name that an error gives.
SEARCHED: Final = {"model": "model", "vae": "VAE", "sampler": "sampler"}


class SettingsCog(commands.Cog):
    """The command, and what the controls of its panel do."""

    def __init__(self, bot: Penultimate) -> None:
        self.presets = bot.store.presets
        self.catalogue = bot.catalogue
        self.limits = bot.settings.limits
        self.gate = bot.gate
        self.retry = bot.retry

    @app_commands.command(name="settings", description=text("command.settings"))
    async def settings(self, interaction: Interaction) -> None:
        """Show the panel to the member alone."""
        await answers.show(interaction, await self._view(interaction))

    @standing(**{f"set_{name}": name for name in SELECTS})
    async def _picked(self, name: str, interaction: Interaction, owner: int | None) -> None:
        """Set the value picked in a select, or open the form of its search."""
        _check_owner(interaction, owner)
        value = chosen(interaction)
        if value == SEARCH:
            form = search_form(name, interaction.user.id, interaction.locale)
            await interaction.response.send_modal(form)
        else:
            given = RANGES[name].read(name, value) if name in RANGES else value
            await self._set(interaction, name, given)

    @standing(find_size="size", **{f"find_{name}": name for name in SEARCHED})
    async def _searched(self, name: str, interaction: Interaction, owner: int | None) -> None:
        """Set the size typed, or the only name that has the text typed; offer several names."""
        _check_owner(interaction, owner)
        form = partial(search_form, name, interaction.user.id, interaction.locale)
        async with self.retry.typed(interaction, form) as typed:
            found = [typed.get("typed", "")]
            if name in SEARCHED:
                panel = await self._panel(interaction)
                names = offered(panel.explained, self.catalogue, self.limits)[name]
                found = find(SEARCHED[name], names, found[0])
            if len(found) == 1:
                await self._set(interaction, name, found[0])
            else:
                await self._render(interaction, found={name: found})

    @standing(set_private=True, set_public=False)
    async def _set_private(
        self, private: bool, interaction: Interaction, owner: int | None
    ) -> None:
        """Set whether only the member sees the answers."""
        _check_owner(interaction, owner)
        await self._set(interaction, "private", private)

    @standing("numbers")
    async def _numbers(self, interaction: Interaction, owner: int | None) -> None:
        """Open the form for the numbers that are typed."""
        _check_owner(interaction, owner)
        form = numbers_form(await self._panel(interaction), interaction.locale)
        await interaction.response.send_modal(form)

    @standing("numbers_typed")
    async def _numbers_typed(self, interaction: Interaction, owner: int | None) -> None:
        """Set the numbers that were typed; an empty field resets its number."""
        _check_owner(interaction, owner)
        form = partial(numbers_form, await self._panel(interaction), interaction.locale)
        async with self.retry.typed(interaction, form) as typed:
            changes: dict[str, Any] = dict.fromkeys(NUMBERS)
            given = {name: typed[name] for name in NUMBERS if typed.get(name, "").strip()}
            changes |= read_all(self._number, given)
            await self._change(interaction, changes)

    def _number(self, name: str, text: str) -> Any:
        return checked({name: RANGES[name].read(name, text)}, self.catalogue, self.limits)[name]

    @standing("reset")
    async def _reset(self, interaction: Interaction, owner: int | None) -> None:
        """Reset one value, or all of them."""
        _check_owner(interaction, owner)
        name = chosen(interaction)
        names = LAYERED if name == EVERYTHING else (name,)
        await self._change(interaction, dict.fromkeys(names))

    async def _set(self, interaction: Interaction, name: str, value: Any) -> None:
        catalogue = self.catalogue
        changes = checked({name: value}, catalogue, self.limits)
        panel = await self._panel(interaction)
        remark = None
        if name == "vae":
            catalogue.resolve_vae(changes["vae"], panel.explained.model)
        if name == "model" and "vae" in panel.yours:
            # A VAE that does not fit the new model is reset.
            try:
                vae = panel.yours["vae"]
                catalogue.resolve_vae(vae, catalogue.model(changes["model"]))
            except (UnknownName, VaeMismatch):
                changes["vae"] = None
                shown = answers.excerpt(vae, NAME_LENGTH)
                remark = t("settings.vae_let_go", interaction.locale, name=shown)
        await self._change(interaction, changes, remark)

    async def _change(
        self, interaction: Interaction, changes: Mapping[str, Any], remark: str | None = None
    ) -> None:
        await self.presets.change_yours(interaction.user.id, changes)
        await self._render(interaction, remark=remark)

    async def _render(self, interaction: Interaction, **shown: Any) -> None:
        await answers.change(interaction, await self._view(interaction, **shown))

    async def _panel(self, interaction: Interaction, **shown: Any) -> Panel:
        layers = await self.gate.layers(of_interaction(interaction), {})
        explained = explain(layers, self.catalogue, self.gate.limits(interaction.guild_id))
        return Panel(interaction.user.id, explained, layers.yours, **shown)

    async def _view(self, interaction: Interaction, **shown: Any) -> ui.LayoutView:
        panel = await self._panel(interaction, **shown)
        limits = self.gate.limits(interaction.guild_id)
        return settings_view(panel, self.catalogue, limits, interaction.locale)


def _check_owner(interaction: Interaction, owner: int | None) -> None:
    if interaction.user.id != owner:
        raise NotYours("edit")
