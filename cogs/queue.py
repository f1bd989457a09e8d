"""/queue and /cancel: a member's jobs in the queue, and cancelling them."""

from __future__ import annotations

import re
from typing import Any, Final

from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.answers import Interaction, excerpt
from bot.client import Penultimate
from bot.exceptions import NotYours
from bot.ordering.choices import MAX_CHOICE, MAX_CHOICES
from bot.posts.controls import layout, standing_button
from bot.posts.live import eta_text
from bot.store import Job
from bot.translate import t, text
from core.errors import UnknownName
from core.serving.queue import QueuePlace

# A section with its button counts three components, of the forty a post may have.
MAX_SHOWN: Final = 10
PROMPT_LENGTH: Final = 150

# What is typed into /cancel: all of the member's jobs, or the number of one.
ALL: Final = "all"
NUMBER: Final = re.compile(r"[0-9]{1,18}")


class QueueCog(commands.Cog):
    """Answers for the member alone, from the queue in memory."""

    def __init__(self, bot: Penultimate) -> None:
        self.store = bot.store
        self.gpu_queue = bot.queue
        self.jobs = bot.jobs
        self.visibility = bot.visibility

    @app_commands.command(name="queue", description=text("command.queue"))
    async def queue(self, interaction: Interaction) -> None:
        """Show how full the queue is, and the member's jobs in it."""
        await answers.show(interaction, self._view(interaction))

    @standing("take_back")
    async def _cancel(self, interaction: Interaction, job_id: int | None) -> None:
        """Cancel one of the panel's jobs, and show the panel without it."""
        cancelled = await self.jobs.cancel((await self._mine(interaction, str(job_id or 0))).id)
        await answers.change(interaction, self._view(interaction))
        if not cancelled:
            await answers.say(interaction, t("live.too_late", interaction.locale))

    @app_commands.command(name="cancel", description=text("command.cancel"))
    @app_commands.describe(job=text("describe.job"))
    async def cancel(self, interaction: Interaction, job: str | None = None) -> None:
        """Cancel one of the member's jobs, by its number, or all of them; without a number the
        only one, and of several the panel with a button for each is shown."""
        mine = [place.job_id for place in self._places(interaction)]
        if job is None and len(mine) != 1:
            await answers.show(interaction, self._view(interaction))
            return
        if every := job is None or job.strip().casefold() == ALL:
            numbers = mine
        else:
            numbers = [(await self._mine(interaction, job)).id]
        count = sum([await self.jobs.cancel(number) for number in numbers])
        key = "cancel.cancelled" if every or count else "live.too_late"
        await answers.say(interaction, t(key, interaction.locale, count=count))

    @cancel.autocomplete("job")
    async def _jobs(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        mine = sorted(self._places(interaction), key=lambda place: place.job_id)
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
        """Return the member's job with this number.

        Raises :class:`~core.errors.UnknownName` or :class:`~bot.exceptions.NotYours`.
        """
        number = typed.strip().lstrip("#")
        found = await self.store.jobs.get(int(number)) if NUMBER.fullmatch(number) else None
        if found is None or not await self.visibility.may_see(interaction, found):
            raise UnknownName("job", typed)
        if found.user_id != interaction.user.id:
            raise NotYours("cancel")
        return found

    def _places(self, interaction: Interaction) -> list[QueuePlace]:
        """The member's own jobs in the queue."""
        owner = str(interaction.user.id)
        return [place for place in self.gpu_queue.snapshot() if place.owner == owner]

    def _view(self, interaction: Interaction) -> ui.LayoutView:
        locale, places = interaction.locale, self.gpu_queue.snapshot()
        waiting = sum(place.position is not None for place in places)
        running = len(places) - waiting
        items: list[ui.Item[Any]] = [
            ui.TextDisplay(t("queue.line", locale, running=running, waiting=waiting))
        ]
        mine = self._places(interaction)
        items += [_job(place, waiting, locale) for place in mine[:MAX_SHOWN]]
        if not mine:
            items.append(ui.TextDisplay(t("queue.none", locale)))
        elif len(mine) > MAX_SHOWN:
            items.append(ui.TextDisplay(t("queue.more", locale, count=len(mine) - MAX_SHOWN)))
        return layout(*items)


def _job(place: QueuePlace, waiting: int, locale: Locale) -> ui.Section[Any]:
    if place.position is None:
        state = t("queue.running", locale)
    else:
        state = t("queue.waiting", locale, position=place.position, total=waiting)
    if place.eta is not None:
        state += f" · {eta_text(place.eta, locale)}"
    prompt = excerpt(place.prompt, PROMPT_LENGTH)
    cancel = standing_button(t("control.cancel", locale), "take_back", place.job_id)
    return ui.Section(ui.TextDisplay(f"{state}\n-# {prompt}"), accessory=cancel)
