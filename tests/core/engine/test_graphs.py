"""Recorded UNet calls: which are recorded, what is replayed, when they are dropped. No card."""

from __future__ import annotations

import gc
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from weakref import ref

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from core.config import EngineConfig
from core.engine import engine as engine_module
from core.engine.engine import Engine
from core.engine.graphs import AGAIN, BUCKETS, KEPT, USES, Graphs, cuda_record
from core.engine.knee import Knee
from core.events import Event, Failed, Finished
from core.models.catalogue import Model
from core.options import SAMPLERS
from core.request import GenerationRequest
from core.work import Work
from tests.fake_card import fake_card
from tests.tiny_models import SIZE, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")


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
        # The graphs whose memory the next ones shared.
        self.beside: list[Any] = []

    def __call__(self, run: Callable[[], Tensor], beside: Any) -> tuple[Any, Tensor]:
        self.tried += 1
        output = run()
        if self.error is not None:
            raise self.error
        self.made += 1
        self.beside.append(beside)
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
    held = unet.weight
    # As parking and coming back do it.
    unet.weight = nn.Parameter(unet.weight * 2, requires_grad=False)
    graphs.moved(unet)
    assert torch.equal(call(graphs, unet, 1.0), unet(torch.ones(2, 3)))
    assert record.made == 2
    del held
    call(graphs, unet, 1.0)
    assert record.made == 2, "the old weights' end is nothing to the new graphs"


@torch.inference_mode()
def test_weights_that_are_parked_take_their_graphs_with_them() -> None:
    """Not only at that UNet's next call: until then they would hold their memory."""
    unet, other = nn.Linear(3, 3), nn.Linear(3, 3)
    graphs = Graphs(Recorder())
    for each in (unet, other):
        graphs.moved(each)
        for _ in range(USES):
            call(graphs, each, 1.0)
    (recorded,) = graphs._recorded[unet].values()
    gone = ref(recorded.graph)
    del recorded
    unet.weight = nn.Parameter(torch.ones(3, 3), requires_grad=False)
    assert gone() is None
    assert len(graphs._recorded[other]) == 1


@torch.inference_mode()
def test_a_unet_s_graphs_share_their_memory_while_there_are_some() -> None:
    """A pool that all graphs have left cannot be used again."""
    record, unet, other = Recorder(), nn.Linear(3, 3), nn.Linear(3, 3)
    graphs = Graphs(record)
    for rows in (1, 2):
        for _ in range(USES):
            call(graphs, unet, 1.0, rows)
    for _ in range(USES):
        call(graphs, other, 1.0)
    first = next(iter(graphs._recorded[unet].values())).graph
    assert record.beside == [None, first, None]
    graphs.forget(unet)
    call(graphs, unet, 1.0)
    assert record.beside[3:] == [None]


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


def test_recording_on_a_card_uses_one_stream_and_a_living_graph_s_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With torch's own calls noted, and every stream restored, also where a capture fails."""
    current: list[Any] = [Mock(name="the engine's")]
    captured: list[tuple[Any, Any]] = []

    @contextmanager
    def use(stream: Any) -> Iterator[None]:
        current.append(stream)
        try:
            yield
        finally:
            del current[1:]

    @contextmanager
    def capture(_: Any, pool: Any, stream: Any, **__: Any) -> Iterator[None]:
        captured.append((pool, stream))
        current.append(stream)
        yield

    made = Mock(side_effect=lambda: Mock(name="a stream"))
    stubs = {
        "Stream": made,
        "stream": use,
        "current_stream": lambda: current[-1],
        "CUDAGraph": lambda: Mock(name="a graph"),
        "graph": capture,
    }
    for name, stub in stubs.items():
        monkeypatch.setattr(torch.cuda, name, stub)
    record, output = cuda_record(), torch.zeros(1)
    first, given = record(lambda: output, None)
    assert given is output
    record(lambda: output, first)
    runs = iter([output])
    with pytest.raises(StopIteration):
        record(lambda: next(runs), first)
    assert made.call_count == 1
    pool = first.pool.return_value
    assert [each for each, _ in captured] == [None, pool, pool]
    assert len({id(stream) for _, stream in captured}) == 1
    assert len(current) == 1


# --- the whole engine -----------------------------------------------------------------------


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


def test_a_shortage_costs_idle_models_and_graphs_before_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the UNet or the VAE has no memory: the same image, untiled, in the same calls."""
    graphs = Graphs(Recorder())
    monkeypatch.setattr(Engine, "_graphs", lambda *_: graphs)
    model, idle = tiny_model(tmp_path), tiny_model(tmp_path, "idle", seed=1)
    engine = Engine(EngineConfig(device="cpu", cache_dir=tmp_path))
    [expected] = generated(engine, model, ["Euler"]).values()
    for part in ("unet", "vae"):
        loaded = engine._models.load(model)
        engine._models.load(idle)
        gc.collect()
        assert set(engine.warm) == {model.name, idle.name}
        module = loaded.unet if part == "unet" else loaded.vae.module.decoder
        graphs._recorded[other := nn.Linear(1, 1)] = OrderedDict()

        def no_memory(*_: Any, other: nn.Module = other) -> None:
            if other in graphs._recorded:
                raise torch.OutOfMemoryError

        hook = module.register_forward_pre_hook(no_memory)
        [pixels] = generated(engine, model, ["Euler"]).values()
        hook.remove()
        assert np.array_equal(pixels, expected)
        assert set(engine.warm) == {model.name}
    assert not engine._batcher._limits
    engine.close()
