"""/models: the files that are here, and the samplers, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction, excerpt
from bot.client import Penultimate
from bot.ordering.layers import model_values
from bot.posts.controls import Standing, layout, row, standing_button, standing_id
from bot.posts.forms import MAX_SEARCH, build_form, fields, text_field
from bot.translate import listed, t, text
from core.models.addons import EmbeddingFile, NetworkFile, UpscalerFile
from core.models.catalogue import Catalogue, Model, Vae
from core.options import SAMPLERS, SCHEDULE_TYPES

SECTIONS: Final = ("models", "vaes", "loras", "embeddings", "upscalers", "samplers")
# Discord's limit for a row of buttons.
IN_A_ROW: Final = 5
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

    @standing("models_search")
    async def _search(self, interaction: Interaction, number: int | None) -> None:
        """Ask for a part of a name."""
        locale = interaction.locale
        field = text_field("name", t("models.search_label", locale), MAX_SEARCH)
        sent = standing_id("models_find", number)
        await interaction.response.send_modal(build_form(t("models.search", locale), sent, field))

    @standing("models_find")
    async def _found(self, interaction: Interaction, number: int | None) -> None:
        """Show the section's entries whose names have these letters, the first of many."""
        section = SECTIONS[min(number or 0, len(SECTIONS) - 1)]
        typed = fields(interaction)["name"]
        view = panel(self.catalogue, section, 0, interaction.locale, typed)
        await answers.show(interaction, view)

    @standing(**{f"models:{section}": section for section in SECTIONS})
    async def _turn(self, section: str, interaction: Interaction, page: int | None) -> None:
        """Show another page in place of this one."""
        view = panel(self.catalogue, section, page or 0, interaction.locale)
        await answers.change(interaction, view)


def panel(
    catalogue: Catalogue, section: str, page: int, locale: Locale, typed: str = ""
) -> ui.LayoutView:
    """One page of a section; a page past the end is the last one. With ``typed`` only the first
    page of what has it in its name."""
    entries, line = _entries(catalogue, section, locale)
    if wanted := typed.strip().casefold():
        entries = [each for each in entries if wanted in _searched(each)]
    pages = max(1, -(-len(entries) // PAGE))
    page = min(page, pages - 1)
    title = t(f"models.{section}", locale, count=len(entries))
    if wanted:
        title += " " + t("models.found", locale, typed=excerpt(typed, NAME_LENGTH))
    if pages > 1:
        title += " " + t("models.page", locale, page=page + 1, pages=pages)
    # Of ten thousand only those of the page are written.
    shown = [line(entry) for entry in entries[page * PAGE : (page + 1) * PAGE]]
    lines = [title, *shown, t(f"models.about_{section}", locale)]
    turns = [
        _button(t(f"models.show_{name}", locale), name, 0, disabled=name == section)
        for name in SECTIONS
    ]
    if pages > 1 and not wanted:
        turns.append(_button("◀", section, max(page - 1, 0), disabled=page == 0))
        turns.append(_button("▶", section, page + 1, disabled=page == pages - 1))
    if len(entries) > PAGE or wanted:
        search = t("models.search", locale)
        turns.append(standing_button(search, "models_search", SECTIONS.index(section), emoji="🔎"))
    rows = (row(*turns[at : at + IN_A_ROW]) for at in range(0, len(turns), IN_A_ROW))
    return layout(ui.TextDisplay("\n".join(lines)), *rows)


def _searched(entry: Any) -> str:
    """What of an entry is searched: its name, and a LoRA's other name and trigger words."""
    if isinstance(entry, str):
        return entry.casefold()
    others = (entry.alias, *entry.triggers) if isinstance(entry, NetworkFile) else ()
    return "\n".join((entry.name, *others)).casefold()


def _button(label: str, section: str, page: int, *, disabled: bool) -> Standing:
    # Going back and the section's own button may lead to the same page. Ids must differ within a
    # message, so that of going back has a leading zero.
    digits = f"0{page}" if label == "◀" else f"{page}"
    custom_id = f"models:{section}:{digits}"
    return Standing(ui.Button(label=label, custom_id=custom_id, disabled=disabled))


def _entries(
    catalogue: Catalogue, section: str, locale: Locale
) -> tuple[Sequence[Any], Callable[[Any], str]]:
    """The entries of a section, and what writes one."""
    match section:
        case "models":
            return catalogue.models, lambda model: _model(model, locale)
        case "vaes":
            return catalogue.vaes, lambda vae: _vae(vae, catalogue, locale)
        case "loras":
            return catalogue.networks.entries, lambda file: _network(file, locale)
        case "embeddings":
            return catalogue.embeddings.entries, lambda file: _embedding(file, locale)
        case "upscalers":
            return catalogue.upscalers.entries, _upscaler
    kinds = listed(SCHEDULE_TYPES[1:], locale)
    return [*(f"- **{name}**" for name in SAMPLERS), t("models.kinds", locale, kinds=kinds)], str


def _network(file: NetworkFile, locale: Locale) -> str:
    """``**name** · SD 1.x · `1a2b3c4d5e6f```, then its trigger words."""
    facts = [_name(file), *_family(file, locale)]
    facts += [f"`{file.hash}`"] if file.hash else []
    words = listed(file.triggers, locale)
    return _entry(facts, t("models.triggers", locale, words=words) if words else "")


def _embedding(file: EmbeddingFile, locale: Locale) -> str:
    """``**name** · SD 1.x · 8 vectors``."""
    facts = [_name(file), *_family(file, locale)]
    facts += [t("models.vectors", locale, count=file.vectors)] if file.vectors else []
    return _entry(facts, "")


def _upscaler(file: UpscalerFile) -> str:
    """``**name** · ×4``."""
    return _entry([_name(file), *([f"×{file.scale}"] if file.scale else [])], "")


def _name(file: NetworkFile | EmbeddingFile | UpscalerFile) -> str:
    return f"**{excerpt(file.name, NAME_LENGTH)}**"


def _family(file: NetworkFile | EmbeddingFile, locale: Locale) -> list[str]:
    return [t(f"family.{file.family}", locale)] if file.family else []


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
