"""Message menus that take up any picture: its parameters, a start image, a variation.

Discord hands the message over with the menu, so that it works on anybody's, of any age, and where
the bot is no member. The picture itself decides what is possible: one of ours is known from the
database, others' say in their file what they were made with.
"""

from __future__ import annotations

import io
import secrets
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import discord
from discord import Locale, app_commands, ui
from discord.ext import commands

from bot import answers, forms
from bot.answers import Interaction
from bot.attachments import parameters_of, pictures_in, read_bytes
from bot.controls import layout
from bot.defaults import BOT, OPTIONS, Layers, layers_of, read_pasted
from bot.orders import Start
from bot.result import note_text
from bot.server.gate import asker_of
from bot.store import Job
from bot.translate import listed, t, text
from core.errors import PenultimateError, UnreadablePicture
from core.notes import Note
from core.request import MAX_PROMPT, GenerationRequest, draw_seed

if TYPE_CHECKING:
    from bot.client import Penultimate

# A post holds 4,000 characters of text.
MAX_TEXT: Final = 3900
NOTES_LENGTH: Final = 1000
# A form must be shown within 3 s, and cannot be announced; what comes later than this is let go.
SECONDS_TO_FORM: Final = 2.0
# Pictures of forms that are open. Past this the oldest is forgotten.
MAX_PENDING: Final = 128 * 2**20


class Pending(NamedTuple):
    """A picture whose form is open, and what is known of how it was made."""

    data: bytes
    options: dict[str, Any]


class RemixCog(commands.Cog):
    """Three menus, and the form that one of them opens."""

    def __init__(self, bot: Penultimate) -> None:
        self.bot = bot
        self._pending: OrderedDict[int, Pending] = OrderedDict()
        self._menus = [
            app_commands.ContextMenu(name=text("menu.parameters"), callback=self.parameters),
            app_commands.ContextMenu(name=text("menu.start"), callback=self.start),
            app_commands.ContextMenu(name=text("menu.vary"), callback=self.vary),
        ]
        bot.standing |= {"start": self.started}

    async def cog_load(self) -> None:
        """Menus of a cog are not found by discord.py itself."""
        for menu in self._menus:
            self.bot.tree.add_command(menu)

    async def cog_unload(self) -> None:
        """And not taken away by it either."""
        for menu in self._menus:
            self.bot.tree.remove_command(menu.name, type=menu.type)

    async def parameters(self, interaction: Interaction, message: discord.Message) -> None:
        """What a picture was made with, and how to say that here."""
        job, locale = await self._job(interaction, message), interaction.locale
        if job is not None:
            pictures = await self.bot.store.pictures.of_job(job.id)
            await self._show(interaction, pictures[0].infotext, locale)
            return
        await interaction.response.defer(thinking=True, ephemeral=True)
        found = await self._text(interaction, message)
        if found is not None:
            await self._show(interaction, found, locale)

    async def vary(self, interaction: Interaction, message: discord.Message) -> None:
        """The picture again from another seed."""
        job = await self._job(interaction, message)
        if job is not None:
            await self.bot.jobs.vary(interaction, job, seed=draw_seed())
            return
        private = await self._private(interaction)
        await interaction.response.defer(thinking=True, ephemeral=private)
        found = await self._text(interaction, message)
        if found is not None:
            options = {"seed": draw_seed(), "private": private}
            await self.bot.jobs.imagine(interaction, found, options)

    async def start(self, interaction: Interaction, message: discord.Message) -> None:
        """A form for img2img from the picture."""
        job = await self._job(interaction, message)
        if job is not None and job.sheet is None:
            form = forms.start_form(job, 0, interaction.locale)
        else:
            found = pictures_in(message)
            if not found:
                await answers.say(interaction, t("remix.no_picture", interaction.locale))
                return
            data = await read_bytes(found[0], SECONDS_TO_FORM)
            prompt, options = self._read(await parameters_of(data) or "")
            number = self._keep(Pending(data, options))
            request = GenerationRequest(
                prompt[:MAX_PROMPT],
                model="",
                seed=0,
                negative_prompt=options.get("negative_prompt", "")[:MAX_PROMPT],
                clip_skip=options.get("clip_skip", BOT["clip_skip"]),
            )
            form = forms.foreign_start_form(number, request, interaction.locale)
        await interaction.response.send_modal(form)

    async def started(self, interaction: Interaction, number: int | None) -> None:
        """The form of a picture that is no job's, filled in."""
        typed = forms.fields(interaction)
        pending = self._pending.get(number or 0)
        if pending is None:
            await self._lost(interaction, typed.get("prompt", ""))
            return
        async with forms.given_back(interaction, typed):
            asked, strength = forms.started(GenerationRequest("", "", 0), typed)
            options = pending.options | {
                "negative_prompt": asked.negative_prompt,
                "clip_skip": asked.clip_skip,
                "seed": asked.seed,
            }
            start = Start(pending.data, strength)
            await self.bot.jobs.imagine(interaction, asked.prompt, options, start=start)

    async def _job(self, interaction: Interaction, message: discord.Message) -> Job | None:
        """The job that the message shows, if it has pictures and this member may see it."""
        store = self.bot.store
        job_id = await store.posts.job_id(message.id)
        job = await store.jobs.get(job_id) if job_id is not None else None
        if job is None or (job.private and job.user_id != interaction.user.id):
            return None
        return job if await store.pictures.of_job(job.id) else None

    async def _text(self, interaction: Interaction, message: discord.Message) -> str | None:
        """The parameters of the first picture that has some; else the member is told."""
        found = pictures_in(message)
        trouble: PenultimateError | None = None
        for picture in found:
            try:
                read = await parameters_of(await read_bytes(picture))
            except UnreadablePicture as error:
                trouble = trouble or error
                continue
            if read:
                return read
        if trouble is not None:
            raise trouble
        key = "remix.no_parameters" if found else "remix.no_picture"
        await answers.say(interaction, t(key, interaction.locale))
        return None

    def _read(self, found: str) -> tuple[str, dict[str, Any]]:
        """The prompt, and the options for img2img: its size and seed are the new picture's."""
        prompt, layers, _, _ = read_pasted(found, Layers(), self.bot.catalogue)
        left_out = ("seed", "size", "count")
        return prompt, {
            name: value for name, value in layers.pasted.items() if name not in left_out
        }

    async def _private(self, interaction: Interaction) -> bool:
        """Whether this member's pictures are private by themselves: said before any is read."""
        layers = await layers_of(self.bot.store, interaction.user.id, {})
        who = asker_of(interaction)
        layers = self.bot.gate.layered(who, interaction.guild_id, replace(layers, bot=BOT))
        return bool(layers.first("private")[0])

    async def _show(self, interaction: Interaction, found: str, locale: Locale) -> None:
        prompt, layers, exact, notes = read_pasted(found, Layers(), self.bot.catalogue)
        line = imagine_line(prompt, layers.pasted)
        view, files = parameters_view(found, line, tuple(exact), notes, locale)
        if interaction.response.is_done():
            await interaction.edit_original_response(view=view, attachments=files)
        else:
            await interaction.response.send_message(view=view, files=files, ephemeral=True)

    async def _lost(self, interaction: Interaction, prompt: str) -> None:
        said = t("remix.lost_picture", interaction.locale)
        back = t("edit.your_prompt", interaction.locale)
        typed = prompt.replace("```", "'''")[: forms.MAX_RETURNED]
        said = f"{said}\n{back}\n```\n{typed}\n```" if typed else said
        await answers.say(interaction, said)

    def _keep(self, pending: Pending) -> int:
        # Not counted from 1: after a restart an old form must not find another's picture.
        number = secrets.randbelow(10**18)
        self._pending[number] = pending
        while sum(len(each.data) for each in self._pending.values()) > MAX_PENDING:
            self._pending.popitem(last=False)
        return number


