"""Text that members wrote, so that Discord shows it as it was typed.

discord.py's own escaping leaves the second of two links, mentions and headings as they are.
"""

from __future__ import annotations

import re
from typing import Final

_ANYWHERE: Final = re.compile(r"[\\*_~|`\[\]<>]|(?<=[A-Za-z]):(?=//)")
# Headings, small text, lists and quotes; the last is escaped anywhere.
_AT_START: Final = re.compile(
    r"^(\s*)(#{1,3}(?=\s)|-#?(?=\s)|\+(?=\s)|\d+(?=[.)]\s))", re.MULTILINE
)


def escape_markdown(text: str) -> str:
    """Put a backslash before all that Discord would read as markdown, a mention or a link."""
    return _AT_START.sub(_behind, _ANYWHERE.sub(r"\\\g<0>", text))


def _behind(found: re.Match[str]) -> str:
    space, mark = found.groups()
    # A digit cannot be escaped, but what makes it a list can.
    return f"{space}{mark}\\" if mark[0].isdecimal() else f"{space}\\{mark}"
