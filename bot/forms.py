"""The modals: what each asks, and what was typed into it.

A modal is never kept in memory: its submit is recognised by its ``custom_id``, so that one
opened before a restart still works.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import discord
from discord import ui

from bot.answers import Interaction, payload
from bot.controls import custom_id
from bot.defaults import RANDOM_SEED
from bot.store import Job
from bot.store.names import MAX_NAME
from bot.translate import t
from core.errors import InvalidRequest
from core.request import MAX_PROMPT, RANGES, GenerationRequest, draw_seed, parse_size

# Steps, CFG scale and size share a field: a modal has at most five.
SETTINGS_EXAMPLE: Final = "20, 7, 512x512"
MAX_SEARCH: Final = 100


def edit_form(job: Job, locale: discord.Locale) -> ui.Modal:
    """Everything about a picture that one types, filled in."""
    request = job.request
    settings = f"{request.steps}, {request.cfg_scale:g}, {request.width}x{request.height}"
    form = _form("edit", job, t("edit.title", locale))
    for name, text, length in (
        ("prompt", request.prompt, MAX_PROMPT),
        ("negative_prompt", request.negative_prompt, MAX_PROMPT),
        ("clip_skip", str(request.clip_skip), 2),
        ("seed", str(request.seed), 10),
        ("settings", settings, 40),
    ):
        long = length == MAX_PROMPT
        field = ui.TextInput[ui.Modal](
            custom_id=name,
            style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
            default=text,
            required=name in ("clip_skip", "settings"),
            max_length=length,
        )
        form.add_item(
            ui.Label(
                text=t(f"edit.{name}", locale),
                description=t(f"edit.{name}_hint", locale) if not long else None,
                component=field,
            )
        )
    return form


def edited(request: GenerationRequest, fields: dict[str, str]) -> GenerationRequest:
    """The request with what was typed into :func:`edit_form`.

    Raises :class:`~core.errors.InvalidRequest` for what is no number or out of range.
    """
    steps, cfg_scale, size = _settings(fields["settings"])
    width, height = parse_size(size)
    seed = _number("seed", fields["seed"].strip() or str(RANDOM_SEED))
    return replace(
        request,
        prompt=fields["prompt"],
        negative_prompt=fields["negative_prompt"],
        clip_skip=_number("clip_skip", fields["clip_skip"]),
        seed=draw_seed() if seed == RANDOM_SEED else seed,
        steps=_number("steps", steps),
        cfg_scale=_decimal("cfg_scale", cfg_scale),
        width=width,
        height=height,
    )


def preset_form(job: Job, locale: discord.Locale) -> ui.Modal:
    """Asks for a preset's name."""
    return _question("preset", job, MAX_NAME, locale)


def vae_form(job: Job, locale: discord.Locale) -> ui.Modal:
    """Asks for a part of a VAE's name."""
    return _question("vae", job, MAX_SEARCH, locale)


def fields(interaction: Interaction) -> dict[str, str]:
    """What was typed, by field."""
    return {
        str(component["custom_id"]): str(component.get("value") or "")
        for component in _walk(payload(interaction).get("components") or [])
        if "custom_id" in component
    }


def _walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Fields stand inside labels, or inside rows in older clients."""
    for component in components:
        inner = component.get("components") or [component.get("component")]
        yield from (item for item in inner if isinstance(item, dict))


def _question(action: str, job: Job, length: int, locale: discord.Locale) -> ui.Modal:
    form = _form(action, job, t(f"form.{action}.title", locale))
    field = ui.TextInput[ui.Modal](custom_id="name", max_length=length)
    return form.add_item(ui.Label(text=t(f"form.{action}.label", locale), component=field))


def _form(action: str, job: Job, title: str) -> ui.Modal:
    form = ui.Modal(title=title, custom_id=custom_id(action, job.id))
    # A finished modal is not kept by discord.py, which would hold on to every form that a
    # member opens and dismisses.
    form.stop()
    return form


def _settings(text: str) -> tuple[str, str, str]:
    parts = text.replace(",", " ").replace(";", " ").split()
    if len(parts) != 3:
        raise InvalidRequest("settings", text, SETTINGS_EXAMPLE)
    steps, cfg_scale, size = parts
    return steps, cfg_scale, size


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidRequest(name, text, str(RANGES[name])) from None


def _decimal(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidRequest(name, text, str(RANGES[name])) from None
