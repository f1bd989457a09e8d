"""The layers' values, made into a request.

The first layer that has a value wins, and the answer to "why this value" is that layer's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from bot.exceptions import NoModels
from bot.ordering.layers import (
    BOT,
    LAYERED,
    SHAPES,
    SOURCES,
    Layers,
    Source,
    model_values,
    read_pasted,
    size_of,
    values_of,
)
from bot.rules.values import check_kind
from bot.settings import Limits
from core.errors import InvalidRequest, PenultimateError, UnknownName, VaeMismatch
from core.models.catalogue import Catalogue, Model, Vae
from core.notes import Note
from core.options import AUTOMATIC, NONE, OPTIONS, RANDOM_SEED, RANGES, Range
from core.prompt.variants import drawn
from core.request import GenerationRequest, draw_seed, split_sampler

if TYPE_CHECKING:
    from bot.store.styles import Style

_CHOSEN: Final = ("option", "pasted", "preset", "yours")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request ready to be written, the files it needs, and why each value is what it is.

    ``notes`` say what was left out of a pasted text.
    """

    request: GenerationRequest
    model: Model
    vae: Vae | None
    private: bool
    sources: Mapping[str, Source]
    notes: tuple[Note, ...] = ()


def resolve(
    prompt: str,
    layers: Layers,
    catalogue: Catalogue,
    limits: Limits,
    *,
    style: Style | None = None,
) -> Resolved:
    """The request that ``prompt`` and ``layers`` make; a seed of −1 or none is drawn here.

    ``style`` is put around the prompt, and then the choices in it are drawn from the seed.

    What a member chose and may not is an error; what a layer below recommends is cut to the
    owner's limits. Raises :class:`~core.errors.InvalidRequest`,
    :class:`~core.errors.UnknownName`, :class:`~core.errors.VaeMismatch` or
    :class:`~bot.exceptions.NoModels`.
    """
    prompt, layers, exact, notes = read_pasted(prompt, layers, catalogue)
    model, model_source = _model(layers, catalogue)
    layers = replace(layers, model=model_values(model), bot=BOT)
    chosen = {name: layers.first(name) for name in LAYERED if name != "model"}
    values = {name: value for name, (value, _) in chosen.items()}
    for name, value in values.items():
        check_kind(name, value)
    sources = {name: source for name, (_, source) in chosen.items()} | {"model": model_source}
    private = bool(values.pop("private"))
    values["sampler"], values["schedule_type"] = split_sampler(values["sampler"])
    values["width"], values["height"] = size_of(values.pop("size"), model)
    values["vae"], vae = _vae(values["vae"], model, sources, catalogue)
    if values["seed"] == RANDOM_SEED:
        values["seed"] = draw_seed()
    for name, limit in bounds(limits).items():
        if sources["size" if name in ("width", "height") else name] not in _CHOSEN:
            values[name] = min(values[name], limit)
    values |= {name: float(values[name]) for name in values if OPTIONS[name].type is float}
    if style is not None:
        negative_prompt = values["negative_prompt"]
        prompt, values["negative_prompt"] = style.applied(prompt, negative_prompt)
    request = GenerationRequest(prompt, model.name, **values, **exact)
    request, unread = drawn(request)
    check_limits(request, limits)
    why = MappingProxyType(sources)
    return Resolved(request, model, vae, private, why, notes + unread)


