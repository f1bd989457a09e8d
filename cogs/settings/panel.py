"""The settings panel: what one's next picture has by itself, why, and how to change it.

Pure layout. What it changes is the member's preset ``default``; what a press does is in
:mod:`cogs.settings.cog`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.errors import sentence
from bot.ordering.choices import SAMPLER_NAMES, vae_names
from bot.ordering.resolve import OPTIONS, RANDOM_SEED, SHAPES, Explained
from bot.posts.controls import (
    MAX_LABEL,
    MAX_OPTIONS,
    Standing,
    layout,
    row,
    standing_button,
    standing_id,
    standing_select,
)
from bot.posts.forms import build_form, text_field
from bot.posts.result import SEARCH
from bot.settings import Limits
from bot.translate import t
from cogs.preset.panels import value_text
from core.models.catalogue import Catalogue
from core.request import RANGES, SAMPLERS, parse_size

# The last option of a select of sizes; any size can be typed.
SIZES: Final = ("512x512", "512x768", "768x512", "640x640", "768x768", "832x1216", "1216x832")
# What the reset select calls all of them at once; no option has that name.
EVERYTHING: Final = "everything"

VALUE_LENGTH: Final = 120
MAX_TYPED: Final = 100


@dataclass(frozen=True, slots=True)
class Panel:
    """What the panel shows to a member.

    ``yours`` is the member's own preset. ``found`` are the results of a search, by option, shown
    in that option's select; ``remark`` is a sentence about the last change.
    """

    user_id: int
    explained: Explained
    yours: Mapping[str, Any]
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remark: str | None = None


def settings_view(
    panel: Panel, catalogue: Catalogue, limits: Limits, locale: Locale
) -> ui.LayoutView:
    """A fresh panel."""
    selects = [
        _select(name, panel, names, locale)
        for name, names in _choices(panel.explained, catalogue, limits).items()
        if names
    ]
    text = ui.TextDisplay[ui.LayoutView](_text(panel, locale))
    items = [text, *(row(select) for select in selects), _buttons(panel, locale)]
    if panel.yours:
        items.append(row(_reset(panel, locale)))
    return layout(*items)


def search_form(name: str, user_id: int, locale: Locale) -> ui.Modal:
    """Asks for a part of a name, or for a size."""
    field_ = text_field("typed", t(f"settings.search_label.{name}", locale), MAX_TYPED)
    title = t(f"settings.search.{name}", locale)
    return build_form(title, standing_id(f"find_{name}", user_id), field_)


def numbers_form(panel: Panel, locale: Locale) -> ui.Modal:
    """Asks for steps and CFG scale; an empty field is nobody's business but the model's."""
    form = ui.Modal(
        title=t("settings.numbers", locale),
        custom_id=standing_id("numbers_typed", panel.user_id),
    )
    form.stop()
    for name in ("steps", "cfg_scale"):
        value = panel.yours.get(name)
        field_: ui.TextInput[ui.Modal] = ui.TextInput(
            custom_id=name,
            required=False,
            max_length=6,
            default=None if value is None else f"{value:g}",
            placeholder=f"{panel.explained.values[name]:g}",
        )
        label = ui.Label(
            text=t(f"settings.number.{name}", locale),
            description=t("settings.number_hint", locale),
            component=field_,
        )
        form.add_item(label)
    return form


def _text(panel: Panel, locale: Locale) -> str:
    lines = [t("settings.title", locale)]
    for name in OPTIONS:
        value, source = panel.explained.values[name], panel.explained.sources[name]
        if value in ("", RANDOM_SEED) and name in ("negative_prompt", "seed"):
            continue
        lines.append(
            t(
                "settings.line",
                locale,
                name=t(f"option.{name}", locale),
                value=_short(value_text(value, locale)),
                why=t(f"settings.why.{source}", locale),
            )
        )
    if panel.explained.error is not None:
        error = sentence(panel.explained.error, locale)
        lines.append(t("settings.error", locale, reason=error))
    if panel.remark:
        lines.append(panel.remark)
    return "\n".join(lines)


def _short(text: str) -> str:
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1].rstrip("\\ ") + "…"


def _choices(
    explained: Explained, catalogue: Catalogue, limits: Limits
) -> dict[str, Sequence[str]]:
    """What each select offers, best first; past 24 it leads to a search."""
    low, high = int(RANGES["clip_skip"].low), int(RANGES["clip_skip"].high)
    samplers = sorted(SAMPLER_NAMES, key=lambda name: _rank(name))
    return {
        "model": [model.name for model in catalogue.models],
        "vae": vae_names(catalogue, explained.model),
        "clip_skip": [str(number) for number in range(low, high + 1)],
        "sampler": samplers,
        "size": [*SHAPES, *(size for size in SIZES if max(parse_size(size)) <= limits.max_size)],
        "count": [str(number) for number in range(1, limits.max_count + 1)],
    }


def _rank(name: str) -> int:
    """Samplers alone, then with Karras, then the rest, each in the bot's order."""
    return 0 if name in SAMPLERS else 1 if name.endswith(" Karras") else 2


def _select(name: str, panel: Panel, offered: Iterable[str], locale: Locale) -> Standing:
    now = str(panel.explained.values[name])
    names = [one for one in panel.found.get(name, offered) if len(one) <= MAX_LABEL]
    if now not in names and len(now) <= MAX_LABEL and name not in panel.found:
        names.insert(0, now)
    searched = name == "size" or len(names) > MAX_OPTIONS
    if searched:
        shown = names[: MAX_OPTIONS - 1]
        names = shown if now in shown or now not in names else [now, *shown[:-1]]
    options = [
        discord.SelectOption(label=_label(name, one, locale), value=one, default=one == now)
        for one in names[:MAX_OPTIONS]
    ]
    if searched:
        label = t(f"settings.search.{name}", locale)
        options.append(discord.SelectOption(label=label, value=SEARCH, emoji="🔎"))
    label = t(f"option.{name}", locale)
    return standing_select(label, f"set_{name}", panel.user_id, options=options)


def _label(name: str, value: str, locale: Locale) -> str:
    shown = t(f"shape.{value}", locale) if name == "size" and value in SHAPES else value
    return t("settings.choice", locale, name=t(f"option.{name}", locale), value=shown)[:MAX_LABEL]


def _buttons(panel: Panel, locale: Locale) -> ui.ActionRow[Any]:
    private = bool(panel.explained.values["private"])
    label, action, emoji = (
        ("settings.make_public", "set_public", "👁️")
        if private
        else ("settings.make_private", "set_private", "🔒")
    )
    return row(
        standing_button(t("settings.numbers", locale), "numbers", panel.user_id, emoji="🔢"),
        standing_button(t(label, locale), action, panel.user_id, emoji=emoji),
    )


def _reset(panel: Panel, locale: Locale) -> Standing:
    """Everything that is the member's own, to be let go one by one or all at once."""
    options = [
        discord.SelectOption(
            label=t("settings.reset", locale, name=t(f"option.{name}", locale)), value=name
        )
        for name in OPTIONS
        if name in panel.yours
    ]
    everything = t("settings.reset_everything", locale)
    options.append(discord.SelectOption(label=everything, value=EVERYTHING, emoji="🧹"))
    label = t("settings.reset_placeholder", locale)
    return standing_select(label, "reset", panel.user_id, options=options)
