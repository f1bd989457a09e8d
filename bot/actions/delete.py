"""The actions that delete a job: for its author, and for who may manage messages where it is."""

from __future__ import annotations

from dataclasses import dataclass

from bot import answers
from bot.actions.dispatch import control
from bot.answers import Interaction
from bot.exceptions import NotYours
from bot.gate.visibility import Visibility
from bot.jobs.jobs import Jobs
from bot.posts import panel
from bot.store import Job
from bot.translate import t


@dataclass(eq=False)
class Delete:
    """The confirmation, and the deletion."""

    _jobs: Jobs
    _visibility: Visibility

    @control(delete=True, remove=False)
    async def _ask(self, here: bool, interaction: Interaction, job: Job, _: int | None) -> None:
        """Ask in place of the panel, but not in place of the log channel's message."""
        self._check(interaction, job)
        view = panel.confirm_view(job, interaction.locale)
        if here:
            await answers.change(interaction, view)
        else:
            await answers.show(interaction, view)

    @control("delete_now")
    async def _delete(self, interaction: Interaction, job: Job, _: int | None) -> None:
        self._check(interaction, job)
        key = "panel.deleted" if await self._jobs.delete(job) else "panel.post_stays"
        view = panel.text_view(t(key, interaction.locale))
        await answers.change(interaction, view)

    def _check(self, interaction: Interaction, job: Job) -> None:
        if not self._visibility.may_remove(interaction, job):
            raise NotYours("delete")
