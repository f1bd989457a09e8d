"""A1111's X/Y/Z axes against ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import PenultimateError
from core.options import RANGES
from core.sheets.axes import parse_axis, read_axis
from tests.golden_data import load


def test_every_axis_is_read_as_a1111_reads_it(golden: Path) -> None:
    cases: list[dict[str, Any]] = load(golden / "xyz_axes.json")["cases"]
    assert len(cases) >= 20
    for case in cases:
        axis, text, values = case["axis"], case["text"], case.get("values")
        allowed = RANGES["clip_skip"]
        outside = axis == "Clip skip" and any(
            not allowed.low <= value <= allowed.high for value in values or ()
        )
        # A1111 takes a clip skip of 0 or −1 and stumbles later; here it is refused.
        if values is None or outside:
            with pytest.raises(PenultimateError):
                parse_axis(axis, text)
            continue
        assert parse_axis(axis, text) == values, case
        if values and -1 not in values:
            assert read_axis(axis, text).labels == case["labels"], case
