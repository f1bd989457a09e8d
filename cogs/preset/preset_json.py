"""Presets as JSON: exported for other bots of this kind, and imported from anybody.

The usable values of a file are imported; the others are left out and named.
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
    """The contents of a file: its preset's name if it has one, the values that can be used here,
    and the names of the others with the error of each, None for an unknown name."""

    name: str | None
    values: Mapping[str, Any]
    left_out: tuple[tuple[str, PenultimateError | None], ...] = ()
    newer: bool = False


def to_json(preset: Preset) -> str:
    """Write a preset as :func:`read` reads it."""
    content = {_VERSION_KEY: VERSION, "name": preset.name, "values": dict(preset.values)}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read(data: bytes, catalogue: Catalogue, limits: Limits) -> Imported:
    """Read a text of :func:`to_json`, or a bare object of values.

    Raises :class:`~bot.exceptions.BadPreset` for anything else.
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
    """Return the values that can be used here, as the catalogue spells them, and the others."""
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
    """Remove the code fence that a text copied out of Discord may have."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.strip("`").removeprefix("json")
    return text
