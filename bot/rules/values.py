"""What kind of value each option takes, whoever wrote it: a file, a row of the database, a server.

Discord itself checks what is given to a command; everything else is checked here.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from core.errors import InvalidRequest
from core.options import OPTIONS, shown


def check_kind(name: str, value: Any) -> None:
    """Raise :class:`~core.errors.InvalidRequest` for a value of another kind than the option's."""
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
    """Whether it is a text that can be sent on: JSON may hold halves of characters."""
    return isinstance(value, str) and sendable(value) == value


def sendable(text: str) -> str:
    """The text with a question mark for each half of a character, which no file or post takes."""
    return text.encode(errors="replace").decode()
