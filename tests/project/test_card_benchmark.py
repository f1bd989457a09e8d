"""The benchmark of a card: a part that fails does not hinder the others."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks import card
from benchmarks.on_card import stand_ins


def measure(monkeypatch: pytest.MonkeyPatch, file: Path, *parts: str) -> dict[str, object]:
    arguments = ["card", "--device", "cpu", "--size", "tiny", "--json", str(file), "--parts"]
    monkeypatch.setattr(sys, "argv", [*arguments, *parts])
    card.main()
    parts_measured: dict[str, object] = json.loads(file.read_text())["parts"]
    return parts_measured


def test_every_part_is_there() -> None:
    for part in card.PARTS:
        module, _, function = part.place.partition(".")
        assert callable(getattr(importlib.import_module(f"benchmarks.on_card.{module}"), function))


def test_a_part_that_fails_keeps_what_it_had_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.on_card import machine

    def broken(_: object) -> object:
        yield {"first": 1}
        raise RuntimeError("no such card")

    monkeypatch.setattr(machine, "broken", broken, raising=False)
    parts = (card.Part("broken", "machine.broken", 1), card.Part("decode", "vae.sd1", 1))
    monkeypatch.setattr(card, "PARTS", parts)
    file = tmp_path / "result.json"
    with pytest.raises(SystemExit, match="failed: broken"):
        measure(monkeypatch, file, "broken", "decode")
    found = json.loads(file.read_text())["parts"]
    assert found["broken"]["records"] == [{"first": 1}]
    assert found["broken"]["failure"] == "RuntimeError: no such card"
    assert [record["arm"] for record in found["decode"]["records"]] == ["plain", "channels_last"]
    assert "== decode" in capsys.readouterr().out


def test_records_of_the_same_values_stand_under_one_head() -> None:
    table = card.table([{"rows": 1, "ms": 2.5}, {"rows": 16, "ms": 3}, {"copy": "up"}])
    assert table.splitlines() == ["rows  ms", "1     2.5", "16    3", "copy", "up"]


def test_a_package_that_is_missing_is_stood_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_ins, "PACKAGES", {"made_up": ("made_up.data",), "json": ()})
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    assert stand_ins.install() == ["made_up"]
    assert sys.modules["made_up.data"].Parser()
