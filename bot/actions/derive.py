"""The actions behind "More…" that make a new job of one picture: sheets, variations, img2img.

The argument of the ``custom_id`` is the position of the picture in its job.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from discord import ui

from bot import answers
from bot.actions.dispatch import control, form
from bot.actions.retry import Retry
from bot.answers import Interaction
from bot.exceptions import Gone
from bot.gate.gate import Gate
from bot.jobs.jobs import Jobs
from bot.ordering import axes
from bot.ordering.enlarging import SCALES, upscalers
from bot.ordering.layers import values_of
from bot.posts import forms, panel
from bot.posts.controls import chosen, custom_id
from bot.store import Job
from core import variations
from core.models.catalogue import Catalogue
from core.notes import Note
from core.request import Enlarge, GenerationRequest, enlarged
from core.variations import STRONGLY, SUBTLY


@dataclass(eq=False)
class Derive:
    """The actions of the panel's upper half, but those of :mod:`bot.actions.vaes`."""

    _jobs: Jobs
    _gate: Gate
    _retry: Retry
    _catalogue: Catalogue

    @control("explore")
    async def _explore(self, interaction: Interaction, job: Job, position: int | None) -> None:
        request = one_picture(job, position)
        await self._jobs.derive(interaction, job, request, axes.clip_skip_sheet())

    @control(upscale=1.5, upscale_twice=2.0)
    async def _upscale(
        self, scale: float, interaction: Interaction, job: Job, position: int | None
    ) -> None:
        limits = self._gate.limits(interaction.guild_id)
        request = one_picture(job, position)
        model = self._catalogue.find(request.model)
        largest = model.card.largest if model else None
        if largest and max(enlarged(request.width, request.height, scale)) > largest:
            note = Note.of("enlarged_instead", name=request.model, limit=largest)
            upscaler = upscalers(self._catalogue)[0]
            await self.enlarge(interaction, job, position, Enlarge(scale, upscaler), (note,))
            return
        request = variations.upscaled(request, scale, limits.max_size)
        await self._jobs.derive(interaction, job, request)

    @control("enlarge")
    async def _enlarge(self, interaction: Interaction, job: Job, position: int | None) -> None:
        """Ask by how much, and with what."""
        one_picture(job, position)
        names, locale = upscalers(self._catalogue), interaction.locale
        await answers.show(interaction, panel.enlarge_view(job, names, locale, position))

    @control(**SCALES)
    async def _by(
        self, scale: float, interaction: Interaction, job: Job, position: int | None
    ) -> None:
        await self.enlarge(interaction, job, position, Enlarge(scale, chosen(interaction)))

    async def enlarge(
        self,
        interaction: Interaction,
        job: Job,
        position: int | None,
        enlarge: Enlarge,
        notes: tuple[Note, ...] = (),
    ) -> None:
        """Enlarge one of a job's images as it is."""
        request = one_picture(job, position)
        image = await self._jobs.picture(job, position or 0)
        request = variations.only_enlarged(request, image.png, enlarge)
        await self._jobs.derive(interaction, job, request, notes=notes)

    @control(vary_subtly=SUBTLY, vary_strongly=STRONGLY)
    async def _vary(
        self, strength: float, interaction: Interaction, job: Job, position: int | None
    ) -> None:
        request = variations.varied(one_picture(job, position), strength)
        again = job.request.variation_strength > 0
        notes = (Note.of("varies_the_seed"),) if again else ()
        await self._jobs.derive(interaction, job, request, notes=notes)

    @control("start")
    async def start(self, interaction: Interaction, job: Job, position: int | None = None) -> None:
        """Show the form for img2img from one of a job's pictures."""
        await self._jobs.picture(job, position or 0)
        await self._retry.ask(interaction, _start_form(interaction, job, position), job.request)

    @form("start")
    async def _started(self, interaction: Interaction, job: Job, position: int | None) -> None:
        start = await self._jobs.picture(job, position or 0)
        form = partial(_start_form, interaction, job, position)
        async with self._retry.typed(interaction, form) as typed:
            values, strength = forms.read_start(typed)
            request = replace(one_picture(job, position), **values)
            request = variations.started_from(request, start.png, strength)
            await self._jobs.derive(interaction, job, request)


def _start_form(interaction: Interaction, job: Job, position: int | None) -> ui.Modal:
    number = custom_id("start", job.id, position or None)
    values = values_of(job.request) | {"prompt": job.request.prompt}
    return forms.start_form(number, values, interaction.locale)


def one_picture(job: Job, position: int | None) -> GenerationRequest:
    """The request of one picture of the job alone; raises :class:`~bot.exceptions.Gone`."""
    if job.sheet is not None or (position or 0) >= job.request.count:
        raise Gone("picture")
    return job.request.alone(position or 0)
