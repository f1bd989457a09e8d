"""Resolve the layers' values into a request, and explain where each value comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bot.exceptions import NoModels
from bot.ordering.adding import lora_tag, with_hires
from bot.ordering.layers import (
    BOT,
    LAYERED,
    MEMBER_SOURCES,
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
from bot.store.styles import Style
from core.effects import unused
from core.errors import InvalidRequest, PenultimateError, TooLarge, UnknownName, VaeMismatch
from core.models.catalogue import Catalogue, Model, Vae
from core.notes import Note
from core.options import AUTOMATIC, OPTIONS, RANDOM_SEED, RANGES, Range
from core.pictures.reading import too_large
from core.pictures.sampler_names import sampler_of
from core.prompt.variants import draw_choices
from core.request import MAX_ENLARGED, GenerationRequest, draw_seed

# How much larger than a generated image an enlarged one may be: it costs much less.
LARGER: Final = 4


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request ready to be stored, the files it needs, and the layer each value comes from.

    ``notes`` are on what was left out of a pasted text, and what of the prompt was not understood.
    """

    request: GenerationRequest
    model: Model
    vae: Vae | None
    private: bool
    sources: Mapping[str, Source]
    notes: tuple[Note, ...] = ()

    def changed(self, *notes: Note, **changes: Any) -> Resolved:
        """Change fields of the request, and add notes."""
        return replace(self, request=replace(self.request, **changes), notes=self.notes + notes)


def resolve(
    prompt: str,
    layers: Layers,
    catalogue: Catalogue,
    limits: Limits,
    *,
    style: Style | None = None,
) -> Resolved:
    """Make the request of ``prompt`` and ``layers``; a seed of −1 or none is drawn here.

    ``style`` is put around the prompt, and then the choices in it are drawn from the seed, but for
    those of a pasted text.

    A member's own value beyond the limits is an error; one of a layer below the member's is cut to
    them. Raises :class:`~core.errors.InvalidRequest`,
    :class:`~core.errors.UnknownName`, :class:`~core.errors.VaeMismatch` or
    :class:`~bot.exceptions.NoModels`.
    """
    prompt, layers, exact, reading = read_pasted(prompt, layers, catalogue)
    notes = reading.notes
    model = _model(layers, catalogue)
    values, sources = _gathered(layers, model)
    for name, value in values.items():
        check_kind(name, value)
    values["model"] = model.name
    private = bool(values.pop("private"))
    values["sampler"], values["schedule_type"] = sampler_of(values["sampler"])
    values["width"], values["height"] = size_of(values.pop("size"), model)
    values["vae"], vae = _vae(values["vae"], model, sources, catalogue)
    if values["seed"] == RANDOM_SEED:
        values["seed"] = draw_seed()
    for name, limit in bounds(limits).items():
        if sources["size" if name in ("width", "height") else name] not in MEMBER_SOURCES:
            values[name] = min(values[name], limit)
    values |= {name: float(values[name]) for name in values if OPTIONS[name].type is float}
    written = ""
    if lora := layers.option.get("lora"):
        written, words = lora_tag(lora, prompt, catalogue, model)
        prompt, notes = f"{prompt} {written}".strip(), notes + words
    # A1111 has no choices, so those of a pasted text were words, as are those in a file's name.
    literal = {"prompt": prompt if layers.pasted else written}
    if sources["negative_prompt"] == "pasted":
        literal["negative_prompt"] = values["negative_prompt"]
    if style is not None:
        negative_prompt = values["negative_prompt"]
        prompt, values["negative_prompt"] = style.applied(prompt, negative_prompt)
    notes += _left_out(exact, values, limits)
    exact["hires"] = with_hires(exact.get("hires"), layers.option, catalogue)
    request = GenerationRequest(prompt, **values, **exact)
    request, unread = draw_choices(request, literal=literal)
    check_limits(request, limits)
    notes += unread + unused(request)
    if model.card.largest and max(request.final_size) > model.card.largest:
        notes += (Note.of("beyond_largest", name=model.name, limit=model.card.largest),)
    return Resolved(request, model, vae, private, sources, notes)


