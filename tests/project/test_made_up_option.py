"""An option that nobody has heard of, added as one row and its sentences, is there everywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bot.settings import ROOT

FOLDERS: Final = ("bot", "core", "cogs", "tests", "data/locales", "data/migrations")
FILES: Final = ("run.py", "pyproject.toml")

ROW: Final = """\
    sharpness: float = _row(
        1.0,
        range=Range(0, 2, whole=False),
        places=EVERYWHERE | Place.EDIT,
        infotext="Sharpness",
        axis=AxisKind("Sharpness", example="0, 0.5, 1.5"),
        flag="--sharpness",
    )
"""
# And one that is a choice.
CHOICE: Final = """\
    finish: str = _row(
        "Plain",
        choices=("Plain", "Glossy"),
        places=EVERYWHERE,
        infotext="Finish",
        axis=AxisKind("Finish", example="Plain, Glossy"),
        flag="--finish",
    )
"""
PROOF: Final = "tests/project/made_up_option.py"
BEFORE: Final = "    sampler: str = _row("


def test_one_row_and_its_sentences_are_an_option_everywhere(tmp_path: Path) -> None:
    """The copy is proved by another file of tests, in a process of its own."""
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "golden")
        )
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)

    table = tmp_path / "core" / "options.py"
    rows = table.read_text("utf-8")
    assert rows.count(BEFORE) == 1
    table.write_text(rows.replace(BEFORE, ROW + CHOICE + BEFORE), "utf-8")
    for path in (tmp_path / "data" / "locales").glob("*.json"):
        sentences = json.loads(path.read_text("utf-8"))
        sentences["option"] |= {"sharpness": "sharpness", "finish": "finish"}
        sentences["describe"] |= {"sharpness": "How sharp", "finish": "How it shines"}
        sentences["kind"]["finish"] = "finish"
        path.write_text(json.dumps(sentences, ensure_ascii=False), "utf-8")

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *["-q", "-p", "no:cacheprovider"], PROOF],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "10 passed" in ended.stdout
