"""The modals, and how what was typed into them is read.

A modal is never kept in memory: its submit is recognised by its ``custom_id``, so that one
opened before a restart still works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import discord
from discord import ui

from bot.answers import Interaction, payload
from bot.errors import EDIT_EXAMPLE, EDITED
from bot.exceptions import Gone, Several
from bot.ordering.layers import size_of, values_of
from bot.ordering.resolve import checked
from bot.posts.controls import custom_id
from bot.posts.option_text import typed_text
from bot.settings import Limits
from bot.store import Job
from bot.store.names import MAX_NAME
from bot.translate import t
from core.errors import InvalidRequest, PenultimateError
from core.models.catalogue import Catalogue
from core.options import MAX_PROMPT, OPTIONS, RANDOM_SEED, RANGES
from core.pictures.infotext import line, read_line
from core.request import GenerationRequest, draw_seed, split_sampler
from core.typed import half_width

MAX_SEARCH: Final = 100
# Room for the names of a model and a VAE, of 255 characters at most.
MAX_SETTINGS: Final = 1000
# Discord's limit for a form.
MAX_FIELDS: Final = 5
# High enough to show the prompt, low enough to keep the composition of the start image.
START_DENOISING: Final = 0.6


def edit_form(job: Job, locale: discord.Locale) -> ui.Modal:
    """Build the form for a job's prompts and numbers, filled in."""
    values = values_of(job.request) | {"prompt": job.request.prompt}
    fields = _prompts(values, locale)
    # What a sheet varies has its own value in each cell.
    varied = job.sheet.options if job.sheet else ()
    own = [name for name in EDITED if name not in varied]
    edited: dict[str, object] = {OPTIONS[name].infotext: typed_text(values[name]) for name in own}
    if "size" in own:
        edited["Size"] = job.request.width, job.request.height
    if "clip_skip" not in varied:
        fields.append(_field("edit", "clip_skip", str(values["clip_skip"]), 2, locale))
    if "seed" not in varied:
        fields.append(_field("edit", "seed", str(values["seed"]), 10, locale, required=False))
    # These share a field, written as A1111 does: there are at most MAX_FIELDS.
    label, hint = t("edit.settings", locale), t("edit.settings_hint", locale, example=EDIT_EXAMPLE)
    look = {"style": discord.TextStyle.paragraph}
    fields.append(text_field("settings", label, MAX_SETTINGS, line(edited), hint, **look))
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


def read_all(read: Callable[[str, str], Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """Read every value that was typed, by name. Raises the error of one that cannot be used, or
    :class:`~bot.exceptions.Several` of them."""
    values, errors = {}, []
    for name, text in typed.items():
        try:
            values[name] = read(name, text.strip())
        except PenultimateError as error:
            errors.append(error)
    if len(errors) > 1:
        raise Several(tuple(errors))
    if errors:
        raise errors[0]
    return values


def read_edit(
    request: GenerationRequest, fields: Mapping[str, str], catalogue: Catalogue, limits: Limits
) -> GenerationRequest:
    """Change the request by what was typed into :func:`edit_form`.

    Raises as :func:`read_all`.
    """
    settings = fields["settings"]
    # A sheet's form lacks what the sheet varies.
    typed = {name: fields[name] for name in ("clip_skip", "seed") if name in fields}
    typed |= _settings(settings)

    def read(name: str, text: str) -> Any:
        if name == "settings":
            raise InvalidRequest("settings", text, "settings")
        return checked({name: _number(name, text)}, catalogue, limits)[name]

    values = read_all(read, typed)
    if "size" in values:
        model = catalogue.model(values.get("model", request.model))
        values["width"], values["height"] = size_of(values.pop("size"), model)
    if "sampler" in values:
        values["sampler"], values["schedule_type"] = split_sampler(values["sampler"])
    return replace(request, **_prompted(values, fields))


def _settings(text: str) -> dict[str, str]:
    """Read the last field as option to text: pairs as A1111 writes them, or numbers and the size
    alone, in their order. What is neither is under ``settings``."""
    text = ", ".join(text.splitlines())
    if ":" not in text:
        text = half_width(text)
    if ":" in text:
        known = {OPTIONS[name].infotext.casefold(): name for name in EDITED}
        pairs = ((known.get(key.casefold()), key, value) for key, value in read_line(text).items())
        return dict((name, value) if name else ("settings", key) for name, key, value in pairs)
    names = [name for name in EDITED if name in RANGES or name == "size"]
    parts = text.replace(",", " ").replace(";", " ").split()
    return dict(zip(names, parts, strict=True)) if len(parts) == len(names) else {"settings": text}


def read_start(fields: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    """Return the prompt and options that were typed into :func:`start_form`, and the strength.

    Raises as :func:`read_all`.
    """
    names = ("denoising_strength", "clip_skip", "seed")
    values = read_all(_number, {name: fields[name] for name in names})
    strength = values.pop("denoising_strength")
    return _prompted(values, fields), strength


def _prompted(values: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """Add the prompts to the values, and draw a seed that is to be random."""
    if values.get("seed") == RANDOM_SEED:
        values["seed"] = draw_seed()
    return values | {name: fields[name] for name in ("prompt", "negative_prompt")}


def _number(name: str, text: str) -> Any:
    """Read a number; a seed left empty is random, and what is no number stays text."""
    if name == "seed" and not text:
        return RANDOM_SEED
    if name not in RANGES:
        return text
    number = RANGES[name].read(name, text)
    if (name, number) != ("seed", RANDOM_SEED):
        RANGES[name].check(name, number)
    return number
