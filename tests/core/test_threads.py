"""Threads beside the engine's own leave it the CPU."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
import torch

from bot.settings import ROOT
from core.threads import beside

# Pools that compute nothing, and one whose threads end with their work.
OTHERS = {"core/models/addons.py", "core/models/reader.py", "core/engine/enlarging.py"}


@pytest.fixture
def two() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_thread_beside_computes_with_one(two: None) -> None:
    with beside(2, "test") as pool:
        together = threading.Barrier(2)

        def number(_: int) -> int:
            together.wait(60)
            return torch.get_num_threads()

        assert [*pool.map(number, range(2))] == [1, 1]
        assert torch.get_num_threads() == 2
        torch.set_num_threads(2)
        assert pool.submit(torch.get_num_threads).result() == 1


def test_what_computes_in_the_engine_computes_beside_it() -> None:
    made = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "core").rglob("*.py")
        if re.search(r"ThreadPoolExecutor\(|Thread\(", path.read_text("utf-8"))
        and "serving" not in path.parts
    }
    assert made == {*OTHERS, "core/threads.py"}
