"""What the controls and forms of /config do. One function an action, one table that names them.

Only who may manage the server gets further than the table: asked at every press, since a panel
may stay open longer than a right lasts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import discord
from discord import app_commands

from bot import answers
from bot.answers import Interaction, payload
from bot.exceptions import Gone
from bot.posts.controls import chosen
from bot.posts.forms import fields
from bot.rules.policy import BOUNDS, MAX_WORD, MAX_WORDS, NSFW, Server, named
from bot.rules.policy_json import MAX_ID
from bot.store.servers import Servers
from bot.translate import catalogues, t
from cogs.config import forms, opening, panels
from cogs.config.missing import forgotten
from cogs.config.wording import value_text
from core.models.catalogue import search

Action = Callable[[Interaction, int | None], Awaitable[None]]

K = TypeVar("K")
V = TypeVar("V")


def actions() -> dict[str, Action]:
    """Every action by its name, each for those who may manage the server."""
    return {name: partial(_managed, action) for name, action in ACTIONS.items()}


def check_manager(interaction: Interaction) -> None:
    """Raise discord.py's own errors for whoever may not manage this server."""
    if interaction.guild_id is None:
        raise app_commands.NoPrivateMessage
    if not interaction.permissions.manage_guild:
        raise app_commands.MissingPermissions(["manage_guild"])


async def _managed(action: Action, interaction: Interaction, number: int | None) -> None:
    check_manager(interaction)
    await action(interaction, number)


async def _open(
    panel: Callable[[Interaction], discord.ui.LayoutView], interaction: Interaction, _: int | None
) -> None:
    """From the overview a panel comes as a message of its own."""
    await answers.show(interaction, panel(interaction))


async def _open_words(interaction: Interaction, _: int | None) -> None:
    await interaction.response.send_modal(opening.words_form(interaction))


# Changing. Each panel is shown again with what is now.


async def _channels(interaction: Interaction, _: int | None) -> None:
    await _update(interaction, channels=tuple(_ids(interaction)))
    await _edit(interaction, opening.access(interaction))


async def _roles(interaction: Interaction, _: int | None) -> None:
    await _update(interaction, roles=tuple(_ids(interaction)))
    await _edit(interaction, opening.access(interaction))


async def _allowed(interaction: Interaction, _: int | None) -> None:
    """Of the models that were shown, those picked are allowed; the others stay as they are."""
    shown = tuple(_options(interaction))
    picked = [name for name in _values(interaction) if name in shown]

    def change(server: Server) -> Server:
        kept = [name for name in server.models if not named(name, shown)]
        return replace(server, models=(*kept, *picked))

    await _change(interaction, change)
    await _edit(interaction, opening.models(interaction, shown))


async def _find(interaction: Interaction, _: int | None) -> None:
    await interaction.response.send_modal(forms.find_form(interaction.locale))


async def _found(interaction: Interaction, _: int | None) -> None:
    names = search(opening.model_names(interaction), fields(interaction).get("name", ""))
    await _edit(interaction, opening.models(interaction, names))


async def _model(interaction: Interaction, _: int | None) -> None:
    await _edit(interaction, opening.model(interaction, chosen(interaction)))


async def _model_roles(interaction: Interaction, key: int | None) -> None:
    names = opening.model_names(interaction)
    model = next((name for name in names if panels.model_key(name) == key), None)
    if model is None:
        raise Gone("model")
    roles = tuple(_ids(interaction)) or None

    def change(server: Server) -> Server:
        others = {
            name: ids for name, ids in server.model_roles.items() if not named(name, (model,))
        }
        return replace(server, model_roles=_with(others, model, roles))

    await _change(interaction, change)
    await _edit(interaction, opening.model(interaction, model))


async def _models_back(interaction: Interaction, _: int | None) -> None:
    await _edit(interaction, opening.models(interaction))


async def _limits_form(form: str, interaction: Interaction, _: int | None) -> None:
    server, names = opening.server_of(interaction), panels.LIMITS[form]
    await interaction.response.send_modal(forms.limits_form(server, names, interaction.locale))


async def _limits(interaction: Interaction, _: int | None) -> None:
    names, locale = [name for name in fields(interaction) if name in BOUNDS], interaction.locale
    form = partial(forms.limits_form, opening.server_of(interaction), names, locale)
    async with interaction.client.retry.typed(interaction, form) as typed:
        await _update(interaction, **forms.read_limits(typed))
        await _edit(interaction, opening.limits(interaction))


async def _quota_all(interaction: Interaction, _: int | None) -> None:
    await interaction.response.send_modal(opening.quota_form(interaction, 0))


async def _quota_role(interaction: Interaction, _: int | None) -> None:
    role = next(iter(_ids(interaction)), 0)
    await interaction.response.send_modal(opening.quota_form(interaction, role))


async def _quota_set(interaction: Interaction, role: int | None) -> None:
    async with interaction.client.retry.typed(
        interaction, partial(opening.quota_form, interaction, role or 0)
    ) as typed:
        number = forms.read_quota(typed)
        if not role:
            await _update(interaction, quota=number)
        else:
            await _change(
                interaction,
                lambda server: replace(server, role_quotas=_with(server.role_quotas, role, number)),
            )
        await _edit(interaction, opening.quota(interaction))


