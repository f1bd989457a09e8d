"""A sampler as a table of numbers.

Once its sigmas are known, every sampler but DPM adaptive is linear: what it hands the model next
is a sum of earlier model inputs, denoised latents and noise, with coefficients known beforehand.
So a sampler is a generator, written as its paper has it, that is run once on symbols; the
coefficients that come out step pictures of any samplers in one batched product.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, NamedTuple

import numpy as np

from core.sampling.settings import SamplerSettings

# The latents that a picture keeps from call to call: the current one, and up to four earlier ones.
SLOTS: Final = 5
# The columns of a table's matrices after the slots.
DENOISED, UNCONDITIONAL, NOISE, COLUMNS = SLOTS, SLOTS + 1, SLOTS + 2, SLOTS + 3


class Call(NamedTuple):
    """A model call that a sampler wants, in k-diffusion's space (latent = clean + sigma × noise).

    ``x`` is the latent. ``timestep`` is given by the samplers that count in timesteps, else it is
    sigma's.
    """

    x: Any
    sigma: float
    timestep: float | None = None


class Answer(NamedTuple):
    """The answer to a call: its latent, the denoised one, and that of the negative prompt alone."""

    x: Any
    denoised: Any
    unconditional: Any


# A sampler's walk: it yields calls, is sent answers and returns the finished latent. One that runs
# on latents may yield a number on their device as well, and is sent its value.
Walk = Generator[Any, Any, Any]


class Form:
    """A linear form: a sum of symbols, which are numbers, each times a double."""

    __slots__ = ("terms",)

    def __init__(self, terms: dict[int, float]) -> None:
        self.terms = terms

    def __add__(self, other: Form) -> Form:
        terms = dict(self.terms)
        for symbol, factor in other.terms.items():
            terms[symbol] = terms.get(symbol, 0.0) + factor
        return Form(terms)

    def __mul__(self, factor: float) -> Form:
        return Form({symbol: own * factor for symbol, own in self.terms.items()})

    def __sub__(self, other: Form) -> Form:
        return self + other * -1.0

    def __truediv__(self, divisor: float) -> Form:
        return self * (1.0 / divisor)

    __rmul__ = __mul__


def _same(form: Any) -> Any:
    return form


@dataclass(frozen=True, slots=True)
class Context:
    """What a sampler is given beside its latent and its levels.

    ``ends`` are the lowest and highest sigma of the model, in img2img of the part that is run, and
    ``steps`` the number of steps, for the samplers that space their own levels. ``noise`` returns
    fresh noise of unit variance; with two sigmas, that of the Brownian path between them. ``keep``
    must be called for a sum that is used after the next call.
    """

    settings: SamplerSettings
    ends: tuple[float, float]
    steps: int
    noise: Callable[..., Any] = _same
    keep: Callable[[Any], Any] = _same


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The coefficients of a walk.

    ``matrices`` (calls + 1, SLOTS, COLUMNS), float64: the slots after each call, from the slots,
    the denoised latent, the negative prompt's and noise; the first, before any call, knows only
    slot 0, the start. Slot 0 is the latent of the next call or the result. ``pairs`` are the
    sigmas that Brownian noise lies between, one for each of the matrices in ``noisy`` that add
    noise.
    """

    sigmas: list[float]
    timesteps: list[float | None]
    matrices: np.ndarray
    noisy: list[bool]
    pairs: list[tuple[float, float]]


@dataclass(slots=True)
class _Transition:
    """The forms between two calls: the next latent, what is kept, and the noise drawn."""

    kept: dict[int, Form] = field(default_factory=dict)
    noise: int | None = None
    x: Form = field(default_factory=lambda: Form({}))
    # The symbols that the call before it brought: latent, denoised, unconditional.
    answer: tuple[int, ...] = ()


def tabulate(walk: Callable[[Form, Context], Walk], context: Context) -> Table:
    """Run ``walk`` on symbols and return its table."""
    fresh = count()
    transitions = [_Transition(answer=(start := next(fresh),))]
    pairs: list[tuple[float, float]] = []

    def noise(sigma: float = 0.0, following: float = 0.0) -> Form:
        assert transitions[-1].noise is None, "one noise between two calls"
        transitions[-1].noise = symbol = next(fresh)
        pairs.append((sigma, following))
        return Form({symbol: 1.0})

    def keep(form: Form) -> Form:
        transitions[-1].kept[symbol := next(fresh)] = form
        return Form({symbol: 1.0})

    running = walk(Form({start: 1.0}), replace(context, noise=noise, keep=keep))
    calls: list[Call] = []
    answer: Answer | None = None
    while True:
        try:
            call = running.send(answer)
        except StopIteration as stop:
            transitions[-1].x = stop.value
            break
        calls.append(call)
        transitions[-1].x = call.x
        symbols = tuple(next(fresh) for _ in Answer._fields)
        transitions.append(_Transition(answer=symbols))
        answer = Answer(*(Form({symbol: 1.0}) for symbol in symbols))
    return Table(
        [call.sigma for call in calls],
        [call.timestep for call in calls],
        _matrices(transitions),
        [each.noise is not None for each in transitions],
        pairs,
    )


def _matrices(transitions: list[_Transition]) -> np.ndarray:
    """Give every symbol that is used again a slot, and write the forms over the slots."""
    last_use: dict[int, int] = {}
    for place, transition in enumerate(transitions):
        for form in (transition.x, *transition.kept.values()):
            last_use |= dict.fromkeys(form.terms, place)
    matrices = np.zeros((len(transitions), SLOTS, COLUMNS))
    slots: dict[int, int] = {}
    for place, transition in enumerate(transitions):
        column = dict(slots)
        column |= dict(zip(transition.answer, (0, DENOISED, UNCONDITIONAL), strict=False))
        if transition.noise is not None:
            column[transition.noise] = NOISE
        rows = {symbol: _row(Form({symbol: 1.0}), column, {}) for symbol in column}
        for symbol, form in transition.kept.items():
            rows[symbol] = _row(form, column, rows)
        matrices[place, 0] = _row(transition.x, column, rows)
        alive = [symbol for symbol in rows if last_use.get(symbol, 0) > place]
        slots = {symbol: slot for slot, symbol in enumerate(alive, start=1)}
        for symbol, slot in slots.items():
            matrices[place, slot] = rows[symbol]
    return matrices


def _row(form: Form, column: dict[int, int], known: dict[int, np.ndarray]) -> np.ndarray:
    """Write a form over the columns; symbols ``known`` otherwise are replaced by their rows."""
    row = np.zeros(COLUMNS)
    for symbol, factor in form.terms.items():
        if symbol in column:
            row[column[symbol]] += factor
        else:
            row += factor * known[symbol]
    return row
