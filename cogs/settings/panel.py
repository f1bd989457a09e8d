"""The settings panel: a member's default values, the layer each comes from, and their controls.

Pure layout. What a press does is in :mod:`cogs.settings.cog`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import discord
from discord import Locale, ui

from bot.errors import sentence
from bot.ordering.choices import SAMPLER_NAMES, size_names, vae_names
from bot.ordering.layers import LAYERED, SHAPES
from bot.ordering.resolve import Explained, bounds
from bot.posts.controls import (
    MAX_LABEL,
    MAX_OPTIONS,
    Standing,
    layout,
    row,
    select_options,
    standing_button,
    standing_id,
    standing_select,
)
from bot.posts.forms import MAX_FIELDS, build_form, text_field
from bot.posts.option_text import value_text
from bot.settings import Limits
from bot.translate import option_label, t
from core.models.catalogue import Catalogue
from core.options import OPTIONS, RANDOM_SEED, RANGES, SAMPLERS, SELDOM, Place, names

# What is picked from a select; a number that has more values than fit into one is typed.
SELECTS: Final = tuple(
    name
    for name in names(Place.SETTINGS)
    if (allowed := OPTIONS[name].range) is None
    or (allowed.whole and allowed.high - allowed.low < MAX_OPTIONS)
)
NUMBERS: Final = tuple(name for name in names(Place.SETTINGS) if name not in SELECTS)
assert len(NUMBERS) <= MAX_FIELDS, f"one form holds no more numbers to type: {NUMBERS}"

# The reset select's value for all of them; no option has that name.
EVERYTHING: Final = "everything"

VALUE_LENGTH: Final = 120
MAX_TYPED: Final = 100
MAX_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Panel:
    """What the panel shows to a member.

    ``yours`` is the member's preset ``default``. ``found`` are the results of a search, by option,
    shown in that option's select; ``remark`` is a sentence about the last change.
    """

    user_id: int
    explained: Explained
    yours: Mapping[str, Any]
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remark: str | None = None


def settings_view(
    panel: Panel, catalogue: Catalogue, limits: Limits, locale: Locale
) -> ui.LayoutView:
    """Build a fresh panel."""
    selects = [
        _select(name, panel, values, locale)
        for name, values in offered(panel.explained, catalogue, limits).items()
        if values
    ]
    text = ui.TextDisplay[ui.LayoutView](_text(panel, locale))
    items = [text, *(row(select) for select in selects), _buttons(panel, locale)]
    if panel.yours:
        items.append(row(_reset(panel, locale)))
    return layout(*items)


def search_form(name: str, user_id: int, locale: Locale) -> ui.Modal:
    """Build the form for a part of a name, or for a size."""
    field_ = text_field("typed", t(f"settings.search_label.{name}", locale), MAX_TYPED)
    title = t(f"settings.search.{name}", locale)
    return build_form(title, standing_id(f"find_{name}", user_id), field_)


def numbers_form(panel: Panel, locale: Locale) -> ui.Modal:
    """Build the form for :data:`NUMBERS`; an empty field resets its number."""
    fields = []
    for name in NUMBERS:
        value = panel.yours.get(name)
        field_ = text_field(
            name,
            option_label([name], locale),
            MAX_DIGITS,
            None if value is None else f"{value:g}",
            t("settings.number_hint", locale),
            required=False,
            placeholder=f"{panel.explained.values[name]:g}",
        )
        fields.append(field_)
    title = option_label(NUMBERS, locale)
    return build_form(title, standing_id("numbers_typed", panel.user_id), *fields)


def _text(panel: Panel, locale: Locale) -> str:
    lines = [t("settings.title", locale)]
    for name in LAYERED:
        value, source = panel.explained.values[name], panel.explained.sources[name]
        if value in ("", RANDOM_SEED) and name in ("negative_prompt", "seed"):
            continue
        if source == "bot" and name in SELDOM and name not in SELECTS:
            continue
        lines.append(
            t(
                "settings.line",
                locale,
                name=t(f"option.{name}", locale),
                value=value_text(value, locale, VALUE_LENGTH),
                why=t(f"settings.why.{source}", locale),
            )
        )
    if panel.explained.error is not None:
        error = sentence(panel.explained.error, locale)
        lines.append(t("settings.error", locale, reason=error))
    if panel.remark:
        lines.append(panel.remark)
    return "\n".join(lines)


def offered(explained: Explained, catalogue: Catalogue, limits: Limits) -> dict[str, Sequence[str]]:
    """List what each select offers, likeliest first."""
    highest = {name: int(allowed.high) for name, allowed in RANGES.items()} | bounds(limits)
    values: dict[str, Sequence[str]] = {name: OPTIONS[name].choices for name in SELECTS}
    values |= {
        "model": [model.name for model in catalogue.models],
        "vae": vae_names(catalogue, explained.model),
        "sampler": sorted(SAMPLER_NAMES, key=_rank),
        "size": size_names(limits, explained.model),
    }
    for name in set(SELECTS) & set(RANGES):
        low = int(RANGES[name].low)
        values[name] = [str(number) for number in range(low, highest[name] + 1)]
    return values


def _rank(name: str) -> int:
    """Rank samplers alone before those with Karras, and these before the others."""
    return 0 if name in SAMPLERS else 1 if name.endswith(" Karras") else 2


def _select(name: str, panel: Panel, values: Iterable[str], locale: Locale) -> Standing:
    now = str(panel.explained.values[name])
    names = [one for one in panel.found.get(name, values) if len(one) <= MAX_LABEL]
    if now not in names and len(now) <= MAX_LABEL and name not in panel.found:
        names.insert(0, now)
    more = None
    if name == "size" or len(names) > MAX_OPTIONS:
        more = t(f"settings.search.{name}", locale)
        if now in names[MAX_OPTIONS - 1 :]:
            names.insert(0, now)
    labels = {one: _label(name, one, locale) for one in names}
    options = select_options(labels, now, search=more)
    label = t(f"option.{name}", locale)
    return standing_select(label, f"set_{name}", panel.user_id, options=options)


def _label(name: str, value: str, locale: Locale) -> str:
    shown = t(f"shape.{value}", locale) if name == "size" and value in SHAPES else value
    return t("settings.choice", locale, name=t(f"option.{name}", locale), value=shown)


def _buttons(panel: Panel, locale: Locale) -> ui.ActionRow[Any]:
    private = bool(panel.explained.values["private"])
    label, action, emoji = (
        ("settings.make_public", "set_public", "👁️")
        if private
        else ("settings.make_private", "set_private", "🔒")
    )
    return row(
        standing_button(option_label(NUMBERS, locale), "numbers", panel.user_id, emoji="🔢"),
        standing_button(t(label, locale), action, panel.user_id, emoji=emoji),
    )


def _reset(panel: Panel, locale: Locale) -> Standing:
    """Build the select that resets a value of the member's own, or all of them."""
    # What an imported preset has beyond a select's length is shown once others are reset.
    yours = [name for name in LAYERED if name in panel.yours][: MAX_OPTIONS - 1]
    options = select_options(
        {name: t("settings.reset", locale, name=t(f"option.{name}", locale)) for name in yours}
    )
    everything = t("settings.reset_everything", locale)
    options.append(discord.SelectOption(label=everything, value=EVERYTHING, emoji="🧹"))
    label = t("settings.reset_placeholder", locale)
    return standing_select(label, "reset", panel.user_id, options=options)
