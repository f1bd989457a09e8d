"""/privacy: a member's own data, exported or deleted."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Final

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import DISCORD_ERRORS, Interaction
from bot.client import Penultimate
from bot.exceptions import Unreachable
from bot.posts.controls import layout, row, standing_button
from bot.posts.panel import text_view
from bot.translate import t, text
from cogs.privacy.export import Export

log = logging.getLogger(__name__)

# An export reads all of a member's rows and files, and sends up to twenty files.
EXPORTS: Final = 2
SECONDS: Final = 600.0


class PrivacyCog(
    commands.GroupCog, group_name="privacy", group_description=text("command.privacy.about")
):
    """Two commands, and the task that deletes a member's posts after the data."""

    def __init__(self, bot: Penultimate) -> None:
        self.client: discord.Client = bot
        self.store = bot.store
        self.jobs = bot.jobs
        self.retry = bot.retry
        self._deleting: asyncio.Task[None] | None = None

    async def cog_load(self) -> None:
        """Go on deleting posts where the last run was stopped."""
        self._start_deleting()

    async def cog_unload(self) -> None:
        """Stop deleting posts; the next start goes on with those that are left."""
        if self._deleting is not None:
            self._deleting.cancel()

    @app_commands.command(name="export", description=text("command.privacy.export"))
    @app_commands.checks.cooldown(EXPORTS, SECONDS, key=lambda i: (i.client, i.user.id))
    async def export(self, interaction: Interaction) -> None:
        """Send zip files by direct message."""
        await interaction.response.defer(thinking=True, ephemeral=True)
        locale = interaction.locale
        export = Export(
            self.store, interaction.user.id, discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
        )
        try:
            channel = await interaction.user.create_dm()
            number = 0
            async for part in export.parts():
                number += 1
                file = discord.File(io.BytesIO(part), f"penultimate-{number}.zip")
                await channel.send(t("privacy.export_part", locale, part=number), file=file)
            if export.left_out:
                await channel.send(t("privacy.left_out", locale, count=export.left_out))
        except discord.Forbidden:
            raise Unreachable from None
        await answers.say(interaction, t("privacy.sent", locale))

    @app_commands.command(name="delete", description=text("command.privacy.delete"))
    async def delete(self, interaction: Interaction) -> None:
        """Ask for confirmation: a deletion cannot be undone."""
        locale = interaction.locale
        jobs, presets = await self.store.members.counts(interaction.user.id)
        said = t("privacy.confirm", locale, jobs=jobs, presets=presets)
        danger = discord.ButtonStyle.danger
        buttons = row(
            standing_button(t("privacy.delete", locale), "forget_me", style=danger),
            standing_button(t("privacy.keep", locale), "keep_me"),
        )
        await answers.show(interaction, layout(ui.TextDisplay(said), buttons))

    @standing("forget_me")
    async def _delete(self, interaction: Interaction, _: int | None) -> None:
        """Delete everything of whoever pressed: nobody else sees the button."""
        await interaction.response.defer()
        store, user_id = self.store, interaction.user.id
        await self.jobs.stop(await store.members.job_ids(user_id))
        job_ids = await store.members.forget(user_id)
        # A job may have been accepted meanwhile. Files go last, once nothing can write them.
        await self.jobs.stop(job_ids)
        for job_id in job_ids:
            await store.pictures.delete_files(job_id)
        await store.servers.forget_spent()
        self.retry.forget(user_id)
        view = text_view(t("privacy.deleted", interaction.locale))
        await interaction.edit_original_response(view=view)
        self._start_deleting()

    @standing("keep_me")
    async def _keep(self, interaction: Interaction, _: int | None) -> None:
        """Say that nothing was deleted."""
        view = text_view(t("privacy.kept", interaction.locale))
        await interaction.response.edit_message(view=view)

    def _start_deleting(self) -> None:
        if self._deleting is None or self._deleting.done():
            self._deleting = asyncio.create_task(self._delete_posts(), name="posts to delete")

    async def _delete_posts(self) -> None:
        members = self.store.members
        while places := await members.posts_to_delete():
            for place in places:
                channel = self.client.get_partial_messageable(place.channel_id)
                try:
                    await channel.get_partial_message(place.message_id).delete()
                except DISCORD_ERRORS as error:
                    if not isinstance(error, discord.HTTPException) or error.status >= 500:
                        # Discord or the network fails: the next start tries again.
                        log.warning("posts of deleted jobs remain for now: %s", error)
                        return
                    log.info("a post of a deleted job is out of reach: %s", error)
                await members.gone(place)
