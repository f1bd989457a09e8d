"""What each control and each modal does. One function an action, two tables that name them.

Anybody who may see a picture may vary it; the variation belongs to who pressed. Only its author,
or who may manage messages where it was made, takes a picture or a waiting job away.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import discord

from bot import answers
from bot.actions import more
from bot.answers import Interaction, payload
from bot.exceptions import Gone, NotYours
from bot.gate.visibility import may_remove, may_see
from bot.ordering.axes import other_vaes
from bot.ordering.choices import vae_names
from bot.ordering.resolve import values_of
from bot.ordering.variations import one_of
from bot.posts import forms, panel, retry
from bot.posts.controls import MAX_OPTIONS, PATTERN, STANDING, chosen, chosen_number, layout, row
from bot.posts.result import SEARCH, vae_select
from bot.store import Job
from bot.store.presets import YOURS
from bot.translate import t
from core.errors import UnknownName
from core.models.catalogue import Model, search
from core.request import draw_seed

# The largest number of SQLite's.
MAX_NUMBER: Final = 2**63 - 1

# What a press means: the interaction, its job, and the number at the end of the custom_id.
Action = Callable[[Interaction, Job, int | None], Awaitable[None]]


async def handle(interaction: Interaction) -> None:
    """Find the job and the action that a ``custom_id`` names, and do it.

    Raises whatever :func:`bot.errors.sentence` has words for; a ``custom_id`` that is not ours
    is nobody's business here.
    """
    pressed = str(payload(interaction).get("custom_id"))
    if standing := STANDING.fullmatch(pressed):
        number = int(standing["number"]) if standing["number"] else None
        act = interaction.client.standing.get(standing["action"])
        # Nothing of ours has a number that the database could not hold.
        if act is None or (number or 0) > MAX_NUMBER:
            raise Gone("control")
        await act(interaction, number)
        return
    match = PATTERN.fullmatch(pressed)
    if match is None:
        return
    submitted = interaction.type is discord.InteractionType.modal_submit
    action = (FORMS if submitted else CONTROLS).get(match["action"])
    if action is None:
        raise Gone("control")
    job = await interaction.client.store.jobs.get(int(match["job"]))
    # A log channel's moderators may take away what they have not before them.
    if job is None or not (await may_see(interaction, job) or may_remove(interaction, job)):
        raise Gone("job")
    await action(interaction, job, int(match["argument"]) if match["argument"] else None)


# The three knobs, and Edit.


async def _clip_skip(interaction: Interaction, job: Job, argument: int | None) -> None:
    clip_skip = chosen_number(interaction) if argument is None else argument
    await interaction.client.jobs.vary(interaction, job, clip_skip=clip_skip)


async def _new_seed(interaction: Interaction, job: Job, _: int | None) -> None:
    await interaction.client.jobs.vary(interaction, job, seed=draw_seed())


async def _vae(interaction: Interaction, job: Job, _: int | None) -> None:
    name = chosen(interaction)
    if name == SEARCH:
        await retry.ask(interaction, forms.vae_form(job, interaction.locale), job.request)
    else:
        await interaction.client.jobs.vary(interaction, job, vae=name)


async def _vae_searched(interaction: Interaction, job: Job, _: int | None) -> None:
    catalogue = interaction.client.catalogue
    form = partial(forms.vae_form, job, interaction.locale)
    async with retry.typed(interaction, form) as typed:
        name = typed.get("name", "")
        names = vae_names(catalogue, catalogue.model(job.request.model))
        found = tuple(search(names, name, MAX_OPTIONS))
        if not found:
            raise UnknownName("VAE", name)
        if len(found) == 1:
            await interaction.client.jobs.vary(interaction, job, vae=found[0])
        else:
            await answers.show(interaction, layout(row(vae_select(job, found, search=False))))


async def _edit(interaction: Interaction, job: Job, _: int | None) -> None:
    await retry.ask(interaction, forms.edit_form(job, interaction.locale), job.request)


async def _edited(interaction: Interaction, job: Job, _: int | None) -> None:
    form = partial(forms.edit_form, job, interaction.locale)
    async with retry.typed(interaction, form) as typed:
        request = forms.edited(job.request, typed)
        await interaction.client.jobs.remake(interaction, job, request, job.sheet)


async def _open(interaction: Interaction, job: Job, argument: int | None) -> None:
    await interaction.client.jobs.open_one(interaction, job, argument or 0)


# While it waits or runs, and after it failed.


async def _cancel(interaction: Interaction, job: Job, _: int | None) -> None:
    if not may_remove(interaction, job):
        raise NotYours("cancel")
    if interaction.client.jobs.cancel(job.id):
        # Whoever follows the job edits the post.
        await interaction.response.defer()
    else:
        await answers.say(interaction, t("live.too_late", interaction.locale))


async def _again(interaction: Interaction, job: Job, _: int | None) -> None:
    await interaction.client.jobs.vary(interaction, job)


# Behind "More…".


async def _more(interaction: Interaction, job: Job, _: int | None) -> None:
    await answers.show(interaction, _panel(interaction, job))


async def _which(interaction: Interaction, job: Job, _: int | None) -> None:
    view = _panel(interaction, job, chosen_number(interaction))
    await interaction.response.edit_message(view=view)


async def _parameters(interaction: Interaction, job: Job, position: int | None) -> None:
    pictures = await interaction.client.store.pictures.of_job(job.id)
    if (position or 0) >= len(pictures):
        raise Gone("picture")
    text, locale = pictures[position or 0].infotext, interaction.locale
    view = panel.code_view(text, locale)
    if view is not None:
        await answers.show(interaction, view)
        return
    name = "parameters.txt"
    await interaction.response.send_message(
        view=panel.file_view(name, locale),
        file=discord.File(io.BytesIO(text.encode()), name),
        ephemeral=True,
    )


async def _save_preset(interaction: Interaction, job: Job, _: int | None) -> None:
    await interaction.response.send_modal(forms.preset_form(job, interaction.locale))


async def _preset_named(interaction: Interaction, job: Job, _: int | None) -> None:
    # A style for many pictures: the seed and the number belong to this one, and what a sheet
    # varies to each of its cells.
    own = {"seed", "count"} | (job.sheet.options if job.sheet else set())
    values = {name: value for name, value in values_of(job.request).items() if name not in own}
    presets = interaction.client.store.presets
    async with retry.typed(
        interaction, partial(forms.preset_form, job, interaction.locale)
    ) as typed:
        preset = await presets.save(interaction.user.id, typed.get("name", ""), values)
        key = "preset.saved_default" if preset.name.casefold() == YOURS else "preset.saved"
        shown = answers.excerpt(preset.name, 2 * len(preset.name))
        await answers.say(interaction, t(key, interaction.locale, name=shown))


async def _take_seed(interaction: Interaction, job: Job, position: int | None) -> None:
    seed = one_of(job.request, position or 0).seed
    presets = interaction.client.store.presets
    yours = await presets.yours(interaction.user.id)
    await presets.save(interaction.user.id, YOURS, {**yours, "seed": seed})
    view = panel.seed_view(job, seed, interaction.locale)
    await interaction.response.edit_message(view=view)


async def _free_seed(interaction: Interaction, job: Job, _: int | None) -> None:
    presets = interaction.client.store.presets
    yours = dict(await presets.yours(interaction.user.id))
    if yours.pop("seed", None) is not None:
        if yours:
            await presets.save(interaction.user.id, YOURS, yours)
        else:
            await presets.delete(interaction.user.id, YOURS)
    await _instead(interaction, t("panel.seed_free", interaction.locale))


async def _delete(interaction: Interaction, job: Job, _: int | None) -> None:
    if not may_remove(interaction, job):
        raise NotYours("delete")
    await interaction.response.edit_message(view=panel.confirm_view(job, interaction.locale))


async def _remove(interaction: Interaction, job: Job, _: int | None) -> None:
    """The same from the log channel, whose post stays."""
    if not may_remove(interaction, job):
        raise NotYours("delete")
    await answers.show(interaction, panel.confirm_view(job, interaction.locale))


async def _delete_now(interaction: Interaction, job: Job, _: int | None) -> None:
    if not may_remove(interaction, job):
        raise NotYours("delete")
    bot = interaction.client
    bot.jobs.cancel(job.id)
    gone = await bot.delivery.delete_posts(job)
    await bot.store.jobs.delete(job.id)
    key = "panel.deleted" if gone else "panel.post_stays"
    await _instead(interaction, t(key, interaction.locale))


async def _keep(interaction: Interaction, job: Job, _: int | None) -> None:
    await interaction.response.edit_message(view=_panel(interaction, job))


# A control's action stands in posts for ever: add, never rename.
CONTROLS: Final[dict[str, Action]] = {
    "clip": _clip_skip,
    "seed": _new_seed,
    "vae": _vae,
    "edit": _edit,
    "open": _open,
    "more": _more,
    "which": _which,
    "cancel": _cancel,
    "again": _again,
    "preset": _save_preset,
    "parameters": _parameters,
    "take_seed": _take_seed,
    "free_seed": _free_seed,
    "delete": _delete,
    "delete_now": _delete_now,
    "keep": _keep,
    "remove": _remove,
    **more.CONTROLS,
}

FORMS: Final[dict[str, Action]] = {
    "edit": _edited,
    "preset": _preset_named,
    "vae": _vae_searched,
    **more.FORMS,
}


def _panel(interaction: Interaction, job: Job, position: int = 0) -> discord.ui.LayoutView:
    catalogue = interaction.client.catalogue
    model: Model | None
    try:
        model = catalogue.model(job.request.model)
    except UnknownName:
        # What is there can still be kept.
        model = None
    offers = panel.Offers(
        explore=model is not None and model.family != "sd2",
        compare=model is not None and bool(other_vaes(job.request, catalogue, model)),
        delete=may_remove(interaction, job),
    )
    return panel.panel_view(job, interaction.locale, offers, position)


async def _instead(interaction: Interaction, text: str) -> None:
    """A sentence in place of the panel that was pressed."""
    await interaction.response.edit_message(view=panel.text_view(text))
