"""Recorded UNet calls: which are recorded, what is replayed, when they are dropped. No card."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from core.config import EngineConfig
from core.engine import engine as engine_module
from core.engine.engine import Engine
from core.engine.graphs import AGAIN, BUCKETS, KEPT, USES, Graphs
from core.engine.knee import Knee
from core.events import Event, Failed, Finished
from core.models.catalogue import Model
from core.options import SAMPLERS
from core.request import GenerationRequest
from core.work import Work
from tests.fake_card import fake_card
from tests.tiny_models import SIZE, tiny_model


class Replay:
    """A graph that is not one: it runs the recorded call again, into the same tensor."""

    def __init__(self, run: Callable[[], Tensor], output: Tensor) -> None:
        self._run, self._output = run, output

    def replay(self) -> None:
        self._output.copy_(self._run())


class Recorder:
    """Records as torch does, or raises ``error``."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.made = self.tried = 0

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Any, Tensor]:
        self.tried += 1
        output = run()
        if self.error is not None:
            raise self.error
        self.made += 1
        return Replay(run, output), output


def call(graphs: Graphs, unet: nn.Module, value: float, rows: int = 2) -> Tensor:
    inputs = {"sample": torch.full((rows, 3), value), "timestep": torch.zeros(rows)}
    return graphs.call(unet, lambda given: unet(given["sample"]), inputs).clone()


@torch.inference_mode()
def test_a_call_is_recorded_once_its_shapes_come_again_and_then_replayed() -> None:
    record, unet = Recorder(), nn.Linear(3, 3)
    graphs = Graphs(record)
    for use in range(6):
        expected = unet(torch.full((2, 3), float(use)))
        assert torch.equal(call(graphs, unet, float(use)), expected)
        assert record.made == (use + 1 >= USES)
    call(graphs, unet, 0.0, rows=4)
    assert record.made == 1, "other shapes are another call"


@torch.inference_mode()
def test_weights_that_moved_are_recorded_again() -> None:
    record, unet = Recorder(), nn.Linear(3, 3)
    graphs = Graphs(record)
    for _ in range(USES):
        graphs.moved(unet)
        call(graphs, unet, 1.0)
    # As parking and coming back do it.
    unet.weight = nn.Parameter(unet.weight * 2, requires_grad=False)
    graphs.moved(unet)
    assert torch.equal(call(graphs, unet, 1.0), unet(torch.ones(2, 3)))
    assert record.made == 2


@torch.inference_mode()
def test_where_recording_fails_the_unet_is_called_plainly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = Recorder(RuntimeError("CUDA error: operation not permitted when stream is capturing"))
    unet, graphs = nn.Linear(3, 3), Graphs(record)
    for _ in range(USES + 2):
        assert torch.equal(call(graphs, unet, 1.0), unet(torch.ones(2, 3)))
    assert record.tried == 1
    assert caplog.text.count("called plainly") == 1


