"""/history and /show: a member's earlier results, and a result posted again with its controls."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import discord
from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction, cut, excerpt
from bot.client import Penultimate
from bot.exceptions import Gone
from bot.gate.origin import of_interaction
from bot.posts.controls import layout, standing_button
from bot.posts.live import ended_view
from bot.posts.result import facts, usual_values
from bot.store import Job
from bot.translate import t, text
from core.errors import UnknownName, UnreadablePicture
from core.pictures import resizing

# A row of Discord's holds five buttons.
PAGE: Final = 5
THUMBNAIL: Final = 256
PROMPT_LENGTH: Final = 200
FACTS_LENGTH: Final = 300
# Keeps OFFSET in the range of SQLite's integers, whatever a custom_id says.
MAX_PAGE: Final = 100_000

JobId = app_commands.Range[int, 1, 2**53 - 1]


class HistoryCog(commands.Cog):
    """The two commands, and the buttons under a page of the history."""

    def __init__(self, bot: Penultimate) -> None:
        self.store = bot.store
        self.catalogue = bot.catalogue
        self.gate = bot.gate
        self.visibility = bot.visibility
        self.delivery = bot.delivery

    @app_commands.command(name="show", description=text("command.show"))
    @app_commands.describe(id=text("describe.id"))
    async def show(self, interaction: Interaction, id: JobId) -> None:
        """Post a result again: one's own, or a public one of this server."""
        await self._show(interaction, id)

    @app_commands.command(name="history", description=text("command.history"))
    async def history(self, interaction: Interaction) -> None:
        """Show the newest results, to the member alone."""
        await answers.defer(interaction, ephemeral=True)
        await self._page(interaction, 0)

    @standing("history")
    async def _turn(self, interaction: Interaction, page: int | None) -> None:
        """Show another page, of the results of whoever pressed."""
        await answers.defer(interaction, thinking=False)
        await self._page(interaction, min(page or 0, MAX_PAGE))

    @standing("show")
    async def _open(self, interaction: Interaction, job_id: int | None) -> None:
        """Post one of the page's results again."""
        await self._show(interaction, job_id or 0)

    async def _show(self, interaction: Interaction, job_id: int) -> None:
        job = await self.store.jobs.get(job_id)
        if job is None or not await self.visibility.may_see(interaction, job):
            raise UnknownName("picture", str(job_id))
        if job.state in ("queued", "running"):
            await answers.say(interaction, t("history.not_yet", interaction.locale))
        elif job.state in ("failed", "cancelled"):
            await answers.show(interaction, ended_view(job, job.error, interaction.locale))
        else:
            await self._repost(interaction, job)

    async def _repost(self, interaction: Interaction, job: Job) -> None:
        requests = [job.request]
        if job.sheet is not None:
            requests = [cell.request for cell in job.sheet.cells(job.request)]
        origin = of_interaction(interaction)
        await self.gate.check(origin, requests, drawn=True)
        public = origin.who.age_restricted or not _age_restricted(interaction, job)
        await answers.defer(interaction, ephemeral=job.private or not public)

        async def send(view: ui.LayoutView, files: list[discord.File]) -> discord.Message:
            return await interaction.edit_original_response(view=view, attachments=files)

        try:
            shown = replace(job, spoiler=await self._hidden(job, origin.guild_id))
            arrived = await self.delivery.copy(shown, send, interaction.filesize_limit)
        except FileNotFoundError:
            arrived = False
        if not arrived:
            raise Gone("picture")

    async def _hidden(self, job: Job, guild_id: int | None) -> bool:
        """Whether it is hidden here: judged anew, since this server may have stricter rules."""
        if not self.gate.server(guild_id).hides:
            return job.spoiler
        images = [await each.image() for each in await self.store.pictures.of_job(job.id)]
        return await self.gate.hidden(guild_id, images) or job.spoiler

    async def _page(self, interaction: Interaction, page: int) -> None:
        count = await self.store.jobs.count_results(interaction.user.id)
        pages = max(1, math.ceil(count / PAGE))
        # Results may have been deleted since.
        page = min(page, pages - 1)
        jobs = await self.store.jobs.results_of(interaction.user.id, PAGE, page * PAGE)
        rows = [
            PageRow(job, self._line(job, interaction.locale), await self._thumbnail(job))
            for job in jobs
        ]
        files = [
            discord.File(io.BytesIO(row.thumbnail), _name(row.job)) for row in rows if row.thumbnail
        ]
        view = history_view(rows, page, pages, interaction.locale)
        await interaction.edit_original_response(view=view, attachments=files)

    def _line(self, job: Job, locale: Locale) -> str:
        """What tells a result from the others: when, and what its own post says of it."""
        shown = [f"**#{job.id}**", f"<t:{int(job.created_at)}:R>"]
        if job.private:
            shown.append(t("option.private", locale))
        usual = usual_values(self.catalogue, self.catalogue.find(job.request.model))
        told = cut(" · ".join(facts(replace(job, locale=str(locale)), usual)), FACTS_LENGTH)
        prompt = excerpt(job.request.prompt, PROMPT_LENGTH) or "—"
        return f"{' · '.join((*shown, told))}\n-# {prompt}"

    async def _thumbnail(self, job: Job) -> bytes | None:
        first = (await self.store.pictures.of_job(job.id))[0]
        try:
            return await asyncio.to_thread(resizing.thumbnail, await first.read(), THUMBNAIL)
        except (OSError, UnreadablePicture):
            # The bot's owner may have removed the file; the rest of the entry is still shown.
            return None


class PageRow(NamedTuple):
    """A result on a page, the line about it and its small picture, unless its file was lost."""

    job: Job
    line: str
    thumbnail: bytes | None


def history_view(rows: Sequence[PageRow], page: int, pages: int, locale: Locale) -> ui.LayoutView:
    """A page: each result with its small picture, buttons to post one again, and to turn."""
    title = t("history.title", locale, page=page + 1, pages=pages)
    items: list[ui.Item[Any]] = [ui.TextDisplay(title)]
    for job, line, thumbnail in rows:
        shown = ui.TextDisplay[ui.LayoutView](line)
        if thumbnail:
            picture = ui.Thumbnail[ui.LayoutView](f"attachment://{_name(job)}", spoiler=job.spoiler)
            items.append(ui.Section(shown, accessory=picture))
        else:
            items.append(shown)
    if rows:
        items.append(
            ui.ActionRow(*(standing_button(f"#{row.job.id}", "show", row.job.id) for row in rows))
        )
    else:
        items.append(ui.TextDisplay(t("history.none", locale)))
    if pages > 1:
        back = standing_button("◀", "history", max(page - 1, 0), disabled=page == 0)
        on = standing_button("▶", "history", page + 1, disabled=page + 1 == pages)
        items.append(ui.ActionRow(back, on))
    return layout(*items)


def _age_restricted(interaction: Interaction, job: Job) -> bool:
    """Whether the result is from an age-restricted channel of this server."""
    guild = interaction.guild
    before = guild.get_channel_or_thread(job.channel_id or 0) if guild else None
    return before is not None and before.is_nsfw()


def _name(job: Job) -> str:
    return f"{job.id}.webp"
