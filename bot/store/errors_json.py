"""Errors as JSON, written beside their jobs so that they can be shown later in any language."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from bot.exceptions import Unexpected
from core.errors import PenultimateError


def to_json(error: PenultimateError) -> dict[str, Any]:
    """Return the error's class and fields, in JSON's types."""
    return {
        "class": type(error).__name__,
        "fields": {field.name: getattr(error, field.name) for field in fields(error)},
    }


def from_json(value: dict[str, Any]) -> PenultimateError:
    """Invert :func:`to_json`; an unknown class becomes :class:`~bot.exceptions.Unexpected`."""
    known = {cls.__name__: cls for cls in _tree(PenultimateError)}
    # JSON has no tuples; the tree's fields have no lists.
    values = {
        name: tuple(item) if isinstance(item, list) else item
        for name, item in value["fields"].items()
    }
    try:
        return known[value["class"]](**values)
    except (KeyError, TypeError):
        return Unexpected(value["class"])


def _tree(cls: type[PenultimateError]) -> list[type[PenultimateError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in _tree(child))]
