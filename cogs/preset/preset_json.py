"""Presets as JSON, to be moved to another account or bot.

Values of a file that cannot be used here are left out, and named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.exceptions import BadPreset
from bot.ordering.layers import LAYERED
from bot.ordering.resolve import checked
from bot.rules.values import check_kind, is_text, sendable
from bot.settings import Limits
from bot.store import Preset
from core.errors import InvalidRequest, PenultimateError, UnknownName, VaeMismatch
from core.models.catalogue import Catalogue

VERSION: Final = 1
# Eleven values, one of them a prompt of 4,000 characters.
MAX_BYTES: Final = 64 * 1024

_VERSION_KEY: Final = "penultimate_preset"


@dataclass(frozen=True, slots=True)
class Imported:
    """The content of a file: the preset's name if it has one, the values that can be used here, and
    the names of the others, each with the error, or None for an unknown name."""

    name: str | None
    values: Mapping[str, Any]
    left_out: tuple[tuple[str, PenultimateError | None], ...] = ()
    newer: bool = False


def to_json(preset: Preset) -> str:
    """Write the preset as a text that :func:`read` reads."""
    content = {_VERSION_KEY: VERSION, "name": preset.name, "values": dict(preset.values)}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read(data: bytes, catalogue: Catalogue, limits: Limits) -> Imported:
    """Read a text by :func:`to_json`, or an object of values alone.

    Raises :class:`~bot.exceptions.BadPreset` when it is neither.
    """
    if len(data) > MAX_BYTES:
        raise BadPreset("too_large")
    try:
        content = json.loads(_without_fence(data.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        raise BadPreset("not_json") from None
    if not isinstance(content, dict):
        raise BadPreset("no_preset")
    version, name = content.pop(_VERSION_KEY, VERSION), content.pop("name", None)
    values = content.get("values", content)
    if not isinstance(values, dict):
        raise BadPreset("no_preset")
    usable, left_out = readable(values, catalogue, limits)
    newer = isinstance(version, int) and version > VERSION
    return Imported(name if is_text(name) else None, usable, left_out, newer)


def readable(
    values: Mapping[str, Any], catalogue: Catalogue, limits: Limits
) -> tuple[dict[str, Any], tuple[tuple[str, PenultimateError | None], ...]]:
    """Split the values into those that can be used here, spelt as here, and the others."""
    usable: dict[str, Any] = {}
    left_out: list[tuple[str, PenultimateError | None]] = []
    for name, value in values.items():
        if name not in LAYERED:
            left_out.append((sendable(name), None))
            continue
        try:
            check_kind(name, value)
            usable |= checked({name: value}, catalogue, limits)
        except (InvalidRequest, UnknownName) as error:
            left_out.append((name, error))
    try:
        checked(usable, catalogue, limits)
    except VaeMismatch as error:
        del usable["vae"]
        left_out.append(("vae", error))
    return {name: usable[name] for name in LAYERED if name in usable}, tuple(left_out)


def _without_fence(text: str) -> str:
    """Remove the ``` that a text copied from Discord may have around it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.strip("`").removeprefix("json")
    return text
