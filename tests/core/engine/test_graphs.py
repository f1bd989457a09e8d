"""Recorded UNet calls: which are recorded, what is replayed, when they are dropped. No card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.engine.graphs import KEPT, USES, Graphs


class Replay:
    """A graph that is not one: it runs the recorded call again, into the same tensor."""

    def __init__(self, run: Callable[[], Tensor], output: Tensor) -> None:
        self._run, self._output = run, output

    def replay(self) -> None:
        self._output.copy_(self._run())


class Recorder:
    """Records as torch does, or cannot."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.made = 0

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Any, Tensor]:
        if self.fails:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.made += 1
        output = run()
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
    unet, graphs = nn.Linear(3, 3), Graphs(Recorder(fails=True))
    for _ in range(USES + 2):
        assert torch.equal(call(graphs, unet, 1.0), unet(torch.ones(2, 3)))
    assert caplog.text.count("called plainly") == 1


@torch.inference_mode()
def test_graphs_are_bounded() -> None:
    unet, graphs = nn.Linear(3, 3), Graphs(Recorder())
    for rows in range(1, KEPT + 5):
        for _ in range(USES):
            call(graphs, unet, 1.0, rows)
    assert len(graphs._recorded[unet]) == KEPT
