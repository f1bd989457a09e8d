"""/config: what a server's owners decide. A few commands that open panels, forms and files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import discord
from discord import app_commands
from discord.ext import commands

from bot import answers
from bot.answers import Interaction
from bot.exceptions import UnreadableSettings
from bot.ordering.resolve import checked
from bot.rules import policy_json
from bot.rules.policy import DEFAULTS, MAX_ROLES, Server
from bot.rules.policy_json import Remark
from bot.settings import Limits
from bot.translate import t, text
from cogs import options
from cogs.config import actions, opening, panels
from cogs.config.missing import gone as gone_of
from cogs.config.missing import ids_text
from core.errors import PenultimateError, UnknownName
from core.models.catalogue import Catalogue

if TYPE_CHECKING:
    from bot.client import Penultimate

Place = discord.TextChannel | discord.VoiceChannel | discord.ForumChannel | discord.CategoryChannel
FILE: Final = "penultimate-settings.json"
FORMER: Final = "former-settings.json"
MAX_REMARKS: Final = 12
WITH_IDS: Final = (
    "channels",
    "roles",
    "model_roles",
    "role_quotas",
    "channel_defaults",
    "log_channel",
)
# What names models, or values that the catalogue or the bot's bounds may refuse.
SPELT: Final = {"models", "model_roles", "defaults", "channel_defaults"}


@app_commands.default_permissions(manage_guild=True)
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
class ConfigCog(
    commands.GroupCog, group_name="config", group_description=text("command.config.about")
):
    """Answers are for the one who asks; what is changed holds at once, for everybody."""

    def __init__(self, bot: Penultimate) -> None:
        self.bot = bot
        bot.actions.standing |= actions.actions()

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Discord hides the commands, but a server's admins can show them to anybody."""
        actions.check_manager(interaction)
        return True

    @app_commands.command(name="show", description=text("command.config.show"))
    async def show(self, interaction: Interaction) -> None:
        """Every setting, and buttons to change them."""
        await answers.show(interaction, opening.overview(interaction))

    @app_commands.command(name="access", description=text("command.config.access"))
    async def access(self, interaction: Interaction) -> None:
        """Channels and roles."""
        await answers.show(interaction, opening.access(interaction))

    @app_commands.command(name="models", description=text("command.config.models"))
    async def models(self, interaction: Interaction) -> None:
        """Models, and roles for each."""
        await answers.show(interaction, opening.models(interaction))

    @app_commands.command(name="limits", description=text("command.config.limits"))
    async def limits(self, interaction: Interaction) -> None:
        """Steps, size, count and the queue."""
        await answers.show(interaction, opening.limits(interaction))

    @app_commands.command(name="quota", description=text("command.config.quota"))
    async def quota(self, interaction: Interaction) -> None:
        """Pictures a day."""
        await answers.show(interaction, opening.quota(interaction))

    @app_commands.command(name="words", description=text("command.config.words"))
    async def words(self, interaction: Interaction) -> None:
        """Blocked words."""
        await interaction.response.send_modal(opening.words_form(interaction))

    @app_commands.command(name="nsfw", description=text("command.config.nsfw"))
    async def nsfw(self, interaction: Interaction) -> None:
        """NSFW and spoilers."""
        await answers.show(interaction, opening.nsfw(interaction))

    @app_commands.command(name="general", description=text("command.config.general"))
    async def general(self, interaction: Interaction) -> None:
        """Log channel, language, reactions."""
        await answers.show(interaction, opening.general(interaction))

    @app_commands.command(name="defaults", description=text("command.config.defaults"))
    @options.shared("channel", *DEFAULTS)
    async def defaults(
        self,
        interaction: Interaction,
        channel: Place | None = None,
        negative_prompt: options.Prompt | None = None,
        model: str | None = None,
        vae: str | None = None,
        clip_skip: options.ClipSkip | None = None,
        steps: options.Steps | None = None,
        cfg_scale: options.CfgScale | None = None,
        sampler: str | None = None,
        size: str | None = None,
        count: options.Count | None = None,
    ) -> None:
        """Set what is given, for the server or a channel, and show what is set."""
        namespace = dict(iter(interaction.namespace))
        given = {name: value for name, value in namespace.items() if name != "channel"}
        place = channel.id if channel else None
        server = opening.server_of(interaction)
        if given:
            server = await self._set_defaults(interaction, place, given)
        values = server.channel_defaults.get(place, {}) if place else server.defaults
        await answers.show(interaction, panels.defaults_view(values, place, interaction.locale))

    @app_commands.command(name="ban", description=text("command.config.ban"))
    @options.shared("member")
    async def ban(self, interaction: Interaction, member: discord.User) -> None:
        """No more pictures for this member here."""

        await self._change(
            interaction,
            lambda server: replace(
                server, banned=tuple(dict.fromkeys((*server.banned, member.id)))
            ),
        )
        said = t("config.member_banned", interaction.locale, member=member.mention)
        await answers.say(interaction, said)

    @app_commands.command(name="unban", description=text("command.config.unban"))
    @options.shared("member")
    async def unban(self, interaction: Interaction, member: discord.User) -> None:
        """Pictures again for this member."""
        was = member.id in opening.server_of(interaction).banned
        await self._change(
            interaction,
            lambda server: replace(
                server, banned=tuple(id for id in server.banned if id != member.id)
            ),
        )
        key = "config.unbanned" if was else "config.not_banned"
        await answers.say(interaction, t(key, interaction.locale, member=member.mention))

    @app_commands.command(name="export", description=text("command.config.export"))
    async def export(self, interaction: Interaction) -> None:
        """Every setting as a file."""
        await interaction.response.send_message(
            t("config.export", interaction.locale),
            file=self._file(interaction, FILE),
            ephemeral=True,
        )

    @app_commands.command(name="import", description=text("command.config.import"))
    @app_commands.describe(file=text("describe.settings_file"))
    async def import_(self, interaction: Interaction, file: discord.Attachment) -> None:
        """Take the settings of a file; what cannot be used is said and stays as it was."""
        if file.size > policy_json.MAX_BYTES:
            raise UnreadableSettings("too_large")
        await interaction.response.defer(thinking=True, ephemeral=True)
        try:
            changes, remarks = policy_json.read((await file.read()).decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise UnreadableSettings("not_json") from None
        remarks += self._usable(interaction, changes)
        former = self._file(interaction, FORMER)
        await self._change(interaction, lambda server: replace(server, **changes), anew=True)
        locale = interaction.locale
        lines = [t("config.import.done", locale, count=len(changes))]
        lines += [_said(remark, locale) for remark in remarks[:MAX_REMARKS]]
        if len(remarks) > MAX_REMARKS:
            lines.append(t("config.import.more", locale, count=len(remarks) - MAX_REMARKS))
        await interaction.edit_original_response(
            content="\n".join(lines)[: answers.MAX_CONTENT], attachments=[former]
        )

    async def _set_defaults(
        self, interaction: Interaction, place: int | None, given: dict[str, Any]
    ) -> Server:
        """Raises what :func:`~bot.ordering.resolve.checked` raises for unusable values."""
        limits = self.bot.gate.limits(interaction.guild_id)

        def change(server: Server) -> Server:
            channels = dict(server.channel_defaults)
            before = channels.get(place, {}) if place else server.defaults
            values = checked({**before, **given}, self.bot.catalogue, limits)
            if place is None:
                return replace(server, defaults=values)
            return replace(server, channel_defaults=channels | {place: values})

        return await self._change(interaction, change)

    def _usable(self, interaction: Interaction, changes: dict[str, Any]) -> list[Remark]:
        """Take out of ``changes`` what is not on this server or not in this bot."""
        remarks = []
        guild = interaction.guild
        if guild is not None:
            remarks += _without_gone(changes, guild, interaction.locale)
        if changes.get("nsfw") == "block" and not self.bot.gate.classifier.available:
            del changes["nsfw"]
            remarks.append(("no_classifier", {"name": "nsfw"}))
        for name in SPELT & set(changes):
            try:
                changes[name] = _spelt(
                    name, changes[name], self.bot.catalogue, self.bot.settings.limits
                )
            except PenultimateError:
                del changes[name]
                remarks.append(("unusable", {"name": name}))
        return remarks

    async def _change(
        self, interaction: Interaction, change: Callable[[Server], Server], *, anew: bool = False
    ) -> Server:
        assert interaction.guild_id is not None
        return await self.bot.store.servers.update(interaction.guild_id, change, anew=anew)

    def _file(self, interaction: Interaction, name: str) -> discord.File:
        assert interaction.guild_id is not None
        text = self.bot.store.servers.text(interaction.guild_id)
        return discord.File(io.BytesIO(text.encode()), name)


def _spelt(name: str, value: Any, catalogue: Catalogue, limits: Limits) -> Any:
    """A setting with its names as the catalogue spells them; models that are not here stay.

    Raises what :func:`~bot.ordering.resolve.checked` raises.
    """

    def model(name: str) -> str:
        try:
            return catalogue.model(name).name
        except UnknownName:
            return name

    if name == "defaults":
        return checked(value, catalogue, limits)
    if name == "channel_defaults":
        return {id: checked(values, catalogue, limits) for id, values in value.items()}
    if name == "models":
        return tuple(dict.fromkeys(map(model, value)))
    roles: dict[str, tuple[int, ...]] = {}
    for each, ids in value.items():
        roles[model(each)] = tuple(dict.fromkeys((*roles.get(model(each), ()), *ids)))[:MAX_ROLES]
    return roles


def _without_gone(
    changes: dict[str, Any], guild: discord.Guild, locale: discord.Locale
) -> list[Remark]:
    """Take out channels and roles that this server does not have.

    A list that would become empty, and so allow everybody, stays as it was on this server.
    """
    channels, roles = gone_of(replace(Server(), **changes), guild)
    gone = {*channels, *roles}
    remarks: list[Remark] = []
    for name in WITH_IDS:
        value = changes.get(name)
        named = sorted(gone & _ids_in(value))
        if not named:
            continue
        changes[name] = _left(value, gone)
        if _opened(changes[name]):
            del changes[name]
            remarks.append(("all_gone", {"name": name}))
        else:
            ids = ids_text(named, locale)
            remarks.append(("gone", {"name": name, "ids": ids}))
    return remarks


def _ids_in(value: Any) -> set[Any]:
    if isinstance(value, dict):
        return {*value, *(id for item in value.values() for id in _ids_in(item))}
    return set(value) if isinstance(value, tuple) else {value}


def _left(value: Any, gone: set[int]) -> Any:
    if isinstance(value, dict):
        return {key: _left(item, gone) for key, item in value.items() if key not in gone}
    if isinstance(value, tuple):
        return tuple(item for item in value if item not in gone)
    return None if value in gone else value


def _opened(value: Any) -> bool:
    """Whether nothing is left of it, or of the roles for one model."""
    return value in (None, (), {}) or (isinstance(value, dict) and () in value.values())


def _said(remark: Remark, locale: discord.Locale) -> str:
    key, values = remark
    if key != "unknown":
        values = values | {"name": t(f"config.setting.{values['name']}", locale)}
    else:
        values = {"name": " ".join(values["name"].replace("`", "'").split())}
    return t(f"config.import.{key}", locale, **values)


async def setup(bot: Penultimate) -> None:
    """Called by discord.py when the bot loads this file."""
    await bot.add_cog(ConfigCog(bot))
