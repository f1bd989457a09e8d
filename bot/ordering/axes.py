"""Read what a member asks of /explore into a sheet: axes completed, checked and spelt.

Whatever makes no sense is refused here, before anything is written or drawn.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from bot.exceptions import CannotExplore
from bot.ordering.choices import MAX_CHOICES, lora_names, vae_names
from bot.store import Job
from core.effects import has_effect
from core.models.catalogue import Catalogue, Model
from core.options import AUTOMATIC, NONE
from core.request import GenerationRequest
from core.sheets.axes import AXES, Axis, kind_of, read_axis
from core.sheets.cells import MAX_CELLS
from core.sheets.sheet import Sheet, axis_of
from core.work import Item

# The (name, values) pairs of x and y; None where nothing was given.
Axes = Sequence[tuple[str | None, str | None]]

# What /explore offers. Variations of a seed have their own buttons.
KINDS: Final = tuple(kind for kind in AXES if not kind.field.startswith("variation_"))


# Hires fix's modes that differ most, after the files there are.
BUILT_IN: Final = ("Latent", "Latent (nearest-exact)", "Lanczos")


def clip_skip_sheet() -> Sheet:
    """Make the sheet of every clip skip of one image."""
    return Sheet(read_axis("clip_skip", kind_of("clip_skip").example))


def read_sheet(
    axes: Axes,
    catalogue: Catalogue,
    model: Model | None,
    limit: int = MAX_CELLS,
    most: int = MAX_CHOICES,
) -> Sheet:
    """Read the sheet of two axes, each of which may be left out in part or whole.

    ``model`` is the one whose VAEs are meant when an axis is all of them. Where no values are
    given there are as many as ``limit`` cells allow; an axis has at most ``most`` values. Raises
    :class:`~bot.exceptions.CannotExplore`, :class:`~core.errors.UnknownName`,
    :class:`~core.errors.InvalidRequest` or :class:`~core.errors.SheetTooLarge`.
    """
    (x_name, x_values), (y_name, y_values) = axes
    if y_name is None and y_values:
        raise CannotExplore("no_axis")
    x = _read(x_name or "clip_skip", x_values, catalogue, model, most)
    y = _read(y_name, y_values, catalogue, model, most) if y_name else None
    if y is not None and x.kind is y.kind:
        raise CannotExplore("same_axis")
    if y is not None and not y_values:
        y = _first(y, limit // len(x.values) if x_values else math.isqrt(limit))
    if not x_values:
        x = _first(x, limit // len(y.values) if y is not None else limit)
    return Sheet(x, y)


def check_sheet(sheet: Sheet, base: GenerationRequest, items: Sequence[Item]) -> None:
    """Raise :class:`~bot.exceptions.CannotExplore` when an axis would change nothing."""
    if sheet.varies("denoising_strength") and base.init_image is None and base.hires is None:
        raise CannotExplore("denoising")
    for axis in sheet.axes:
        if not any(has_effect(axis.kind.field, item.request) for item in items):
            raise CannotExplore("no_effect")
    tagged = sheet.varies("lora") or sheet.varies("lora_weight")
    if tagged and not any(item.addons.networks for item in items):
        raise CannotExplore("no_lora")
    if sheet.varies("clip_skip") and not any(item.model.uses_clip_skip for item in items):
        raise CannotExplore("clip_skip")


def check_change(parent: Job, changes: Collection[str], catalogue: Catalogue) -> None:
    """Raise :class:`~bot.exceptions.CannotExplore` when changing these fields would change nothing:
    a sheet has its own values where it varies them, SD 2.x ignores clip skip, and an image that
    was only enlarged was not generated."""
    if changes and parent.request.only_enlarges:
        raise CannotExplore("enlarged")
    varied = {axis.kind.field: axis.values for axis in parent.sheet.axes} if parent.sheet else {}
    if varied.keys() & set(changes):
        raise CannotExplore("varied")
    models = varied.get("model", (parent.request.model,))
    if "clip_skip" in changes:
        used = [catalogue.model(str(name)).uses_clip_skip for name in models]
        if not any(used):
            raise CannotExplore("clip_skip")


def other_vaes(request: GenerationRequest, catalogue: Catalogue) -> tuple[str, ...]:
    """Name the VAEs that a request's own can be compared with; none where there is only one.

    Raises :class:`~core.errors.UnknownName` when its model is gone.
    """
    names = vae_names(catalogue, catalogue.model(request.model))
    own = request.vae
    if own == NONE and NONE not in names:
        own = AUTOMATIC
    return tuple(name for name in names if name != own)


def _read(
    name: str, text: str | None, catalogue: Catalogue, model: Model | None, most: int
) -> Axis:
    axis = read_axis(name, text or _all_values(name, catalogue, model), limit=most)
    match axis.kind.field:
        case "seed":
            # The text may say -1; the seed that was drawn for it is what repeats the image.
            return axis_of("seed", axis.values)
        case "model":
            names = tuple(catalogue.model(str(value)).name for value in axis.values)
        case "vae":
            names = tuple(catalogue.vae_name(str(value)) for value in axis.values)
        case "hires_upscaler":
            names = tuple(catalogue.upscaler_name(str(value)) for value in axis.values)
        case "lora":
            names = tuple(_lora(str(value), catalogue) for value in axis.values)
        case _:
            return axis
    return replace(axis, values=names)


def _lora(name: str, catalogue: Catalogue) -> str:
    if name.casefold() == NONE.casefold():
        return NONE
    return catalogue.networks.find(name).in_text


def _first(axis: Axis, count: int) -> Axis:
    """Keep at most ``count`` of the values, but two: an axis of one compares nothing."""
    values = axis.values[: max(count, 2)]
    return axis if values == axis.values else axis_of(axis.kind.field, values)


def _all_values(name: str, catalogue: Catalogue, model: Model | None) -> str:
    kind = kind_of(name)
    match kind.field:
        case "vae":
            vaes = vae_names(catalogue, model)[:MAX_CHOICES] or (AUTOMATIC,)
            return axis_of("vae", vaes).text
        case "model":
            return axis_of("model", [each.name for each in catalogue.models[:MAX_CHOICES]]).text
        case "lora":
            names = lora_names(catalogue, model)[: MAX_CHOICES - 1]
            if not names:
                raise CannotExplore("no_lora")
            return axis_of("lora", [NONE, *names]).text
        case "hires_upscaler":
            few = [*catalogue.upscalers.names, *BUILT_IN][:MAX_CHOICES]
            return axis_of("hires_upscaler", few).text
        case "prompt":
            raise CannotExplore("no_values")
        case _:
            return kind.example
