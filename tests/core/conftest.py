"""Fixtures of the generation core's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.golden_data import FOLDERS, names


@pytest.fixture(scope="session", params=FOLDERS, ids=names)
def golden(request: pytest.FixtureRequest) -> Path:
    """A folder of A1111's numbers: the part in this repository, and the whole if it is at hand."""
    folder: Path = request.param
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute on one thread, on which tiny models are fastest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
