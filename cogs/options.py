"""The options that several commands share: their types, descriptions and search.

Discord shows at most 25 choices and asks again with each letter typed. So every list is searched,
in memory: an autocomplete that waits for the engine or the disk would come too late.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

import discord
from discord import app_commands
from discord.app_commands import Choice

from bot.client import Penultimate
from bot.gate.origin import of_interaction
from bot.ordering.adding import MAX_WORDS, split_weight
from bot.ordering.choices import MAX_CHOICE, MAX_CHOICES, SAMPLER_NAMES, size_names
from bot.ordering.layers import ADDED, LAYERED
from bot.rules.policy import usable
from bot.translate import t, text
from core.models.addons import NetworkFile, Shelf
from core.models.catalogue import Model
from core.models.names import search
from core.options import OPTIONS

# discord.py calls an autocomplete with no more than this.
Interaction: TypeAlias = discord.Interaction[Penultimate]
Function = TypeVar("Function", bound=Callable[..., Any])

# What /imagine and /explore take after the options of their place.
AROUND: Final = ("start_image", "denoising_strength", "preset", "style", "private")

# A parameter that is required is a plain str. A prompt is not bounded: it may be infotext.
_OTHERS: Final[Mapping[str, Any]] = {
    "prompt": str,
    "name": str,
    "start_image": discord.Attachment | None,
} | dict.fromkeys(("x_axis", "x_values", "y_axis", "y_values", "preset", "style"), str | None)


def takes(*names: str, **others: Any) -> Callable[[Function], Function]:
    """Give a command parameters: ``others`` by type, then options by name.

    discord.py reads a command's parameters from the signature of its function, which gets them
    by keyword, None for what was not given.
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


def given_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Select from a command's parameters the options that were given."""
    return {name: given[name] for name in (*LAYERED, *ADDED) if given.get(name) is not None}


def _type(name: str) -> Any:
    """Make the annotation of a parameter: a number within bounds, a text of a length."""
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
    """Describe these options of a command, and add the autocomplete where there is one."""

    def decorate(function: Function) -> Function:
        searches = {name: _SEARCHES[name] for name in names if name in _SEARCHES}
        descriptions = {name: text(f"describe.{name}") for name in names}
        app_commands.autocomplete(**searches)(function)
        app_commands.describe(**descriptions)(function)
        return function

    return decorate


def choices(names: Iterable[str]) -> list[Choice[str]]:
    """Make as many choices as Discord takes; a name too long for a choice can still be typed."""
    fitting = [name for name in names if len(name) <= MAX_CHOICE]
    return [Choice(name=name, value=name) for name in fitting[:MAX_CHOICES]]


def _searching(names: Callable[[Interaction], Iterable[str]]) -> Callable[..., Any]:
    """Make an autocomplete that searches these names, which must be in memory."""

    async def complete(interaction: Interaction, typed: str) -> list[Choice[str]]:
        return choices(search(names(interaction), typed))

    return complete


def _models(interaction: Interaction) -> Iterable[str]:
    """List the models that this server uses and this member may."""
    server = interaction.client.gate.server(interaction.guild_id)
    who = of_interaction(interaction).who
    found = (model.name for model in interaction.client.catalogue.models)
    return usable(server, who, "model", found)


async def _loras(interaction: Interaction, typed: str) -> list[Choice[str]]:
    """Search the LoRAs by name and trigger words, which the choice shows; a weight stays.

    They are those that fit the model, if one is chosen, and that this member may use.
    """
    catalogue, locale = interaction.client.catalogue, interaction.locale
    chosen = interaction.namespace.model
    model = catalogue.find(chosen) if chosen else None
    server = interaction.client.gate.server(interaction.guild_id)
    names = catalogue.networks.names
    allowed = set(usable(server, of_interaction(interaction).who, "lora", names))
    name, weight = split_weight(typed)
    labels = _searched(catalogue.networks)
    fitting = (
        label
        for label, file in labels.items()
        if file.name in allowed and (not model or file.family in (None, model.family))
    )
    offered = []
    for file in map(labels.__getitem__, search(fitting, name)):
        value = f"{file.in_text}:{weight}" if weight else file.in_text
        facts = [] if model or not file.family else [t(f"family.{file.family}", locale)]
        words = ", ".join(file.triggers[:MAX_WORDS])
        shown = " · ".join(filter(None, (value, *facts, words)))
        if len(value) <= MAX_CHOICE:
            offered.append(Choice(name=_cut(shown), value=value))
    return offered


@lru_cache(maxsize=1)
def _searched(networks: Shelf[NetworkFile]) -> dict[str, NetworkFile]:
    """By what is searched, a name and its words; there may be thousands, for each letter typed."""
    return {" ".join((file.name, *file.triggers[:MAX_WORDS])): file for file in networks}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHOICE else f"{text[: MAX_CHOICE - 1]}…"


async def _sizes(interaction: Interaction, typed: str) -> list[Choice[str]]:
    """Offer shapes and sizes within the limits; any size may be typed, and is checked then."""
    bot, model = interaction.client, _model(interaction)
    offered = size_names(bot.gate.limits(interaction.guild_id), model) if model else []
    return choices(search(offered, typed) or [typed])


def _model(interaction: Interaction) -> Model | None:
    """The model that was chosen, or else the first."""
    catalogue, named = interaction.client.catalogue, interaction.namespace.model
    return catalogue.find(named) if named else next(iter(catalogue.models), None)


_presets: Final = _searching(lambda each: each.client.store.presets.names(each.user.id))

_SEARCHES: Final = {
    "model": _searching(_models),
    "lora": _loras,
    "hires_upscaler": _searching(lambda each: each.client.catalogue.upscaler_names),
    "vae": _searching(lambda each: each.client.catalogue.vae_names),
    "sampler": _searching(lambda _: SAMPLER_NAMES),
    "size": _sizes,
    "preset": _presets,
    "name": _presets,
    "style": _searching(lambda each: each.client.store.styles.names(each.guild_id)),
}
