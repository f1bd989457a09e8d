"""The layers that an option's value can come from, and the values of a model and of the bot.

option > pasted text > named preset > yours > channel > server > model card > bot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from bot.store import Store
from core.models.catalogue import Catalogue, Model
from core.models.files_at_hand import files_at_hand
from core.options import AUTOMATIC, OPTIONS, SELDOM, Place, names
from core.pictures.infotext import looks_like_infotext
from core.pictures.reading import NOTHING, Reading, read
from core.request import GenerationRequest, parse_size

Source = Literal["option", "pasted", "preset", "yours", "channel", "server", "model", "bot"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)
# What a command gives itself, and everything that its member chose.
COMMAND_SOURCES: Final = SOURCES[:3]
MEMBER_SOURCES: Final = SOURCES[:4]

# The options that a layer can have values of.
LAYERED: Final = names(Place.PRESET)
# Those that a command alone has, which add to its request.
ADDED: Final = tuple(name for name in names(Place.IMAGINE) if name not in LAYERED)

# The bot's defaults. The model and its size come from the catalogue.
BOT: Final[Mapping[str, Any]] = MappingProxyType(
    {name: OPTIONS[name].default for name in LAYERED if OPTIONS[name].default is not None}
)

# Sizes by name: width to height, at the area the model was trained on.
SHAPES: Final = {"square": (1, 1), "portrait": (2, 3), "landscape": (3, 2)}


@dataclass(frozen=True, slots=True)
class Layers:
    """Each layer's values by option; a value of None counts as none."""

    option: Mapping[str, Any] = field(default_factory=dict)
    pasted: Mapping[str, Any] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)
    yours: Mapping[str, Any] = field(default_factory=dict)
    channel: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    bot: Mapping[str, Any] = field(default_factory=dict)

    def first(self, name: str) -> tuple[Any, Source]:
        """Find option ``name`` in the first layer that has it: the value, and that layer.

        Raises :class:`KeyError` where none has it.
        """
        for source in SOURCES:
            value = getattr(self, source).get(name)
            if value is not None:
                return value, source
        raise KeyError(name)


async def layers_of(
    store: Store, user_id: int, option: Mapping[str, Any], preset: str | None = None
) -> Layers:
    """Read the layers of a member's own: a command's ``option``, a named preset, their default.

    Raises :class:`~core.errors.UnknownName` when there is no such preset (any more).
    """
    named = (await store.presets.get(user_id, preset)).values if preset else {}
    return Layers(option=option, preset=named, yours=await store.presets.yours(user_id))


def model_values(model: Model) -> dict[str, Any]:
    """Give what a model's card recommends, by option; its native size where the card has none."""
    width, height = model.card.size or model.size
    return {**model.card.values, "size": f"{width}x{height}"}


def size_of(text: str, model: Model) -> tuple[int, int]:
    """Read ``512x768`` or a shape (``portrait``) as width and height in pixels.

    A shape keeps the area of the model's own size. Raises
    :class:`~core.errors.InvalidRequest` for anything else.
    """
    shape = SHAPES.get(text.strip().casefold())
    if shape is None:
        return parse_size(text)
    width, height = model.card.size or model.size
    unit = math.sqrt(width * height / (shape[0] * shape[1]))
    return round(unit * shape[0] / 8) * 8, round(unit * shape[1] / 8) * 8


def values_of(request: GenerationRequest) -> dict[str, Any]:
    """Give a request's values by option, as a member would write them."""
    values = {name: getattr(request, name) for name in LAYERED if name != "private"}
    return values | {
        "sampler": sampler_name(request.sampler, request.schedule_type),
        "size": f"{request.width}x{request.height}",
    }


def read_pasted(
    prompt: str, layers: Layers, catalogue: Catalogue
) -> tuple[str, Layers, dict[str, Any], Reading]:
    """Read a prompt that is the infotext of an image.

    Returns the prompt in it, the layers with its options, the request's fields that are no options
    (variation, hires fix), and all that was read. Any other prompt stays as it is.
    """
    if not looks_like_infotext(prompt):
        return prompt, layers, {}, NOTHING
    reading = read(prompt, files_at_hand(catalogue))
    values = dict(reading.values)
    prompt = values.pop("prompt")
    size = values.pop("width", None), values.pop("height", None)
    if None not in size:
        values["size"] = f"{size[0]}x{size[1]}"
    kind = values.pop("schedule_type", AUTOMATIC)
    if "sampler" in values:
        values["sampler"] = sampler_name(values["sampler"], kind)
    exact = {name: values.pop(name) for name in list(values) if name not in LAYERED}
    # A text has no word for A1111's defaults, and the layers below may have others.
    unsaid = {name: OPTIONS[name].unsaid for name in SELDOM}
    return prompt, replace(layers, pasted=unsaid | values), exact, reading


def sampler_name(sampler: str, schedule_type: str) -> str:
    """Join both as members write them: ``DPM++ 2M Karras``."""
    return sampler if schedule_type == AUTOMATIC else f"{sampler} {schedule_type}"
