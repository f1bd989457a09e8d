"""Who may know whom: imports go one way, and what belongs to one process stays there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.settings import ROOT

# What each room must not import, at any place in a file.
FORBIDDEN = {
    "core": {"bot", "cogs", "run", "tests", "tools", "benchmarks", "discord", "aiosqlite"},
    "bot": {"cogs", "run", "tests", "tools", "benchmarks", "torch", "diffusers", "transformers"},
    "cogs": {"cogs", "run", "tests", "tools", "benchmarks", "torch", "diffusers", "transformers"},
    "tools": {"bot", "cogs", "run", "tests", "benchmarks", "discord"},
    "benchmarks": {"bot", "cogs", "run", "tests", "discord"},
}


def imported(path: Path) -> Iterator[str]:
    """The topmost names of all that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_knows_only_what_is_below_it(room: str) -> None:
    paths = sorted((ROOT / room).rglob("*.py"))
    assert paths
    for path in paths:
        wrong = FORBIDDEN[room] & set(imported(path))
        assert not wrong, (path.relative_to(ROOT), wrong)
