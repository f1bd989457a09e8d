"""The result post: the images, a line about them, and the controls for clip skip, seed and VAE.

Pure layout: what is shown comes in as a :class:`Post`, what a press does is in
:mod:`bot.actions.knobs`. For a phone's screen, everything else is behind "More…".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.answers import excerpt
from bot.ordering.layers import BOT, model_values, values_of
from bot.posts.controls import (
    CLIP_SKIP,
    MAX_LABEL,
    MAX_OPTIONS,
    Control,
    button,
    layout,
    row,
    select,
    select_options,
)
from bot.posts.option_text import value_text
from bot.store import Job
from bot.translate import listed, t
from core.hires import UPSCALERS
from core.models.catalogue import Catalogue, Model
from core.models.uses import addons_of
from core.notes import NOTES, Note
from core.options import RANGES
from core.request import GenerationRequest
from core.sheets.axes import Axis
from core.sheets.sheet import Sheet

PROMPT_LENGTH: Final = 240
NEGATIVE_LENGTH: Final = 80
NAME_LENGTH: Final = 60
NOTES_LENGTH: Final = 900
# LoRAs, and embeddings, that are named, and the characters of each.
MAX_ADDONS: Final = 3
ADDON_LENGTH: Final = 40
# Discord's limit for an image's description, which screen readers read.
ALT_TEXT_LENGTH: Final = 1024

LOWEST: Final = int(RANGES["clip_skip"].low)
HIGHEST: Final = int(RANGES["clip_skip"].high)

# The keys of what a note of the core names.
_NAMED: Final = {
    "prompt": "option.prompt",
    "negative prompt": "option.negative_prompt",
    "model": "kind.model",
    "VAE": "kind.VAE",
    "sampler": "kind.sampler",
    "schedule type": "kind.schedule_type",
    "noise source": "kind.noise_source",
    "emphasis": "kind.emphasis",
    "upscaler": "kind.upscaler",
}


@dataclass(frozen=True, slots=True)
class Post:
    """What a result post shows.

    ``files`` are the names of the files sent with it. Only values that differ from the ``usual``
    ones are named. ``vaes`` fit the model; ``clip_skip_works`` is False where the family ignores
    clip skip. ``mention`` puts the member's mention first, for a message that is to notify.
    ``loras`` and ``embeddings`` are those used, as they are named. ``remarks`` are sentences about
    the delivery itself. ``parent_url`` is the post of the job it was made from, ``parent_id``.
    """

    job: Job
    files: tuple[str, ...]
    usual: Mapping[str, Any] = field(default_factory=dict)
    vaes: tuple[str, ...] = ()
    clip_skip_works: bool = True
    parent_url: str | None = None
    parent_id: int | None = None
    mention: bool = False
    remarks: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()


def lora_names(
    request: GenerationRequest, catalogue: Catalogue, model: Model | None
) -> tuple[str, ...]:
    """Name the LoRAs that a request uses, with their weights, as :class:`Post` has them."""
    if model is None or request.only_enlarges:
        return ()
    addons, _ = addons_of(request, catalogue, model)
    used = (*addons.networks, *addons.second)
    return tuple(dict.fromkeys(f"{one.file.name} {one.use.unet:g}" for one in used))


def usual_values(catalogue: Catalogue, model: Model | None) -> dict[str, Any]:
    """Give the defaults on this model: the bot's values under the card's."""
    usual = dict(BOT) | (model_values(model) if model else {})
    if catalogue.models:
        usual["model"] = catalogue.models[0].name
    return usual


def result_view(post: Post) -> ui.LayoutView:
    """Build a fresh view of a finished job."""
    job = post.job
    if job.sheet is not None:
        return layout(_gallery(post), ui.TextDisplay(_text(post)), *sheet_rows(job, job.sheet))
    if job.request.only_enlarges:
        more = row(button(t("control.more", job.locale), "more", job.id))
        return layout(_gallery(post), ui.TextDisplay(_text(post)), more)
    rows = [_knobs(post), *_openers(job), *_choices(post)]
    return layout(_gallery(post), ui.TextDisplay(_text(post)), *rows)


def _gallery(post: Post) -> ui.MediaGallery[ui.LayoutView]:
    alt, spoiler = alt_text(post.job), post.job.spoiler
    return ui.MediaGallery(
        *(
            discord.MediaGalleryItem(f"attachment://{name}", description=alt, spoiler=spoiler)
            for name in post.files
        )
    )


def alt_text(job: Job) -> str:
    """Describe the images by the beginning of the prompt; a sheet by its axes before that."""
    text = " ".join(job.request.prompt.split()) or "—"
    if job.sheet is not None:
        axes = " × ".join(axis_text(axis, job.locale) for axis in job.sheet.axes)
        text = t("sheet.alt", job.locale, axes=axes, prompt=text)
    return text if len(text) <= ALT_TEXT_LENGTH else text[: ALT_TEXT_LENGTH - 1] + "…"


def vae_select(
    job: Job,
    vaes: Sequence[str],
    locale: Locale | str,
    *,
    search: bool = True,
    action: str = "vae",
    argument: int | None = None,
    first: Sequence[discord.SelectOption] = (),
) -> Control:
    """Build the select of VAEs, after the options ``first``, one of which is marked in place of
    the VAE; of more than fit, the last option leads to a search."""
    names = [name for name in vaes if len(name) <= MAX_LABEL]
    labels = {name: t("control.vae_option", locale, name=name) for name in names}
    most = MAX_OPTIONS - len(first)
    more = t("control.vae_search", locale) if search and len(names) > most else None
    marked = () if first else (job.request.vae,)
    options = select_options(labels, *marked, search=more, most=most)
    for option in options:
        if first and option.value == job.request.vae:
            option.description = t("result.vae_now", locale)
    placeholder = t("control.clip_skip_or_vae" if first else f"control.{action}", locale)
    return select(placeholder, action, job.id, [*first, *options], argument)


def _text(post: Post) -> str:
    job = post.job
    lines = [excerpt(job.request.prompt, PROMPT_LENGTH)] if job.request.prompt.strip() else []
    if post.mention:
        lines.insert(0, t("result.for", job.locale, member=f"<@{job.user_id}>"))
    shown = [*facts(job, post.usual), *_addons(post)]
    if not post.mention:
        shown.append(f"<@{job.user_id}>")
    if post.parent_url:
        shown.append(t("result.parent", job.locale, url=post.parent_url))
    elif post.parent_id:
        # Its post shows another result by now.
        shown.append(t("result.parent_number", job.locale, job_id=post.parent_id))
    lines.append("-# " + " · ".join(shown))
    # A note of another version may have no sentence in this one.
    notes = (note_text(note, job.locale) for note in job.notes if note.key in NOTES)
    remarks = "\n".join(f"-# {line}" for line in (*notes, *post.remarks))
    if remarks:
        lines.append(remarks[:NOTES_LENGTH])
    return "\n".join(lines)


def facts(job: Job, usual: Mapping[str, Any]) -> Iterable[str]:
    """Yield, in the job's language, how it was enlarged, then, unless that was all, what varies,
    clip skip, seed, any variation, start image or hires fix, and what else differs from the
    usual."""
    request, locale = job.request, job.locale
    if request.enlarge is not None:
        scale = f"{request.enlarge.scale:g}"
        shown = excerpt(request.enlarge.upscaler, NAME_LENGTH)
        yield t("result.enlarged", locale, scale=scale, name=shown)
    if request.only_enlarges:
        return
    varied = {axis.kind.field for axis in job.sheet.axes} if job.sheet else set()
    for axis in job.sheet.axes if job.sheet else ():
        yield f"**{excerpt(axis_text(axis, locale), NAME_LENGTH)}**"
    if "clip_skip" not in varied:
        yield t("result.clip_skip", locale, clip_skip=request.clip_skip)
    if "seed" not in varied:
        yield t("result.seed", locale, seed=request.seed)
    if request.variation_strength > 0:
        yield t("result.variation", locale, strength=f"{request.variation_strength:g}")
    if request.init_image is not None and "denoising_strength" in varied:
        yield t("result.start_image", locale)
    elif request.init_image is not None:
        strength = f"{request.denoising_strength:g}"
        yield t("result.start_image_strength", locale, strength=strength)
    if request.hires is not None:
        yield t("result.upscaled", locale, scale=f"{request.hires.scale:g}")
        if request.hires.upscaler not in UPSCALERS:
            shown = excerpt(request.hires.upscaler, NAME_LENGTH)
            yield t("result.value", locale, name=t("kind.upscaler", locale), value=shown)
    yield from _differences(job, usual, {"clip_skip", "seed", "count"} | varied)


def _addons(post: Post) -> Iterable[str]:
    """Yield the LoRAs, if they are not what varies, and the embeddings, the first few by name."""
    job = post.job
    varied = job.sheet is not None and (job.sheet.varies("lora") or job.sheet.varies("lora_weight"))
    for kind, names in (("LoRA", () if varied else post.loras), ("embedding", post.embeddings)):
        if names:
            shown = listed((excerpt(name, ADDON_LENGTH) for name in names), job.locale, MAX_ADDONS)
            yield t("result.value", job.locale, name=t(f"kind.{kind}", job.locale), value=shown)


def _differences(job: Job, usual: Mapping[str, Any], known: set[str]) -> Iterable[str]:
    """Yield every other value that differs from the usual one."""
    for name, value in values_of(job.request).items():
        if name in known or value in ("", usual.get(name)):
            continue
        length = NEGATIVE_LENGTH if name == "negative_prompt" else NAME_LENGTH
        shown = value_text(value.replace("x", "×") if name == "size" else value, job.locale, length)
        yield t("result.value", job.locale, name=t(f"option.{name}", job.locale), value=shown)


def axis_text(axis: Axis, locale: str) -> str:
    """Name an axis and its values, as they were typed."""
    return t("result.value", locale, name=axis_name(axis, locale), value=axis.text)


def axis_name(axis: Axis, locale: Locale | str) -> str:
    """Name the option that an axis varies."""
    return t(field_key(axis.kind.field), locale)


def field_key(field: str) -> str:
    """Give the key of an axis's name; an axis of the prompt is Prompt S/R."""
    return "option.prompt_sr" if field == "prompt" else f"option.{field}"


