"""/preset: a member's named values. The one called ``default`` is the member's own defaults.

Presets can be shared in a post, and exported and imported as JSON.
"""

from __future__ import annotations

import io
from typing import Any, Final

import aiohttp
import discord
from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction, excerpt
from bot.client import Penultimate
from bot.errors import sentence
from bot.exceptions import BadPreset, Gone, NotYours
from bot.gate.origin import of_interaction
from bot.ordering.resolve import checked
from bot.posts.controls import layout, row, standing_button
from bot.posts.option_text import option_list, option_texts
from bot.posts.panel import text_view
from bot.rules.policy import check_member, check_words
from bot.store.names import MAX_NAME, clean_name
from bot.store.posts import MessagePlace
from bot.store.presets import MAX_PER_USER, YOURS
from bot.store.shares import Share
from bot.translate import t, text
from cogs import options
from cogs.preset.preset_json import MAX_BYTES, Imported, read, readable, to_json
from core.errors import InvalidRequest
from core.options import Place, names

# Escaping can double a name.
NAME_LENGTH: Final = 2 * MAX_NAME
# How many of the values that an import left out are named.
MAX_LEFT_OUT: Final = 5
KEY_LENGTH: Final = 40
EXPORT: Final = "preset.json"
# The name of an import without one.
UNNAMED: Final = "imported"


class PresetCog(
    commands.GroupCog, group_name="preset", group_description=text("command.preset.about")
):
    """The commands. All answers but the post that shares a preset are for the member alone."""

    def __init__(self, bot: Penultimate) -> None:
        self.store = bot.store
        self.catalogue = bot.catalogue
        self.limits = bot.settings.limits
        self.gate = bot.gate

    @app_commands.command(name="save", description=text("command.preset.save"))
    @options.takes("name", *names(Place.PRESET | Place.COMMAND))
    async def save(self, interaction: Interaction, /, name: str, **given: Any) -> None:
        """Save the values that are given, in place of a preset of the same name."""
        values = checked(given, self.catalogue, self.limits)
        if not values:
            await answers.say(interaction, t("preset.nothing_given", interaction.locale))
            return
        preset = await self.store.presets.save(interaction.user.id, name, values)
        yours = preset.name.casefold() == YOURS
        key = "preset.saved_default" if yours else "preset.saved"
        title = t(key, interaction.locale, name=excerpt(preset.name, NAME_LENGTH))
        said = option_list(title, preset.values, interaction.locale)
        await answers.show(interaction, text_view(said))

    @app_commands.command(name="list", description=text("command.preset.list"))
    async def list(self, interaction: Interaction) -> None:
        """List every preset of the member, a line each."""
        presets = await self.store.presets.list(interaction.user.id)
        locale = interaction.locale
        if not presets:
            await answers.say(interaction, t("preset.none", locale))
            return
        title = t("preset.count", locale, count=len(presets), limit=MAX_PER_USER)
        between = t("list.between_lists", locale)
        texts = ((each.name, between.join(option_texts(each.values, locale))) for each in presets)
        await answers.show(interaction, text_view(answers.named_list(title, texts)))

    @app_commands.command(name="show", description=text("command.preset.show"))
    @options.shared("name")
    async def show(self, interaction: Interaction, name: str) -> None:
        """Show every value of one preset."""
        preset = await self.store.presets.get(interaction.user.id, name)
        title = f"**{excerpt(preset.name, NAME_LENGTH)}**"
        said = option_list(title, preset.values, interaction.locale)
        await answers.show(interaction, text_view(said))

    @app_commands.command(name="delete", description=text("command.preset.delete"))
    @options.shared("name")
    async def delete(self, interaction: Interaction, name: str) -> None:
        """Delete one preset. Images made with it keep their values."""
        preset = await self.store.presets.get(interaction.user.id, name)
        await self.store.presets.delete(interaction.user.id, preset.name)
        title = excerpt(preset.name, NAME_LENGTH)
        await answers.say(interaction, t("preset.deleted", interaction.locale, name=title))

    @app_commands.command(name="share", description=text("command.preset.share"))
    @options.shared("name")
    async def share(self, interaction: Interaction, name: str) -> None:
        """Post the values as they are now, with a button that copies them."""
        # It is a post for everybody, so for members who may generate images here.
        server = self.gate.server(interaction.guild_id)
        check_member(server, of_interaction(interaction).who)
        preset = await self.store.presets.get(interaction.user.id, name)
        # Nobody else's images become private by an import.
        values = {name: value for name, value in preset.values.items() if name != "private"}
        if not values:
            raise BadPreset("empty")
        # Everybody reads the name. A negative prompt may have blocked words, to keep them out.
        check_words(server, [preset.name])
        share = await self.store.shares.create(interaction.user.id, preset.name, values)
        locale = self.gate.locale(interaction.guild_id, interaction.locale.value)
        answer = await interaction.response.send_message(view=share_view(share, locale))
        if answer.message_id is not None and interaction.channel_id is not None:
            place = MessagePlace(interaction.channel_id, answer.message_id)
            await self.store.shares.set_message(share.id, place)

    @standing("import")
    async def _import_shared(self, interaction: Interaction, share_id: int | None) -> None:
        """Save a copy of a shared preset for the member who pressed *Import*."""
        share = await self.store.shares.get(share_id or 0)
        if share is None:
            raise Gone("share")
        found = readable(share.values, self.catalogue, self.limits)
        await self._keep(interaction, Imported(share.name, *found))

    @standing("unshare")
    async def _unshare(self, interaction: Interaction, share_id: int | None) -> None:
        """Stop sharing: for its owner, and for those who may manage messages."""
        share = await self.store.shares.get(share_id or 0)
        manages = interaction.guild_id is not None and interaction.permissions.manage_messages
        if share is not None and interaction.user.id != share.user_id and not manages:
            raise NotYours("unshare")
        if share is not None:
            await self.store.shares.delete(share.id)
        view = text_view(t("preset.unshared", interaction.locale))
        await answers.change(interaction, view)

    @app_commands.command(name="export", description=text("command.preset.export"))
    @options.shared("name")
    async def export(self, interaction: Interaction, name: str) -> None:
        """Export one preset as a JSON file."""
        preset = await self.store.presets.get(interaction.user.id, name)
        file = discord.File(io.BytesIO(to_json(preset).encode()), EXPORT)
        view = file_view(preset.name, EXPORT, interaction.locale)
        await answers.show(interaction, view, [file])

    @app_commands.command(name="import", description=text("command.preset.import"))
    @app_commands.rename(pasted="text")
    @app_commands.describe(
        file=text("describe.import_file"),
        pasted=text("describe.import_text"),
        name=text("describe.import_name"),
    )
    async def import_(
        self,
        interaction: Interaction,
        file: discord.Attachment | None = None,
        pasted: str | None = None,
        name: str | None = None,
    ) -> None:
        """Import a preset from a file or a pasted text, as far as it can be used."""
        if file is None and pasted is None:
            raise BadPreset("nothing")
        data = await _read(file) if file is not None else (pasted or "").encode()
        await self._keep(interaction, read(data, self.catalogue, self.limits), name)

    async def _keep(
        self, interaction: Interaction, imported: Imported, name: str | None = None
    ) -> None:
        """Save what was imported; it replaces a preset only under a ``name`` the member gave."""
        if not imported.values:
            raise BadPreset("empty")
        presets, values = self.store.presets, imported.values
        if name is not None:
            preset = await presets.save(interaction.user.id, name, values)
        else:
            preset = await presets.add(interaction.user.id, _clean(imported.name), values)
        title = t("preset.imported", interaction.locale, name=excerpt(preset.name, NAME_LENGTH))
        await answers.show(interaction, imported_view(title, imported, interaction.locale))


