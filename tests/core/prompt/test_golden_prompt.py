"""A1111's own reading of prompts against ours: weights, AND, schedules call by call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.prompt import editing
from core.prompt.parser import parse_weights, split_and
from tests.golden_data import load

# A1111 takes the 9 of a final "16:9" for an AND weight; we read it as words.
AND_TRAPS = {"colons"}


def schedule(text: str, steps: int, hires_steps: int | None = None) -> list[tuple[int, str]]:
    return editing.texts(editing.parse(text), steps, hires_steps)


def pairs(rows: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows]


@pytest.fixture(scope="module")
def prompts(golden: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = load(golden / "sd1_prompts.json")["prompts"]
    assert len(rows) >= 20
    return rows


@pytest.fixture(scope="module")
def steps(golden: Path) -> dict[str, Any]:
    data: dict[str, Any] = load(golden / "schedule_steps.json")
    assert len(data["cases"]) >= 15
    return data


def test_weights(prompts: list[dict[str, Any]]) -> None:
    for row in prompts:
        assert parse_weights(row["prompt"]) == pairs(row["parse_prompt_attention"]), row["name"]
        for part in row["parts"]:
            for entry in part["schedule"]:
                assert parse_weights(entry["text"]) == pairs(entry["parsed"]), row["name"]


def test_and_parts(prompts: list[dict[str, Any]]) -> None:
    for row in prompts:
        if row["name"] not in AND_TRAPS:
            expected = [(part["text"], part["weight"]) for part in row["and_parts"]]
            assert split_and(row["prompt"]) == expected, row["name"]


def test_schedules_of_positive_and_negative_prompts(prompts: list[dict[str, Any]]) -> None:
    for row in prompts:
        assert schedule(row["prompt"], 20) == pairs(row["schedule_steps20"]), row["name"]
        assert schedule(row["prompt"], 20) == pairs(row["as_negative_schedule"]), row["name"]


def test_the_text_of_every_model_call(steps: dict[str, Any]) -> None:
    for case in steps["cases"]:
        entries = schedule(case["prompt"], case["steps"])
        assert entries == pairs(case["schedule"]), case["prompt"]
        used = [
            next(text for until, text in entries if until >= call) for call in range(case["steps"])
        ]
        assert used == case["text_at_model_call"], case["prompt"]


def test_the_hires_pass(steps: dict[str, Any]) -> None:
    for case in steps["hires"]:
        first, second = case["base_steps"], case["hires_steps"]
        assert schedule(case["prompt"], first) == pairs(case["first_pass"])
        assert schedule(case["prompt"], first, second) == pairs(case["hires_pass"])


def test_what_a1111_cannot_read_is_read(golden: Path) -> None:
    for failure in load(golden / "sd1_prompts.json")["parse_failures"]:
        assert all(weight in (1.1, 1.0, -1.0) for _, weight in parse_weights(failure["prompt"]))
