"""The modals: what each asks, and what was typed into it.

A modal is never kept in memory: its submit is recognised by its ``custom_id``, so that one
opened before a restart still works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import discord
from discord import ui

from bot.answers import Interaction, payload
from bot.exceptions import Gone
from bot.ordering.layers import values_of
from bot.posts.controls import custom_id, standing_id
from bot.store import Job
from bot.store.names import MAX_NAME
from bot.translate import t
from core.errors import InvalidRequest
from core.options import MAX_PROMPT, RANDOM_SEED, RANGES, Place, names
from core.request import GenerationRequest, draw_seed, parse_size
from core.typed import half_width

MAX_SEARCH: Final = 100
# Far enough to see the prompt in the picture, near enough to know it again.
START_DENOISING: Final = 0.6


def edit_form(job: Job, locale: discord.Locale) -> ui.Modal:
    """Everything about a picture that one types, filled in."""
    request = job.request
    # They share a field: a modal has at most five.
    values = values_of(request)
    settings = ", ".join(
        f"{value:g}" if isinstance(value := values[name], float) else str(value)
        for name in names(Place.EDIT)
    )
    form = _form("edit", job, t("edit.title", locale))
    _add_prompts(form, request, locale)
    # What a sheet varies, its cells have their own values of.
    if not (job.sheet and job.sheet.varies("clip_skip")):
        _add(form, "clip_skip", str(request.clip_skip), 2, locale)
    if not (job.sheet and job.sheet.varies("seed")):
        _add(form, "seed", str(request.seed), 10, locale, required=False)
    return _add(form, "settings", settings, 40, locale)


def start_form(job: Job, position: int, locale: discord.Locale) -> ui.Modal:
    """What to draw from one of a job's pictures, and how far to go from it."""
    form = _form("start", job, t("start.title", locale), position or None)
    return _start_fields(form, job.request, locale)


def foreign_start_form(number: int, request: GenerationRequest, locale: discord.Locale) -> ui.Modal:
    """The same for a picture that is no job's, kept at hand under ``number``."""
    form = build_form(t("start.title", locale), standing_id("start", number))
    return _start_fields(form, request, locale)


def _start_fields(form: ui.Modal, request: GenerationRequest, locale: discord.Locale) -> ui.Modal:
    _add_prompts(form, request, locale)
    _add(form, "denoising_strength", f"{START_DENOISING:g}", 5, locale, group="start")
    _add(form, "clip_skip", str(request.clip_skip), 2, locale)
    return _add(form, "seed", "", 10, locale, required=False)


def _add_prompts(form: ui.Modal, request: GenerationRequest, locale: discord.Locale) -> None:
    for name in ("prompt", "negative_prompt"):
        label, value = t(f"edit.{name}", locale), getattr(request, name)
        long = discord.TextStyle.paragraph
        form.add_item(text_field(name, label, MAX_PROMPT, value, required=False, style=long))


def _add(
    form: ui.Modal,
    name: str,
    value: str,
    length: int,
    locale: discord.Locale,
    *,
    required: bool = True,
    group: str = "edit",
) -> ui.Modal:
    """One line with a hint below its name."""
    label, hint = t(f"{group}.{name}", locale), t(f"{group}.{name}_hint", locale)
    return form.add_item(text_field(name, label, length, value, hint, required=required))


def edited(request: GenerationRequest, fields: dict[str, str]) -> GenerationRequest:
    """The request with what was typed into :func:`edit_form`.

    Raises :class:`~core.errors.InvalidRequest` for what is no number or out of range.
    """
    values = _settings(fields["settings"])
    width, height = parse_size(values.pop("size"))
    typed = _typed(request, fields)
    return replace(typed, width=width, height=height, **_numbers(values))


def started(request: GenerationRequest, fields: dict[str, str]) -> tuple[GenerationRequest, float]:
    """The request with what was typed into :func:`start_form`, and the denoising strength.

    Raises as :func:`edited`.
    """
    strength = RANGES["denoising_strength"].read("denoising_strength", fields["denoising_strength"])
    return _typed(request, fields), strength


def _typed(request: GenerationRequest, fields: dict[str, str]) -> GenerationRequest:
    typed = {
        "clip_skip": fields.get("clip_skip", str(request.clip_skip)),
        "seed": fields.get("seed", str(request.seed)).strip() or str(RANDOM_SEED),
    }
    numbers = _numbers(typed)
    if numbers["seed"] == RANDOM_SEED:
        numbers["seed"] = draw_seed()
    return replace(
        request,
        prompt=fields["prompt"],
        negative_prompt=fields["negative_prompt"],
        **numbers,
    )


def preset_form(job: Job, locale: discord.Locale) -> ui.Modal:
    """Asks for a preset's name."""
    return _question("preset", job, MAX_NAME, locale)


def vae_form(
    job: Job, locale: discord.Locale, action: str = "vae", argument: int | None = None
) -> ui.Modal:
    """Asks for a part of a VAE's name."""
    return _question(action, job, MAX_SEARCH, locale, argument)


class Fields(dict[str, str]):
    """What was typed, by field. Raises :class:`~bot.exceptions.Gone` for one that is missing."""

    def __missing__(self, name: str) -> str:
        """A form of another version, or made up."""
        raise Gone("modal")


def fields(interaction: Interaction) -> Fields:
    """What was typed into the form that was sent."""
    return Fields(
        (str(component["custom_id"]), str(component.get("value") or ""))
        for component in _walk(payload(interaction).get("components") or [])
        if "custom_id" in component
    )


def _walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Fields stand inside labels, or inside rows in older clients."""
    for component in components:
        inner = component.get("components") or [component.get("component")]
        yield from (item for item in inner if isinstance(item, dict))


def _question(
    action: str, job: Job, length: int, locale: discord.Locale, argument: int | None = None
) -> ui.Modal:
    form = _form(action, job, t(f"form.{action}.title", locale), argument)
    return form.add_item(text_field("name", t(f"form.{action}.label", locale), length))


def _form(action: str, job: Job, title: str, argument: int | None = None) -> ui.Modal:
    return build_form(title, custom_id(action, job.id, argument))


def build_form(title: str, custom_id: str, *fields: ui.Label[ui.Modal]) -> ui.Modal:
    """Build a form that discord.py does not keep, which would hold on to every form that a member
    opens and dismisses: its submit is recognised by its ``custom_id``."""
    form = ui.Modal(title=title, custom_id=custom_id)
    form.stop()
    for field in fields:
        form.add_item(field)
    return form


def text_field(
    name: str,
    label: str,
    length: int,
    value: str | None = None,
    hint: str | None = None,
    **look: Any,
) -> ui.Label[ui.Modal]:
    """Build a field for a text of at most ``length`` characters, with ``value`` in it and a hint
    below its label; ``look`` is as discord.py's."""
    field = ui.TextInput[ui.Modal](custom_id=name, default=value, max_length=length, **look)
    return ui.Label(text=label, description=hint, component=field)


def _settings(text: str) -> dict[str, str]:
    parts = half_width(text).replace(",", " ").replace(";", " ").split()
    asked = names(Place.EDIT)
    if len(parts) != len(asked):
        raise InvalidRequest("settings", text, "settings")
    return dict(zip(asked, parts, strict=True))


def _numbers(typed: Mapping[str, str]) -> dict[str, Any]:
    return {name: RANGES[name].read(name, text) for name, text in typed.items()}
