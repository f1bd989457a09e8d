"""How a server's settings look: the overview, and a panel or a form for what belongs together.

Pure layout: what a press does is in :mod:`bot.server.presses`. Every panel is for its owner alone
and edited in place.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.answers import excerpt
from bot.controls import MAX_LABEL, MAX_OPTIONS, Standing, layout, standing_id
from bot.server import rules
from bot.server.rules import DEFAULTS, NSFW, Server
from bot.translate import catalogues, t

# One post holds 4,000 characters; twenty settings, some of them lists, must fit.
LIST_LENGTH: Final = 170
NAME_LENGTH: Final = 40
VALUE_LENGTH: Final = 80
MAX_GONE: Final = 8

# The settings in the order of the overview; each is opened by one of the panels.
SETTINGS: Final = (
    "channels",
    "roles",
    "models",
    "model_roles",
    "max_steps",
    "max_size",
    "max_count",
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
LIMITS: Final = ("max_steps", "max_size", "max_count", "queue_per_member", "queue_total")
PANELS: Final = ("access", "models", "limits", "quota", "words", "nsfw", "general")

# Each language by its own name, which is the same in every language.
LANGUAGES: Final = {"en": "English", "ja": "日本語", "zh-CN": "简体中文"}
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
    text = f"{t('config.title', locale)}\n{_lines(server, SETTINGS, locale)}"
    gone = gone_text(server, guild, locale) if guild else ""
    buttons = [button(t(f"config.open.{name}", locale), f"config_{name}") for name in PANELS]
    rows: list[ui.Item[Any]] = [ui.ActionRow(*buttons[:4]), ui.ActionRow(*buttons[4:])]
    return layout(ui.TextDisplay(text + gone), *rows)


def access_view(server: Server, guild: discord.Guild | None, locale: Locale) -> ui.LayoutView:
    """In which channels, and who."""
    gone = gone_text(server, guild, locale) if guild else ""
    channels: ui.ChannelSelect[Any] = ui.ChannelSelect(
        custom_id=standing_id("config_channels"),
        channel_types=CHANNELS,
        placeholder=t("config.setting.channels", locale),
        min_values=0,
        max_values=rules.MAX_CHANNELS,
        default_values=_channels(server.channels, guild),
    )
    roles = _role_select("config_roles", server.roles, guild, t("config.setting.roles", locale))
    text = _lines(server, ("channels", "roles"), locale) + gone
    return layout(
        ui.TextDisplay(f"{t('config.about.access', locale)}\n{text}"),
        ui.ActionRow(Standing(channels)),
        ui.ActionRow(roles),
    )


def models_view(server: Server, names: Sequence[str], total: int, locale: Locale) -> ui.LayoutView:
    """Which models, and who for each. ``names`` are shown; past 25 of ``total`` is a search."""
    text = _lines(server, ("models", "model_roles"), locale)
    items: list[ui.Item[Any]] = [ui.TextDisplay(f"{t('config.about.models', locale)}\n{text}")]
    shown = [name for name in names if len(name) <= MAX_LABEL][:MAX_OPTIONS]
    if shown:
        allowed = [
            discord.SelectOption(label=name, value=name, default=name in server.models)
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
    roles = server.model_roles.get(model, ())
    select = _role_select(
        "config_model_roles",
        roles,
        guild,
        t("config.setting.model_roles", locale),
        number=model_key(model),
    )
    who = _joined(rules.mentions(roles)) or t("config.value.everybody", locale)
    text = t("config.about.model", locale, model=excerpt(model, NAME_LENGTH * 2), who=who)
    return layout(
        ui.TextDisplay(text),
        ui.ActionRow(select),
        ui.ActionRow(button(t("config.back", locale), "config_models_back")),
    )


def quota_view(server: Server, guild: discord.Guild | None, locale: Locale) -> ui.LayoutView:
    """Pictures a day, for everybody and for roles."""
    gone = gone_text(server, guild, locale) if guild else ""
    text = _lines(server, ("quota", "role_quotas"), locale) + gone
    select = _role_select("config_quota_role", (), guild, t("config.pick_role", locale), most=1)
    return layout(
        ui.TextDisplay(f"{t('config.about.quota', locale)}\n{text}"),
        ui.ActionRow(button(t("config.quota_all", locale), "config_quota_all", "✏️")),
        ui.ActionRow(select),
    )


def nsfw_view(server: Server, locale: Locale, *, classifier: bool) -> ui.LayoutView:
    """What is done about NSFW pictures; ``block`` needs a classifier to be offered."""
    text = _lines(server, ("nsfw", "spoiler"), locale)
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
    text = _lines(server, ("log_channel", "language", "reactions"), locale) + gone
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
    )


def defaults_view(
    values: Mapping[str, Any], channel_id: int | None, locale: Locale
) -> ui.LayoutView:
    """The values of a server or of one channel, with a way to take each away."""
    if channel_id is None:
        title = t("config.about.defaults", locale)
    else:
        title = t("config.about.channel_defaults", locale, channel=f"<#{channel_id}>")
    lines = [title, *(f"- {line}" for line in _said(values, locale))]
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


# What the settings say.


def value_text(server: Server, name: str, locale: Locale) -> str:
    """One setting's value in words; its default says what that means."""
    value = getattr(server, name)
    if name == "nsfw":
        return t(f"config.nsfw.{value}", locale)
    if isinstance(value, bool):
        return t("word.yes" if value else "word.no", locale)
    if value in (None, (), {}):
        return t(f"config.default.{name}", locale)
    if name == "language":
        return LANGUAGES.get(value) or str(value)
    if name in ("channels", "log_channel"):
        ids = value if isinstance(value, tuple) else (value,)
        return _joined(f"<#{id}>" for id in ids)
    if name == "roles":
        return _joined(rules.mentions(value))
    if name == "banned":
        return _joined(f"<@{id}>" for id in value)
    if isinstance(value, tuple):
        return _joined(excerpt(item, NAME_LENGTH) for item in value)
    if isinstance(value, Mapping):
        return _joined(_entries(name, value, locale), "; ")
    return f"{value:,}".replace(",", "\N{THIN SPACE}")


