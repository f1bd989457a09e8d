"""Upscaling without redrawing: what is offered, and the request of an image from anywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final

from bot.exceptions import NoModels
from bot.ordering.attachments import to_finished_image
from bot.ordering.orders import Order, order_of
from bot.settings import Limits
from core.models.catalogue import Catalogue
from core.options import MAX_PROMPT
from core.pictures.infotext import parse
from core.request import Enlarge, GenerationRequest
from core.variations import only_enlarged

# The scales that are offered, by the action that enlarges by it.
SCALES: Final = {"enlarge_two": 2.0, "enlarge_three": 3.0, "enlarge_four": 4.0}
# What enlarges where there is no upscaler.
LANCZOS: Final = "Lanczos"


def upscalers(catalogue: Catalogue) -> Sequence[str]:
    """Name what can enlarge pixels: the files, then Lanczos; the first is the usual one."""
    return *catalogue.upscalers.names, LANCZOS


async def foreign_order(
    data: Awaitable[bytes], enlarge: Enlarge, catalogue: Catalogue, limits: Limits, *, private: bool
) -> Order:
    """Order the enlargement of an image file that is no job's, whose parameters it keeps.

    Raises :class:`~core.errors.UnreadablePicture`, :class:`~bot.exceptions.NoModels` and what
    :func:`~bot.ordering.orders.order_of` raises.
    """
    if not catalogue.models:
        raise NoModels
    image = await to_finished_image(await data, enlarge)
    # The server's blocked words are for its prompt as well; nothing else of it is used.
    prompt = str(parse(image.text)["Prompt"])[:MAX_PROMPT]
    request = GenerationRequest(prompt, model=catalogue.models[0].name, seed=0)
    request = only_enlarged(request, image.png, enlarge)
    return order_of(request, None, catalogue, limits, private=private, notes=image.notes)
