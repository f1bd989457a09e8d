"""Make a job's order: its request, the sheet over it, and each item with its files found.

Everything that can be wrong with a job is raised here, before anything is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import discord

from bot.ordering.attachments import read_start_image
from bot.ordering.axes import Axes, check_sheet, read_sheet
from bot.ordering.choices import MAX_CHOICES
from bot.ordering.layers import COMMAND_SOURCES, Layers
from bot.ordering.resolve import Resolved, check_limits, resolve
from bot.settings import Limits
from bot.store.styles import Style
from core.errors import TooLarge
from core.models.addons import UpscalerFile
from core.models.catalogue import Catalogue
from core.models.uses import AddOns, addons_of, texts_of
from core.notes import Note
from core.options import AUTOMATIC
from core.pictures.upscaling import MAX_SIDE
from core.request import Enlarge, GenerationRequest, Inputs
from core.sheets.sheet import Sheet
from core.variations import shaped
from core.work import Item


@dataclass(frozen=True, slots=True)
class Start:
    """What img2img starts from, an uploaded file or its bytes, and the denoising strength."""

    picture: discord.Attachment | bytes | None = None
    denoising_strength: float | None = None


NO_START: Final = Start()

# By model and texts, what was found for one of a sheet's cells.
_Found = dict[tuple[str, ...], tuple[AddOns, tuple[Note, ...]]]


@dataclass(frozen=True, slots=True)
class Order:
    """What a job runs. ``items`` are in the order to run them; ``request`` is a sheet's base."""

    request: GenerationRequest
    private: bool
    items: tuple[Item, ...]
    sheet: Sheet | None = None
    notes: tuple[Note, ...] = ()


async def new_order(
    prompt: str,
    layers: Layers,
    catalogue: Catalogue,
    limits: Limits,
    *,
    style: Style | None = None,
    start: Start = NO_START,
    axes: Axes | None = None,
    most: int = MAX_CHOICES,
) -> Order:
    """Order a prompt with the layers' values; with ``axes``, of at most ``most`` values each, the
    sheet over it.

    Raises what :func:`~bot.ordering.resolve.resolve`, :func:`~bot.ordering.axes.read_sheet` and
    :func:`order_of` raise, and :class:`~core.errors.UnreadablePicture` for the start image.
    """
    resolved, sheet = resolve(prompt, layers, catalogue, limits, style=style), None
    if axes is not None:
        sheet = read_sheet(axes, catalogue, resolved.model, limits.max_cells, most)
        if sheet.varies("model"):
            # Values that nobody chose are those of the first model; a VAE then is each model's own.
            axis = next(axis for axis in sheet.axes if axis.kind.field == "model")
            layers = replace(layers, option={**layers.option, "model": axis.values[0]})
            resolved = resolve(prompt, layers, catalogue, limits, style=style)
            if resolved.sources["vae"] not in COMMAND_SOURCES:
                resolved = resolved.changed(vae=AUTOMATIC)
        if resolved.request.count > 1:
            resolved = resolved.changed(Note.of("one_picture_a_cell"), count=1)
    resolved = await _with_start(resolved, start, limits)
    private, notes = resolved.private, resolved.notes
    return order_of(resolved.request, sheet, catalogue, limits, private=private, notes=notes)


async def _with_start(resolved: Resolved, start: Start, limits: Limits) -> Resolved:
    """Add the start image; the size gets its shape unless the command itself gives a size."""
    request, strength = resolved.request, start.denoising_strength
    if start.picture is None and request.hires is not None and strength is not None:
        return resolved.changed(hires=replace(request.hires, denoising_strength=strength))
    if start.picture is None:
        return resolved if strength is None else resolved.changed(Note.of("denoising_unused"))
    image = await read_start_image(start.picture)
    width, height = request.width, request.height
    if resolved.sources["size"] not in COMMAND_SOURCES:
        width, height = shaped(image.width, image.height, width * height, limits.max_size)
    return resolved.changed(
        *image.notes,
        inputs=Inputs(init_image=image.png),
        denoising_strength=request.denoising_strength if strength is None else strength,
        width=width,
        height=height,
    )


def order_of(
    request: GenerationRequest,
    sheet: Sheet | None,
    catalogue: Catalogue,
    limits: Limits,
    *,
    private: bool = False,
    notes: tuple[Note, ...] = (),
) -> Order:
    """Order a request that was resolved before, with today's files and limits.

    Raises :class:`~core.errors.InvalidRequest`, :class:`~core.errors.UnknownName`,
    :class:`~core.errors.VaeMismatch`, :class:`~core.errors.SheetTooLarge`,
    :class:`~core.errors.TooLarge` or
    :class:`~bot.exceptions.CannotExplore`.
    """
    requests = [request]
    if sheet is not None:
        requests = [cell.request for cell in sheet.cells(request, limit=limits.max_cells)]
    known: _Found = {}
    found = [_item(each, catalogue, limits, known) for each in requests]
    items = tuple(item for item, _ in found)
    if sheet is not None:
        check_sheet(sheet, request, items)
    notes = tuple(dict.fromkeys((*notes, *(note for _, own in found for note in own))))
    return Order(request, private, items, sheet, notes)


def _item(
    request: GenerationRequest, catalogue: Catalogue, limits: Limits, known: _Found
) -> tuple[Item, tuple[Note, ...]]:
    check_limits(request, limits)
    model = catalogue.model(request.model)
    vae = catalogue.resolve_vae(request.vae, model)
    # The cells of a sheet mostly have the same texts.
    key = (request.model, *texts_of(request))
    if key not in known:
        known[key] = addons_of(request, catalogue, model)
    addons, notes = known[key]
    upscaler = catalogue.upscaler(request.hires.upscaler) if request.hires else None
    enlarger = catalogue.upscaler(request.enlarge.upscaler) if request.enlarge else None
    _check_enlarger(request, enlarger)
    return Item(request, model, vae, addons, upscaler, enlarger), notes


def _check_enlarger(request: GenerationRequest, enlarger: UpscalerFile | None) -> None:
    """Raise :class:`~core.errors.TooLarge` where even one run of the upscaler is too much."""
    if enlarger is not None and enlarger.scale and request.enlarge is not None:
        width, height = replace(request, enlarge=Enlarge(1.0)).delivered_size
        largest = max(width, height) * enlarger.scale
        if largest > MAX_SIDE:
            raise TooLarge(width * enlarger.scale, height * enlarger.scale, MAX_SIDE)