async def _read(file: discord.Attachment) -> bytes:
    if file.size > MAX_BYTES:
        raise BadPreset("too_large")
    try:
        return await file.read()
    except (discord.HTTPException, aiohttp.ClientError):
        raise BadPreset("missing") from None


def _clean(name: str | None) -> str:
    """Clean the name in a file; one that cannot be used is :data:`UNNAMED`."""
    try:
        return clean_name(name or "")
    except InvalidRequest:
        return UNNAMED


def share_view(share: Share, locale: Locale | str) -> ui.LayoutView:
    """The public post: who shares what, a button to take a copy, and one to stop sharing."""
    member, name = f"<@{share.user_id}>", excerpt(share.name, NAME_LENGTH)
    title = t("preset.shared", locale, member=member, name=name)
    look = {"emoji": "📥", "style": discord.ButtonStyle.primary}
    buttons = row(
        standing_button(t("control.import_preset", locale), "import", share.id, **look),
        standing_button(t("control.unshare", locale), "unshare", share.id),
    )
    return layout(ui.TextDisplay(option_list(title, share.values, locale)), buttons)


def imported_view(title: str, imported: Imported, locale: Locale | str) -> ui.LayoutView:
    """What was imported, then what was left out and why."""
    lines = [option_list(title, imported.values, locale)]
    if imported.newer:
        lines.append(t("preset.newer", locale))
    for name, error in imported.left_out[:MAX_LEFT_OUT]:
        if error is None:
            shown = excerpt(name, KEY_LENGTH)
            lines.append(t("preset.unknown_value", locale, name=shown))
        else:
            lines.append(t("preset.left_out", locale, reason=sentence(error, locale)))
    more = len(imported.left_out) - MAX_LEFT_OUT
    if more > 0:
        lines.append(t("preset.left_out_more", locale, count=more))
    return text_view("\n".join(lines))


def file_view(name: str, file: str, locale: Locale | str) -> ui.LayoutView:
    """A preset exported as the attached ``file``."""
    title = t("preset.exported", locale, name=excerpt(name, NAME_LENGTH))
    return layout(ui.TextDisplay(title), ui.File(f"attachment://{file}"))
