"""Rows share UNet calls: buckets, context lengths, the strict size, running out of memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.engine.graphs import BUCKETS, USES, Graphs
from core.engine.knee import CALLS, ROUND, TRIED, Knee
from core.engine.rows import Row, RowBatcher
from core.errors import OutOfMemory
from core.models.networks.keys import LayerPlace
from core.models.networks.network_set import NetworkSet
from tests.core.engine.test_graphs import Recorder


class Unet:
    """Answers each row with its own timestep, and remembers the calls' shapes."""

    def __init__(self, memory: int = 99) -> None:
        self.memory = memory
        self.calls: list[tuple[int, int]] = []

    def __call__(
        self, sample: Tensor, timestep: Tensor, context: Tensor, **_: Any
    ) -> tuple[Tensor]:
        self.calls.append((sample.shape[0], context.shape[1]))
        if sample.shape[0] > self.memory:
            raise torch.OutOfMemoryError
        return (torch.ones_like(sample) * timestep[:, None, None, None],)


def rows(count: int, length: int = 77) -> list[Row]:
    each = map(torch.tensor, map(float, range(count)))
    return [Row(torch.zeros(4, 2, 2), timestep, torch.zeros(length, 8)) for timestep in each]


def answers(outputs: Tensor) -> list[float]:
    means: list[float] = outputs.flatten(1).mean(1).tolist()
    return means


@pytest.mark.parametrize("count", [1, 3, 5, 32])
def test_a_call_has_as_many_rows_as_there_are(count: int) -> None:
    unet = Unet()
    outputs = RowBatcher(32).predict(unet, rows(count), torch.float32)
    assert answers(outputs) == list(range(count))
    assert unet.calls == [(count, 77)]


def test_more_rows_than_the_limit_take_several_calls() -> None:
    unet = Unet()
    assert answers(RowBatcher(4).predict(unet, rows(10), torch.float32)) == list(range(10))
    assert [size for size, _ in unet.calls] == [4, 4, 2]


def test_contexts_of_different_lengths_go_in_calls_of_their_own_and_keep_their_order() -> None:
    unet = Unet()
    mixed = [row for pair in zip(rows(3), rows(3, 154), strict=True) for row in pair]
    assert answers(RowBatcher(32).predict(unet, mixed, torch.float32)) == [0, 0, 1, 1, 2, 2]
    assert sorted(unet.calls) == [(3, 77), (3, 154)]


def test_strict_calls_have_one_size_only() -> None:
    unet = Unet()
    assert answers(RowBatcher(32, fixed=2).predict(unet, rows(3), torch.float32)) == [0, 1, 2]
    assert [size for size, _ in unet.calls] == [2, 2]


def test_out_of_memory_halves_the_batch_of_what_did_not_fit() -> None:
    unet, batcher = Unet(memory=3), RowBatcher(32)
    assert answers(batcher.predict(unet, rows(9), torch.float32, "large")) == list(range(9))
    assert (batcher.rows("large"), batcher.rows("small")) == (2, 32)


@pytest.mark.parametrize("fixed", [None, 2])
def test_a_row_that_does_not_fit_is_an_error_of_its_size(fixed: int | None) -> None:
    with pytest.raises(OutOfMemory, match="16×16"):
        RowBatcher(32, fixed).predict(Unet(memory=0), rows(2), torch.float32)


@pytest.mark.parametrize("fixed", [None, 4])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_out_of_memory_frees_first_and_keeps_the_rows(fixed: int | None, count: int) -> None:
    unet, freed = Unet(memory=0), []

    def free() -> None:
        freed.append(len(unet.calls))
        unet.memory = 99

    batcher = RowBatcher(32, fixed, free=free)
    assert answers(batcher.predict(unet, rows(count), torch.float32)) == list(range(count))
    assert freed == [1]
    assert batcher.rows("") == (fixed or 32)


def test_what_does_not_fit_after_freeing_has_fewer_rows() -> None:
    unet, freed = Unet(memory=3), []
    batcher = RowBatcher(32, free=lambda: freed.append(len(unet.calls)))
    for _ in range(2):
        assert answers(batcher.predict(unet, rows(9), torch.float32)) == list(range(9))
    assert freed == [1]
    assert [size for size, _ in unet.calls] == [9, 9, 4, *[2, 2, 2, 2, 1] * 2]


def measure(knee: Knee, rows: int, seconds: float, calls: int = CALLS) -> None:
    for _ in range(calls):
        knee.measured("sd 512x512", rows, seconds)


def test_rows_double_while_more_pay(tmp_path: Path) -> None:
    """A card that is busy with eight rows: sixteen take twice as long."""
    path = tmp_path / "rows.json"
    knee, seen = Knee(path, 32), []
    for _ in range(5):
        seen.append(rows := knee.rows("sd 512x512"))
        measure(knee, rows, 0.016 * max(1, rows / 8))
    assert seen == [4, 8, 16, 8, 8]
    assert knee.rows("sd 768x768") == 4
    assert Knee(path, 32).rows("sd 512x512") == 8, "kept on disk"
    assert Knee(path, 6).rows("sd 512x512") == 6
    path.write_text("[1")
    assert Knee(path, 32).rows("sd 512x512") == 4


