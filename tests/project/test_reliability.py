"""Each fault in the docs has a test that exists."""

from __future__ import annotations

import ast
import re

from bot.settings import ROOT


def named() -> list[tuple[str, str]]:
    """What the last column of the table names: file and test."""
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8").partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 21
    found = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.split(" | ")[-1]) for row in rows]
    assert all(found), "a fault without a test"
    return [each for row in found for each in row]


def functions_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_test_that_the_table_names_exists() -> None:
    missing = [f"{path}::{name}" for path, name in named() if name not in functions_in(path)]
    assert missing == []