def note_text(note: Note, locale: str) -> str:
    """Write a note in the member's language."""
    values = {
        name: excerpt(_in_words(name, value, locale), NAME_LENGTH) for name, value in note.values
    }
    return t(f"note.{note.key}", locale, **values)


def _in_words(name: str, value: str | tuple[str, ...], locale: str) -> str:
    """Translate what a note of the core names in English; anything else stays."""
    if isinstance(value, tuple):
        return listed(value, locale)
    key = _NAMED.get(value) if name in ("which", "kind") else None
    return t(key, locale) if key else value


def _knobs(post: Post) -> ui.ActionRow[Any]:
    job, locale = post.job, post.job.locale
    now, works = job.request.clip_skip, post.clip_skip_works

    def step(key: str, clip_skip: int) -> Control:
        off = not works or not LOWEST <= clip_skip <= HIGHEST
        return button(t(key, locale), "clip", job.id, clip_skip, disabled=off)

    return row(
        step("control.clip_skip_down", now - 1),
        step("control.clip_skip_up", now + 1),
        button(t("control.new_seed", locale), "seed", job.id, emoji="🎲"),
        button(t("control.edit", locale), "edit", job.id, emoji="✏️"),
        button(t("control.more", locale), "more", job.id),
    )


def _openers(job: Job) -> Iterable[ui.ActionRow[Any]]:
    """Yield rows of numbered buttons that open one image of several as its own result."""
    count = job.request.count
    if count == 1:
        return
    numbers = [button(str(i + 1), "open", job.id, i, emoji="🖼️") for i in range(count)]
    for start in range(0, count, 4):
        yield row(*numbers[start : start + 4])