def imagine_line(prompt: str, values: dict[str, Any] | Any) -> str:
    """``/imagine prompt:… clip_skip:2``, as it can be pasted into Discord's own line."""
    said = {"prompt": prompt} | {name: values[name] for name in OPTIONS if name in values}
    shown = (f"{name}:{_value(value)}" for name, value in said.items() if value != "")
    return "/imagine " + " ".join(shown)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())


def parameters_view(
    found: str, line: str, exact: tuple[str, ...], notes: tuple[Note, ...], locale: Locale
) -> tuple[ui.LayoutView, list[discord.File]]:
    """The parameters, the line to draw them here, and what of them is not used.

    What does not fit into a post goes into a file.
    """
    remarks = [t("remix.partly", locale, names=_names(exact, locale))] if exact else []
    remarks += [f"-# {note_text(note, locale.value)}" for note in notes]
    below = "\n".join(remarks)[:NOTES_LENGTH]
    whole = t("panel.parameters", locale)
    how = t("remix.line", locale)
    shown = f"{whole}\n```\n{found}\n```\n{how}\n```\n{line}\n```\n{below}"
    if len(shown) <= MAX_TEXT and "```" not in found:
        return layout(ui.TextDisplay(shown)), []
    name = "parameters.txt"
    file = discord.File(io.BytesIO(f"{found}\n\n{line}\n".encode()), name)
    said = f"{whole}\n{below}".strip()
    return layout(ui.TextDisplay(said), ui.File(f"attachment://{name}")), [file]


def _names(fields: tuple[str, ...], locale: Locale) -> str:
    keys = ("option.hires_scale" if name == "hires" else f"option.{name}" for name in fields)
    return listed((t(key, locale) for key in keys), locale)


async def setup(bot: Penultimate) -> None:
    """Called by discord.py when the bot loads this file."""
    await bot.add_cog(RemixCog(bot))
