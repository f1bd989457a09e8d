"""How the bot answers one person about one interaction: privately, once, whatever came before."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import aiohttp
import discord
from discord import ui

from bot.errors import sentence
from bot.translate import t

log = logging.getLogger(__name__)

# What a part needs it is given; none reaches for it through the client.
Interaction: TypeAlias = discord.Interaction[Any]

# What a request to Discord may end in that is no mistake of ours: refused, or not arrived.
DISCORD_ERRORS: Final = (discord.HTTPException, aiohttp.ClientError, OSError)

# Content of a message; longer texts are cut rather than refused by Discord.
MAX_CONTENT: Final = 2000
# Of a prompt that could not be used, so much is given back; a longer one is in a file.
MAX_RETURNED: Final = 1500


async def refuse(interaction: Interaction, error: BaseException) -> None:
    """Tell the member why nothing was done, so that nothing stays "thinking".

    Discord forgets what was typed into a command, so its prompt is given back.
    """
    said, files = sentence(error, interaction.locale), []
    prompt = interaction.namespace.prompt
    # An answer after "thinking" may be for everybody.
    if isinstance(prompt, str) and not interaction.response.is_done():
        said = with_prompt(interaction, said, prompt)
        if len(prompt) > MAX_RETURNED:
            files = [discord.File(io.BytesIO(prompt.encode(errors="replace")), "prompt.txt")]
    await say(interaction, said, files)


def with_prompt(interaction: Interaction, said: str, prompt: str) -> str:
    """A sentence, and below it the prompt to be copied."""
    if not prompt:
        return said
    back = t("edit.your_prompt", interaction.locale)
    shown = prompt.replace("```", "'''")[:MAX_RETURNED]
    return f"{said}\n{back}\n```\n{shown}\n```"


async def say(interaction: Interaction, text: str, files: Sequence[discord.File] = ()) -> None:
    """An ephemeral sentence to who acted.

    An interaction that was already acknowledged as "thinking" gets it in that place, where
    ephemeral or not was fixed when it was deferred.
    """
    text = text[:MAX_CONTENT]
    response = interaction.response
    try:
        if not response.is_done():
            await response.send_message(text, ephemeral=True, files=files)
        elif response.type is discord.InteractionResponseType.deferred_channel_message:
            await interaction.edit_original_response(content=text, attachments=files)
        else:
            await interaction.followup.send(text, ephemeral=True, files=files)
    except DISCORD_ERRORS as error:
        # The interaction is gone (3 s, or 15 min, have passed): there is nobody left to tell.
        log.warning("could not answer an interaction: %s", error)


async def show(interaction: Interaction, view: ui.LayoutView) -> None:
    """An ephemeral panel as the answer, or in place of the "thinking" that was shown."""
    response = interaction.response
    if not response.is_done():
        await response.send_message(view=view, ephemeral=True)
    elif response.type is discord.InteractionResponseType.deferred_channel_message:
        await interaction.edit_original_response(view=view)
    else:
        await interaction.followup.send(view=view, ephemeral=True)


def payload(interaction: Interaction) -> dict[str, Any]:
    """What Discord sent along: a control's ``custom_id`` and values, a form's fields."""
    return dict(interaction.data or {})


def excerpt(text: str, length: int) -> str:
    """``text`` on one line, at most ``length`` characters, its markdown made harmless."""
    line = discord.utils.escape_markdown(" ".join(text.split()))
    # Escaping can only lengthen, so what is cut here is never a lone backslash.
    return line if len(line) <= length else line[: length - 1].rstrip("\\ ") + "…"
