"""/config: a server's settings, by panels, forms and files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import discord
from discord import app_commands
from discord.ext import commands

from bot import answers
from bot.answers import Interaction
from bot.client import Penultimate
from bot.exceptions import UnreadableSettings
from bot.ordering.resolve import checked
from bot.rules.policy_json import MAX_BYTES
from bot.rules.server import Server
from bot.translate import t, text
from cogs import options
from cogs.config import exchange
from cogs.config.actions import Actions, with_defaults
from core.options import Place, names

Channel = (
    discord.TextChannel | discord.VoiceChannel | discord.ForumChannel | discord.CategoryChannel
)
FILE: Final = "penultimate-settings.json"
FORMER: Final = "former-settings.json"


def _opens(name: str, panel: str) -> app_commands.Command[Any, ..., Any]:
    """Make the command that shows a panel."""

    async def callback(self: ConfigCog, interaction: Interaction) -> None:
        await self.actions.open(panel, interaction, None)

    # discord.py recognises a method by this, and that its first parameter is no option.
    callback.__qualname__ = f"ConfigCog.{name}"
    make = app_commands.command(name=name, description=text(f"command.config.{name}"))
    return make(callback)


@app_commands.default_permissions(manage_guild=True)
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
class ConfigCog(
    commands.GroupCog, group_name="config", group_description=text("command.config.about")
):
    """Commands that are answered to the member alone; a change applies at once."""

    def __init__(self, bot: Penultimate) -> None:
        self.servers = bot.store.servers
        self.catalogue = bot.catalogue
        self.gate = bot.gate
        self.max_limits = bot.settings.limits
        self.actions = Actions(bot.store.servers, bot.catalogue, bot.gate.classifier, bot.retry)
        bot.actions.add(self.actions)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Check the right itself: a server's admins can show the commands to anybody."""
        await self.actions.interaction_check(interaction)
        return True

    show = _opens("show", "overview")
    access = _opens("access", "access")
    models = _opens("models", "models")
    loras = _opens("loras", "loras")
    embeddings = _opens("embeddings", "embeddings")
    limits = _opens("limits", "limits")
    quota = _opens("quota", "quota")
    words = _opens("words", "words")
    nsfw = _opens("nsfw", "nsfw")
    general = _opens("general", "general")

    @app_commands.command(name="defaults", description=text("command.config.defaults"))
    @options.takes(*names(Place.SERVER | Place.COMMAND), channel=Channel | None)
    async def defaults(
        self, interaction: Interaction, /, channel: Channel | None, **given: Any
    ) -> None:
        """Set what is given, for the server or a channel, and show what is set."""
        given = options.given_options(given)
        place = channel.id if channel else None
        limits = self.gate.limits(interaction.guild_id)

        def change(values: Mapping[str, Any]) -> dict[str, Any]:
            return checked({**values, **given}, self.catalogue, limits)

        if given:
            await self.actions.change(
                interaction, lambda server: with_defaults(server, place, change)
            )
        await answers.show(interaction, self.actions.panels(interaction).defaults(place))

    @app_commands.command(name="ban", description=text("command.config.ban"))
    @options.shared("member")
    async def ban(self, interaction: Interaction, member: discord.User) -> None:
        """Ban this member from making pictures here."""
        await self._set_banned(interaction, member, True, "config.member_banned")

    @app_commands.command(name="unban", description=text("command.config.unban"))
    @options.shared("member")
    async def unban(self, interaction: Interaction, member: discord.User) -> None:
        """Let this member make pictures here again."""
        was = member.id in self.actions.server(interaction).banned
        key = "config.unbanned" if was else "config.not_banned"
        await self._set_banned(interaction, member, False, key)

    async def _set_banned(
        self, interaction: Interaction, member: discord.User, banned: bool, key: str
    ) -> None:
        def change(server: Server) -> Server:
            others = tuple(id for id in server.banned if id != member.id)
            return replace(server, banned=(*others, member.id) if banned else others)

        await self.actions.change(interaction, change)
        await answers.say(interaction, t(key, interaction.locale, member=member.mention))

    @app_commands.command(name="export", description=text("command.config.export"))
    async def export(self, interaction: Interaction) -> None:
        """Send every setting as a file."""
        said, file = t("config.export", interaction.locale), self._file(interaction, FILE)
        await answers.say(interaction, said, [file])

    @app_commands.command(name="import", description=text("command.config.import"))
    @app_commands.describe(file=text("describe.settings_file"))
    async def import_(self, interaction: Interaction, file: discord.Attachment) -> None:
        """Import the settings of a file; those that cannot be used are named and stay unchanged."""
        if file.size > MAX_BYTES:
            raise UnreadableSettings("too_large")
        await answers.defer(interaction, ephemeral=True)
        changes, remarks = exchange.imported(
            await file.read(),
            interaction.guild,
            interaction.locale,
            self.catalogue,
            self.max_limits,
            classifier=self.gate.classifier.available,
        )
        former = self._file(interaction, FORMER)
        await self.actions.change(interaction, lambda server: replace(server, **changes), anew=True)
        said = exchange.report(len(changes), remarks, interaction.locale)
        await interaction.edit_original_response(content=said, attachments=[former])

    def _file(self, interaction: Interaction, name: str) -> discord.File:
        assert interaction.guild_id is not None
        text = self.servers.text(interaction.guild_id)
        return discord.File(io.BytesIO(text.encode()), name)
