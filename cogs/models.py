"""/models: what there is to draw with — models, VAEs and samplers — a page at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import discord
from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.answers import Interaction, excerpt
from bot.exceptions import Gone
from bot.ordering.resolve import model_values
from bot.posts.controls import layout
from bot.translate import listed, t, text
from core.models.catalogue import Catalogue, Model, Vae
from core.request import SAMPLERS, SCHEDULE_TYPES

if TYPE_CHECKING:
    from bot.client import Penultimate

SECTIONS: Final = ("models", "vaes", "samplers")
# An entry is at most 350 characters, so that a page fits into a post's 4,000.
PAGE: Final = 10
NAME_LENGTH: Final = 120
DESCRIPTION_LENGTH: Final = 150


class ModelsCog(commands.Cog):
    """One command and the buttons under its answer."""

    def __init__(self, bot: Penultimate) -> None:
        self.bot = bot
        bot.add_dynamic_items(PageButton)

    @app_commands.command(name="models", description=text("command.models"))
    async def models(self, interaction: Interaction) -> None:
        """The first page of models, for the member alone."""
        view = panel(self.bot.catalogue, "models", 0, interaction.locale)
        await answers.show(interaction, view)


class PageButton(
    ui.DynamicItem[ui.Button[Any]], template=r"models:(?P<section>[a-z]+):(?P<page>\d{1,6})"
):
    """Turns the panel to a page; the id says which, so it works after a restart."""

    def __init__(self, button: ui.Button[Any], section: str, page: int) -> None:
        super().__init__(button)
        self.section = section
        self.page = page

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Made new by discord.py for each press."""
        assert isinstance(item, ui.Button)
        return cls(item, match["section"], int(match["page"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Show the page in place of the one before."""
        interaction.client.address(interaction)
        catalogue, locale = interaction.client.catalogue, interaction.locale
        try:
            if self.section not in SECTIONS:
                raise Gone("control")
            view = panel(catalogue, self.section, self.page, locale)
            await interaction.response.edit_message(view=view)
        except Exception as error:
            # discord.py would only log what a DynamicItem raises.
            await answers.refuse(interaction, error)


def panel(catalogue: Catalogue, section: str, page: int, locale: Locale) -> ui.LayoutView:
    """One page of a section; a page past the end is the last one."""
    entries = _entries(catalogue, section, locale)
    pages = max(1, -(-len(entries) // PAGE))
    page = min(page, pages - 1)
    title = t(f"models.{section}", locale, count=len(entries))
    if pages > 1:
        title += " " + t("models.page", locale, page=page + 1, pages=pages)
    lines = [title, *entries[page * PAGE : (page + 1) * PAGE], t(f"models.about_{section}", locale)]
    turns = [
        _button(t(f"models.show_{name}", locale), name, 0, disabled=name == section)
        for name in SECTIONS
    ]
    if pages > 1:
        turns.append(_button("◀", section, max(page - 1, 0), disabled=page == 0))
        turns.append(_button("▶", section, page + 1, disabled=page == pages - 1))
    return layout(ui.TextDisplay("\n".join(lines)), ui.ActionRow(*turns))


def _button(label: str, section: str, page: int, *, disabled: bool) -> PageButton:
    # The step back and the section's own button may lead to the same page; ids must differ, and
    # a leading zero makes them.
    digits = f"0{page}" if label == "◀" else f"{page}"
    custom_id = f"models:{section}:{digits}"
    return PageButton(ui.Button(label=label, custom_id=custom_id, disabled=disabled), section, page)


def _entries(catalogue: Catalogue, section: str, locale: Locale) -> Sequence[str]:
    if section == "models":
        return [_model(model, locale) for model in catalogue.models]
    if section == "vaes":
        return [_vae(vae, catalogue, locale) for vae in catalogue.vaes]
    kinds = listed(SCHEDULE_TYPES[1:], locale)
    return [f"- **{name}**" for name in SAMPLERS] + [t("models.kinds", locale, kinds=kinds)]


def _model(model: Model, locale: Locale) -> str:
    """``**name** · SD 1.x · 512x512 · clip skip 2``, then what its card says of it."""
    values = model_values(model)
    facts = [f"**{excerpt(model.name, NAME_LENGTH)}**", t(f"family.{model.family}", locale)]
    facts.append(str(values["size"]))
    if values["clip_skip"] is not None:
        facts.append(f"{t('option.clip_skip', locale)} {values['clip_skip']}")
    return _entry(facts, model.card.description)


def _vae(vae: Vae, catalogue: Catalogue, locale: Locale) -> str:
    """``**name** · fits 3 of 4 models``, then what its card says of it."""
    fitting = sum(vae.fits(model) for model in catalogue.models)
    fits = t("models.fits", locale, count=fitting, total=len(catalogue.models))
    return _entry([f"**{excerpt(vae.name, NAME_LENGTH)}**", fits], vae.card.description)


def _entry(facts: list[str], description: str) -> str:
    line = "- " + " · ".join(facts)
    return line + (f"\n  {excerpt(description, DESCRIPTION_LENGTH)}" if description else "")


async def setup(bot: Penultimate) -> None:
    """Called by discord.py when the bot loads this file."""
    await bot.add_cog(ModelsCog(bot))
