"""The view of a picture's generation parameters: their text, the command that draws them here, and
remarks on what it leaves out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.ordering.layers import LAYERED, Layers, read_pasted
from bot.posts.controls import layout
from bot.posts.option_text import typed_text
from bot.posts.result import note_text
from bot.translate import option_names, t
from core.models.catalogue import Catalogue
from core.notes import Note

# A post holds 4,000 characters of text.
MAX_TEXT: Final = 3900
NOTES_LENGTH: Final = 1000


def shown(
    found: str, catalogue: Catalogue, locale: Locale, *further: ui.ActionRow[Any]
) -> tuple[ui.LayoutView, list[discord.File]]:
    """The view of the parameters ``found`` in a picture, and the files to send with it.

    ``further`` are rows of controls below.
    """
    prompt, layers, exact, notes = read_pasted(found, Layers(), catalogue)
    line = imagine_line(prompt, layers.pasted)
    return parameters_view(found, line, tuple(exact), notes, locale, *further)


def imagine_line(prompt: str, values: Mapping[str, Any]) -> str:
    """``/imagine prompt:… clip_skip:2``, to paste into Discord's text input."""
    said = {"prompt": prompt} | {name: values[name] for name in LAYERED if name in values}
    return "/imagine " + " ".join(
        f"{name}:{typed_text(value)}" for name, value in said.items() if value != ""
    )


def parameters_view(
    found: str,
    line: str,
    exact: tuple[str, ...],
    notes: tuple[Note, ...],
    locale: Locale,
    *further: ui.ActionRow[Any],
) -> tuple[ui.LayoutView, list[discord.File]]:
    """The parameters ``found``, the command ``line`` that draws them, if any, and remarks: the
    options ``exact`` that no command can set, and ``notes``.

    Text that is too long for a post is attached as a file.
    """
    title = t("panel.parameters", locale)
    remarks = [t("remix.partly", locale, names=_names(exact, locale))] if exact else []
    remarks += [f"-# {note_text(note, locale.value)}" for note in notes]
    below = "\n".join(remarks)[:NOTES_LENGTH]
    how = f"{t('remix.line', locale)}\n```\n{line}\n```\n{below}" if line else ""
    text = f"{title}\n```\n{found}\n```\n{how}".strip()
    if len(text) <= MAX_TEXT and "```" not in found:
        return layout(ui.TextDisplay(text), *further), []
    whole = f"{found}\n\n{line}\n" if line else found
    file = discord.File(io.BytesIO(whole.encode()), "parameters.txt")
    said = ui.TextDisplay[ui.LayoutView](f"{title}\n{below}".strip())
    return layout(said, ui.File(f"attachment://{file.filename}"), *further), [file]


def _names(fields: tuple[str, ...], locale: Locale) -> str:
    return option_names(("hires_scale" if name == "hires" else name for name in fields), locale)
