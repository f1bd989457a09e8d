"""The modals, and how what was typed into them is read.

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
from bot.errors import EDIT_EXAMPLE, EDITED
from bot.exceptions import Gone
from bot.ordering.layers import values_of
from bot.posts.controls import custom_id
from bot.posts.option_text import typed_text
from bot.store import Job
from bot.store.names import MAX_NAME
from bot.translate import option_label, t
from core.errors import InvalidRequest
from core.options import MAX_PROMPT, RANDOM_SEED, RANGES
from core.request import GenerationRequest, draw_seed, parse_size
from core.typed import half_width

MAX_SEARCH: Final = 100
# Discord's limit for a form.
MAX_FIELDS: Final = 5
# High enough to show the prompt, low enough to keep the composition of the start image.
START_DENOISING: Final = 0.6


def edit_form(job: Job, locale: discord.Locale) -> ui.Modal:
    """Build the form for a job's prompts and numbers, filled in."""
    values = values_of(job.request) | {"prompt": job.request.prompt}
    settings = ", ".join(typed_text(values[name]) for name in EDITED)
    fields = _prompts(values, locale)
    # What a sheet varies has its own value in each cell.
    varied = job.sheet.options if job.sheet else ()
    if "clip_skip" not in varied:
        fields.append(_field("edit", "clip_skip", str(values["clip_skip"]), 2, locale))
    if "seed" not in varied:
        fields.append(_field("edit", "seed", str(values["seed"]), 10, locale, required=False))
    # These share a field: there are at most MAX_FIELDS.
    label = option_label(EDITED, locale)
    hint = t("edit.settings_hint", locale, example=EDIT_EXAMPLE)
    fields.append(text_field("settings", label, 40, settings, hint))
    return build_form(t("edit.title", locale), custom_id("edit", job.id), *fields)


def start_form(custom_id: str, values: Mapping[str, Any], locale: discord.Locale) -> ui.Modal:
    """Build the form for img2img, filled in with the prompt and options of the start image."""
    return build_form(
        t("start.title", locale),
        custom_id,
        *_prompts(values, locale),
        _field("start", "denoising_strength", f"{START_DENOISING:g}", 5, locale),
        _field("edit", "clip_skip", str(values["clip_skip"]), 2, locale),
        _field("edit", "seed", "", 10, locale, required=False),
    )


def name_form(
    job: Job, locale: discord.Locale, action: str, argument: int | None = None
) -> ui.Modal:
    """Build the form for a preset's name, or for a part of a VAE's name to search."""
    length = MAX_NAME if action == "preset" else MAX_SEARCH
    field = text_field("name", t(f"form.{action}.label", locale), length)
    title = t(f"form.{action}.title", locale)
    return build_form(title, custom_id(action, job.id, argument), field)


def _prompts(values: Mapping[str, Any], locale: discord.Locale) -> list[ui.Label[ui.Modal]]:
    look: dict[str, Any] = {"required": False, "style": discord.TextStyle.paragraph}
    return [
        text_field(name, t(f"edit.{name}", locale), MAX_PROMPT, values[name][:MAX_PROMPT], **look)
        for name in ("prompt", "negative_prompt")
    ]


def _field(
    group: str, name: str, value: str, length: int, locale: discord.Locale, **look: Any
) -> ui.Label[ui.Modal]:
    label, hint = t(f"{group}.{name}", locale), t(f"{group}.{name}_hint", locale)
    return text_field(name, label, length, value, hint, **look)


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


class Fields(dict[str, str]):
    """What was typed, by field. Raises :class:`~bot.exceptions.Gone` for one that is missing."""

    def __missing__(self, name: str) -> str:
        """Raise for the form of another version, or a made-up one."""
        raise Gone("modal")


def fields(interaction: Interaction) -> Fields:
    """Read what was typed into the form that was submitted."""
    return Fields(
        (str(component["custom_id"]), str(component.get("value") or ""))
        for component in _walk(payload(interaction).get("components") or [])
        if "custom_id" in component
    )


def _walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the fields, which are inside labels, or inside rows in older clients."""
    for component in components:
        inner = component.get("components") or [component.get("component")]
        yield from (item for item in inner if isinstance(item, dict))


def read_edit(request: GenerationRequest, fields: Mapping[str, str]) -> GenerationRequest:
    """Change the request by what was typed into :func:`edit_form`.

    Raises :class:`~core.errors.InvalidRequest` for what is no number or out of range.
    """
    settings = fields["settings"]
    parts = half_width(settings).replace(",", " ").replace(";", " ").split()
    if len(parts) != len(EDITED):
        raise InvalidRequest("settings", settings, "settings")
    typed = dict(zip(EDITED, parts, strict=True))
    width, height = parse_size(typed.pop("size"))
    # A sheet's form lacks what the sheet varies.
    varied = {name: str(getattr(request, name)) for name in ("clip_skip", "seed")}
    values = _read(Fields(varied | dict(fields))) | _numbers(typed)
    return replace(request, width=width, height=height, **values)


def read_start(fields: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    """Return the prompt and options that were typed into :func:`start_form`, and the strength.

    Raises as :func:`read_edit`.
    """
    strength = RANGES["denoising_strength"].read("denoising_strength", fields["denoising_strength"])
    return _read(fields), strength


def _read(fields: Mapping[str, str]) -> dict[str, Any]:
    seed = fields["seed"].strip() or str(RANDOM_SEED)
    values = _numbers({"clip_skip": fields["clip_skip"], "seed": seed})
    if values["seed"] == RANDOM_SEED:
        values["seed"] = draw_seed()
    return values | {name: fields[name] for name in ("prompt", "negative_prompt")}


def _numbers(typed: Mapping[str, str]) -> dict[str, Any]:
    return {name: RANGES[name].read(name, text) for name, text in typed.items()}
