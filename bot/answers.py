"""Answers to an interaction: ephemeral, whether it was acknowledged before or not."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Coroutine, Iterable, Sequence
from itertools import count
from typing import Any, Final, TypeAlias

import aiohttp
import discord
from discord import ui

from bot.errors import sentence, unwrapped
from bot.markdown import escape_markdown
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


# Codes of Discord's for an interaction that can no longer be answered: its time is over, or it was
# answered, by a request whose reply was lost.
UNKNOWN_INTERACTION: Final = 10062
ALREADY_ACKNOWLEDGED: Final = 40060
UNKNOWN_WEBHOOK: Final = 10015
INVALID_TOKEN: Final = 50027
UNANSWERABLE: Final = (
    UNKNOWN_INTERACTION,
    ALREADY_ACKNOWLEDGED,
    UNKNOWN_WEBHOOK,
    INVALID_TOKEN,
)

# Seconds after which an action that takes long is acknowledged; Discord waits for 3.
SECONDS_TO_ACKNOWLEDGE: Final = 2.0

_unanswered = count(1)


def unanswered(error: BaseException) -> None:
    """Log, in one line and with their number, that an interaction was not answered."""
    log.warning("an interaction was not answered (%d so far): %s", next(_unanswered), error)


def is_unanswerable(error: BaseException) -> bool:
    """Whether Discord takes no answer to an interaction, as this error of it says."""
    return isinstance(error, discord.HTTPException) and error.code in UNANSWERABLE


def is_unheard(error: BaseException) -> bool:
    """Whether Discord may have taken the answer of which it says, or does not say, this."""
    lost = isinstance(error, aiohttp.ClientError | OSError)
    return lost or (isinstance(error, discord.HTTPException) and error.code == ALREADY_ACKNOWLEDGED)


async def in_time(interaction: Interaction, action: Coroutine[Any, Any, None]) -> None:
    """Run an interaction's action, and acknowledge it before Discord's 3 s are over."""
    acting = asyncio.create_task(action)
    try:
        done, _ = await asyncio.wait({acting}, timeout=SECONDS_TO_ACKNOWLEDGE)
        if not done and not interaction.response.is_done():
            try:
                await acknowledge(interaction)
            except DISCORD_ERRORS as error:
                # What was begun is ended: it may have been accepted already.
                unanswered(error)
        await acting
    finally:
        acting.cancel()


async def acknowledge(interaction: Interaction) -> None:
    """Say that an answer is coming: for the member alone, or in place of what was pressed."""
    if interaction.type is discord.InteractionType.component:
        await defer(interaction, thinking=False)
    elif interaction.type is not discord.InteractionType.autocomplete:
        await defer(interaction)


async def defer(interaction: Interaction, *, thinking: bool = True, ephemeral: bool = True) -> None:
    """Defer the answer, if it is not deferred or given; a reply that is lost does not matter."""
    if interaction.response.is_done():
        return
    try:
        await interaction.response.defer(thinking=thinking, ephemeral=ephemeral)
    except DISCORD_ERRORS as error:
        if not is_unheard(error):
            raise
        unanswered(error)


async def refuse(interaction: Interaction, error: BaseException) -> None:
    """Answer with the sentence for ``error``.

    The prompt of a command is returned with it, for Discord does not keep it.
    """
    cause = unwrapped(error)
    if is_unanswerable(cause):
        unanswered(cause)
        return
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
        unanswered(error)


async def show(
    interaction: Interaction, view: ui.LayoutView, files: Sequence[discord.File] = ()
) -> None:
    """Answer with an ephemeral view, or with the response that was deferred."""
    await _respond(interaction, files, view=view)


async def change(
    interaction: Interaction, view: ui.LayoutView, files: Sequence[discord.File] | None = None
) -> None:
    """Show a view in place of the message whose control was used; with ``files`` in place of its
    own."""
    shown: dict[str, Any] = {"view": view} | ({} if files is None else {"attachments": files})
    try:
        if not interaction.response.is_done():
            await interaction.response.edit_message(**shown)
            return
    except DISCORD_ERRORS as error:
        if not is_unheard(error):
            raise
        unanswered(error)
        shown |= {"attachments": _fresh(files)} if files else {}
    await interaction.edit_original_response(**shown)


async def _respond(
    interaction: Interaction, files: Sequence[discord.File] = (), **content: Any
) -> None:
    response = interaction.response
    if not response.is_done():
        try:
            await response.send_message(**content, files=files, ephemeral=True)
        except DISCORD_ERRORS as error:
            if not is_unheard(error):
                raise
            # It was taken, or a deferral before it was.
            unanswered(error)
            await interaction.edit_original_response(**content, attachments=_fresh(files))
    elif response.type is discord.InteractionResponseType.deferred_channel_message:
        await interaction.edit_original_response(**content, attachments=files)
    else:
        await interaction.followup.send(**content, files=files, ephemeral=True)


def _fresh(files: Sequence[discord.File]) -> list[discord.File]:
    """The files for another attempt: a request closes those that it sent."""
    return [file for file in files if not file.fp.closed]


def payload(interaction: Interaction) -> dict[str, Any]:
    """The interaction's data: a control's ``custom_id`` and values, a form's fields."""
    return dict(interaction.data or {})


def excerpt(text: str, length: int) -> str:
    """Return ``text`` on one line, at most ``length`` characters, its markdown escaped."""
    return cut(escape_markdown(" ".join(text.split())), length)


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
