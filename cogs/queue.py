"""/queue: your jobs, where they stand in the line, and a way to take one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import discord
from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.answers import Interaction, excerpt
from bot.controls import button, layout
from bot.translate import t, text
from core.queue import Place

if TYPE_CHECKING:
    from bot.client import Penultimate

# A section with its button counts three components, of the forty a post may have.
MAX_SHOWN: Final = 10
PROMPT_LENGTH: Final = 150


class QueueCog(commands.Cog):
    """Answers from memory, for the member alone."""

    def __init__(self, bot: Penultimate) -> None:
        self.bot = bot

    @app_commands.command(name="queue", description=text("command.queue"))
    async def queue(self, interaction: Interaction) -> None:
        """The line as a whole, and the member's jobs in it."""
        locale = interaction.locale
        places = self.bot.queue.snapshot()
        waiting = sum(place.position is not None for place in places)
        running = len(places) - waiting
        items: list[ui.Item[Any]] = [
            ui.TextDisplay(t("queue.line", locale, running=running, waiting=waiting))
        ]
        mine = [place for place in places if place.owner == str(interaction.user.id)]
        for place in mine[:MAX_SHOWN]:
            items.append(await self._job(place, waiting, locale))
        if not mine:
            items.append(ui.TextDisplay(t("queue.none", locale)))
        elif len(mine) > MAX_SHOWN:
            items.append(ui.TextDisplay(t("queue.more", locale, count=len(mine) - MAX_SHOWN)))
        await answers.show(interaction, layout(*items))

    async def _job(self, place: Place, waiting: int, locale: Locale) -> ui.Section[Any]:
        job = await self.bot.store.jobs.get(place.job_id)
        prompt = excerpt(job.request.prompt, PROMPT_LENGTH) if job else "—"
        if place.position is None:
            state = t("queue.running", locale)
        else:
            state = t("queue.waiting", locale, position=place.position, total=waiting)
        if place.eta is not None:
            when = int(discord.utils.utcnow().timestamp() + place.eta)
            state += f" · {t('live.eta', locale, when=f'<t:{when}:R>')}"
        cancel = button(t("control.cancel", locale), "cancel", place.job_id)
        return ui.Section(ui.TextDisplay(f"{state}\n-# {prompt}"), accessory=cancel)


async def setup(bot: Penultimate) -> None:
    """Called by discord.py when the bot loads this file."""
    await bot.add_cog(QueueCog(bot))