def _choices(post: Post) -> Iterable[ui.ActionRow[Any]]:
    """Yield one select, of clip skips, VAEs or both: a row is much of a phone's screen."""
    job = post.job
    if post.vaes:
        clip_skips = _clip_skips(job, CLIP_SKIP) if post.clip_skip_works else []
        yield row(vae_select(job, post.vaes, job.locale, first=clip_skips))
    elif post.clip_skip_works:
        yield row(select(t("control.clip_skip", job.locale), "clip", job.id, _clip_skips(job)))


def _clip_skips(job: Job, prefix: str = "") -> list[discord.SelectOption]:
    return [
        discord.SelectOption(
            label=t("result.clip_skip_option", job.locale, clip_skip=k),
            value=f"{prefix}{k}",
            description=t(f"result.clip_skip_{k}", job.locale) if k in (1, 2, 12) else None,
            default=k == job.request.clip_skip,
        )
        for k in range(LOWEST, HIGHEST + 1)
    ]


def sheet_rows(job: Job, sheet: Sheet) -> Iterable[ui.ActionRow[Any]]:
    """Yield a sheet's rows: a new seed for all of it, and per axis a select to post one cell."""
    again = button(t("control.new_seed", job.locale), "seed", job.id, emoji="🎲")
    more = button(t("control.more", job.locale), "more", job.id)
    yield row(more) if sheet.varies("seed") else row(again, more)
    for axis, action in zip(sheet.axes, ("cell_x", "cell_y"), strict=False):
        yield row(cell_select(job, axis, action, job.locale))


def cell_select(
    job: Job, axis: Axis, action: str, locale: Locale | str, other: int | None = None
) -> Control:
    """Build the select of an axis's values; ``other`` is the index on the other axis, if known."""
    name = axis_name(axis, locale)
    labels = {
        str(index): t("result.value", locale, name=name, value=value)
        for index, value in enumerate(axis.values)
    }
    placeholder = t("sheet.post_cell", locale, name=name)
    return select(placeholder, action, job.id, select_options(labels), other)