def test_a_card_that_is_busy_with_two_rows_has_few(tmp_path: Path) -> None:
    """More rows are always a little faster there, and only make everybody wait."""
    knee = Knee(tmp_path / "rows.json", 32)
    for rows in (2, 4, 16):
        measure(knee, rows, 0.0005 + 0.032 * rows)
    assert knee.rows("sd 512x512") == 2


def test_a_knee_of_a_busy_moment_is_measured_again(tmp_path: Path) -> None:
    knee = Knee(tmp_path / "rows.json", 32)
    measure(knee, 4, 0.016)
    measure(knee, 8, 0.1)
    assert knee.rows("sd 512x512") == 4
    measure(knee, 4, 0.016, ROUND - TRIED - 2 * CALLS)
    assert knee.rows("sd 512x512") == 8, "for a few calls"
    measure(knee, 8, 0.016, TRIED)
    assert knee.rows("sd 512x512") == 16


def recordable() -> tuple[Any, Unet]:
    """A UNet as graphs know them, and the calls it gets."""
    unet: Any = nn.Linear(1, 1)
    calls = Unet()
    unet.forward = lambda *given, **named: calls(*given)
    return unet, calls


class Networks:
    """A model's networks that count how often they act."""

    def __init__(self) -> None:
        self.acts = 0

    @contextmanager
    def rows(self, sets: Any) -> Iterator[None]:
        self.acts += 1
        yield


@torch.inference_mode()
def test_recorded_calls_know_no_networks() -> None:
    """What changes the UNet is called plainly, also after a recording; what changes the text
    encoder alone is replayed."""
    unet, calls = recordable()
    networks = Networks()
    record = Recorder()
    batcher = RowBatcher(8, graphs=Graphs(record))
    none: dict[str, Any] = {"bound": ()}
    text = NetworkSet((), "text", (), {}, {}, {}, {}, **none)
    both = NetworkSet((), "text", "unet", {}, {LayerPlace("unet", "x"): ()}, {}, {}, **none)

    def predict(own: NetworkSet | None) -> list[float]:
        given = [row._replace(networks=own) for row in rows(2)]
        return answers(batcher.predict(unet, given, torch.float32, "", networks))  # type: ignore[arg-type]

    for _ in range(4):
        assert predict(None) == [0, 1]
    assert record.made == 1
    for _ in range(4):
        assert predict(both) == [0, 1]
    assert (record.made, networks.acts) == (1, 4)
    before = len(calls.calls)
    assert predict(text) == predict(None) == [0, 1]
    assert (record.made, networks.acts, len(calls.calls)) == (1, 4, before + 2), "two replays"


@torch.inference_mode()
def test_recorded_calls_have_a_bucket_s_rows() -> None:
    """Filled up to it and no further: the answers are the rows' own."""
    unet, calls = recordable()
    batcher = RowBatcher(32, graphs=Graphs(Recorder()))
    for count, bucket in ((5, 6), (6, 6), (1, 1), (32, 32), (17, 24), (64, 32)):
        calls.calls.clear()
        for _ in range(USES + 1):
            assert answers(batcher.predict(unet, rows(count), torch.float32)) == list(range(count))
        assert calls.calls[0] == (bucket, 77)


@torch.inference_mode()
def test_rows_that_join_and_leave_between_replays_get_their_own_answers() -> None:
    unet, calls = recordable()
    record = Recorder()
    batcher = RowBatcher(32, graphs=Graphs(record))
    draw = Random(0)
    there = rows(40)
    running: list[int] = []
    for _ in range(60):
        running = [each for each in running if draw.random() > 0.3]
        free = [each for each in range(40) if each not in running]
        running += draw.sample(free, draw.randint(1, 6))
        draw.shuffle(running)
        given = [there[each] for each in running]
        assert answers(batcher.predict(unet, given, torch.float32)) == running
    assert {size for size, _ in calls.calls} <= set(BUCKETS)
    assert record.made > 3


def test_a_file_that_several_engines_share_is_whole_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.json"

    def fill(key: str) -> None:
        knee = Knee(path, 32)
        for rows in (2, 4, 16) * CALLS:
            knee.measured(key, rows, float(rows))

    fill("one")
    before = path.read_text("utf-8")

    def stopped(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", stopped)
    fill("another")
    assert path.read_text("utf-8") == before


def test_main_memory_that_runs_out_halves_the_batch_too() -> None:
    class OnCpu(Unet):
        def __call__(self, sample: Tensor, *rest: Tensor, **others: Any) -> tuple[Tensor]:
            if sample.shape[0] > 3:
                torch.empty(2**60, dtype=torch.uint8)
            return super().__call__(sample, *rest, **others)

    batcher = RowBatcher(32)
    assert answers(batcher.predict(OnCpu(), rows(9), torch.float32)) == list(range(9))
    assert batcher.rows("") == 2
