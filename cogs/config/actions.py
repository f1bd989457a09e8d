"""What the commands, controls and forms of /config do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

import discord
from discord import app_commands, ui

from bot import answers
from bot.actions.dispatch import standing
from bot.actions.retry import Retry
from bot.answers import Interaction, payload
from bot.exceptions import Gone, UnreadableSettings
from bot.gate.classifier import Classifier
from bot.posts.controls import chosen
from bot.posts.forms import fields
from bot.rules.policy import named, names_of, role_lists
from bot.rules.policy_json import MAX_ID
from bot.rules.server import CLOSED, FILE_KINDS, SETTINGS, Each, FileKind, Server
from bot.store.servers import Servers
from bot.translate import catalogues, t
from cogs.config import forms
from cogs.config.file_actions import by_kind
from cogs.config.missing import forgotten
from cogs.config.panels import CONTROLS, FORGETTING, LIMITS, PANELS, Panels, closed_view, name_key
from cogs.config.wording import setting_text
from core.models.catalogue import Catalogue
from core.models.names import search

ID: Final = re.compile(r"[0-9]{1,20}")

K = TypeVar("K")
V = TypeVar("V")


@dataclass(eq=False)
class Actions:
    """Shows and changes the settings of the server that an interaction is in.

    Methods that a control or a form calls take the interaction and the number in its ``custom_id``.
    """

    _servers: Servers
    _catalogue: Catalogue
    _classifier: Classifier
    _retry: Retry

    async def interaction_check(self, interaction: Interaction) -> None:
        """Raise discord.py's own errors for whoever may not manage this server."""
        if interaction.guild_id is None:
            raise app_commands.NoPrivateMessage
        if not interaction.permissions.manage_guild:
            raise app_commands.MissingPermissions(["manage_guild"])

    def server(self, interaction: Interaction) -> Server:
        """Return the settings of the server.

        Raises :class:`~bot.exceptions.UnreadableSettings` where they cannot be read.
        """
        server = self._servers.get(interaction.guild_id)
        if server is CLOSED:
            raise UnreadableSettings("closed")
        return server

    def panels(self, interaction: Interaction) -> Panels:
        """Return the panels of the server. Raises as :meth:`server`."""
        server = self.server(interaction)
        return Panels(
            server,
            interaction.guild,
            interaction.locale,
            {kind: self._names(server, kind) for kind in FILE_KINDS},
            self._classifier.available,
        )

    def _names(self, server: Server, kind: FileKind) -> list[str]:
        """List the files of a kind in the order of the settings, as the catalogue spells them."""
        here: dict[FileKind, Iterable[str]] = {
            "model": (model.name for model in self._catalogue.models),
            "lora": self._catalogue.networks.names,
            "embedding": self._catalogue.embeddings.names,
        }
        every = (*names_of(server, kind), *role_lists(server, kind), *here[kind])
        return list({name.casefold(): name for name in every}.values())

    def view(self, panel: str, interaction: Interaction) -> ui.LayoutView:
        """Return a panel; in place of an overview of unreadable settings, a way to reset them."""
        if panel == "overview" and self._servers.get(interaction.guild_id) is CLOSED:
            return closed_view(interaction.locale)
        return self.panels(interaction).panel(panel)

    async def change(
        self, interaction: Interaction, change: Callable[[Server], Server], *, anew: bool = False
    ) -> Server:
        """As :meth:`~bot.store.servers.Servers.update`."""
        assert interaction.guild_id is not None
        return await self._servers.update(interaction.guild_id, change, anew=anew)

    @standing(**{f"config_{panel}": panel for panel in PANELS})
    async def open(self, panel: str, interaction: Interaction, _: int | None) -> None:
        """Answer with a panel of its own; the blocked words are a form."""
        if panel == "words":
            await self._ask(("words",), interaction, None)
        else:
            await answers.show(interaction, self.view(panel, interaction))

    @standing(**{action: name for name, action in CONTROLS.items()})
    async def _set(self, name: str, interaction: Interaction, _: int | None) -> None:
        """Set what a button or a select of one setting says, and show its panel again."""

        # Read inside of the change: two members may press at once.
        def change(server: Server) -> Server:
            values: dict[str, Any] = {name: self._picked(name, server, interaction)}
            return replace(server, **values)

        await self.change(interaction, change)
        await _edit(interaction, self.view(SETTINGS[name].panel, interaction))

    def _picked(self, name: str, server: Server, interaction: Interaction) -> Any:
        """Return a setting's new value; a choice that is not offered leaves the old one."""
        before = getattr(server, name)
        match SETTINGS[name].kind:
            case "flag":
                return not before
            case Each():
                return tuple(_ids(interaction))
            case "channel":
                return next(iter(_ids(interaction)), None)
            case "language":
                picked = chosen(interaction)
                return picked if picked in catalogues() else None
            case _:
                picked = chosen(interaction)
                return picked if picked in self.panels(interaction).choices else before

    @standing(**by_kind("allowed"))
    async def _allow(self, kind: FileKind, interaction: Interaction, _: int | None) -> None:
        """Of the files that were shown, those picked are allowed; the others stay as they are."""
        shown = tuple(_options(interaction))
        picked = [name for name in _values(interaction) if name in shown]

        def change(server: Server) -> Server:
            kept = [name for name in names_of(server, kind) if not named(name, shown)]
            values: dict[str, Any] = {f"{kind}s": (*kept, *picked)}
            return replace(server, **values)

        await self.change(interaction, change)
        await _edit(interaction, self.panels(interaction).files(kind, shown))

    @standing(**by_kind("find"))
    async def _find(self, kind: FileKind, interaction: Interaction, _: int | None) -> None:
        await interaction.response.send_modal(forms.find_form(kind, interaction.locale))

    @standing(**by_kind("found"))
    async def _found(self, kind: FileKind, interaction: Interaction, _: int | None) -> None:
        panels = self.panels(interaction)
        names = search(panels.names[kind], fields(interaction).get("name", ""))
        await _edit(interaction, panels.files(kind, names))

    @standing(**by_kind("one"))
    async def _one(self, kind: FileKind, interaction: Interaction, _: int | None) -> None:
        await _edit(interaction, self.panels(interaction).file(kind, chosen(interaction)))

    @standing(**by_kind("roles"))
    async def _roles(self, kind: FileKind, interaction: Interaction, key: int | None) -> None:
        names = self.panels(interaction).names[kind]
        found = next((name for name in names if name_key(name) == key), None)
        if found is None:
            raise Gone(kind)
        roles = tuple(_ids(interaction)) or None

        def change(server: Server) -> Server:
            # The settings may spell the file otherwise.
            lists = role_lists(server, kind)
            others = {name: ids for name, ids in lists.items() if not named(name, (found,))}
            values: dict[str, Any] = {f"{kind}_roles": _with(others, found, roles)}
            return replace(server, **values)

        await self.change(interaction, change)
        await _edit(interaction, self.panels(interaction).file(kind, found))

    @standing(**by_kind("back"))
    async def _back(self, kind: FileKind, interaction: Interaction, _: int | None) -> None:
        await _edit(interaction, self.view(f"{kind}s", interaction))

    @standing(
        config_quota_all=("quota",),
        config_quota_role=("quota",),
        **{f"config_limits_{form}": names for form, names in LIMITS.items()},
    )
    async def _ask(self, names: tuple[str, ...], interaction: Interaction, _: int | None) -> None:
        """Open the form for these settings, or for the quota of the role that was picked."""
        role = next(iter(_ids(interaction)), 0)
        form = forms.settings_form(self.server(interaction), names, interaction.locale, role)
        await interaction.response.send_modal(form)

    @standing(**{f"config_{panel}_set": panel for panel in ("limits", "quota", "words")})
    async def _typed(self, panel: str, interaction: Interaction, role: int | None) -> None:
        """Set what was typed into a form; ``role`` is the one whose quota was asked for."""
        names = [name for name in fields(interaction) if name in SETTINGS]
        server, locale = self.server(interaction), interaction.locale
        form = partial(forms.settings_form, server, names, locale, role or 0)
        async with self._retry.typed(interaction, form) as typed:
            values = forms.read(typed)

            def change(server: Server) -> Server:
                if not role:
                    return replace(server, **values)
                quotas = _with(server.role_quotas, role, values.get("quota"))
                return replace(server, role_quotas=quotas)

            server = await self.change(interaction, change)
            if panel == "words":
                words = setting_text(server, "words", locale)
                await answers.say(interaction, t("config.words_saved", locale, words=words))
            else:
                await _edit(interaction, self.view(panel, interaction))

    @standing("config_take")
    async def _take(self, interaction: Interaction, channel: int | None) -> None:
        """Remove the defaults picked, from the server's or a channel's."""
        names = set(_values(interaction))

        def left(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in values.items() if name not in names}

        await self.change(interaction, lambda server: with_defaults(server, channel, left))
        await _edit(interaction, self.panels(interaction).defaults(channel))

    @standing("config_defaults_of", "config_defaults_back")
    async def _defaults(self, interaction: Interaction, _: int | None) -> None:
        """Show the defaults of the channel that was picked, or go back to the server's."""
        channel = next(iter(_ids(interaction)), None)
        await _edit(interaction, self.panels(interaction).defaults(channel))

    @standing("config_forget")
    async def _forget(self, interaction: Interaction, panel: int | None) -> None:
        """Take out the channels and roles that were deleted."""
        if (panel or 0) >= len(FORGETTING):
            raise Gone("control")
        await self.change(interaction, lambda server: forgotten(server, interaction.guild))
        await _edit(interaction, self.view(FORGETTING[panel or 0], interaction))

    @standing("config_anew")
    async def _reset(self, interaction: Interaction, _: int | None) -> None:
        """Replace settings that cannot be read; those that can be, by now, stay as they are."""
        await self.change(interaction, lambda server: server, anew=True)
        await _edit(interaction, self.view("overview", interaction))


def with_defaults(
    server: Server,
    channel: int | None,
    change: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Server:
    """Return the settings with ``change(defaults)`` as the server's defaults, or a channel's."""
    if not channel:
        return replace(server, defaults=change(server.defaults))
    values = change(server.channel_defaults.get(channel, {})) or None
    return replace(server, channel_defaults=_with(server.channel_defaults, channel, values))


async def _edit(interaction: Interaction, view: ui.LayoutView) -> None:
    await answers.change(interaction, view)


def _values(interaction: Interaction) -> list[str]:
    return [str(value) for value in payload(interaction).get("values") or []]


def _ids(interaction: Interaction) -> list[int]:
    """The ids of channels or roles picked. Raises :class:`~bot.exceptions.Gone` for no ids."""
    values = _values(interaction)
    if not all(map(ID.fullmatch, values)):
        raise Gone("control")
    return [int(value) for value in values if 0 < int(value) <= MAX_ID]


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
    if value is not None:
        return {**values, key: value}
    return {name: item for name, item in values.items() if name != key}
