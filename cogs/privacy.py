"""/privacy: a member's own data, exported or deleted.

The export is zip files, each small enough to be sent: first the database's rows as JSON, then the
start images, then the pictures, newest first, until the last of :data:`MAX_PARTS` files is full.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from typing import Any, Final

import discord
from discord import app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction
from bot.client import Penultimate
from bot.exceptions import Unreachable
from bot.posts.controls import layout, row, standing_button
from bot.posts.packing import pack
from bot.posts.panel import text_view
from bot.store import Store
from bot.translate import t, text
from core.errors import UnreadablePicture

# An export reads all of a member's rows and files, and sends up to twenty files.
EXPORTS: Final = 2
SECONDS: Final = 600.0
MAX_PARTS: Final = 20
# Bytes of a part that stay free for the zip's own directory.
ROOM: Final = 64_000
# Rows in one JSON file, so that each fits into a part.
ROWS: Final = 2_000


class PrivacyCog(
    commands.GroupCog, group_name="privacy", group_description=text("command.privacy.about")
):
    """Two commands; a member's posts are deleted after the data."""

    def __init__(self, bot: Penultimate) -> None:
        self.store = bot.store
        self.jobs = bot.jobs
        self.retry = bot.retry
        self.keep_days = bot.settings.keep_days
        self.farewells = bot.farewells

    @app_commands.command(name="export", description=text("command.privacy.export"))
    @app_commands.checks.cooldown(EXPORTS, SECONDS, key=lambda i: (i.client, i.user.id))
    async def export(self, interaction: Interaction) -> None:
        """Send zip files by direct message."""
        await answers.defer(interaction, ephemeral=True)
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
        if self.keep_days:
            said += "\n" + t("privacy.kept_for", locale, days=self.keep_days)
        danger = discord.ButtonStyle.danger
        buttons = row(
            standing_button(t("privacy.delete", locale), "forget_me", style=danger),
            standing_button(t("privacy.keep", locale), "keep_me"),
        )
        await answers.show(interaction, layout(ui.TextDisplay(said), buttons))

    @standing("forget_me")
    async def _delete(self, interaction: Interaction, _: int | None) -> None:
        """Delete everything of whoever pressed: nobody else sees the button."""
        await answers.defer(interaction, thinking=False)
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
        self.farewells.wake()

    @standing("keep_me")
    async def _keep(self, interaction: Interaction, _: int | None) -> None:
        """Say that nothing was deleted."""
        view = text_view(t("privacy.kept", interaction.locale))
        await answers.change(interaction, view)


class Export:
    """One member's data; ``left_out`` counts the files for which there was no room."""

    def __init__(self, store: Store, user_id: int, limit: int) -> None:
        self._store = store
        self._user_id = user_id
        self._limit = limit - ROOM
        self.left_out = 0

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the zip files, each of at most ``limit`` bytes and made when it is asked for."""
        archive, parts = _Archive(), 1
        async for name, data in self._files():
            if archive.size and archive.size + len(data) > self._limit:
                if parts == MAX_PARTS:
                    self.left_out += 1
                    continue
                yield await asyncio.to_thread(archive.close)
                archive, parts = _Archive(), parts + 1
            await asyncio.to_thread(archive.add, name, data)
        yield await asyncio.to_thread(archive.close)

    async def _files(self) -> AsyncIterator[tuple[str, bytes]]:
        members = self._store.members
        inputs = await members.input_rows(self._user_id)
        tables = await members.rows(self._user_id) | {"job_inputs": inputs}
        for table, rows in tables.items():
            for start in range(0, len(rows), ROWS):
                number = f"-{start // ROWS + 1}" if len(rows) > ROWS else ""
                yield f"{table}{number}.json", _json(rows[start : start + ROWS])
        for sha256 in dict.fromkeys(each["sha256"] for each in inputs):
            data = await members.input(sha256)
            if data is not None and len(data) <= self._limit:
                yield f"start-images/{sha256}.png", data
        for job_id in await members.job_ids(self._user_id):
            for picture in await self._store.pictures.of_job(job_id):
                try:
                    packed = await pack([picture], self._limit)
                except (OSError, UnreadablePicture):
                    # The bot's owner may have removed the file.
                    continue
                for name, data in packed.files:
                    yield f"pictures/{name}", data


class _Archive:
    """A zip file in memory."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._zip = zipfile.ZipFile(self._file, "w")

    @property
    def size(self) -> int:
        return self._file.tell()

    def add(self, name: str, data: bytes) -> None:
        # Pictures are compressed already.
        method = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
        self._zip.writestr(name, data, method)

    def close(self) -> bytes:
        self._zip.close()
        return self._file.getvalue()


def _json(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, ensure_ascii=False, indent=1).encode()
