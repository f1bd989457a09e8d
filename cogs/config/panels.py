"""How a server's settings look: the overview, and a panel for settings that belong together.

Pure layout: what a press does is in :mod:`cogs.config.actions`. Every panel is for its owner alone
and edited in place.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.answers import excerpt
from bot.posts.controls import (
    MAX_LABEL,
    MAX_OPTIONS,
    Standing,
    layout,
    row,
    select_options,
    standing_button,
    standing_select,
)
from bot.posts.option_text import option_list
from bot.rules import policy
from bot.rules.server import (
    DEFAULTS,
    MAX_ROLES,
    NSFW,
    SETTINGS,
    Each,
    FileKind,
    Kind,
    Nsfw,
    Server,
)
from bot.translate import catalogues, t
from cogs.config.file_actions import FILE_ACTIONS, KIND_OF_PANEL
from cogs.config.missing import forgotten, missing_text
from cogs.config.wording import LANGUAGES, NAME_LENGTH, VALUE_LENGTH, joined, lines_of

# The panels in the order of the overview, and the forms of the limits with the settings of each,
# of which a form of Discord's takes five.
PANELS: Final = tuple(
    dict.fromkeys(setting.panel for setting in SETTINGS.values() if setting.panel)
)
LIMITS: Final = {
    form: tuple(name for name, setting in SETTINGS.items() if setting.form == form)
    for form in dict.fromkeys(setting.form for setting in SETTINGS.values() if setting.form)
}
# Where what was deleted can be taken out, as numbers in a ``custom_id``: add, never reorder.
FORGETTING: Final = ("overview", "access", "quota", "general")

# The action of the select for a setting, in the order in which a panel has them. They stand in
# posts for ever: add, never rename.
SELECTS: Final = {
    "channels": "config_channels",
    "roles": "config_roles",
    "log_channel": "config_log",
    "language": "config_language",
    "nsfw": "config_nsfw_set",
}
# With the buttons: every control that sets one setting and shows its panel again.
CONTROLS: Final = SELECTS | {
    name: f"config_{name}" for name, setting in SETTINGS.items() if setting.kind == "flag"
}
OWN_LANGUAGE: Final = "own"

TEXT_CHANNELS: Final = [discord.ChannelType.text, discord.ChannelType.news]
CHANNELS: Final = [
    *TEXT_CHANNELS,
    discord.ChannelType.voice,
    discord.ChannelType.stage_voice,
    discord.ChannelType.forum,
    discord.ChannelType.category,
]


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels of one server, in one member's language.

    ``guild`` is where channels and roles are looked up, ``names`` are the files to choose from by
    kind, the allowed ones first, and ``classifier`` is whether one is installed.
    """

    server: Server
    guild: discord.Guild | None
    locale: Locale
    names: Mapping[FileKind, Sequence[str]] = field(default_factory=dict)
    classifier: bool = False

    @property
    def choices(self) -> list[Nsfw]:
        """What can be done about NSFW pictures: blocking them needs a classifier."""
        return [one for one in NSFW if self.classifier or one != "block"]

    def panel(self, name: str) -> ui.LayoutView:
        """Return the panel of this name, one of :data:`PANELS`, or ``overview``."""
        match name:
            case "overview":
                buttons = [self._button(f"config.open.{each}", f"config_{each}") for each in PANELS]
                rows = [row(*buttons[:5]), row(*buttons[5:])]
                return self._panel(name, *rows, about="config.title", names=SETTINGS)
            case "defaults":
                return self.defaults(None)
            case "models" | "loras" | "embeddings":
                kind = KIND_OF_PANEL[name]
                return self.files(kind, self.names.get(kind, ()))
            case "limits":
                forms = (
                    self._button(f"config.limits.{form}", f"config_limits_{form}", emoji="✏️")
                    for form in LIMITS
                )
                return self._panel(name, row(*forms))
            case "quota":
                everybody = self._button("config.quota_all", "config_quota_all", emoji="✏️")
                role = self._select("config.pick_role", "config_quota_role", kind=ui.RoleSelect)
                return self._panel(name, row(everybody), row(role))
            case "nsfw" if not self.classifier:
                return self._panel(name, about="config.about.nsfw_blind")
        return self._panel(name)

    def files(self, kind: FileKind, names: Sequence[str]) -> ui.LayoutView:
        """Which files of a kind, and who for each of ``names``; past 25 there is a search."""
        actions, listed = FILE_ACTIONS[kind], policy.names_of(self.server, kind)
        fitting = [name for name in names if len(name) <= MAX_LABEL]
        shown, rows = {name: name for name in fitting[:MAX_OPTIONS]}, []
        if shown:
            allowed = [name for name in shown if policy.named(name, listed)]
            options = select_options(shown, *allowed)
            look: dict[str, Any] = {"options": options, "min_values": 0, "max_values": len(shown)}
            rows.append(row(self._select(f"config.setting.{kind}s", actions.allowed, **look)))
            look = {"options": select_options(shown)}
            rows.append(row(self._select(f"config.pick.{kind}", actions.one, **look)))
        if len(self.names.get(kind, ())) > len(shown):
            rows.append(row(self._button(f"config.find.{kind}", actions.find, emoji="🔎")))
        return self._panel(f"{kind}s", *rows)

    def file(self, kind: FileKind, name: str) -> ui.LayoutView:
        """Who may use one file."""
        actions, roles = FILE_ACTIONS[kind], policy.roles_for(self.server, kind, name)
        who = joined(policy.mentions(roles), self.locale)
        who = who or t("config.value.everybody", self.locale)
        text = t("config.about.file", self.locale, name=excerpt(name, NAME_LENGTH * 2), who=who)
        look = self._look(Each("role", MAX_ROLES), roles)
        label = f"config.setting.{kind}_roles"
        select = self._select(label, actions.roles, name_key(name), **look)
        back = self._button("config.back", actions.back)
        return layout(ui.TextDisplay(text), row(select), row(back))

    def defaults(self, channel_id: int | None) -> ui.LayoutView:
        """The defaults of one channel, or of the server with selects that open a channel's; another
        select removes some."""
        values: Mapping[str, Any] = self.server.defaults
        title = t("config.about.defaults", self.locale)
        if channel_id:
            values = self.server.channel_defaults.get(channel_id, {})
            title = t("config.about.channel_defaults", self.locale, channel=f"<#{channel_id}>")
        parts, rows = [option_list(title, values, self.locale, VALUE_LENGTH)], []
        if values:
            names = {name: t(f"option.{name}", self.locale) for name in DEFAULTS if name in values}
            look = {"options": select_options(names), "max_values": len(names)}
            take = self._select("config.take_away", "config_take", channel_id or 0, **look)
            rows.append(row(take))
        else:
            parts.append(t("config.no_defaults", self.locale))
        if channel_id:
            rows.append(row(self._button("config.back", "config_defaults_back")))
        elif self.server.channel_defaults:
            parts.append(lines_of(self.server, ["channel_defaults"], self.locale))
            rows += self._channels_with_defaults()
        return layout(ui.TextDisplay("\n".join(parts)), *rows)

    def _channels_with_defaults(self) -> Iterable[ui.ActionRow[Any]]:
        """Yield as many selects as it takes for every channel that has defaults of its own."""
        ids = list(self.server.channel_defaults)
        for start in range(0, len(ids), MAX_OPTIONS):
            part = ids[start : start + MAX_OPTIONS]
            options = select_options({str(id): self._channel_name(id) for id in part})
            yield row(
                self._select("config.pick.defaults", "config_defaults_of", start, options=options)
            )

    def _channel_name(self, channel_id: int) -> str:
        """The channel's name, for a label, which shows no mention; its id where it was deleted."""
        guild = self.guild
        channel = guild.get_channel_or_thread(channel_id) if guild is not None else None
        return str(channel_id) if channel is None else f"#{channel.name}"

    def _panel(
        self, name: str, *rows: ui.ActionRow[Any], about: str = "", names: Iterable[str] = ()
    ) -> ui.LayoutView:
        """What the panel is about, its settings and which of their entries were deleted, then
        ``rows`` and a control for each setting that is set by one."""
        # In the order of the controls below.
        own = [key for key in SELECTS | SETTINGS if SETTINGS[key].panel == name]
        lines = lines_of(self.server, names or own, self.locale)
        text = f"{t(about or f'config.about.{name}', self.locale)}\n{lines}"
        flags = [self._control(key) for key in own if SETTINGS[key].kind == "flag"]
        controls = [row(self._control(key)) for key in own if key in SELECTS]
        controls += [row(*flags)] if flags else []
        if name in FORGETTING:
            text += missing_text(self.server, self.guild, self.locale)
            if forgotten(self.server, self.guild) != self.server:
                number = FORGETTING.index(name)
                controls.append(row(self._button("config.forget", "config_forget", number, "🧹")))
        return layout(ui.TextDisplay(text), *rows, *controls)

    def _button(
        self, label: str, action: str, number: int | None = None, emoji: str | None = None
    ) -> Standing:
        return standing_button(t(label, self.locale), action, number, emoji=emoji)

    def _select(self, label: str, action: str, number: int | None = None, **look: Any) -> Standing:
        return standing_select(t(label, self.locale), action, number, **look)

    def _control(self, name: str) -> Standing:
        """A button that says what pressing it will set, or a select that shows the value."""
        kind, value = SETTINGS[name].kind, getattr(self.server, name)
        if kind == "flag":
            return self._button(f"config.{name}_{'off' if value else 'on'}", CONTROLS[name])
        look = self._look(kind, value)
        return self._select(f"config.setting.{name}", CONTROLS[name], **look)

    def _look(self, kind: Kind, value: Any) -> dict[str, Any]:
        """The select for a kind of setting, showing ``value``."""
        match kind:
            case Each("channel", most):
                return self._ids(value, most, CHANNELS)
            case Each(_, most):
                return self._ids(value, most)
            case "channel":
                return self._ids(filter(None, [value]), 1, TEXT_CHANNELS)
            case "language":
                names = {OWN_LANGUAGE: t("config.value.own_language", self.locale)}
                names |= {code: LANGUAGES[code] for code in catalogues() if code in LANGUAGES}
                return {"options": select_options(names, value or OWN_LANGUAGE)}
            case _:
                names = {one: t(f"config.nsfw.{one}", self.locale) for one in self.choices}
                return {"options": select_options(names, value)}

    def _ids(
        self, ids: Iterable[int], most: int, types: list[discord.ChannelType] | None = None
    ) -> dict[str, Any]:
        """A select of roles, or of channels of these types, showing ``ids``. Those that were
        deleted are left out: Discord would refuse the select."""
        guild = self.guild
        if guild is not None:
            ids = filter(guild.get_channel_or_thread if types else guild.get_role, ids)
        picked = [discord.Object(id) for id in ids][:most]
        look = {"min_values": 0, "max_values": most, "default_values": picked}
        if types:
            return look | {"kind": ui.ChannelSelect, "channel_types": types}
        return look | {"kind": ui.RoleSelect}


def closed_view(locale: Locale) -> ui.LayoutView:
    """In place of the overview where the settings cannot be read."""
    anew = standing_button(t("config.anew", locale), "config_anew")
    return layout(ui.TextDisplay(t("config.closed", locale)), row(anew))


def name_key(name: str) -> int:
    """A file's name as a number, for a ``custom_id``, which has no room for the name."""
    return zlib.crc32(name.casefold().encode())
