"""Fixtures of the generation core's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden_data import FOLDERS, names


@pytest.fixture(scope="session", params=FOLDERS, ids=names)
def golden(request: pytest.FixtureRequest) -> Path:
    """A folder of A1111's numbers: the part in this repository, and the whole if it is at hand."""
    folder: Path = request.param
    return folder
