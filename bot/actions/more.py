"""The panel behind "More…", and its actions that keep something of a picture: its parameters, its
values as a preset, its seed, a copy by direct message."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import discord

from bot import answers
from bot.actions.derive import one_picture
from bot.actions.dispatch import control, form
from bot.actions.retry import Retry
from bot.answers import Interaction
from bot.exceptions import Gone
from bot.gate.visibility import Visibility
from bot.ordering.axes import other_vaes
from bot.ordering.layers import BOT, values_of
from bot.posts import forms, panel, parameters
from bot.posts.controls import chosen_number, row
from bot.posts.delivery import Delivery
from bot.store import Job, Store
from bot.store.presets import YOURS
from bot.translate import t
from core.models.catalogue import Catalogue
from core.options import SELDOM


@dataclass(eq=False)
class More:
    """The actions of the panel's lower half, and the panel itself."""

    _store: Store
    _catalogue: Catalogue
    _visibility: Visibility
    _delivery: Delivery
    _retry: Retry

    @control("more")
    async def _more(self, interaction: Interaction, job: Job, _: int | None) -> None:
        await answers.show(interaction, self._panel(interaction, job))

    @control(which=True, keep=False)
    async def _page(self, turn: bool, interaction: Interaction, job: Job, _: int | None) -> None:
        """Choose another picture of the job; or return from the confirmation of a deletion."""
        position = chosen_number(interaction) if turn else 0
        view = self._panel(interaction, job, position)
        await answers.change(interaction, view)

    @control("parameters")
    async def _parameters(self, interaction: Interaction, job: Job, position: int | None) -> None:
        found, locale = await self._text(job, position or 0), interaction.locale
        view, files = parameters.parameters_view(found, locale)
        await answers.show(interaction, view, files)

    @control("read")
    async def _read(self, interaction: Interaction, job: Job, _: int | None) -> None:
        """Show another picture's parameters in place of the present ones."""
        view, files = await self.parameters(job, chosen_number(interaction), interaction.locale)
        await answers.change(interaction, view, files)

    async def parameters(
        self, job: Job, position: int, locale: discord.Locale
    ) -> tuple[discord.ui.LayoutView, list[discord.File]]:
        """Return a picture's parameters with the command that draws it, and a select of the others
        where there are several. Raises :class:`~bot.exceptions.Gone`."""
        found = await self._text(job, position)
        others = [row(panel.which_select(job, locale, position, "read"))] if several(job) else []
        return parameters.parameters_view(found, locale, *others, catalogue=self._catalogue)

    @control("preset")
    async def _save_preset(self, interaction: Interaction, job: Job, _: int | None) -> None:
        form = forms.name_form(job, interaction.locale, "preset")
        await interaction.response.send_modal(form)

    @form("preset")
    async def _preset_named(self, interaction: Interaction, job: Job, _: int | None) -> None:
        # Only what other pictures can share: not the seed and the count, nor what a sheet varies.
        own = {"seed", "count"} | (job.sheet.options if job.sheet else set())
        own |= {name for name in SELDOM if getattr(job.request, name) == BOT[name]}
        values = {name: value for name, value in values_of(job.request).items() if name not in own}
        locale, presets = interaction.locale, self._store.presets
        form = partial(forms.name_form, job, locale, "preset")
        async with self._retry.typed(interaction, form) as typed:
            preset = await presets.save(interaction.user.id, typed.get("name", ""), values)
            key = "preset.saved_default" if preset.name.casefold() == YOURS else "preset.saved"
            shown = answers.excerpt(preset.name, 2 * len(preset.name))
            await answers.say(interaction, t(key, locale, name=shown))

    @control("take_seed")
    async def _take_seed(self, interaction: Interaction, job: Job, position: int | None) -> None:
        # A sheet of one seed offers it too, but has no other pictures.
        seed = (job.request if job.sheet else one_picture(job, position)).seed
        await self._store.presets.change_yours(interaction.user.id, {"seed": seed})
        view = panel.seed_view(job, seed, interaction.locale)
        await answers.change(interaction, view)

    @control("free_seed")
    async def _free_seed(self, interaction: Interaction, job: Job, _: int | None) -> None:
        await self._store.presets.change_yours(interaction.user.id, {"seed": None})
        view = panel.text_view(t("panel.seed_free", interaction.locale))
        await answers.change(interaction, view)

    @control("dm")
    async def _send(self, interaction: Interaction, job: Job, _: int | None) -> None:
        await answers.defer(interaction, ephemeral=True)
        await self._delivery.copy_to(interaction.user.id, job)
        await answers.say(interaction, t("panel.sent", interaction.locale))

    async def _text(self, job: Job, position: int) -> str:
        pictures = await self._store.pictures.of_job(job.id)
        if position >= len(pictures):
            raise Gone("picture")
        return pictures[position].infotext

    def _panel(
        self, interaction: Interaction, job: Job, position: int = 0
    ) -> discord.ui.LayoutView:
        model = self._catalogue.find(job.request.model)
        offers = panel.Offers(
            explore=model is not None and model.uses_clip_skip,
            compare=model is not None and bool(other_vaes(job.request, self._catalogue)),
            delete=self._visibility.may_remove(interaction, job),
        )
        return panel.panel_view(job, interaction.locale, offers, position)


def several(job: Job) -> bool:
    """Whether there is a picture to choose; a sheet's pictures have controls of their own."""
    return job.sheet is None and job.request.count > 1
