"""Model cards: a small TOML file beside a model or VAE that says what suits it.

``card.toml`` inside a diffusers folder, ``NAME.toml`` beside ``NAME.safetensors``. A mistake in
a card is a warning about that line; the rest of the card, and the model, still work.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from core.errors import PenultimateError
from core.models.weights.regular import read_text
from core.options import MAX_PROMPT, OPTIONS, RANGES, Option, Place, names
from core.request import split_sampler

# What a help page has room for.
MAX_PROMPTS: Final = 12


@dataclass(frozen=True, slots=True)
class Card:
    """The content of a card file; None for what it does not have.

    ``values`` are what it recommends, by option; the ``size`` is in pixels. Where a side is over
    ``largest`` pixels the model no longer draws what is asked for.
    ``latent_space``, ``prediction_type`` and ``zero_terminal_snr`` take the place of what was
    detected in the file.
    """

    name: str | None = None
    description: str = ""
    licence: str = ""
    latent_space: str | None = None
    prediction_type: Literal["epsilon", "v_prediction"] | None = None
    zero_terminal_snr: bool | None = None
    size: tuple[int, int] | None = None
    largest: int | None = None
    # Prompts that show what the model can do.
    prompts: tuple[str, ...] = ()
    # A mapping has no hash; equal cards still have equal hashes without it.
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_PROMPT:
        raise ValueError(f"a text of at most {MAX_PROMPT} characters")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _value(option: Option) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if option.type is str:
            _text(value)
        if option.name == "sampler":
            split_sampler(value)
        else:
            option.check(value)
        return option.type(value)

    return check


def _prediction_type(value: Any) -> str:
    if value not in ("epsilon", "v_prediction"):
        raise ValueError('"epsilon" or "v_prediction"')
    return str(value)


def _size(value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("[width, height]")
    width, height = value
    RANGES["width"].check("width", width)
    RANGES["height"].check("height", height)
    return width, height


def _largest(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < RANGES["width"].low:
        raise ValueError("a number of pixels")
    return value


def _prompts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_PROMPTS:
        raise ValueError(f"a list of at most {MAX_PROMPTS} texts")
    return tuple(map(_text, value))


_FACTS: Final[dict[str, Callable[[Any], Any]]] = {
    "name": _text,
    "description": _text,
    "licence": _text,
    "latent_space": _text,
    "prediction_type": _prediction_type,
    "zero_terminal_snr": _flag,
    "size": _size,
    "largest": _largest,
    "prompts": _prompts,
}
_VALUES: Final = {name: _value(OPTIONS[name]) for name in names(Place.CARD) if name not in _FACTS}


def card_path(path: Path) -> Path:
    """Give the path of the card of the folder or file ``path``."""
    return path / "card.toml" if path.is_dir() else path.with_suffix(".toml")


def read_card(path: Path) -> tuple[Card, tuple[str, ...]]:
    """Read the card of the model or VAE at ``path``, and warnings in plain English."""
    file = card_path(path)
    try:
        values = tomllib.loads(read_text(file))
    except FileNotFoundError:
        return Card(), ()
    # A number of thousands of digits is a ValueError, a thousand brackets are a RecursionError.
    except (OSError, ValueError, RecursionError) as error:
        return Card(), (f"the card {file.name} of {path.name} cannot be read: {error}",)
    known: dict[str, Any] = {}
    advice: dict[str, Any] = {}
    warnings = []
    for key, value in values.items():
        try:
            if key in _VALUES:
                advice[key] = _VALUES[key](value)
            else:
                known[key] = _FACTS[key](value)
        except KeyError:
            warnings.append(
                f"the card {file.name} of {path.name} says {key!r}, which means nothing"
            )
        except (ValueError, PenultimateError) as error:
            about = f"{key} must be {error}" if isinstance(error, ValueError) else str(error)
            warnings.append(f"the card {file.name} of {path.name} is partly ignored: {about}")
    return Card(values=advice, **known), tuple(warnings)
