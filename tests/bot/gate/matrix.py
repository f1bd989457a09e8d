"""The table in docs/servers.md of who may do what: ``python -m tests.bot.gate.matrix`` writes it.

Its rows are those of test_permissions.py and test_every_control.py, which hold them against the
code; test_matrix.py tries every cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from bot.settings import ROOT
from bot.translate import t
from tests.bot.actions.test_every_control import AUTHOR, CONTROLS, REACTIONS
from tests.bot.gate.test_permissions import ANYBODY, MANAGER, OWNER, WHO

DOCUMENT: Final = ROOT / "docs" / "servers.md"
TITLE: Final = "## Who may do what"

# Who there is: the columns. Each has nothing but what its title says.
COLUMNS = (MEMBER, MAKER, MODERATOR, SERVERS, BOTS) = (
    "member",
    "whose image it is",
    "*Manage Messages*",
    "*Manage Server*",
    "bot owner",
)
# Who may, by what the tables of the tests say of a command or a control.
MAY: Final = {
    ANYBODY: set(COLUMNS),
    MANAGER: {SERVERS},
    OWNER: {BOTS},
    AUTHOR: {MAKER, MODERATOR},
}


def rows() -> dict[str, set[str]]:
    """What can be done, and by whom."""
    found: dict[str, set[str]] = {}
    for who, names in _grouped(WHO.items()):
        commands = [f"`/{name}`" for name in names if name[0].islower()]
        menus = [f"**{name}**" for name in names if not name[0].islower()]
        found[" ".join(commands + menus)] = MAY[who]
    for who, names in _grouped((name, line[0]) for name, line in CONTROLS.items()):
        # Every control that deletes says so.
        keys = ["cancel" if name == "cancel" else "delete" for name in names]
        labels = ", ".join(dict.fromkeys(f"**{t(f'control.{key}')}**" for key in keys))
        said = labels if who == AUTHOR else "every other button, menu and form"
        found[f"Under an image: {said}"] = MAY[who]
    for who, names in _grouped(REACTIONS.items()):
        found[f"Reactions: {' '.join(names)}"] = MAY[who]
    return found


def _grouped(lines: Iterable[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for name, who in lines:
        groups.setdefault(who, []).append(name)
    return groups.items()


def table() -> str:
    """The rows as Markdown."""
    cell: Callable[[bool], str] = {True: "yes", False: "no"}.__getitem__
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for what, may in rows().items():
        lines.append(f"| {what} | " + " | ".join(cell(each in may) for each in COLUMNS) + " |")
    return "\n".join(lines)


def written(document: str) -> str:
    """The document with the table in its place."""
    place = re.compile(rf"({re.escape(TITLE)}\n\n.*?\n\n)\|.*?\n\n", re.DOTALL)
    return place.sub(lambda match: f"{match[1]}{table()}\n\n", document, count=1)


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8")), "utf-8")
