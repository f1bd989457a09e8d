"""What draws something new from one picture, behind "More…": sheets, variations, img2img.

The number at the end of the ``custom_id`` says which picture of the job.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from discord import ui

from bot import answers
from bot.actions.dispatch import control, form
from bot.actions.retry import Retry
from bot.answers import Interaction
from bot.exceptions import CannotExplore, Gone
from bot.gate.gate import Gate
from bot.jobs.jobs import Jobs
from bot.ordering import axes, variations
from bot.ordering.variations import STRONGLY, SUBTLY
from bot.posts import forms
from bot.posts.controls import MAX_OPTIONS, chosen, layout, row
from bot.posts.result import SEARCH, vae_select
from bot.store import Job
from bot.translate import t
from core.errors import UnknownName
from core.models.catalogue import Catalogue
from core.models.names import search
from core.notes import Note
from core.request import GenerationRequest
from core.sheets.sheet import Sheet, axis_of


@dataclass(eq=False)
class Derive:
    """The actions of the panel's upper half."""

    _jobs: Jobs
    _gate: Gate
    _catalogue: Catalogue
    _retry: Retry

    @control("explore")
    async def _explore(self, interaction: Interaction, job: Job, position: int | None) -> None:
        await self._jobs.derive(interaction, job, _one_of(job, position), axes.clip_skip_sheet())

    @control("compare")
    async def _compare(self, interaction: Interaction, job: Job, position: int | None) -> None:
        others = self._other_vaes(job)
        if not others:
            raise CannotExplore("one_vae")
        if len(others) == 1:
            await self._compare_with(interaction, job, position, others[0])
        else:
            await _ask_vae(interaction, job, position, others)

    @control("vae_ab")
    async def _vae_chosen(self, interaction: Interaction, job: Job, position: int | None) -> None:
        name = chosen(interaction)
        if name == SEARCH:
            form = forms.vae_form(job, interaction.locale, "vae_ab", position)
            await self._retry.ask(interaction, form, job.request)
        else:
            await self._compare_with(interaction, job, position, name)

    @form("vae_ab")
    async def _vae_searched(self, interaction: Interaction, job: Job, position: int | None) -> None:
        form = partial(forms.vae_form, job, interaction.locale, "vae_ab", position)
        async with self._retry.typed(interaction, form) as typed:
            name = typed.get("name", "")
            found = tuple(search(self._other_vaes(job), name, MAX_OPTIONS))
            if not found:
                raise UnknownName("VAE", name)
            if len(found) == 1:
                await self._compare_with(interaction, job, position, found[0])
            else:
                await _ask_vae(interaction, job, position, found, search=False)

    async def _compare_with(
        self, interaction: Interaction, job: Job, position: int | None, name: str
    ) -> None:
        request = _one_of(job, position)
        sheet = Sheet(axis_of("vae", (request.vae, name)))
        await self._jobs.derive(interaction, job, request, sheet)

    def _other_vaes(self, job: Job) -> tuple[str, ...]:
        model = self._catalogue.model(job.request.model)
        return axes.other_vaes(job.request, self._catalogue, model)

    @control(upscale=1.5, upscale_twice=2.0)
    async def _upscale(
        self, scale: float, interaction: Interaction, job: Job, position: int | None
    ) -> None:
        limits = self._gate.limits(interaction.guild_id)
        request = variations.upscaled(_one_of(job, position), scale, limits.max_size)
        await self._jobs.derive(interaction, job, request)

    @control(vary_subtly=SUBTLY, vary_strongly=STRONGLY)
    async def _vary(
        self, strength: float, interaction: Interaction, job: Job, position: int | None
    ) -> None:
        request = variations.varied(_one_of(job, position), strength)
        again = job.request.variation_strength > 0
        notes = (Note.of("varies_the_seed"),) if again else ()
        await self._jobs.derive(interaction, job, request, notes=notes)

    @control("start")
    async def start(self, interaction: Interaction, job: Job, position: int | None = None) -> None:
        """The form for img2img from one of a job's pictures."""
        await self._jobs.picture(job, position or 0)
        form = forms.start_form(job, position or 0, interaction.locale)
        await self._retry.ask(interaction, form, job.request)

    @form("start")
    async def _started(self, interaction: Interaction, job: Job, position: int | None) -> None:
        _, png = await self._jobs.picture(job, position or 0)
        form = partial(forms.start_form, job, position or 0, interaction.locale)
        async with self._retry.typed(interaction, form) as typed:
            request, strength = forms.started(_one_of(job, position), typed)
            request = variations.started_from(request, png, strength)
            await self._jobs.derive(interaction, job, request)


async def _ask_vae(
    interaction: Interaction,
    job: Job,
    position: int | None,
    names: tuple[str, ...],
    *,
    search: bool = True,
) -> None:
    locale = interaction.locale
    offered = vae_select(job, names, locale, search=search, action="vae_ab", argument=position)
    said = ui.TextDisplay[ui.LayoutView](t("panel.which_vae", locale))
    await answers.show(interaction, layout(said, row(offered)))


def _one_of(job: Job, position: int | None) -> GenerationRequest:
    """The request of one picture of the job, alone."""
    if job.sheet is not None or (position or 0) >= job.request.count:
        raise Gone("picture")
    return job.request.alone(position or 0)