@dataclass(frozen=True, slots=True)
class Explained:
    """What a member's next job would have by itself: each option's value, and the layer it comes
    from. ``model`` is what the others are for; ``error`` is what keeps such a job from starting.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, Source]
    model: Model
    error: PenultimateError | None = None


def explain(layers: Layers, catalogue: Catalogue, limits: Limits) -> Explained:
    """Why each value is what it is. What cannot be used stands as it was said.

    Raises :class:`~bot.exceptions.NoModels`.
    """
    try:
        model, model_source = _model(layers, catalogue)
        name = model.name
    except (InvalidRequest, UnknownName):
        if not catalogue.models:
            raise NoModels from None
        model, (name, model_source) = catalogue.models[0], layers.first("model")
    below = replace(layers, model=model_values(model), bot=BOT)
    said = {option: below.first(option) for option in LAYERED if option != "model"}
    said["model"] = name, model_source
    values = {option: said[option][0] for option in LAYERED}
    sources = {option: said[option][1] for option in LAYERED}
    try:
        resolved = resolve("", layers, catalogue, limits)
    except PenultimateError as error:
        return Explained(values, sources, model, error)
    # What was cut to a limit, or does not fit; a seed to be drawn and a shape stay words.
    kept = {"seed", "negative_prompt"} | ({"size"} if str(values["size"]) in SHAPES else set())
    used = values_of(resolved.request)
    values |= {option: used[option] for option in used if option not in kept}
    return Explained(values, sources | dict(resolved.sources), model)


def check_limits(request: GenerationRequest, limits: Limits) -> None:
    """Raise :class:`~core.errors.InvalidRequest` when the owner does not allow so much."""
    width, height = request.final_size
    asked = {"width": width, "height": height, "steps": request.steps, "count": request.count}
    for name, limit in bounds(limits).items():
        allowed = RANGES[name]
        Range(allowed.low, min(allowed.high, limit), allowed.multiple).check(name, asked[name])


def checked(values: Mapping[str, Any], catalogue: Catalogue, limits: Limits) -> dict[str, Any]:
    """The values that are set, spelt as the catalogue spells them: what a preset keeps.

    Raises what :func:`resolve` would raise for them.
    """
    kept = {name: values[name] for name in LAYERED if values.get(name) is not None}
    asked = dict(kept)
    if "vae" in kept and "model" not in kept:
        # It need not fit the model that happens to be the default.
        check_kind("vae", kept["vae"])
        kept["vae"] = _vae_name(asked.pop("vae"), catalogue)
    proper = values_of(resolve("", Layers(option=asked), catalogue, limits).request)
    shape = str(kept.get("size", "")).strip().casefold()
    if shape in SHAPES:
        # The word stays: it is another size on another model.
        proper["size"] = shape
    if kept.get("seed") == RANDOM_SEED:
        proper["seed"] = RANDOM_SEED
    # Its choices are drawn anew for each job.
    proper.pop("negative_prompt")
    return kept | {name: proper[name] for name in asked if name in proper}


def _model(layers: Layers, catalogue: Catalogue) -> tuple[Model, Source]:
    try:
        name, source = layers.first("model")
    except KeyError:
        if not catalogue.models:
            raise NoModels from None
        return catalogue.models[0], "bot"
    check_kind("model", name)
    return catalogue.model(name), source


def _vae(
    name: str, model: Model, sources: Mapping[str, Source], catalogue: Catalogue
) -> tuple[str, Vae | None]:
    """The VAE in its proper spelling, and its file if it is an external one.

    A VAE said by a layer below the one that chose the model was not meant for that model, and
    a card may name one that is not here: where such a VAE does not do, it is Automatic.
    """
    source = sources["vae"]
    try:
        name = _vae_name(name, catalogue)
        return name, catalogue.resolve_vae(name, model)
    except UnknownName:
        if source != "model":
            raise
    except VaeMismatch:
        if source != "model" and SOURCES.index(source) <= SOURCES.index(sources["model"]):
            raise
    return AUTOMATIC, catalogue.resolve_vae(AUTOMATIC, model)


def _vae_name(name: str, catalogue: Catalogue) -> str:
    for word in (AUTOMATIC, NONE):
        if name.strip().casefold() == word.casefold():
            return word
    return catalogue.vae(name).name


def bounds(limits: Limits) -> dict[str, int]:
    """The highest value that the owner allows, by field of a request."""
    # A recommended size is cut to the limit, and what is left must be a size.
    side = limits.max_size // RANGES["width"].multiple * RANGES["width"].multiple
    return {
        "width": side,
        "height": side,
        "steps": limits.max_steps,
        "count": limits.max_count,
    }
