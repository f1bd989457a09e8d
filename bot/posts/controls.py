"""The buttons and selects under a post: their layout and ``custom_id`` patterns.

A ``custom_id`` names its job, so a control works without time limit; :mod:`bot.actions` has what it
does. discord.py forgets views on restart and confuses views that are changed or reused, so each
send and edit builds a fresh view that holds only these DynamicItems.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

import discord
from discord import ui

from bot.answers import Interaction, payload
from bot.exceptions import Gone

# ``p:<action>:<job>[:<argument>]``, at most 100 characters. Posts keep their ids for ever: add
# actions, but never change what one means.
PATTERN: Final = re.compile(
    r"p:(?P<action>[a-z_]{1,24}):(?P<job>\d{1,18})(?::(?P<argument>\d{1,4}))?"
)

# ``s:<action>[:<number>]``: controls of no job, such as the settings panel or a shared preset.
# /models had its own pattern, ``models:<section>:<page>``, in old posts.
STANDING: Final = re.compile(
    r"(?:s:(?P<action>[a-z_]{1,24})|(?P<models>models:[a-z]{1,24}))(?::(?P<number>\d{1,20}))?"
)

# An index among a select's options.
NUMBER: Final = re.compile(r"[0-9]{1,4}")

# A select shows at most 25 options, a label and a value at most 100 characters each.
MAX_OPTIONS: Final = 25
MAX_LABEL: Final = 100

# Values among the names in a select, which have no unprintable character: what opens a search, and
# the beginning of a clip skip.
SEARCH: Final = "\x1fsearch"
CLIP_SKIP: Final = "\x1fclip"


class Control(ui.DynamicItem[ui.Item[Any]], template=PATTERN):
    """Any button or select of a job, which discord.py makes from the message for each use."""

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Make the item and read nothing: discord.py would only log what this raises."""
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Dispatch to the action, which answers errors too: discord.py would only log them.

        Through the client, because discord.py creates this item.
        """
        await interaction.client.actions.press(interaction)


class Standing(Control, template=STANDING):
    """Any button or select of no job."""


def standing_id(action: str, number: int | None = None) -> str:
    """The ``custom_id`` of a control of no job, such as ``s:import:12``."""
    return f"s:{action}" + ("" if number is None else f":{number}")


def standing_button(label: str, action: str, number: int | None = None, **look: Any) -> Standing:
    """A button of no job; ``look`` are other arguments of :class:`discord.ui.Button`."""
    return Standing(ui.Button(label=label, custom_id=standing_id(action, number), **look))


def standing_select(
    placeholder: str,
    action: str,
    number: int | None = None,
    kind: Callable[..., ui.Item[Any]] = ui.Select,
    **look: Any,
) -> Standing:
    """A select of no job; ``look`` are other arguments of ``kind``."""
    return Standing(kind(placeholder=placeholder, custom_id=standing_id(action, number), **look))


def custom_id(action: str, job_id: int, argument: int | None = None) -> str:
    """The ``custom_id`` of a job's control, such as ``p:clip:12:3``."""
    return f"p:{action}:{job_id}" + ("" if argument is None else f":{argument}")


def button(
    label: str, action: str, job_id: int, argument: int | None = None, **look: Any
) -> Control:
    """A button of a job; ``look`` are other arguments of :class:`discord.ui.Button`."""
    return Control(ui.Button(label=label, custom_id=custom_id(action, job_id, argument), **look))


def select(
    placeholder: str,
    action: str,
    job_id: int,
    options: Iterable[discord.SelectOption],
    argument: int | None = None,
) -> Control:
    """A select of a job, of the first :data:`MAX_OPTIONS` options."""
    action_id, shown = custom_id(action, job_id, argument), list(options)[:MAX_OPTIONS]
    return Control(ui.Select(placeholder=placeholder, options=shown, custom_id=action_id))


def select_options(
    labels: Mapping[str, str], *chosen: str, search: str | None = None, most: int = MAX_OPTIONS
) -> list[discord.SelectOption]:
    """The first options of a select, ``most`` at most, from labels by value; ``chosen`` are marked.

    With ``search``, a label, a last option has the value :data:`SEARCH`.
    """
    shown = list(labels.items())[: most - bool(search)]
    options = [
        discord.SelectOption(label=label[:MAX_LABEL], value=value, default=value in chosen)
        for value, label in shown
    ]
    if search:
        options.append(discord.SelectOption(label=search, value=SEARCH, emoji="🔎"))
    return options


def row(*controls: Control) -> ui.ActionRow[Any]:
    """A row of up to five buttons, or one select."""
    return ui.ActionRow(*controls)


def layout(*items: ui.Item[Any]) -> ui.LayoutView:
    """A fresh view, which is kept nowhere."""
    view = ui.LayoutView(timeout=None)
    # discord.py would keep it for 15 minutes or for ever, once it is sent. Its items are all
    # DynamicItems, which are made anew from the message for each use.
    view.stop()
    for item in items:
        view.add_item(item)
    return view


def chosen(interaction: Interaction) -> str:
    """The value chosen in a select. Raises :class:`~bot.exceptions.Gone` without one."""
    values = payload(interaction).get("values")
    if not values:
        raise Gone("control")
    return str(values[0])


def chosen_number(interaction: Interaction) -> int:
    """The number chosen in a select. Raises :class:`~bot.exceptions.Gone` without one."""
    value = chosen(interaction)
    if NUMBER.fullmatch(value) is None:
        raise Gone("control")
    return int(value)
