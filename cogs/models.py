"""/models: the installed models and VAEs, and the samplers, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction, excerpt
from bot.client import Penultimate
from bot.ordering.layers import model_values
from bot.posts.controls import Standing, layout
from bot.translate import listed, t, text
from core.models.catalogue import Catalogue, Model, Vae
from core.options import SAMPLERS, SCHEDULE_TYPES

SECTIONS: Final = ("models", "vaes", "samplers")
# An entry is at most 350 characters, so that a page fits into a post's 4,000.
PAGE: Final = 10
NAME_LENGTH: Final = 120
DESCRIPTION_LENGTH: Final = 150


class ModelsCog(commands.Cog):
    """The command, and the buttons under its answer."""

    def __init__(self, bot: Penultimate) -> None:
        self.catalogue = bot.catalogue

    @app_commands.command(name="models", description=text("command.models"))
    async def models(self, interaction: Interaction) -> None:
        """Show the first page of models, to the member alone."""
        await answers.show(interaction, panel(self.catalogue, "models", 0, interaction.locale))

    @standing(**{f"models:{section}": section for section in SECTIONS})
    async def _turn(self, section: str, interaction: Interaction, page: int | None) -> None:
        """Show another page in place of this one."""
        view = panel(self.catalogue, section, page or 0, interaction.locale)
        await interaction.response.edit_message(view=view)


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


def _button(label: str, section: str, page: int, *, disabled: bool) -> Standing:
    # Going back and the section's own button may lead to the same page. Ids must differ within a
    # message, so that of going back has a leading zero.
    digits = f"0{page}" if label == "◀" else f"{page}"
    custom_id = f"models:{section}:{digits}"
    return Standing(ui.Button(label=label, custom_id=custom_id, disabled=disabled))


def _entries(catalogue: Catalogue, section: str, locale: Locale) -> Sequence[str]:
    if section == "models":
        return [_model(model, locale) for model in catalogue.models]
    if section == "vaes":
        return [_vae(vae, catalogue, locale) for vae in catalogue.vaes]
    kinds = listed(SCHEDULE_TYPES[1:], locale)
    return [f"- **{name}**" for name in SAMPLERS] + [t("models.kinds", locale, kinds=kinds)]


def _model(model: Model, locale: Locale) -> str:
    """``**name** · SD 1.x · 512x512 · clip skip 2``, then its card's description."""
    values = model_values(model)
    facts = [f"**{excerpt(model.name, NAME_LENGTH)}**", t(f"family.{model.family}", locale)]
    facts.append(str(values["size"]))
    if "clip_skip" in values:
        facts.append(f"{t('option.clip_skip', locale)} {values['clip_skip']}")
    return _entry(facts, model.card.description)


def _vae(vae: Vae, catalogue: Catalogue, locale: Locale) -> str:
    """``**name** · fits 3 of 4 models``, then its card's description."""
    fitting = sum(vae.fits(model) for model in catalogue.models)
    fits = t("models.fits", locale, count=fitting, total=len(catalogue.models))
    return _entry([f"**{excerpt(vae.name, NAME_LENGTH)}**", fits], vae.card.description)


def _entry(facts: list[str], description: str) -> str:
    line = "- " + " · ".join(facts)
    return line + (f"\n  {excerpt(description, DESCRIPTION_LENGTH)}" if description else "")
