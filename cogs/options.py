"""The options that several commands share: their types, descriptions and search.

Discord shows at most 25 choices and asks again with each letter typed, so there is a search
behind every list; all of them look into memory, and wait for neither engine nor disk.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import discord
from discord import app_commands
from discord.app_commands import Choice

from bot.answers import Interaction
from bot.gate.origin import of_interaction
from bot.ordering.choices import MAX_CHOICE, MAX_CHOICES, SAMPLER_NAMES
from bot.ordering.layers import LAYERED, SHAPES
from bot.rules.policy import may_use
from bot.translate import text
from core.models.names import search
from core.options import OPTIONS

Function = TypeVar("Function", bound=Callable[..., Any])

# What /imagine and /explore take after the options that have a place there.
AROUND: Final = ("start_image", "denoising_strength", "preset", "style", "private")

# A prompt has no bound of its own here: it may be a whole picture's parameters. What cannot be
# left out is plain.
_OTHERS: Final[Mapping[str, Any]] = {
    "prompt": str,
    "name": str,
    "start_image": discord.Attachment | None,
} | dict.fromkeys(("x_axis", "x_values", "y_axis", "y_values", "preset", "style"), str | None)


def takes(*names: str, **others: Any) -> Callable[[Function], Function]:
    """Give a command parameters: ``others`` by type, then options as their rows say.

    discord.py reads a command's parameters from the signature of its function, which takes them
    by name and gets None for what was not given.
    """
    types = others | {name: _type(name) for name in names}

    def decorate(function: Function) -> Function:
        cog, interaction, *_ = inspect.signature(function).parameters.values()
        made = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if kind is str else None,
                annotation=kind,
            )
            for name, kind in types.items()
        ]
        function.__signature__ = inspect.Signature([cog, interaction, *made])  # type: ignore[attr-defined]
        fixed = {
            name: choices(OPTIONS[name].choices)
            for name in names
            if name in OPTIONS and OPTIONS[name].choices and name not in _SEARCHES
        }
        app_commands.choices(**fixed)(function)
        return shared(*types)(function)

    return decorate


def said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of a command's parameters the values of options that were given."""
    return {name: given[name] for name in LAYERED if given.get(name) is not None}


def _type(name: str) -> Any:
    """What discord.py makes a parameter of: a number within bounds, a text of a length."""
    if name in _OTHERS:
        return _OTHERS[name]
    option = OPTIONS[name]
    kind: Any = option.type
    if option.range is not None:
        # A default may lie outside: a seed of -1 is drawn.
        low = min(option.range.low, option.default)
        kind = app_commands.Range[kind, kind(low), kind(option.range.high)]
    elif option.longest:
        kind = app_commands.Range[kind, 0, option.longest]
    return kind | None


def shared(*names: str) -> Callable[[Function], Function]:
    """Describe these options of a command, and search where there is something to search."""

    def decorate(function: Function) -> Function:
        searches = {name: _SEARCHES[name] for name in names if name in _SEARCHES}
        descriptions = {name: text(f"describe.{name}") for name in names}
        app_commands.autocomplete(**searches)(function)
        app_commands.describe(**descriptions)(function)
        return function

    return decorate


def choices(names: Iterable[str]) -> list[Choice[str]]:
    """As many as Discord takes; a name too long to be sent back can still be typed."""
    fitting = [name for name in names if len(name) <= MAX_CHOICE]
    return [Choice(name=name, value=name) for name in fitting[:MAX_CHOICES]]


async def _models(interaction: Interaction, typed: str) -> list[Choice[str]]:
    # Those this server uses, and this member may.
    server = interaction.client.gate.server(interaction.guild_id)
    who = of_interaction(interaction).who
    models = interaction.client.catalogue.models
    return choices(search((m.name for m in models if may_use(server, who, m.name)), typed))


async def _vaes(interaction: Interaction, typed: str) -> list[Choice[str]]:
    return choices(interaction.client.catalogue.search_vaes(typed))


async def _samplers(interaction: Interaction, typed: str) -> list[Choice[str]]:
    return choices(search(SAMPLER_NAMES, typed))


async def _sizes(interaction: Interaction, typed: str) -> list[Choice[str]]:
    # Any size may be typed, and Discord sends only what is picked or typed to its end.
    return choices(search(SHAPES, typed) if not typed[:1].isdecimal() else (typed,))


async def _presets(interaction: Interaction, typed: str) -> list[Choice[str]]:
    presets = interaction.client.store.presets
    return choices(search(presets.names(interaction.user.id), typed))


async def _styles(interaction: Interaction, typed: str) -> list[Choice[str]]:
    styles = interaction.client.store.styles
    return choices(search(styles.names(interaction.guild_id), typed))


_SEARCHES: Final = {
    "model": _models,
    "vae": _vaes,
    "sampler": _samplers,
    "size": _sizes,
    "preset": _presets,
    "name": _presets,
    "style": _styles,
}
