"""The log channel: a line for each picture that a server's members made, with a delete button."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import discord
from discord import ui

from bot.answers import DISCORD_ERRORS, excerpt
from bot.posts.controls import button, layout, row
from bot.store import Job, Store
from bot.translate import t

log = logging.getLogger(__name__)

PROMPT_LENGTH: Final = 300


@dataclass(eq=False)
class LogChannel:
    """Writes into the log channels of all servers that have one."""

    _client: discord.Client
    _store: Store

    async def note(self, job_id: int) -> None:
        """Tell the log channel, where its server has one, of a job that was delivered."""
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
    """Who made what, where. A private picture's prompt and place stay private; a button to
    delete it would be no use, as nobody but its author reaches it (:mod:`bot.gate.visibility`).

    One that was ``sent`` by direct message has no link: it would open for its member alone.
    """
    member = f"<@{job.user_id}>"
    if job.private:
        return layout(ui.TextDisplay(t("log.private", locale, member=member)))
    url = f"https://discord.com/channels/{job.guild_id}/{job.channel_id}/{job.message_id}"
    prompt = excerpt(job.request.prompt, PROMPT_LENGTH) or "—"
    text = t("log.sent" if sent else "log.made", locale, member=member, url=url, prompt=prompt)
    danger = discord.ButtonStyle.danger
    delete = button(t("control.delete", locale), "remove", job.id, emoji="🗑️", style=danger)
    return layout(ui.TextDisplay(text), row(delete))
