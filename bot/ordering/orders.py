"""What a job will be: its request, the sheet drawn over it, and each item with its files found.

Everything that can be wrong with it is said while it is made, before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import discord

from bot.ordering.attachments import read_bytes, to_start_image
from bot.ordering.axes import check_sense, read_sheet
from bot.ordering.choices import MAX_CHOICES
from bot.ordering.layers import Layers
from bot.ordering.resolve import Resolved, check_limits, resolve
from bot.ordering.variations import SAID, with_start, without_start
from bot.settings import Limits
from bot.store.styles import Style
from core.models.catalogue import Catalogue
from core.notes import Note
from core.options import AUTOMATIC
from core.request import GenerationRequest
from core.sheets.sheet import Sheet
from core.work import Item

# The two (name, values) pairs of /explore; None where nothing was said.
Axes = Sequence[tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Start:
    """What img2img starts from: a file as uploaded, or what was attached; and how far to go."""

    picture: discord.Attachment | bytes | None = None
    denoising_strength: float | None = None


NO_START: Final = Start()


@dataclass(frozen=True, slots=True)
class Order:
    """A job to be. ``items`` are in the order to run them; ``request`` is a sheet's base."""

    request: GenerationRequest
    private: bool
    items: tuple[Item, ...]
    sheet: Sheet | None = None
    notes: tuple[Note, ...] = ()

    @property
    def requests(self) -> list[GenerationRequest]:
        """Everything that will be drawn."""
        return [item.request for item in self.items]


def remade(
    request: GenerationRequest,
    sheet: Sheet | None,
    catalogue: Catalogue,
    limits: Limits,
    *,
    private: bool = False,
    notes: tuple[Note, ...] = (),
) -> Order:
    """The job of a request that was resolved before, as things stand today.

    Raises :class:`~core.errors.InvalidRequest`, :class:`~core.errors.UnknownName`,
    :class:`~core.errors.VaeMismatch`, :class:`~core.errors.SheetTooLarge` or
    :class:`~bot.exceptions.CannotExplore`.
    """
    requests = [request]
    if sheet is not None:
        requests = [cell.request for cell in sheet.cells(request, limit=limits.max_cells)]
    items = tuple(_item(each, catalogue, limits) for each in requests)
    if sheet is not None:
        check_sense(sheet, request, items)
    return Order(request, private, items, sheet, notes)


def _item(request: GenerationRequest, catalogue: Catalogue, limits: Limits) -> Item:
    check_limits(request, limits)
    model = catalogue.model(request.model)
    return Item(request, model, catalogue.resolve_vae(request.vae, model))


async def started(resolved: Resolved, start: Start, limits: Limits) -> Resolved:
    """What a command resolved to, from its start image if there is one.

    Raises :class:`~core.errors.UnreadablePicture` or :class:`~core.errors.InvalidRequest`.
    """
    picture, strength = start.picture, start.denoising_strength
    if picture is None:
        return without_start(resolved, strength)
    if not isinstance(picture, bytes):
        picture = await read_bytes(picture)
    return with_start(resolved, await to_start_image(picture), strength, limits.max_size)


def base_of(
    prompt: str,
    axes: Axes | None,
    layers: Layers,
    catalogue: Catalogue,
    limits: Limits,
    style: Style | None = None,
    *,
    most: int = MAX_CHOICES,
) -> tuple[Resolved, Sheet | None]:
    """What is asked for: a request and, with ``axes`` of at most ``most`` values each, the sheet
    over it, whose cells have the request in common."""
    resolved = resolve(prompt, layers, catalogue, limits, style=style)
    if axes is None:
        return resolved, None
    sheet = read_sheet(axes, catalogue, resolved.model, limits.max_cells, most)
    if sheet.varies("model"):
        # Values that nobody said are those of the first model; a VAE then is each model's own.
        axis = next(axis for axis in sheet.axes if axis.kind.field == "model")
        layers = replace(layers, option={**layers.option, "model": axis.values[0]})
        resolved = resolve(prompt, layers, catalogue, limits, style=style)
    request, notes = resolved.request, resolved.notes
    if sheet.varies("model") and resolved.sources["vae"] not in SAID:
        request = replace(request, vae=AUTOMATIC)
    if request.count > 1:
        request = replace(request, count=1)
        notes = (*notes, Note.of("one_picture_a_cell"))
    return replace(resolved, request=request, notes=notes), sheet