def _entries(name: str, value: Mapping[Any, Any], locale: Locale) -> Iterable[str]:
    if name == "defaults":
        return _said(value, locale)
    if name == "role_quotas":
        return (f"<@&{role}> {count}" for role, count in value.items())
    if name == "model_roles":
        return (
            f"{excerpt(model, NAME_LENGTH)} {_joined(rules.mentions(roles), limit=60)}"
            for model, roles in value.items()
        )
    return (
        f"<#{channel}> {_joined(_said(values, locale), limit=60)}"
        for channel, values in value.items()
    )


def _said(values: Mapping[str, Any], locale: Locale) -> list[str]:
    """``steps 30`` for each value, in the order of the options."""
    return [
        f"{t(f'option.{name}', locale)} {excerpt(_plain(values[name]), VALUE_LENGTH) or '—'}"
        for name in DEFAULTS
        if name in values
    ]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _joined(items: Iterable[str], between: str = ", ", limit: int = LIST_LENGTH) -> str:
    """As many as fit, whole; the rest is a number. The first always fits."""
    items = list(items)
    text = items[0] if items else ""
    for place, item in enumerate(items[1:], 1):
        if len(text) + len(between) + len(item) > limit:
            return f"{text} … +{len(items) - place}"
        text += between + item
    return text


def _lines(server: Server, names: Iterable[str], locale: Locale) -> str:
    return "\n".join(_line(server, name, locale) for name in names)


def _line(server: Server, name: str, locale: Locale) -> str:
    label, value = t(f"config.setting.{name}", locale), value_text(server, name, locale)
    return t("config.line", locale, name=label, value=value)


def gone(server: Server, guild: discord.Guild) -> tuple[list[int], list[int]]:
    """The channels and the roles in the settings that were deleted since."""
    places = {*server.channels, *server.channel_defaults}
    places |= {server.log_channel} if server.log_channel else set()
    named = {*server.roles, *server.role_quotas}
    named |= {role for roles in server.model_roles.values() for role in roles}
    channels = [id for id in sorted(places) if guild.get_channel_or_thread(id) is None]
    return channels, [id for id in sorted(named) if guild.get_role(id) is None]


def gone_text(server: Server, guild: discord.Guild, locale: Locale) -> str:
    """What is ignored because it is gone, and what that means; empty where nothing is."""
    channels, roles = gone(server, guild)
    lines = []
    for key, ids in (("channels", channels), ("roles", roles)):
        if ids:
            shown = ", ".join(f"`{id}`" for id in ids[:MAX_GONE])
            more = f" +{len(ids) - MAX_GONE}" if len(ids) > MAX_GONE else ""
            lines.append(t(f"config.gone.{key}", locale, ids=shown + more))
    for key, allowed, missing in (
        ("no_channels", server.channels, channels),
        ("no_roles", server.roles, roles),
    ):
        if allowed and set(allowed) <= set(missing):
            lines.append(t(f"config.gone.{key}", locale))
    return "".join(f"\n⚠️ {line}" for line in lines)


# Parts.


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
    most: int = rules.MAX_ROLES,
    number: int | None = None,
) -> Standing:
    there = [id for id in roles if guild is None or guild.get_role(id) is not None]
    select: ui.RoleSelect[Any] = ui.RoleSelect(
        custom_id=standing_id(action, number),
        placeholder=placeholder,
        min_values=0 if most > 1 else 1,
        max_values=most,
        default_values=[discord.Object(id) for id in there],
    )
    return Standing(select)


def _channels(ids: Iterable[int], guild: discord.Guild | None) -> list[discord.Object]:
    """Those that are still there: Discord refuses a select that names another."""
    return [discord.Object(id) for id in ids if guild is None or guild.get_channel_or_thread(id)]
