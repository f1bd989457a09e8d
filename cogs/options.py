"""The options that several commands share: their ranges, descriptions and search.

Discord shows at most 25 choices and asks again with each letter typed, so there is a search
behind every list; all of them look into memory, and wait for neither engine nor disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from discord import app_commands
from discord.app_commands import Choice

from bot.answers import Interaction
from bot.gate.origin import of_interaction
from bot.ordering.choices import MAX_CHOICE, MAX_CHOICES, SAMPLER_NAMES
from bot.ordering.resolve import RANDOM_SEED, SHAPES
from bot.rules.policy import may_use
from bot.translate import text
from core.models.catalogue import search
from core.request import MAX_PROMPT, RANGES

Prompt = app_commands.Range[str, 0, MAX_PROMPT]
ClipSkip = app_commands.Range[int, int(RANGES["clip_skip"].low), int(RANGES["clip_skip"].high)]
Seed = app_commands.Range[int, RANDOM_SEED, int(RANGES["seed"].high)]
Steps = app_commands.Range[int, int(RANGES["steps"].low), int(RANGES["steps"].high)]
CfgScale = app_commands.Range[float, RANGES["cfg_scale"].low, RANGES["cfg_scale"].high]
Strength = app_commands.Range[
    float, RANGES["denoising_strength"].low, RANGES["denoising_strength"].high
]
Count = app_commands.Range[int, int(RANGES["count"].low), int(RANGES["count"].high)]

Function = TypeVar("Function", bound=Callable[..., Any])


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
    return choices(search(presets.names.of(interaction.user.id), typed))


async def _styles(interaction: Interaction, typed: str) -> list[Choice[str]]:
    styles = interaction.client.store.styles
    return choices(search(styles.names.of(interaction.guild_id), typed))


_SEARCHES: Final = {
    "model": _models,
    "vae": _vaes,
    "sampler": _samplers,
    "size": _sizes,
    "preset": _presets,
    "name": _presets,
    "style": _styles,
}
