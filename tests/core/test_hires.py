"""The sizes of hires fix against A1111's."""

from __future__ import annotations

from typing import Any

import pytest

from core.hires import LATENT, HiresSize
from tests.golden_data import HERE, load

CASES: list[dict[str, Any]] = load(HERE / "wider" / "upscale.json")["targets"]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_sizes_are_a1111s(case: dict[str, Any]) -> None:
    resize = (case.get("hr_resize_x", 0), case.get("hr_resize_y", 0))
    size = HiresSize.of(case["width"], case["height"], case.get("hr_scale", 2.0), resize)
    assert [size.width, size.height] == case["upscale_to"]
    assert [size.cut_x, size.cut_y] == case["truncate"]
    assert list(reversed(size.enlarged)) == case["latent_before_truncate"]
    assert list(size.picture) == case["picture"]
    rows, columns = size.enlarged
    kept = [len(range(columns)[size.columns]), len(range(rows)[size.rows])]
    assert kept == case["latent_after"] == [side // LATENT for side in size.picture]


def test_an_odd_cut_takes_more_from_the_right_and_below() -> None:
    size = HiresSize(1024, 1528, cut_y=63)
    assert (size.rows, size.columns) == (slice(31, 159), slice(0, 128))
