"""What draws something new from behind "More…", and from a sheet's selects.

Each acts on one picture of the job: the number at the end of the ``custom_id`` says which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import discord
from discord import ui

from bot import answers
from bot.answers import Interaction, excerpt
from bot.exceptions import CannotExplore, Gone, Unreachable
from bot.ordering import axes, variations
from bot.ordering.variations import STRONGLY, SUBTLY
from bot.posts import forms, panel, parameters, retry
from bot.posts.controls import MAX_OPTIONS, chosen, chosen_number, layout, row
from bot.posts.result import NAME_LENGTH, SEARCH, axis_name, cell_select, vae_select
from bot.store import Job
from bot.translate import t
from core.errors import UnknownName
from core.models.catalogue import search
from core.notes import Note
from core.request import GenerationRequest
from core.sheets.axes import Axis
from core.sheets.sheet import Sheet, axis_of

# A sheet's selects. The second axis is asked for in an ephemeral panel of its own, whose
# custom_id holds the first choice: nothing is kept in memory, and nobody sees another's choice.


async def _cell_x(interaction: Interaction, job: Job, row_chosen: int | None) -> None:
    sheet, column = _sheet_of(job), chosen_number(interaction)
    if sheet.y is None:
        await interaction.client.jobs.open_one(interaction, job, sheet.position(0, column))
    elif row_chosen is None:
        await _ask_other(interaction, job, (sheet.x, column), (sheet.y, "cell_y"))
    else:
        await interaction.client.jobs.open_one(interaction, job, sheet.position(row_chosen, column))


async def _cell_y(interaction: Interaction, job: Job, column: int | None) -> None:
    sheet, row_chosen = _sheet_of(job), chosen_number(interaction)
    if sheet.y is None:
        raise Gone("picture")
    if column is None:
        await _ask_other(interaction, job, (sheet.y, row_chosen), (sheet.x, "cell_x"))
    else:
        await interaction.client.jobs.open_one(interaction, job, sheet.position(row_chosen, column))


async def _ask_other(
    interaction: Interaction, job: Job, known: tuple[Axis, int], asked: tuple[Axis, str]
) -> None:
    """After a value on one axis, an (axis, action) to choose one on the other."""
    axis, index = known
    if index >= len(axis.values):
        raise Gone("picture")
    job = _said_to(interaction, job)
    value = excerpt(str(axis.values[index]), NAME_LENGTH)
    said = t("sheet.other_axis", job.locale, name=axis_name(axis, job.locale), value=value)
    other = cell_select(job, *asked, index)
    await answers.show(interaction, layout(ui.TextDisplay(said), row(other)))


# Sheets of one picture.


async def _explore(interaction: Interaction, job: Job, position: int | None) -> None:
    request = _one_of(job, position)
    await interaction.client.jobs.remake(interaction, job, request, axes.strip())


async def _compare(interaction: Interaction, job: Job, position: int | None) -> None:
    others = _other_vaes(interaction, job)
    if not others:
        raise CannotExplore("one_vae")
    if len(others) == 1:
        await _compare_with(interaction, job, position, others[0])
    else:
        await _ask_vae(interaction, job, position, others)


async def _vae_chosen(interaction: Interaction, job: Job, position: int | None) -> None:
    name = chosen(interaction)
    if name == SEARCH:
        form = forms.vae_form(job, interaction.locale, "vae_ab", position)
        await retry.ask(interaction, form, job.request)
    else:
        await _compare_with(interaction, job, position, name)


async def _vae_searched(interaction: Interaction, job: Job, position: int | None) -> None:
    form = partial(forms.vae_form, job, interaction.locale, "vae_ab", position)
    async with retry.typed(interaction, form) as typed:
        name = typed.get("name", "")
        found = tuple(search(_other_vaes(interaction, job), name, MAX_OPTIONS))
        if not found:
            raise UnknownName("VAE", name)
        if len(found) == 1:
            await _compare_with(interaction, job, position, found[0])
        else:
            await _ask_vae(interaction, job, position, found, search=False)


async def _ask_vae(
    interaction: Interaction,
    job: Job,
    position: int | None,
    names: tuple[str, ...],
    *,
    search: bool = True,
) -> None:
    job = _said_to(interaction, job)
    names_select = vae_select(job, names, search=search, action="vae_ab", argument=position)
    said = ui.TextDisplay[ui.LayoutView](t("panel.which_vae", job.locale))
    await answers.show(interaction, layout(said, row(names_select)))


async def _compare_with(
    interaction: Interaction, job: Job, position: int | None, name: str
) -> None:
    request = _one_of(job, position)
    sheet = Sheet(axis_of("vae", (request.vae, name)))
    await interaction.client.jobs.remake(interaction, job, request, sheet)


def _other_vaes(interaction: Interaction, job: Job) -> tuple[str, ...]:
    catalogue = interaction.client.catalogue
    return axes.other_vaes(job.request, catalogue, catalogue.model(job.request.model))


# What of one picture there is to read.


async def _read(interaction: Interaction, job: Job, _: int | None) -> None:
    """Of several pictures another's parameters, in place of those that are shown."""
    position, locale = chosen_number(interaction), interaction.locale
    pictures = await interaction.client.store.pictures.of_job(job.id)
    if position >= len(pictures):
        raise Gone("picture")
    others = row(panel.which_select(job, locale, position, "read"))
    view, files = parameters.shown(
        pictures[position].infotext, interaction.client.catalogue, locale, others
    )
    await interaction.response.edit_message(view=view, attachments=files)


