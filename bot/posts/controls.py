"""The buttons and selects under a post. Each names its job, so it works for ever.

What a press does is in :mod:`bot.actions`; here is only how a control looks and is recognised.
discord.py forgets a view on restart and mixes up views that are changed or reused: so every
send builds a fresh view, and everything in it that can be pressed is this one DynamicItem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

import discord
from discord import ui

from bot.answers import Interaction, payload
from bot.exceptions import Gone

# ``p:<action>:<job>[:<argument>]``, at most 100 characters. Once posted, a pattern is for ever:
# add to it, never change what an action means.
PATTERN: Final = re.compile(
    r"p:(?P<action>[a-z_]{1,24}):(?P<job>\d{1,18})(?::(?P<argument>\d{1,4}))?"
)

# ``s:<action>[:<number>]``: what belongs to no job, such as the settings panel or a shared preset.
# /models had its own pattern, ``models:<section>:<page>``, before there was one for all.
STANDING: Final = re.compile(
    r"(?:s:(?P<action>[a-z_]{1,24})|(?P<models>models:[a-z]{1,24}))(?::(?P<number>\d{1,20}))?"
)

# A place among a select's options.
NUMBER: Final = re.compile(r"[0-9]{1,4}")

# A select shows at most 25 options, a label and a value at most 100 characters each.
MAX_OPTIONS: Final = 25
MAX_LABEL: Final = 100


class Control(ui.DynamicItem[ui.Item[Any]], template=PATTERN):
    """Any button or select of ours, made new by discord.py from the message for each press."""

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Nothing is read here: discord.py only logs what this raises."""
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Hand the press on, to where errors are answered too: discord.py would only log them.

        discord.py itself makes the item, so this is the one part that must ask the client.
        """
        await interaction.client.actions.press(interaction)


class Standing(Control, template=STANDING):
    """The same for what belongs to no job."""


def standing_id(action: str, number: int | None = None) -> str:
    """``s:import:12``."""
    return f"s:{action}" + ("" if number is None else f":{number}")


def standing_button(label: str, action: str, number: int | None = None, **look: Any) -> Standing:
    """A button that asks for ``action``; ``look`` is as for discord.py's own button."""
    return Standing(ui.Button(label=label, custom_id=standing_id(action, number), **look))


def standing_select(
    placeholder: str,
    action: str,
    number: int | None = None,
    kind: Callable[..., ui.Item[Any]] = ui.Select,
    **look: Any,
) -> Standing:
    """The same of a select, of the ``kind`` that discord.py has."""
    return Standing(kind(placeholder=placeholder, custom_id=standing_id(action, number), **look))


def custom_id(action: str, job_id: int, argument: int | None = None) -> str:
    """``p:clip:12:3``."""
    return f"p:{action}:{job_id}" + ("" if argument is None else f":{argument}")


def button(
    label: str,
    action: str,
    job_id: int,
    argument: int | None = None,
    *,
    emoji: str | None = None,
    style: discord.ButtonStyle = discord.ButtonStyle.secondary,
    disabled: bool = False,
) -> Control:
    """A button that asks for ``action`` on a job."""
    return Control(
        ui.Button(
            label=label,
            emoji=emoji,
            style=style,
            disabled=disabled,
            custom_id=custom_id(action, job_id, argument),
        )
    )


def select(
    placeholder: str,
    action: str,
    job_id: int,
    options: Iterable[discord.SelectOption],
    argument: int | None = None,
) -> Control:
    """A select that asks for ``action`` with the value chosen."""
    return Control(
        ui.Select(
            placeholder=placeholder,
            options=list(options)[:MAX_OPTIONS],
            custom_id=custom_id(action, job_id, argument),
        )
    )


def row(*controls: Control) -> ui.ActionRow[Any]:
    """One line: up to five buttons, or one select."""
    return ui.ActionRow(*controls)


def layout(*items: ui.Item[Any]) -> ui.LayoutView:
    """A fresh view that never times out."""
    view = ui.LayoutView(timeout=None)
    for item in items:
        view.add_item(item)
    return view


def chosen(interaction: Interaction) -> str:
    """The value picked in a select. Raises :class:`~bot.exceptions.Gone` where nothing was."""
    values = payload(interaction).get("values")
    if not values:
        raise Gone("control")
    return str(values[0])


def chosen_number(interaction: Interaction) -> int:
    """The same where the values are numbers."""
    value = chosen(interaction)
    if NUMBER.fullmatch(value) is None:
        raise Gone("control")
    return int(value)
