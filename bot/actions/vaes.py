"""The actions that choose a VAE: draw a picture again with it, or compare it with the present one.

``vae`` is under a result, ``vae_ab`` behind "More…"; both have a select and, for long lists, a form
that searches by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from discord import ui

from bot import answers
from bot.actions.derive import one_picture
from bot.actions.dispatch import control, form
from bot.actions.retry import Retry
from bot.answers import Interaction
from bot.exceptions import CannotExplore, Gone
from bot.jobs.jobs import Jobs
from bot.ordering.axes import other_vaes
from bot.ordering.choices import vae_names
from bot.posts import forms
from bot.posts.controls import CLIP_SKIP, NUMBER, SEARCH, chosen, layout, row
from bot.posts.result import vae_select
from bot.store import Job
from bot.translate import t
from core.models.catalogue import Catalogue
from core.models.names import find
from core.sheets.sheet import Sheet, axis_of


@dataclass(eq=False)
class Vaes:
    """Both actions; ``position`` is the picture of the job that is compared."""

    _jobs: Jobs
    _catalogue: Catalogue
    _retry: Retry

    @control("compare")
    async def _compare(self, interaction: Interaction, job: Job, position: int | None) -> None:
        others = self._names("vae_ab", job)
        if not others:
            raise CannotExplore("one_vae")
        await self._offer("vae_ab", interaction, job, position, others)

    @control(vae="vae", vae_ab="vae_ab")
    async def _chosen(
        self, action: str, interaction: Interaction, job: Job, position: int | None
    ) -> None:
        name = chosen(interaction)
        if action == "vae" and (number := name.removeprefix(CLIP_SKIP)) != name:
            # The select under a result has both.
            if NUMBER.fullmatch(number) is None:
                raise Gone("control")
            await self._jobs.vary(interaction, job, clip_skip=int(number))
        elif name == SEARCH:
            form = forms.name_form(job, interaction.locale, action, position)
            await self._retry.ask(interaction, form, job.request)
        else:
            await self._use(action, interaction, job, position, name)

    @form(vae="vae", vae_ab="vae_ab")
    async def _searched(
        self, action: str, interaction: Interaction, job: Job, position: int | None
    ) -> None:
        form = partial(forms.name_form, job, interaction.locale, action, position)
        async with self._retry.typed(interaction, form) as typed:
            found = find("VAE", self._names(action, job), typed.get("name", ""))
            await self._offer(action, interaction, job, position, found, search=False)

    async def _offer(
        self,
        action: str,
        interaction: Interaction,
        job: Job,
        position: int | None,
        names: Sequence[str],
        *,
        search: bool = True,
    ) -> None:
        """Use the only name, or show a select of the names."""
        if len(names) == 1:
            await self._use(action, interaction, job, position, names[0])
            return
        locale = interaction.locale
        offered = vae_select(job, names, locale, search=search, action=action, argument=position)
        title = [ui.TextDisplay[ui.LayoutView](t("panel.which_vae", locale))]
        await answers.show(interaction, layout(*title * (action == "vae_ab"), row(offered)))

    async def _use(
        self, action: str, interaction: Interaction, job: Job, position: int | None, name: str
    ) -> None:
        if action == "vae":
            await self._jobs.vary(interaction, job, vae=name)
        else:
            request = one_picture(job, position)
            sheet = Sheet(axis_of("vae", (request.vae, name)))
            await self._jobs.derive(interaction, job, request, sheet)

    def _names(self, action: str, job: Job) -> tuple[str, ...]:
        if action == "vae":
            return vae_names(self._catalogue, self._catalogue.model(job.request.model))
        return other_vaes(job.request, self._catalogue)