# Other pictures of one picture.


async def _upscale(interaction: Interaction, job: Job, position: int | None) -> None:
    await _enlarge(interaction, job, position, 1.5)


async def _upscale_twice(interaction: Interaction, job: Job, position: int | None) -> None:
    await _enlarge(interaction, job, position, 2.0)


async def _enlarge(interaction: Interaction, job: Job, position: int | None, scale: float) -> None:
    limits = interaction.client.gate.limits(interaction.guild_id)
    request = variations.upscaled(_one_of(job, position), scale, limits.max_size)
    await interaction.client.jobs.remake(interaction, job, request)


async def _vary_subtly(interaction: Interaction, job: Job, position: int | None) -> None:
    await _vary(interaction, job, position, SUBTLY)


async def _vary_strongly(interaction: Interaction, job: Job, position: int | None) -> None:
    await _vary(interaction, job, position, STRONGLY)


async def _vary(interaction: Interaction, job: Job, position: int | None, strength: float) -> None:
    request = variations.varied(_one_of(job, position), strength)
    again = job.request.variation_strength > 0
    notes = (Note.of("varies_the_seed"),) if again else ()
    await interaction.client.jobs.remake(interaction, job, request, notes=notes)


async def start(interaction: Interaction, job: Job, position: int | None = None) -> None:
    """The form for img2img from one of a job's pictures."""
    await interaction.client.jobs.picture(job, position or 0)
    form = forms.start_form(job, position or 0, interaction.locale)
    await retry.ask(interaction, form, job.request)


async def _started(interaction: Interaction, job: Job, position: int | None) -> None:
    bot = interaction.client
    _, png = await bot.jobs.picture(job, position or 0)
    form = partial(forms.start_form, job, position or 0, interaction.locale)
    async with retry.typed(interaction, form) as typed:
        request, strength = forms.started(_one_of(job, position), typed)
        request = variations.started_from(request, png, strength)
        await bot.jobs.remake(interaction, job, request)


async def _dm(interaction: Interaction, job: Job, _: int | None) -> None:
    await interaction.response.defer(thinking=True, ephemeral=True)
    user = interaction.user
    try:
        channel = await user.create_dm()
        limit = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
        arrived = await interaction.client.delivery.copy(job, channel.send, limit)
    except discord.Forbidden:
        raise Unreachable from None
    except FileNotFoundError:
        raise Gone("picture") from None
    if not arrived:
        raise Gone("picture")
    await answers.say(interaction, t("panel.sent", interaction.locale))


CONTROLS: Final[dict[str, Callable[[Interaction, Job, int | None], Awaitable[None]]]] = {
    "cell_x": _cell_x,
    "cell_y": _cell_y,
    "read": _read,
    "explore": _explore,
    "compare": _compare,
    "vae_ab": _vae_chosen,
    "upscale": _upscale,
    "upscale_twice": _upscale_twice,
    "vary_subtly": _vary_subtly,
    "vary_strongly": _vary_strongly,
    "start": start,
    "dm": _dm,
}

FORMS: Final[dict[str, Callable[[Interaction, Job, int | None], Awaitable[None]]]] = {
    "start": _started,
    "vae_ab": _vae_searched,
}


def _said_to(interaction: Interaction, job: Job) -> Job:
    """The job in the language of who pressed, for an answer that nobody else sees."""
    return replace(job, locale=interaction.locale.value)


def _sheet_of(job: Job) -> Sheet:
    if job.sheet is None:
        raise Gone("picture")
    return job.sheet


def _one_of(job: Job, position: int | None) -> GenerationRequest:
    """The request of one picture of the job, alone."""
    if job.sheet is not None or (position or 0) >= job.request.count:
        raise Gone("picture")
    return variations.one_of(job.request, position or 0)
