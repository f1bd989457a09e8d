"""Answers to an interaction: ephemeral, whether it was acknowledged before or not."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import aiohttp
import discord
from discord import ui

from bot.errors import sentence
from bot.translate import t

log = logging.getLogger(__name__)

# Of any client: parts are given what they use, and do not ask the client for it.
Interaction: TypeAlias = discord.Interaction[Any]

# Failures of a request to Discord that are no bug: it was refused, or did not arrive.
DISCORD_ERRORS: Final = (discord.HTTPException, aiohttp.ClientError, OSError)

# Characters in a message; longer texts are cut, for Discord would refuse them.
MAX_CONTENT: Final = 2000
# What a post of panels and texts holds.
MAX_TEXT: Final = 4000
# Characters of a returned prompt in the message; a longer prompt is attached as a file.
MAX_RETURNED: Final = 1500


async def refuse(interaction: Interaction, error: BaseException) -> None:
    """Answer with the sentence for ``error``.

    The prompt of a command is returned with it, for Discord does not keep it.
    """
    said, files = sentence(error, interaction.locale), []
    prompt = interaction.namespace.prompt
    # The answer to a deferred interaction may be public.
    if isinstance(prompt, str) and not interaction.response.is_done():
        said = with_prompt(interaction, said, prompt)
        if len(prompt) > MAX_RETURNED:
            files = [discord.File(io.BytesIO(prompt.encode(errors="replace")), "prompt.txt")]
    await say(interaction, said, files)


def with_prompt(interaction: Interaction, said: str, prompt: str) -> str:
    """The sentence, and below it the prompt to copy."""
    if not prompt:
        return said
    back = t("edit.your_prompt", interaction.locale)
    shown = prompt.replace("```", "'''")[:MAX_RETURNED]
    return f"{said}\n{back}\n```\n{shown}\n```"


async def say(interaction: Interaction, text: str, files: Sequence[discord.File] = ()) -> None:
    """Answer with an ephemeral message.

    A deferred interaction gets it as its response, which is ephemeral only if it was deferred so.
    """
    try:
        await _respond(interaction, files, content=text[:MAX_CONTENT])
    except DISCORD_ERRORS as error:
        # Its 3 s, or 15 minutes, have passed: there is no other route to the member.
        log.warning("could not answer an interaction: %s", error)


async def show(
    interaction: Interaction, view: ui.LayoutView, files: Sequence[discord.File] = ()
) -> None:
    """Answer with an ephemeral view, or with the response that was deferred."""
    await _respond(interaction, files, view=view)


async def _respond(
    interaction: Interaction, files: Sequence[discord.File] = (), **content: Any
) -> None:
    response = interaction.response
    if not response.is_done():
        await response.send_message(**content, files=files, ephemeral=True)
    elif response.type is discord.InteractionResponseType.deferred_channel_message:
        await interaction.edit_original_response(**content, attachments=files)
    else:
        await interaction.followup.send(**content, files=files, ephemeral=True)


def payload(interaction: Interaction) -> dict[str, Any]:
    """The interaction's data: a control's ``custom_id`` and values, a form's fields."""
    return dict(interaction.data or {})


def excerpt(text: str, length: int) -> str:
    """Return ``text`` on one line, at most ``length`` characters, its markdown escaped."""
    return cut(discord.utils.escape_markdown(" ".join(text.split())), length)


def cut(text: str, length: int) -> str:
    """Return escaped ``text``, at most ``length`` characters, with no backslash before the cut."""
    return text if len(text) <= length else text[: length - 1].rstrip("\\ ") + "…"


def named_list(title: str, texts: Iterable[tuple[str, str]]) -> str:
    """Return the title and a line for each name and its escaped text, shortened alike so that
    the whole fits into one post."""
    texts = list(texts)
    width = (MAX_TEXT - len(title)) // max(1, len(texts)) - len("- **** — \n")
    lines = [title]
    for name, text in texts:
        name = excerpt(name, width * 2 // 3)
        lines.append(f"- **{name}** — {cut(text, width - len(name))}")
    return "\n".join(lines)