async def _words(interaction: Interaction, _: int | None) -> None:
    typed, locale = fields(interaction), interaction.locale
    words = forms.typed_words(typed)
    if words is None:
        said = t("config.words_many", locale, limit=MAX_WORDS, length=MAX_WORD)
        await interaction.client.retry.offer(
            interaction, said, opening.words_form(interaction), typed
        )
        return
    server = await _update(interaction, words=words)
    said = t("config.words_saved", locale, words=value_text(server, "words", locale))
    await answers.say(interaction, said)


async def _nsfw(interaction: Interaction, _: int | None) -> None:
    picked = chosen(interaction)
    offered = picked in NSFW and (picked != "block" or interaction.client.gate.classifier.available)
    if offered:
        await _update(interaction, nsfw=picked)
    await _edit(interaction, opening.nsfw(interaction))


async def _spoiler(interaction: Interaction, _: int | None) -> None:
    await _change(interaction, lambda server: replace(server, spoiler=not server.spoiler))
    await _edit(interaction, opening.nsfw(interaction))


async def _log(interaction: Interaction, _: int | None) -> None:
    await _update(interaction, log_channel=next(iter(_ids(interaction)), None))
    await _edit(interaction, opening.general(interaction))


async def _language(interaction: Interaction, _: int | None) -> None:
    picked = chosen(interaction)
    await _update(interaction, language=picked if picked in catalogues() else None)
    await _edit(interaction, opening.general(interaction))


async def _reactions(interaction: Interaction, _: int | None) -> None:
    await _change(interaction, lambda server: replace(server, reactions=not server.reactions))
    await _edit(interaction, opening.general(interaction))


async def _take(interaction: Interaction, channel: int | None) -> None:
    names = set(_values(interaction))

    def left(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name not in names}

    def change(server: Server) -> Server:
        if not channel:
            return replace(server, defaults=left(server.defaults))
        values = left(server.channel_defaults.get(channel, {})) or None
        return replace(server, channel_defaults=_with(server.channel_defaults, channel, values))

    server = await _change(interaction, change)
    values = server.channel_defaults.get(channel, {}) if channel else server.defaults
    await _edit(interaction, panels.defaults_view(values, channel or None, interaction.locale))


async def _forget(interaction: Interaction, panel: int | None) -> None:
    guild = interaction.guild
    if guild is not None:
        await _change(interaction, lambda server: forgotten(server, guild))
    shown = {"overview": opening.overview, **opening.PANELS}[panels.FORGETTING[panel or 0]]
    await _edit(interaction, shown(interaction))


async def _anew(interaction: Interaction, _: int | None) -> None:
    assert interaction.guild_id is not None
    # Whoever pressed second must not take away what was set in the meantime.
    await interaction.client.store.servers.update(
        interaction.guild_id, lambda server: server, anew=True
    )
    await _edit(interaction, opening.overview(interaction))


# A control's action stands in posts for ever: add, never rename.
ACTIONS: Final[dict[str, Action]] = {
    **{f"config_{name}": partial(_open, panel) for name, panel in opening.PANELS.items()},
    "config_words": _open_words,
    "config_channels": _channels,
    "config_roles": _roles,
    "config_allowed": _allowed,
    "config_find": _find,
    "config_found": _found,
    "config_model": _model,
    "config_model_roles": _model_roles,
    "config_models_back": _models_back,
    **{f"config_limits_{form}": partial(_limits_form, form) for form in panels.LIMITS},
    "config_limits_set": _limits,
    "config_quota_all": _quota_all,
    "config_quota_role": _quota_role,
    "config_quota_set": _quota_set,
    "config_words_set": _words,
    "config_nsfw_set": _nsfw,
    "config_spoiler": _spoiler,
    "config_log": _log,
    "config_language": _language,
    "config_reactions": _reactions,
    "config_take": _take,
    "config_forget": _forget,
    "config_anew": _anew,
}


async def _change(interaction: Interaction, change: Callable[[Server], Server]) -> Server:
    assert interaction.guild_id is not None
    servers: Servers = interaction.client.store.servers
    return await servers.update(interaction.guild_id, change)


async def _update(interaction: Interaction, **values: Any) -> Server:
    return await _change(interaction, lambda server: replace(server, **values))


async def _edit(interaction: Interaction, view: discord.ui.LayoutView) -> None:
    await interaction.response.edit_message(view=view)


def _values(interaction: Interaction) -> list[str]:
    return [str(value) for value in payload(interaction).get("values") or []]


def _ids(interaction: Interaction) -> list[int]:
    return [int(value) for value in _values(interaction) if 0 < int(value) <= MAX_ID]


def _options(interaction: Interaction) -> list[str]:
    """The values that the select offered, from the message it stands in."""
    pressed = payload(interaction).get("custom_id")
    assert interaction.message is not None
    for line in interaction.message.components:
        for item in line.children if isinstance(line, discord.ActionRow) else ():
            if isinstance(item, discord.SelectMenu) and item.custom_id == pressed:
                return [option.value for option in item.options]
    return []


def _with(values: Mapping[K, V], key: K, value: V | None) -> dict[K, V]:
    """``values`` with one entry changed, or without it where ``value`` is None."""
    left = {name: item for name, item in values.items() if name != key}
    return left if value is None else {**left, key: value}
