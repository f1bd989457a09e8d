"""A server's setting is one row: what is derived from it, for settings made up here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest

from bot.rules.server import By, Each, Kind, changed
from bot.settings import ROOT

MADE_UP = """\
    max_rows: int | None = _row(Range(2, 9), "limits", "queue")
    quiet: bool = _row("flag", "nsfw", default=False)
    testers: tuple[int, ...] = _row(Each("member", 3), "access")
    @property
    def hides("""

SENTENCES = {
    "config.setting.max_rows": "Most rows",
    "config.default.max_rows": "any",
    "config.setting.quiet": "Quiet",
    "config.quiet_on": "Be quiet",
    "config.setting.testers": "Testers",
    "config.default.testers": "no tester",
}

SCRIPT = """
import json

from discord import Locale

from bot.actions.dispatch import Dispatch
from bot.rules import policy_json
from bot.rules.policy_json import from_json, to_json
from bot.rules.server import BOUNDS, MOST, Server
from cogs.config.actions import Actions
from cogs.config.forms import read, settings_form
from cogs.config.panels import LIMITS, Panels

locale = Locale.american_english
server = Server(max_rows=5, quiet=True, testers=(7, 8))
assert from_json(to_json(server)) == server
assert json.loads(to_json(server))["testers"] == [7, 8]
data = {"version": 1, "max_rows": 1, "quiet": 2, "testers": ["1", "2", "3", "4"]}
assert policy_json.read(json.dumps(data)) == ({}, [
    ("unusable", {"name": "max_rows"}),
    ("unusable", {"name": "quiet"}),
    ("too_many", {"name": "testers", "limit": "3"}),
])
assert (BOUNDS["max_rows"].high, MOST["testers"]) == (9, 3)
assert "max_rows" in str(settings_form(server, LIMITS["queue"], locale).to_dict())
assert read({"max_rows": "9"}) == {"max_rows": 9}
text = str(Panels(server, None, locale).panel("overview").to_components())
assert all(line in text for line in ("Most rows: 5", "Quiet: yes", "Testers: <@7>, <@8>"))
text = str(Panels(Server(), None, locale).panel("nsfw").to_components())
assert "Be quiet" in text and "s:config_quiet" in text
dispatch = Dispatch(None, None, None)
dispatch.add(Actions(None, None, None, None))
assert "config_quiet" in dispatch.standing
"""


def test_a_setting_is_a_row_and_its_sentences(tmp_path: Path) -> None:
    for name in ("bot", "cogs", "core", "data/locales"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    rows = tmp_path / "bot" / "rules" / "server.py"
    before = rows.read_text("utf-8")
    rows.write_text(before.replace("    @property\n    def hides(", MADE_UP), "utf-8")
    for path in (tmp_path / "data" / "locales").iterdir():
        tree = json.loads(path.read_text("utf-8"))
        for key, said in SENTENCES.items():
            *rooms, name = key.split(".")
            reduce(getitem, rooms, tree)[name] = said
        path.write_text(json.dumps(tree), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "value", "left"),
    [
        ("role", 1, None),
        ("role", 5, 5),
        ("channel", 1, 1),
        ("flag", None, None),
        (Each("role", 9), (1, 5, 2), (5,)),
        # Empty, it would allow everybody.
        (Each("role", 9), (1, 2), (1, 2)),
        (By("role", "flag", 9), {1: True, 5: False}, {5: False}),
        (By("model", Each("role", 9), 9), {"a": (1, 5), "b": (2,)}, {"a": (5,), "b": (2,)}),
        # Names that come to be one share what fits.
        (By("model", Each("role", 2), 9), {"a": (5, 6), "A": (6, 7)}, {"a": (5, 6)}),
    ],
)
def test_what_is_left_of_a_setting(kind: Kind, value: Any, left: Any) -> None:
    def change(kind: Kind, part: Any) -> Any:
        if kind == "model":
            return part.casefold()
        return None if kind == "role" and part < 5 else part

    assert changed(kind, value, change) == left
