"""What /config opens: each panel for the server that an interaction is in, as that stands now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import discord
from discord.ui import LayoutView

from bot.answers import Interaction
from bot.exceptions import UnreadableSettings
from bot.rules.policy import CLOSED, Server
from bot.translate import t
from cogs.config import forms, panels


def server_of(interaction: Interaction) -> Server:
    """The settings of the server the interaction is in.

    Raises :class:`~bot.exceptions.UnreadableSettings` where they cannot be read.
    """
    server: Server = interaction.client.store.servers.get(interaction.guild_id)
    if server is CLOSED:
        raise UnreadableSettings("closed")
    return server


def overview(interaction: Interaction) -> LayoutView:
    """Every setting, or that they cannot be read."""
    if interaction.client.store.servers.get(interaction.guild_id) is CLOSED:
        return panels.closed_view(interaction.locale)
    return panels.overview(server_of(interaction), interaction.guild, interaction.locale)


def access(interaction: Interaction) -> LayoutView:
    """Channels and roles."""
    return panels.access_view(server_of(interaction), interaction.guild, interaction.locale)


def models(interaction: Interaction, names: Sequence[str] | None = None) -> LayoutView:
    """Models, the allowed ones first; or only those of ``names``."""
    every = model_names(interaction)
    return panels.models_view(
        server_of(interaction), every if names is None else names, len(every), interaction.locale
    )


def model_names(interaction: Interaction) -> list[str]:
    """Those in the settings, here or not, then those that are here."""
    server, catalogue = server_of(interaction), interaction.client.catalogue
    here = [model.name for model in catalogue.models]
    # The catalogue's spelling, in the place of the settings' own.
    every = (*server.models, *server.model_roles, *here)
    return list({name.casefold(): name for name in every}.values())


def model(interaction: Interaction, name: str) -> LayoutView:
    """The roles for one model."""
    return panels.model_view(server_of(interaction), name, interaction.guild, interaction.locale)


def limits(interaction: Interaction) -> LayoutView:
    """The bounds."""
    return panels.limits_view(server_of(interaction), interaction.locale)


def quota(interaction: Interaction) -> LayoutView:
    """Pictures a day."""
    return panels.quota_view(server_of(interaction), interaction.guild, interaction.locale)


def quota_form(interaction: Interaction, role: int) -> discord.ui.Modal:
    """The number of a role, or with 0 everybody's."""
    server = server_of(interaction)
    number = server.role_quotas.get(role) if role else server.quota
    label = t("config.setting.role_quotas" if role else "config.setting.quota", interaction.locale)
    return forms.quota_form(number, role, label, interaction.locale)


def words_form(interaction: Interaction) -> discord.ui.Modal:
    """The blocked words."""
    return forms.words_form(server_of(interaction), interaction.locale)


def nsfw(interaction: Interaction) -> LayoutView:
    """NSFW and spoilers."""
    classifier = interaction.client.gate.classifier.available
    return panels.nsfw_view(server_of(interaction), interaction.locale, classifier=classifier)


def general(interaction: Interaction) -> LayoutView:
    """Log channel, language, reactions."""
    return panels.general_view(server_of(interaction), interaction.guild, interaction.locale)


# The subcommands that open a panel, by their names.
PANELS: Final[dict[str, Callable[[Interaction], LayoutView]]] = {
    "access": access,
    "models": models,
    "limits": limits,
    "quota": quota,
    "nsfw": nsfw,
    "general": general,
}
