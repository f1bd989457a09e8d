"""A1111's own infotexts, written and read by A1111 1.10, against ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from core.pictures import infotext
from core.request import GenerationRequest, HiresFix
from tests.golden_data import load


@pytest.fixture(scope="module")
def texts(golden: Path) -> dict[str, Any]:
    data: dict[str, Any] = load(golden / "infotext.json")
    return data


def test_every_text_is_read_as_a1111_reads_it(texts: dict[str, Any]) -> None:
    cases = texts["created"] + texts["parsed_raw"]
    assert len(cases) >= 15
    for case in cases:
        assert infotext.parse(case["infotext"]) == case["parsed"], case["name"]


def test_every_text_is_read_when_it_was_flattened(texts: dict[str, Any]) -> None:
    for case in texts["created"]:
        flat = infotext.parse(case["infotext"].replace("\n", " "))
        whole = case["parsed"]
        for key in ("Prompt", "Negative prompt"):
            assert flat.pop(key).split() == whole[key].split(), case["name"]
        assert flat == {key: whole[key] for key in flat}, case["name"]
        assert len(flat) == len(whole) - 2


def test_every_request_is_written_as_a1111_writes_it(texts: dict[str, Any]) -> None:
    for case in texts["created"]:
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
            negative_prompt=parsed["Negative prompt"],
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
            noise_source=parsed["RNG"],
            seed_resize_width=int(parsed.get("Seed resize from-1", 0)),
            seed_resize_height=int(parsed.get("Seed resize from-2", 0)),
        )
        text = infotext.format(
            request,
            model_hash=parsed["Model hash"],
            vae=parsed.get("VAE", ""),
            vae_hash=parsed.get("VAE hash", ""),
            version=parsed["Version"],
        )
        # Its page writes 7 where a call of its API writes 7.0.
        assert text == re.sub(r"(: \d+)\.0(?=,|$)", r"\1", case["infotext"]), case["name"]


def test_quotes(texts: dict[str, Any]) -> None:
    for value, quoted in texts["quote"]:
        assert infotext.quote(value) == str(quoted)
    for quoted, value in texts["unquote"]:
        assert infotext.unquote(quoted) == value