def unended() -> RuntimeError:
    """What comes of ending a capture that ran out of memory, as Python chains it."""
    error = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    error.__context__ = torch.OutOfMemoryError()
    return error


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), unended()])
@torch.inference_mode()
def test_without_memory_to_record_the_graphs_go_and_others_are_recorded(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    record, unet = Recorder(), nn.Linear(3, 3)
    graphs = Graphs(record)
    for _ in range(USES):
        call(graphs, unet, 1.0, 1)
    record.error = error
    for _ in range(USES + AGAIN - 1):
        assert torch.equal(call(graphs, unet, 1.0), unet(torch.ones(2, 3)))
    assert (record.made, record.tried) == (1, 2), "not tried at every call"
    assert not graphs._recorded.get(unet)
    record.error = None
    call(graphs, unet, 1.0, 1)
    assert record.made == 2, "what had memory is recorded again"
    call(graphs, unet, 1.0)
    assert record.made == 3, "and in the end what had none"
    assert not caplog.text


@torch.inference_mode()
def test_graphs_are_bounded() -> None:
    unet, graphs = nn.Linear(3, 3), Graphs(Recorder())
    for rows in range(1, KEPT + 5):
        for _ in range(USES):
            call(graphs, unet, 1.0, rows)
    assert len(graphs._recorded[unet]) == KEPT


@torch.inference_mode()
def test_what_was_evicted_must_be_used_again_before_it_is_recorded() -> None:
    record, unet = Recorder(), nn.Linear(3, 3)
    graphs = Graphs(record)
    shapes, turns = KEPT + 1, 4 * USES
    for _ in range(turns):
        for rows in range(1, shapes + 1):
            call(graphs, unet, 1.0, rows)
    assert record.made <= shapes * turns / USES


def test_every_bucket_of_three_sizes_is_kept() -> None:
    assert len(BUCKETS) * 3 <= KEPT


# --- the whole engine -----------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are fastest on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def work(model: Model, job_id: int, **values: Any) -> Work:
    defaults: dict[str, Any] = {"prompt": "a circle", "width": SIZE, "height": SIZE}
    request = GenerationRequest(model=model.name, seed=job_id, **(defaults | values))
    return Work.of(job_id, f"owner {job_id}", request, model)


def generated(engine: Engine, model: Model, samplers: Sequence[str]) -> dict[int, Any]:
    """The pixels of jobs with different numbers of steps, rows and tokens, begun one by one."""
    waiting = deque(
        work(
            *(model, job),
            prompt="circle " * (1 + 100 * (job % 4 == 3)),
            sampler=sampler,
            steps=4 + job % 3,
            cfg_scale=1 + job % 3,
        )
        for job, sampler in enumerate(samplers)
    )
    made: dict[int, Any] = {}
    for turn in count():
        if waiting and turn % 2 == 0:
            engine.add(waiting.popleft())
        if not waiting and not engine.busy:
            return made
        for event in engine.step() if engine.busy else ():
            assert not isinstance(event, Failed)
            if isinstance(event, Finished):
                png = BytesIO(event.images[0].png)
                made[event.job_id] = np.asarray(Pillow.open(png), np.int16)
    raise AssertionError


def test_what_the_engine_replays_is_what_it_would_have_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sampler, joining and leaving: nothing is kept that the next replay overwrites."""
    model, made = tiny_model(tmp_path), []
    record = Recorder()
    for graphs in (None, Graphs(record)):
        monkeypatch.setattr(Engine, "_graphs", lambda *_, graphs=graphs: graphs)
        monkeypatch.setattr(Knee, "rows", lambda *_: 32)
        engine = Engine(EngineConfig(device="cpu", cache_dir=tmp_path))
        made.append(generated(engine, model, list(SAMPLERS)))
        engine.close()
    plain, replayed = made
    assert len(plain) == len(replayed) == len(SAMPLERS)
    assert record.made > 3
    for job, pixels in plain.items():
        # A call of a bucket's rows rounds otherwise than one of as many as there are.
        assert np.abs(pixels - replayed[job]).max() <= 2, list(SAMPLERS)[job]


def test_the_engine_records_on_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Recorder()
    monkeypatch.setattr(engine_module, "cuda_record", lambda: record)
    with fake_card():
        model = tiny_model(tmp_path)
        engine = Engine(EngineConfig(device="cuda", cache_dir=tmp_path))
        loaded = engine._models.load(model)
        monkeypatch.setattr(loaded.unet, "forward", lambda sample, *_, **__: (sample + 1,))
        engine.add(work(model, 1, steps=USES + 2, cfg_scale=7))
        ends: list[Event] = []
        while engine.busy:
            ends += engine.step()
        engine.close()
    assert isinstance(ends[-1], Finished)
    assert record.made == 1


@pytest.mark.parametrize("settings", [{"strict": True}, {"graphs": False}])
def test_the_engine_records_nothing_that_it_should_not(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with fake_card():
        engine = Engine(EngineConfig(device="cuda", cache_dir=tmp_path, **settings))
        engine.close()
    torch.use_deterministic_algorithms(False)
    assert engine._batcher._graphs is None
