"""How a server's settings look: the overview, and a panel or a form for what belongs together.

Pure layout: what a press does is in :mod:`cogs.config.actions`. Every panel is for its owner alone
and edited in place.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.answers import excerpt
from bot.posts.controls import MAX_LABEL, MAX_OPTIONS, Standing, layout, standing_id
from bot.rules import policy
from bot.rules.policy import DEFAULTS, NSFW, Server
from bot.translate import catalogues, t
from cogs.config.missing import forgotten, gone_text
from cogs.config.wording import LANGUAGES, NAME_LENGTH, joined, lines_of, values_said

# The settings in the order of the overview; each is opened by one of the panels.
SETTINGS: Final = (
    "channels",
    "roles",
    "models",
    "model_roles",
    "max_steps",
    "max_size",
    "max_count",
    "max_cells",
    "queue_per_member",
    "queue_total",
    "quota",
    "role_quotas",
    "defaults",
    "channel_defaults",
    "words",
    "nsfw",
    "spoiler",
    "reactions",
    "language",
    "log_channel",
    "banned",
)
# A form of Discord's has five fields at most.
LIMITS: Final = {
    "pictures": ("max_steps", "max_size", "max_count", "max_cells"),
    "queue": ("queue_per_member", "queue_total"),
}
# Where what is gone can be forgotten, as numbers in a ``custom_id``: add, never reorder.
FORGETTING: Final = ("overview", "access", "quota", "general")
PANELS: Final = ("access", "models", "limits", "quota", "words", "nsfw", "general")

OWN_LANGUAGE: Final = "own"

CHANNELS: Final = [
    discord.ChannelType.text,
    discord.ChannelType.news,
    discord.ChannelType.voice,
    discord.ChannelType.stage_voice,
    discord.ChannelType.forum,
    discord.ChannelType.category,
]


def overview(server: Server, guild: discord.Guild | None, locale: Locale) -> ui.LayoutView:
    """Every setting with its value, what of it is gone, and buttons to the panels."""
    text = f"{t('config.title', locale)}\n{lines_of(server, SETTINGS, locale)}"
    text += gone_text(server, guild, locale) if guild else ""
    buttons = [button(t(f"config.open.{name}", locale), f"config_{name}") for name in PANELS]
    rows: list[ui.Item[Any]] = [ui.ActionRow(*buttons[:4]), ui.ActionRow(*buttons[4:])]
    return layout(ui.TextDisplay(text), *rows, *_forget(server, guild, "overview", locale))


def closed_view(locale: Locale) -> ui.LayoutView:
    """In place of the overview where the settings cannot be read."""
    anew = button(t("config.anew", locale), "config_anew")
    return layout(ui.TextDisplay(t("config.closed", locale)), ui.ActionRow(anew))


def access_view(server: Server, guild: discord.Guild | None, locale: Locale) -> ui.LayoutView:
    """In which channels, and who."""
    gone = gone_text(server, guild, locale) if guild else ""
    channels: ui.ChannelSelect[Any] = ui.ChannelSelect(
        custom_id=standing_id("config_channels"),
        channel_types=CHANNELS,
        placeholder=t("config.setting.channels", locale),
        min_values=0,
        max_values=policy.MAX_CHANNELS,
        default_values=_channels(server.channels, guild)[: policy.MAX_CHANNELS],
    )
    roles = _role_select("config_roles", server.roles, guild, t("config.setting.roles", locale))
    text = lines_of(server, ("channels", "roles"), locale) + gone
    return layout(
        ui.TextDisplay(f"{t('config.about.access', locale)}\n{text}"),
        ui.ActionRow(Standing(channels)),
        ui.ActionRow(roles),
        *_forget(server, guild, "access", locale),
    )


def models_view(server: Server, names: Sequence[str], total: int, locale: Locale) -> ui.LayoutView:
    """Which models, and who for each. ``names`` are shown; past 25 of ``total`` is a search."""
    text = lines_of(server, ("models", "model_roles"), locale)
    items: list[ui.Item[Any]] = [ui.TextDisplay(f"{t('config.about.models', locale)}\n{text}")]
    shown = [name for name in names if len(name) <= MAX_LABEL][:MAX_OPTIONS]
    if shown:
        allowed = [
            discord.SelectOption(label=name, value=name, default=policy.named(name, server.models))
            for name in shown
        ]
        everyone = t("config.setting.models", locale)
        items.append(_string_select("config_allowed", allowed, everyone, most=len(allowed)))
        one = [discord.SelectOption(label=name, value=name) for name in shown]
        items.append(_string_select("config_model", one, t("config.pick_model", locale), least=1))
    if total > len(shown):
        items.append(ui.ActionRow(button(t("config.find_model", locale), "config_find", "🔎")))
    return layout(*items)


def model_view(
    server: Server, model: str, guild: discord.Guild | None, locale: Locale
) -> ui.LayoutView:
    """Who may use one model."""
    roles = policy.roles_for(server, model)
    select = _role_select(
        "config_model_roles",
        roles,
        guild,
        t("config.setting.model_roles", locale),
        number=model_key(model),
    )
    who = joined(policy.mentions(roles), locale) or t("config.value.everybody", locale)
    text = t("config.about.model", locale, model=excerpt(model, NAME_LENGTH * 2), who=who)
    return layout(
        ui.TextDisplay(text),
        ui.ActionRow(select),
        ui.ActionRow(button(t("config.back", locale), "config_models_back")),
    )


def limits_view(server: Server, locale: Locale) -> ui.LayoutView:
    """The bounds of a picture and of the queue, and a form for each."""
    every = [name for names in LIMITS.values() for name in names]
    buttons = [
        button(t(f"config.limits.{form}", locale), f"config_limits_{form}", "✏️") for form in LIMITS
    ]
    text = f"{t('config.about.limits', locale)}\n{lines_of(server, every, locale)}"
    return layout(ui.TextDisplay(text), ui.ActionRow(*buttons))


def quota_view(server: Server, guild: discord.Guild | None, locale: Locale) -> ui.LayoutView:
    """Pictures a day, for everybody and for roles."""
    gone = gone_text(server, guild, locale) if guild else ""
    text = lines_of(server, ("quota", "role_quotas"), locale) + gone
    select = _role_select("config_quota_role", (), guild, t("config.pick_role", locale), most=1)
    return layout(
        ui.TextDisplay(f"{t('config.about.quota', locale)}\n{text}"),
        ui.ActionRow(button(t("config.quota_all", locale), "config_quota_all", "✏️")),
        ui.ActionRow(select),
        *_forget(server, guild, "quota", locale),
    )


def nsfw_view(server: Server, locale: Locale, *, classifier: bool) -> ui.LayoutView:
    """What is done about NSFW pictures; ``block`` needs a classifier to be offered."""
    text = lines_of(server, ("nsfw", "spoiler"), locale)
    key = "config.about.nsfw" if classifier else "config.about.nsfw_blind"
    options = [
        discord.SelectOption(
            label=t(f"config.nsfw.{name}", locale)[:MAX_LABEL],
            value=name,
            default=name == server.nsfw,
        )
        for name in NSFW
        if classifier or name != "block"
    ]
    label = t("config.spoiler_off" if server.spoiler else "config.spoiler_on", locale)
    return layout(
        ui.TextDisplay(f"{t(key, locale)}\n{text}"),
        _string_select("config_nsfw_set", options, t("config.setting.nsfw", locale), least=1),
        ui.ActionRow(button(label, "config_spoiler")),
    )


def general_view(server: Server, guild: discord.Guild | None, locale: Locale) -> ui.LayoutView:
    """The log channel, the language and reactions."""
    gone = gone_text(server, guild, locale) if guild else ""
    text = lines_of(server, ("log_channel", "language", "reactions"), locale) + gone
    log: ui.ChannelSelect[Any] = ui.ChannelSelect(
        custom_id=standing_id("config_log"),
        channel_types=[discord.ChannelType.text, discord.ChannelType.news],
        placeholder=t("config.setting.log_channel", locale),
        min_values=0,
        max_values=1,
        default_values=_channels([server.log_channel or 0], guild),
    )
    own = t("config.value.own_language", locale)
    languages = [discord.SelectOption(label=own, value=OWN_LANGUAGE, default=not server.language)]
    languages += [
        discord.SelectOption(label=LANGUAGES[code], value=code, default=code == server.language)
        for code in catalogues()
        if code in LANGUAGES
    ]
    label = t("config.reactions_off" if server.reactions else "config.reactions_on", locale)
    return layout(
        ui.TextDisplay(f"{t('config.about.general', locale)}\n{text}"),
        ui.ActionRow(Standing(log)),
        _string_select("config_language", languages, t("config.setting.language", locale), least=1),
        ui.ActionRow(button(label, "config_reactions")),
        *_forget(server, guild, "general", locale),
    )


def defaults_view(
    values: Mapping[str, Any], channel_id: int | None, locale: Locale
) -> ui.LayoutView:
    """The values of a server or of one channel, with a way to take each away."""
    if channel_id is None:
        title = t("config.about.defaults", locale)
    else:
        title = t("config.about.channel_defaults", locale, channel=f"<#{channel_id}>")
    lines = [title, *(f"- {line}" for line in values_said(values, locale))]
    items: list[ui.Item[Any]] = [ui.TextDisplay("\n".join(lines))]
    if values:
        options = [
            discord.SelectOption(label=t(f"option.{name}", locale), value=name)
            for name in DEFAULTS
            if name in values
        ]
        take = t("config.take_away", locale)
        number = channel_id or 0
        items.append(
            _string_select("config_take", options, take, least=1, most=len(options), number=number)
        )
    else:
        items.append(ui.TextDisplay(t("config.no_defaults", locale)))
    return layout(*items)


# Parts.


def _forget(
    server: Server, guild: discord.Guild | None, panel: str, locale: Locale
) -> list[ui.ActionRow[Any]]:
    """A button where something is gone that can be forgotten; ``panel`` is shown again then."""
    if guild is None or forgotten(server, guild) == server:
        return []
    number = FORGETTING.index(panel)
    return [ui.ActionRow(button(t("config.forget", locale), "config_forget", "🧹", number))]


def model_key(model: str) -> int:
    """A model's name as a number, for a ``custom_id``, which has no room for the name."""
    return zlib.crc32(model.casefold().encode())