def _left_out(exact: dict[str, Any], values: Mapping[str, Any], limits: Limits) -> tuple[Note, ...]:
    """Take a pasted second pass or enlargement that is too large out of ``exact``, with notes:
    nobody wrote the size that it comes to, so it is no error."""
    width, height, notes = values["width"], values["height"], []
    hires = exact.get("hires")
    if hires and max(hires.size(width, height).picture) > limits.max_size:
        notes.append(too_large(exact.pop("hires"), limits.max_size))
    hires, enlarge, limit = exact.get("hires"), exact.get("enlarge"), most_enlarged(limits)
    size = hires.size(width, height).picture if hires else (width, height)
    if enlarge and max(size) * enlarge.scale > limit:
        notes.append(too_large(exact.pop("enlarge"), limit))
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class Explained:
    """A member's defaults: each option's value, and the layer it comes from.

    ``model`` is what the values are for; ``error`` is why a job with them cannot start.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, Source]
    model: Model
    error: PenultimateError | None = None


def explain(layers: Layers, catalogue: Catalogue, limits: Limits) -> Explained:
    """Find a member's defaults. Where they cannot be used, they are given as they are set.

    Raises :class:`~bot.exceptions.NoModels`.
    """
    try:
        model = _model(layers, catalogue)
    except (InvalidRequest, UnknownName):
        if not catalogue.models:
            raise NoModels from None
        model = catalogue.models[0]
    values, sources = _gathered(layers, model)
    try:
        resolved = resolve("", layers, catalogue, limits)
    except PenultimateError as error:
        return Explained(values, sources, model, error)
    return Explained(_spelt(values, resolved.request), sources, model)


def check_limits(request: GenerationRequest, limits: Limits) -> None:
    """Raise :class:`~core.errors.InvalidRequest`, or :class:`~core.errors.TooLarge` for what it is
    enlarged to, for a request beyond the limits."""
    if request.enlarge is not None:
        width, height = request.delivered_size
        if max(width, height) > most_enlarged(limits):
            raise TooLarge(width, height, most_enlarged(limits))
    if request.only_enlarges:
        return
    width, height = request.final_size
    asked = {"width": width, "height": height, "steps": request.steps, "count": request.count}
    for name, limit in bounds(limits).items():
        allowed = RANGES[name]
        Range(allowed.low, min(allowed.high, limit), allowed.multiple).check(name, asked[name])


def checked(values: Mapping[str, Any], catalogue: Catalogue, limits: Limits) -> dict[str, Any]:
    """Check the values that are not None and spell them as the catalogue does: what a preset keeps.

    Raises what :func:`resolve` would raise for them.
    """
    kept = {name: values[name] for name in LAYERED if values.get(name) is not None}
    given = dict(kept)
    if "vae" in kept and "model" not in kept:
        # It need not fit the model that happens to be the default.
        check_kind("vae", kept["vae"])
        kept["vae"] = catalogue.vae_name(given.pop("vae"))
    request = resolve("", Layers(option=given), catalogue, limits).request
    return kept | _spelt(given, request)


def _spelt(values: Mapping[str, Any], request: GenerationRequest) -> dict[str, Any]:
    """Give ``values`` as the request made of them has them: names spelt, numbers within limits.

    What is another in each job stays: a random seed, the choices in a negative prompt, and a shape,
    whose size is the model's.
    """
    used = values_of(request)
    del used["negative_prompt"]
    if values.get("seed") == RANDOM_SEED:
        del used["seed"]
    shape = str(values.get("size", "")).strip().casefold()
    if shape in SHAPES:
        used["size"] = shape
    return {name: used.get(name, value) for name, value in values.items()}


def _model(layers: Layers, catalogue: Catalogue) -> Model:
    try:
        name, _ = layers.first("model")
    except KeyError:
        if not catalogue.models:
            raise NoModels from None
        return catalogue.models[0]
    check_kind("model", name)
    return catalogue.model(name)


def _gathered(layers: Layers, model: Model) -> tuple[dict[str, Any], dict[str, Source]]:
    """Take each option from the first layer that has it; ``model`` is the one that is used."""
    layers = replace(layers, model=model_values(model), bot={**BOT, "model": model.name})
    found = {name: layers.first(name) for name in LAYERED}
    values = {name: value for name, (value, _) in found.items()}
    return values, {name: source for name, (_, source) in found.items()}


def _vae(
    name: str, model: Model, sources: Mapping[str, Source], catalogue: Catalogue
) -> tuple[str, Vae | None]:
    """Spell the VAE's name, and find its file if it is an external one.

    A VAE from a layer below the one that chose the model was not meant for that model, and a card
    may name one that is not here: where such a VAE cannot be used, it is Automatic.
    """
    source = sources["vae"]
    try:
        name = catalogue.vae_name(name)
        return name, catalogue.resolve_vae(name, model)
    except UnknownName:
        if source != "model":
            raise
    except VaeMismatch:
        if source != "model" and SOURCES.index(source) <= SOURCES.index(sources["model"]):
            raise
    return AUTOMATIC, catalogue.resolve_vae(AUTOMATIC, model)


def most_enlarged(limits: Limits) -> int:
    """Give the most pixels that a side may have after enlarging without redrawing."""
    return min(MAX_ENLARGED, LARGER * limits.max_size)


def bounds(limits: Limits) -> dict[str, int]:
    """Give the highest value that is allowed, by field of a request."""
    # A recommended size is cut to the limit, which must be a size that a request can have.
    side = limits.max_size // RANGES["width"].multiple * RANGES["width"].multiple
    return {"width": side, "height": side, "steps": limits.max_steps, "count": limits.max_count}
