"""No English is left in what a member reads whose language has letters of its own.

The catalogues, every error and note, and a walk: commands, and each control of what they answer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import discord
import pytest
from simcord.actors import MemberActor
from simcord.results import InteractionResult

from bot.errors import sentence
from bot.exceptions import Unexpected
from bot.posts.result import note_text
from bot.translate import catalogues
from bot.upkeep.pace import MemberPace
from core.errors import PenultimateError
from core.notes import NOTES, Note
from core.options import SAMPLERS, SCHEDULE_TYPES
from tests.every_error import EVERY
from tests.project.test_languages import places
from tests.simulation import World, components

OTHERS = ("ja", "zh-CN", "zh-TW")

# What no language translates: names, formats, units, and what is typed as it stands.
NAMES = {
    *("Discord", "DM", "Ctrl", "UTC", "GiB", "MB", "px", "JSON", "PNG", "JPEG", "WebP", "NSFW"),
    *("Stable", "Diffusion", "SD", "XL", "SDXL", "LoRA", "VAE", "CLIP", "CFG", "AND", "token"),
    *("DPM", "Karras", "Automatic", "None", "pickle", "safetensors", "checkpoint", "default"),
    *("CPU", "GPU", "NV", "ENSD", "Eta", "Sigma", "sigma", "churn", "tmin", "tmax", "rho"),
    *("alpha", "beta", "Beta", "DDIM", "SGM", "NGMS", "True", "False"),
    *("UniPC", "variant", "skip", "type", "order", "lower", "final"),
    *("portrait", "landscape", "square", "history", "preset", "config", "export", "values", "VRAM"),
}
# What the walk meets: this world's models and VAEs, samplers, and a pasted text's own words.
MET = {
    *("plain", "anime", "two", "vivid", "soft", "other", "English"),
    *(word for name in SAMPLERS + SCHEDULE_TYPES for word in re.findall(r"[A-Za-z]+", name)),
    *("Steps", "Size", "Hires", "upscale", "Eta", "Foo"),
    # The example in Edit is in A1111's words.
    *("scale", "Sampler", "Model", "Euler"),
}
PASTED = (
    "猫 (犬:1.2\nNegative prompt: 犬\nSteps: 900, Sampler: Foo, CFG scale: 7, Seed: 5,"
    " Size: 513x512, Eta: 4, Model: 甲, Hires upscale: 9"
)
WALK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("imagine", {"prompt": "猫", "count": 2}),
    ("imagine", {"prompt": "猫", "steps": 12, "vae": "vivid", "sampler": "Heun", "size": "64x64"}),
    ("imagine", {"prompt": "{猫", "model": "two", "clip_skip": 2}),
    ("imagine", {"prompt": PASTED}),
    ("explore", {"prompt": "猫", "x_axis": "cfg_scale", "y_axis": "sampler"}),
    ("settings", {}),
    ("models", {}),
    ("queue", {}),
    ("history", {}),
    ("show", {"id": 1}),
    ("help", {}),
    ("preset save", {"name": "甲", "steps": 9, "private": True}),
    ("preset show", {"name": "甲"}),
    ("preset share", {"name": "甲"}),
    ("preset import", {"text": '{"name": "乙", "clip_skip": 3, "private": 3, "model": 4}'}),
    ("preset list", {}),
    ("preset delete", {"name": "丙"}),
    ("style list", {}),
    ("config defaults", {"steps": 9, "clip_skip": 2}),
    *((f"config {name}", {}) for name in ("show", "access", "models", "limits", "quota")),
    *((f"config {name}", {}) for name in ("words", "nsfw", "general", "export")),
    ("privacy delete", {}),
)


def english(sentence: str) -> set[str]:
    """The English words in a sentence: what is no name, no place, no address and no code."""
    plain = re.sub(r"\{\w+\}|`[^`]*`|Clip skip|<t:\d+:R>|https:[^)]*", " ", sentence)
    return set(re.findall(r"[A-Za-z]{2,}", plain)) - NAMES


@pytest.mark.parametrize("language", OTHERS)
def test_no_catalogue_holds_english(language: str) -> None:
    for key, said in catalogues()[language].items():
        assert not english(said), key


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("error", EVERY, ids=lambda error: f"{type(error).__name__}: {error}")
def test_every_error_is_said_without_english(error: PenultimateError, language: str) -> None:
    if isinstance(error, Unexpected):
        assert error.incident in sentence(error, language)
    else:
        assert not english(sentence(error, language))


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("key", NOTES)
def test_every_note_is_said_without_english(key: str, language: str) -> None:
    assert not english(note_text(Note.of(key, **dict.fromkeys(places(NOTES[key]), "7")), language))


def texts(sent: Any) -> Iterator[str]:
    """Every text in a post or a form that Discord shows."""
    if isinstance(sent, list):
        for item in sent:
            yield from texts(item)
    elif isinstance(sent, dict):
        for name, value in sent.items():
            if name in ("content", "label", "placeholder", "description", "title"):
                yield value or ""
            elif name not in ("value", "custom_id"):
                yield from texts(value)


class Walker:
    """A member who reads everything, and presses each kind of control once."""

    def __init__(self, world: World, member: MemberActor) -> None:
        self.world, self.member = world, member
        # Deletes what the rest of the walk would see.
        self.pressed = {"s:forget_me"}
        self.read: set[str] = set()

    async def command(self, name: str, options: dict[str, Any]) -> None:
        result = await self.member.slash(self.world.channel, name, **options)
        await self._look(result, depth=2)

    async def _look(self, result: InteractionResult, depth: int) -> None:
        # Reading the errors accepts those with a sentence.
        list(self.world.env.errors)
        self.read |= {*texts(result.modal)}
        found: list[Any] = [result.response, *result.followups, self.world.channel.last_message]
        for message in filter(None, found):
            self.read |= {message.content, *texts(components(message))}
            for control in components(message) if depth else ():
                await self._press(message, control, depth)

    async def _press(self, message: Any, control: dict[str, Any], depth: int) -> None:
        custom_id = control.get("custom_id", "")
        kind = re.sub(r"\d+", "#", custom_id)
        if control["type"] not in (2, 3) or control.get("disabled") or kind in self.pressed:
            return
        self.pressed.add(kind)
        if control["type"] == 2:
            result = await self.member.click(message, custom_id=custom_id)
        else:
            value = control["options"][0]["value"]
            result = await self.member.select(message, [value], custom_id=custom_id)
        await self._look(result, depth - 1)


@pytest.mark.parametrize("locale", OTHERS)
async def test_a_walk_meets_no_english(
    world: World, speak: Callable[[str], None], locale: str
) -> None:
    speak(locale)
    role = world.guild.create_role("所有者", permissions=discord.Permissions.all())
    member = world.guild.add_member(world.env.create_user("所有者"), roles=[role])
    # Who reads it all has pauses; this walk has none.
    world.bot._pace = MemberPace(itertools.count(step=60).__next__)
    walker = Walker(world, member)
    for name, options in WALK:
        await walker.command(name, options)
    assert len(walker.pressed) > 40
    assert {said for said in walker.read if english(said) - MET} == set()