def button(
    label: str, action: str, emoji: str | None = None, number: int | None = None
) -> Standing:
    """A button that asks for ``action``."""
    return Standing(ui.Button(label=label, emoji=emoji, custom_id=standing_id(action, number)))


def _string_select(
    action: str,
    options: list[discord.SelectOption],
    placeholder: str,
    *,
    least: int = 0,
    most: int = 1,
    number: int | None = None,
) -> ui.ActionRow[Any]:
    select: ui.Select[Any] = ui.Select(
        custom_id=standing_id(action, number),
        placeholder=placeholder,
        options=options,
        min_values=least,
        max_values=most,
    )
    return ui.ActionRow(Standing(select))


def _role_select(
    action: str,
    roles: Iterable[int],
    guild: discord.Guild | None,
    placeholder: str,
    *,
    most: int = policy.MAX_ROLES,
    number: int | None = None,
) -> Standing:
    there = [id for id in roles if guild is None or guild.get_role(id) is not None]
    select: ui.RoleSelect[Any] = ui.RoleSelect(
        custom_id=standing_id(action, number),
        placeholder=placeholder,
        min_values=0 if most > 1 else 1,
        max_values=most,
        default_values=[discord.Object(id) for id in there[:most]],
    )
    return Standing(select)


def _channels(ids: Iterable[int], guild: discord.Guild | None) -> list[discord.Object]:
    """Those that are still there: Discord refuses a select that names another."""
    return [discord.Object(id) for id in ids if guild is None or guild.get_channel_or_thread(id)]
