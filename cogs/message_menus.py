"""Message menus for any picture: its parameters, a start image, a variation, enlarged.

Discord sends the message along with the menu, so they work on anybody's message, of any age, also
where the bot is no member. The bot's own pictures are known from the database; others may have
their parameters in the file.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, NamedTuple

import discord
from discord import app_commands
from discord.ext import commands

from bot import answers
from bot.actions.dispatch import standing
from bot.actions.more import several
from bot.actions.temporary import Temporary
from bot.answers import Interaction
from bot.client import Penultimate
from bot.gate.origin import of_interaction
from bot.ordering.attachments import (
    Readable,
    parameters_of,
    pictures_in,
    place,
    read_bytes,
    read_in_turn,
    read_parameters,
)
from bot.ordering.enlarging import SCALES, upscalers
from bot.ordering.layers import BOT, Layers, read_pasted
from bot.ordering.orders import Start
from bot.posts import forms, panel
from bot.posts.controls import chosen, standing_id
from bot.posts.parameters import parameters_view
from bot.store import Job
from bot.translate import t, text
from core.errors import PenultimateError, UnreadablePicture
from core.prompt.variants import literal
from core.request import Enlarge, draw_seed

# A form must be shown within 3 s and cannot be deferred, so a slow download is given up.
SECONDS_TO_FORM: Final = 2.0
# Bytes of the pictures whose forms are open. Past this the oldest is forgotten.
MAX_PENDING: Final = 128 * 2**20


class Pending(NamedTuple):
    """A picture whose form is open, and what is known of how it was made."""

    data: bytes
    options: dict[str, Any]


class MessageMenusCog(commands.Cog):
    """The four menus, and the form that one of them opens."""

    def __init__(self, bot: Penultimate) -> None:
        self.store = bot.store
        self.catalogue = bot.catalogue
        self.gate = bot.gate
        self.visibility = bot.visibility
        self.jobs = bot.jobs
        self.derive = bot.derive
        self.more = bot.more
        self.retry = bot.retry
        self._pending: Temporary[Pending] = Temporary(MAX_PENDING, lambda each: len(each.data))
        # discord.py finds a cog's commands by itself, but not its menus.
        for callback in (self.parameters, self.start, self.vary, self.enlarge):
            name = text(f"menu.{callback.__name__}")
            bot.tree.add_command(app_commands.ContextMenu(name=name, callback=callback))

    async def parameters(self, interaction: Interaction, message: discord.Message) -> None:
        """Show what a picture was made with, and the command that draws it here."""
        job, locale = await self._job(interaction, message), interaction.locale
        if job is not None:
            view, files = await self.more.parameters(job, 0, locale)
            await answers.show(interaction, view, files)
            return
        await answers.defer(interaction, ephemeral=True)
        found = await self._text(interaction, message)
        if found is not None:
            view, files = parameters_view(found, locale, catalogue=self.catalogue)
            await interaction.edit_original_response(view=view, attachments=files)

    async def vary(self, interaction: Interaction, message: discord.Message) -> None:
        """Draw the picture again with another seed."""
        job = await self._job(interaction, message)
        if job is not None:
            await self.jobs.vary(interaction, job, seed=draw_seed())
            return
        origin = of_interaction(interaction)
        await self.gate.admit(origin)
        private = await self.gate.keeps_private(origin)
        await answers.defer(interaction, ephemeral=private)
        found = await self._text(interaction, message)
        if found is not None:
            options = {"seed": draw_seed(), "private": private}
            await self.jobs.imagine(interaction, found, options)

    async def start(self, interaction: Interaction, message: discord.Message) -> None:
        """Open a form for img2img from the picture; of several pictures, ask first which."""
        job, locale = await self._job(interaction, message), interaction.locale
        found = pictures_in(message)
        if job is not None and job.sheet is not None:
            await answers.say(interaction, t("remix.sheet", locale))
            return
        if job is not None and found and not await self._has_files(job):
            # The bot's files are gone, but the message still has its pictures.
            job = None
        if job is not None and several(job):
            await answers.show(interaction, panel.which_start_view(job, found, locale))
        elif job is not None:
            await self.derive.start(interaction, job)
        elif not found:
            await answers.say(interaction, t("remix.no_picture", locale))
        elif len(found) > 1:
            await answers.show(interaction, panel.which_foreign_view(found, locale))
        else:
            await self._ask(interaction, found[0])

    async def enlarge(self, interaction: Interaction, message: discord.Message) -> None:
        """Ask how to enlarge the picture as it is; of several pictures, ask first which."""
        job, locale = await self._job(interaction, message), interaction.locale
        found = pictures_in(message)
        if job is not None and (job.sheet is not None or not await self._has_files(job)):
            # A sheet is an image like any other here.
            job = None
        if job is not None and several(job):
            await answers.show(interaction, panel.which_start_view(job, found, locale, "enlarge"))
        elif job is not None:
            names = upscalers(self.catalogue)
            await answers.show(interaction, panel.enlarge_view(job, names, locale))
        elif not found:
            await answers.say(interaction, t("remix.no_picture", locale))
        elif len(found) > 1:
            view = panel.which_foreign_view(found, locale, "enlarge_from")
            await answers.show(interaction, view)
        else:
            await answers.show(interaction, self._how(interaction, found[0]))

    @standing("enlarge_from")
    async def _enlarge_from(self, interaction: Interaction, position: int | None) -> None:
        """Ask how to enlarge the picture picked, in place of the question which."""
        picture = _picked(interaction, position)
        await answers.change(interaction, self._how(interaction, picture))

    @standing(**SCALES)
    async def _enlarge_by(self, scale: float, interaction: Interaction, _: int | None) -> None:
        """Enlarge the one picture that the question shows."""
        upscaler, picture = chosen(interaction), _picked(interaction, 0)
        read = partial(read_in_turn, picture)
        await self.jobs.enlarge(interaction, read, Enlarge(scale, upscaler))

    def _how(self, interaction: Interaction, picture: Readable) -> discord.ui.LayoutView:
        names = upscalers(self.catalogue)
        return panel.enlarge_foreign_view(picture, names, interaction.locale)

    @standing("start_from")
    async def _start_from(self, interaction: Interaction, position: int | None) -> None:
        """Open the form for the picture picked, one of those that the question shows."""
        await self._ask(interaction, _picked(interaction, position))

    async def _ask(self, interaction: Interaction, picture: Readable) -> None:
        await self.gate.admit(of_interaction(interaction))
        async with place():
            data = await read_bytes(picture, SECONDS_TO_FORM)
            prompt, options = self._read(await parameters_of(data) or "")
        number = self._pending.keep(Pending(data, options))
        values = {**BOT, **options, "prompt": prompt}
        form = forms.start_form(standing_id("start", number), values, interaction.locale)
        await interaction.response.send_modal(form)

    @standing("start")
    async def _submit(self, interaction: Interaction, number: int | None) -> None:
        """Draw from a picture that is no job's, with what was typed into its form."""
        pending = self._pending.get(number)
        if number is None or pending is None:
            lost = t("remix.lost_picture", interaction.locale)
            prompt = forms.fields(interaction).get("prompt", "")
            await answers.say(interaction, answers.with_prompt(interaction, lost, prompt))
            return
        empty = {**BOT, "prompt": ""}
        form = partial(forms.start_form, standing_id("start", number), empty, interaction.locale)
        async with self.retry.typed(interaction, form) as typed:
            typed_values, strength = forms.read_start(typed)
            prompt, options = typed_values.pop("prompt"), pending.options | typed_values
            start = Start(pending.data, strength)
            await self.jobs.imagine(interaction, prompt, options, start=start)

    async def _job(self, interaction: Interaction, message: discord.Message) -> Job | None:
        """Return the job that the message shows, if it has pictures and this member may see it."""
        job = await self.visibility.shown_by(message.id, interaction.user.id)
        return job if job and await self.store.pictures.of_job(job.id) else None

    async def _has_files(self, job: Job) -> bool:
        pictures = await self.store.pictures.of_job(job.id)
        return await asyncio.to_thread(lambda: all(each.path.is_file() for each in pictures))

    async def _text(self, interaction: Interaction, message: discord.Message) -> str | None:
        """Return the parameters of the first picture that has some; else tell the member.

        Raises :class:`~core.errors.UnreadablePicture` where no picture could be read.
        """
        found = pictures_in(message)
        unreadable: PenultimateError | None = None
        for picture in found:
            try:
                read = await read_parameters(picture)
            except UnreadablePicture as error:
                unreadable = unreadable or error
                continue
            if read:
                return read
        if unreadable is not None:
            raise unreadable
        key = "remix.no_parameters" if found else "remix.no_picture"
        await answers.say(interaction, t(key, interaction.locale))
        return None

    def _read(self, found: str) -> tuple[str, dict[str, Any]]:
        """Return the prompt and the options for img2img, which has its own seed and size."""
        prompt, layers, _, _ = read_pasted(found, Layers(), self.catalogue)
        left_out = ("seed", "size", "count")
        kept = {name: value for name, value in layers.pasted.items() if name not in left_out}
        if "negative_prompt" in kept:
            kept["negative_prompt"] = literal(kept["negative_prompt"])
        # Braces that were words stay words when the form is sent.
        return literal(prompt) if kept else prompt, kept


def _picked(interaction: Interaction, position: int | None) -> Readable:
    """The picture of this number in the message that was pressed.

    Raises :class:`~core.errors.UnreadablePicture`.
    """
    found = pictures_in(interaction.message) if interaction.message else []
    if position is None or position >= len(found):
        raise UnreadablePicture("missing")
    return found[position]
