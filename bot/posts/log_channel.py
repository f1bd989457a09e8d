"""The log channel: a message for each job that a server's members made, with a delete button."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import discord
from discord import ui

from bot.answers import DISCORD_ERRORS, excerpt
from bot.posts.controls import button, layout, row
from bot.posts.delivery import post_url
from bot.store import Job, Store
from bot.translate import t

log = logging.getLogger(__name__)

PROMPT_LENGTH: Final = 300


@dataclass(eq=False)
class LogChannel:
    """Posts to the log channels of all servers that have one."""

    _client: discord.Client
    _store: Store

    async def note(self, job_id: int) -> None:
        """Post a delivered job to the log channel, if its server has one."""
        job = await self._store.jobs.get(job_id)
        if job is None or job.state != "delivered":
            return
        server = self._store.servers.get(job.guild_id)
        if server.log_channel is None:
            return
        channel = self._client.get_partial_messageable(server.log_channel, guild_id=job.guild_id)
        sent = isinstance(self._client.get_channel(job.channel_id or 0), discord.DMChannel)
        view = log_view(job, server.language or "en-US", sent=sent)
        try:
            await channel.send(view=view, allowed_mentions=discord.AllowedMentions.none())
        except DISCORD_ERRORS as error:
            log.info("job %d could not be noted in the log channel: %s", job.id, error)


def log_view(job: Job, locale: str, *, sent: bool = False) -> ui.LayoutView:
    """The message in the log channel: who made what, where.

    A private job's is without prompt and link, and without a delete button, which only its author
    may use (:mod:`bot.gate.visibility`). One ``sent`` by direct message is without a link, which
    only its member could open.
    """
    member = f"<@{job.user_id}>"
    if job.private:
        return layout(ui.TextDisplay(t("log.private", locale, member=member)))
    prompt = excerpt(job.request.prompt, PROMPT_LENGTH) or "—"
    text = t(
        "log.sent" if sent else "log.made",
        locale,
        member=member,
        url=post_url(job, job.guild_id),
        prompt=prompt,
    )
    danger = discord.ButtonStyle.danger
    delete = button(t("control.delete", locale), "remove", job.id, emoji="🗑️", style=danger)
    return layout(ui.TextDisplay(text), row(delete))
