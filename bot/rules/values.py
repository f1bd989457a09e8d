"""Type checks of options' values from files, the database and server settings.

Discord itself checks the values of a command; a request checks their ranges.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from core.errors import InvalidRequest
from core.options import OPTIONS, shown


def check_kind(name: str, value: Any) -> None:
    """Raise :class:`~core.errors.InvalidRequest` for a value of the wrong type."""
    option = OPTIONS[name]
    if option.range is not None:
        if not option.range.takes(value):
            raise option.range.invalid(name, sendable(shown(value)))
    elif option.type is bool:
        if not isinstance(value, bool):
            raise InvalidRequest(name, sendable(shown(value)), "yes_no")
    elif not is_text(value):
        raise InvalidRequest(name, sendable(shown(value)), "text")


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is a text without lone surrogates, which JSON may contain."""
    return isinstance(value, str) and sendable(value) == value


def sendable(text: str) -> str:
    """The text with a question mark for each lone surrogate, which cannot be encoded."""
    return text.encode(errors="replace").decode()
