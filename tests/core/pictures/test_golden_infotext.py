"""A1111's own infotexts, written and read by A1111 1.10, against ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from core.pictures import infotext
from core.request import GenerationRequest, HiresFix

GOLDEN = os.environ.get("GOLDEN_DIR")
pytestmark = pytest.mark.skipif(not GOLDEN, reason="GOLDEN_DIR names no folder of golden data")


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    text = (Path(GOLDEN or "") / "infotext.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def test_every_text_is_read_as_a1111_reads_it(golden: dict[str, Any]) -> None:
    cases = golden["created"] + golden["parsed_raw"]
    assert len(cases) >= 15
    for case in cases:
        assert infotext.parse(case["infotext"]) == case["parsed"], case["name"]


def test_every_text_is_read_when_it_was_flattened(golden: dict[str, Any]) -> None:
    for case in golden["created"]:
        flat = infotext.parse(case["infotext"].replace("\n", " "))
        whole = case["parsed"]
        for key in ("Prompt", "Negative prompt"):
            assert flat.pop(key).split() == whole[key].split(), case["name"]
        assert flat == {key: whole[key] for key in flat}, case["name"]
        assert len(flat) == len(whole) - 2


def test_every_request_is_written_as_a1111_writes_it(golden: dict[str, Any]) -> None:
    for case in golden["created"]:
        parsed = case["parsed"]
        hires = None
        if "Hires upscale" in parsed:
            hires = HiresFix(
                float(parsed["Hires upscale"]),
                int(parsed["Hires steps"]),
                float(parsed["Denoising strength"]),
                parsed["Hires upscaler"],
            )
        request = GenerationRequest(
            parsed["Prompt"],
            parsed["Model"],
            int(parsed["Seed"]),
            parsed["Negative prompt"],
            clip_skip=int(parsed["Clip skip"]),
            steps=int(parsed["Steps"]),
            cfg_scale=float(parsed["CFG scale"]),
            sampler=parsed["Sampler"],
            schedule_type=parsed["Schedule type"],
            width=int(parsed["Size-1"]),
            height=int(parsed["Size-2"]),
            variation_seed=int(parsed.get("Variation seed", 0)),
            variation_strength=float(parsed.get("Variation seed strength", 0)),
            hires=hires,
        )
        extra = {}
        if "Seed resize from-1" in parsed:
            extra["Seed resize from"] = tuple(parsed[f"Seed resize from-{i}"] for i in (1, 2))
        text = infotext.format(
            request,
            model_hash=parsed["Model hash"],
            vae=parsed.get("VAE", ""),
            vae_hash=parsed.get("VAE hash", ""),
            extra=extra,
            version=parsed["Version"],
        )
        assert text == case["infotext"], case["name"]


def test_quotes(golden: dict[str, Any]) -> None:
    for value, quoted in golden["quote"]:
        assert infotext.quote(value) == str(quoted)
    for quoted, value in golden["unquote"]:
        assert infotext.unquote(quoted) == value
