"""/queue and /cancel: your jobs, where they stand in the line, and ways to take them back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import discord
from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction, excerpt
from bot.client import Penultimate
from bot.exceptions import NotYours
from bot.ordering.choices import MAX_CHOICE, MAX_CHOICES
from bot.posts.controls import layout, standing_button
from bot.store import Job
from bot.translate import t, text
from core.errors import UnknownName
from core.serving.queue import QueuePlace

# A section with its button counts three components, of the forty a post may have.
MAX_SHOWN: Final = 10
PROMPT_LENGTH: Final = 150

# What stands for every job in /cancel, and the number of one.
ALL: Final = "all"
NUMBER: Final = re.compile(r"[0-9]{1,18}")


class QueueCog(commands.Cog):
    """Answers for the member alone, from the line in memory; only one job's number is looked up."""

    def __init__(self, bot: Penultimate) -> None:
        self.store = bot.store
        self.line = bot.queue
        self.jobs = bot.jobs
        self.visibility = bot.visibility
        bot.actions.add(self)

    @app_commands.command(name="queue", description=text("command.queue"))
    async def queue(self, interaction: Interaction) -> None:
        """The line as a whole, and the member's jobs in it."""
        await answers.show(interaction, self._view(interaction))

    @standing("take_back")
    async def _pressed(self, interaction: Interaction, job_id: int | None) -> None:
        """One of the panel's jobs is taken back; the panel shows the line without it."""
        taken_back = self.jobs.cancel((await self._mine(interaction, str(job_id or 0))).id)
        await interaction.response.edit_message(view=self._view(interaction))
        if not taken_back:
            await answers.say(interaction, t("live.too_late", interaction.locale))

    @app_commands.command(name="cancel", description=text("command.cancel"))
    @app_commands.describe(job=text("describe.job"))
    async def cancel(self, interaction: Interaction, job: str) -> None:
        """One job of the member's, by its number, or all of them."""
        locale = interaction.locale
        if job.strip().casefold() == ALL:
            mine = _of(interaction.user.id, self.line.snapshot())
            count = sum(self.jobs.cancel(place.job_id) for place in mine)
            await answers.say(interaction, t("cancel.cancelled", locale, count=count))
            return
        taken_back = self.jobs.cancel((await self._mine(interaction, job)).id)
        key = "cancel.cancelled" if taken_back else "live.too_late"
        await answers.say(interaction, t(key, locale, count=1))

    @cancel.autocomplete("job")
    async def _jobs(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        mine = _of(interaction.user.id, self.line.snapshot())
        mine.sort(key=lambda place: place.job_id)
        choices = [(f"#{place.job_id} · {place.prompt}", str(place.job_id)) for place in mine]
        if len(mine) > 1:
            choices.insert(0, (t("cancel.all", interaction.locale, count=len(mine)), ALL))
        wanted = typed.casefold()
        return [
            app_commands.Choice(name=" ".join(name.split())[:MAX_CHOICE], value=value)
            for name, value in choices
            if wanted in name.casefold()
        ][:MAX_CHOICES]

    async def _mine(self, interaction: Interaction, typed: str) -> Job:
        """The member's job with this number. Raises UnknownName or NotYours."""
        number = typed.strip().lstrip("#")
        found = await self.store.jobs.get(int(number)) if NUMBER.fullmatch(number) else None
        if found is None or not await self.visibility.may_see(interaction, found):
            raise UnknownName("job", typed)
        if found.user_id != interaction.user.id:
            raise NotYours("cancel")
        return found

    def _view(self, interaction: Interaction) -> ui.LayoutView:
        locale, places = interaction.locale, self.line.snapshot()
        waiting = sum(place.position is not None for place in places)
        running = len(places) - waiting
        items: list[ui.Item[Any]] = [
            ui.TextDisplay(t("queue.line", locale, running=running, waiting=waiting))
        ]
        mine = _of(interaction.user.id, places)
        items += [_job(place, waiting, locale) for place in mine[:MAX_SHOWN]]
        if not mine:
            items.append(ui.TextDisplay(t("queue.none", locale)))
        elif len(mine) > MAX_SHOWN:
            items.append(ui.TextDisplay(t("queue.more", locale, count=len(mine) - MAX_SHOWN)))
        return layout(*items)


def _of(user_id: int, places: Iterable[QueuePlace]) -> list[QueuePlace]:
    """The member's own."""
    return [place for place in places if place.owner == str(user_id)]


def _job(place: QueuePlace, waiting: int, locale: Locale) -> ui.Section[Any]:
    if place.position is None:
        state = t("queue.running", locale)
    else:
        state = t("queue.waiting", locale, position=place.position, total=waiting)
    if place.eta is not None:
        when = int(discord.utils.utcnow().timestamp() + place.eta)
        state += f" · {t('live.eta', locale, when=f'<t:{when}:R>')}"
    prompt = excerpt(place.prompt, PROMPT_LENGTH)
    cancel = standing_button(t("control.cancel", locale), "take_back", place.job_id)
    return ui.Section(ui.TextDisplay(f"{state}\n-# {prompt}"), accessory=cancel)
