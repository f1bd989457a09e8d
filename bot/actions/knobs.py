"""The actions of the controls under a post: clip skip, seed, Edit, Cancel, and one of several.

Anybody who may see a picture may vary it; the new job belongs to whoever did.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from bot import answers
from bot.actions.dispatch import control, form
from bot.actions.retry import Retry
from bot.answers import Interaction
from bot.exceptions import NotYours
from bot.gate.gate import Gate
from bot.gate.visibility import Visibility
from bot.jobs.jobs import Jobs
from bot.posts import forms
from bot.posts.controls import chosen_number
from bot.store import Job
from bot.translate import t
from core.models.catalogue import Catalogue
from core.request import draw_seed


@dataclass(eq=False)
class Knobs:
    """The actions of a job's post, before and after its result."""

    _jobs: Jobs
    _catalogue: Catalogue
    _gate: Gate
    _visibility: Visibility
    _retry: Retry

    @control("clip")
    async def _clip_skip(self, interaction: Interaction, job: Job, argument: int | None) -> None:
        clip_skip = chosen_number(interaction) if argument is None else argument
        await self._jobs.vary(interaction, job, clip_skip=clip_skip)

    @control("seed")
    async def _new_seed(self, interaction: Interaction, job: Job, _: int | None) -> None:
        await self._jobs.vary(interaction, job, seed=draw_seed())

    @control("edit")
    async def _edit(self, interaction: Interaction, job: Job, _: int | None) -> None:
        form = forms.edit_form(job, interaction.locale)
        await self._retry.ask(interaction, form, job.request)

    @form("edit")
    async def _edited(self, interaction: Interaction, job: Job, _: int | None) -> None:
        form = partial(forms.edit_form, job, interaction.locale)
        async with self._retry.typed(interaction, form) as typed:
            limits = self._gate.limits(interaction.guild_id)
            request = forms.read_edit(job.request, typed, self._catalogue, limits)
            await self._jobs.derive(interaction, job, request, job.sheet)

    @control("open")
    async def _open(self, interaction: Interaction, job: Job, argument: int | None) -> None:
        await self._jobs.open_one(interaction, job, argument or 0)

    @control("again")
    async def _again(self, interaction: Interaction, job: Job, _: int | None) -> None:
        await self._jobs.vary(interaction, job)

    @control("cancel")
    async def _cancel(self, interaction: Interaction, job: Job, _: int | None) -> None:
        if not self._visibility.may_remove(interaction, job):
            raise NotYours("cancel")
        if await self._jobs.cancel(job.id):
            # The task that follows the job edits the post.
            await answers.defer(interaction, thinking=False)
        else:
            await answers.say(interaction, t("live.too_late", interaction.locale))
