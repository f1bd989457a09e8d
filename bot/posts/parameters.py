"""The view of a picture's generation parameters: their text, the command that draws them here, and
remarks on what it leaves out."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.answers import cut, excerpt
from bot.ordering.layers import BOT, Layers, read_pasted
from bot.posts.controls import layout
from bot.posts.option_text import typed_text
from bot.posts.result import note_text
from bot.translate import option_names, t
from core.models.catalogue import Catalogue
from core.models.uses import networks_of
from core.notes import Note
from core.options import Place, names
from core.pictures.reading import Reading, grouped
from core.prompt.variants import literal

PROMPTS: Final = ("prompt", "negative_prompt")
IMAGINE: Final = (*names(Place.IMAGINE), "private")
# A post holds 4,000 characters of text.
MAX_TEXT: Final = 3900
NOTES_LENGTH: Final = 1000
PAIRS_LENGTH: Final = 200


def parameters_view(
    found: str, locale: Locale, *further: ui.ActionRow[Any], catalogue: Catalogue | None = None
) -> tuple[ui.LayoutView, list[discord.File]]:
    """The view of the parameters ``found`` in a picture, and the files to send with it: text that
    is too long for a post is attached.

    With ``catalogue`` the command that draws them here follows, with remarks on the options that
    no command can set and on what was left out. ``further`` are rows of controls below.
    """
    title, whole, below, how = t("panel.parameters", locale), found, "", ""
    if catalogue is not None:
        prompt, layers, exact, reading = read_pasted(found, Layers(), catalogue)
        others = [name for name in layers.pasted if _has_no_option(name, layers.pasted[name])]
        fields = ("hires_scale" if each == "hires" else each for each in (*exact, *others))
        listed = option_names(fields, locale)
        remarks = [t("remix.partly", locale, names=listed)] if listed else []
        remarks += _remarks(reading, locale)
        remarks += _unused_networks(prompt, layers.pasted.get("model"), catalogue, locale)
        line, below = imagine_line(prompt, layers.pasted), "\n".join(remarks)
        whole = f"{found}\n\n{line}\n\n{below}\n"
        below = cut(below, NOTES_LENGTH)
        how = f"{t('remix.line', locale)}\n```\n{line}\n```\n{below}"
    text = f"{title}\n```\n{found}\n```\n{how}".strip()
    if len(text) <= MAX_TEXT and "```" not in found:
        return layout(ui.TextDisplay(text), *further), []
    file = discord.File(io.BytesIO(whole.encode()), "parameters.txt")
    said = ui.TextDisplay[ui.LayoutView](f"{title}\n{below}".strip())
    return layout(said, ui.File(f"attachment://{file.filename}"), *further), [file]


def _remarks(reading: Reading, locale: Locale) -> Iterator[str]:
    """Say what of a text is not used, a line for each reason, and what else there is to say."""
    for pairs, why in grouped(reading):
        said = note_text(why, locale.value)
        if why.key.startswith("left_"):
            yield t("remix.ignored", locale, names=excerpt(pairs, PAIRS_LENGTH), why=said)
        else:
            yield f"-# {said}"
    for note in reading.remarks:
        if note.key not in ("no_effect", "only_information"):
            yield f"-# {note_text(note, locale.value)}"


def _unused_networks(
    prompt: str, model: str | None, catalogue: Catalogue, locale: Locale
) -> Iterator[str]:
    """Say which LoRAs of a prompt its model could not use; the reading says which are not here."""
    found = catalogue.find(model) if model else next(iter(catalogue.models), None)
    notes: list[Note] = []
    if found is not None:
        networks_of(prompt, catalogue, found, notes)
    for note in dict.fromkeys(notes):
        if note.key != "unknown_name":
            yield f"-# {note_text(note, locale.value)}"


def _has_no_option(name: str, value: Any) -> bool:
    """Whether a value that is not the bot's own cannot be given to /imagine."""
    return name not in IMAGINE and value != BOT.get(name)


def imagine_line(prompt: str, values: Mapping[str, Any]) -> str:
    """``/imagine prompt:… clip_skip:2``, to paste into Discord's text input."""
    said = {"prompt": prompt} | {name: values[name] for name in IMAGINE if name in values}
    # Braces that were words stay words.
    said |= {name: literal(said[name]) for name in PROMPTS if name in said}
    return "/imagine " + " ".join(
        f"{name}:{typed_text(value)}" for name, value in said.items() if value != ""
    )
