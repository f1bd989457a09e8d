"""Compiled blocks: when they come, that they give the same, and what happens when they fail."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.config import EngineConfig
from core.engine import compiled as compiled_module
from core.engine.compiled import WARM_UP, Compiled
from core.engine.graphs import USES, Graphs
from core.engine.rows import RowBatcher
from core.models.catalogue import Model
from core.models.loading import Models
from tests.core.engine.test_graphs import Recorder
from tests.core.engine.test_rows import rows
from tests.tiny_models import tiny_model


class BasicTransformerBlock(nn.Module):
    """Named as diffusers'."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        result: Tensor = self.layer(x) * scale
        return result


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([BasicTransformerBlock(), BasicTransformerBlock()])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, scale=2.0)
        return x


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")


@pytest.fixture
def made() -> Iterator[list[Compiled]]:
    made: list[Compiled] = []
    yield made
    for each in made:
        each.close()


def counting(calls: list[str]) -> Callable[[Any], Any]:
    def compiler(forward: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            calls.append("compiled")
            return forward(*args, **kwargs)

        return run

    return compiler


def warmed(compiled: Compiled, unet: nn.Module, run: Callable[[], Tensor]) -> None:
    for _ in range(WARM_UP):
        compiled.call(unet, run)
    compiled._making[unet].exception()


@torch.inference_mode()
def test_blocks_are_compiled_in_a_thread_after_the_warm_up(
    tmp_path: Path, made: list[Compiled]
) -> None:
    calls: list[str] = []
    unet, given = Unet(), torch.ones(2, 3)
    made.append(compiled := Compiled(tmp_path, counting(calls)))
    expected = unet(given)
    warmed(compiled, unet, lambda: unet(given))
    assert calls == ["compiled"] * 2, "each block once, with what it was given"
    assert torch.equal(compiled.call(unet, lambda: unet(given)), expected)
    assert len(calls) == 4
    assert compiled.ready(unet)
    unet(given)
    assert len(calls) == 4, "outside, and so with networks, they are plain"


def broken_at_once(_: Any) -> Any:
    raise RuntimeError("no C compiler\nand much more")


def broken_later(forward: Any) -> Any:
    calls: list[int] = []

    def run(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("no C compiler\nand much more")
        return forward(*args, **kwargs)

    return run


@pytest.mark.parametrize("compiler", [broken_at_once, broken_later])
@torch.inference_mode()
def test_where_compiling_fails_the_blocks_are_called_plainly(
    tmp_path: Path,
    made: list[Compiled],
    compiler: Callable[[Any], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    unet, given = Unet(), torch.ones(2, 3)
    made.append(compiled := Compiled(tmp_path, compiler))
    warmed(compiled, unet, lambda: unet(given))
    for _ in range(3):
        assert torch.equal(compiled.call(unet, lambda: unet(given)), unet(given))
    assert caplog.text.count("called plainly: no C compiler") == 1
    assert "much more" not in caplog.text
    assert compiled.ready(unet)
    assert not compiled.in_use(unet)


@torch.inference_mode()
def test_what_failed_to_compile_holds_no_tensors(tmp_path: Path, made: list[Compiled]) -> None:
    """The error's traceback has the frames that had the blocks' inputs, and the UNet."""
    made.append(compiled := Compiled(tmp_path, broken_at_once))

    def fail() -> list[weakref.ref[Any]]:
        unet, given = Unet(), torch.ones(2, 3)
        warmed(compiled, unet, lambda: unet(given))
        compiled.call(unet, lambda: unet(given))
        assert compiled.ready(unet)
        return [weakref.ref(given), weakref.ref(unet)]

    gc.disable()
    try:
        assert [each() for each in fail()] == [None, None]
    finally:
        gc.enable()


@torch.inference_mode()
def test_graphs_record_what_is_compiled(tmp_path: Path, made: list[Compiled]) -> None:
    calls: list[str] = []

    class OfRows(Unet):
        def forward(self, sample: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:  # type: ignore[override]
            return (self.blocks[0](sample.new_ones(len(sample), 3)),)

    record, unet = Recorder(), OfRows()
    made.append(compiled := Compiled(tmp_path, counting(calls)))
    batcher = RowBatcher(32, graphs=Graphs(record), compiled=compiled)
    for _ in range(WARM_UP):
        batcher.predict(unet, rows(2), torch.float32)
    assert record.made == 0
    compiled._making[unet].result()
    for _ in range(USES + 2):
        batcher.predict(unet, rows(2), torch.float32)
    assert record.made == 1
    assert calls


@torch.inference_mode()
def test_a_real_unet_compiled_gives_the_same(
    tmp_path: Path, made: list[Compiled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By dynamo without a code generator, at numbers of rows that it was not compiled for too."""
    monkeypatch.setattr(compiled_module, "WARM_UP", 1)
    torch._dynamo.reset()
    model: Model = tiny_model(tmp_path)
    models = Models(EngineConfig(device="cpu", cache_dir=tmp_path))
    unet: Any = models.load(model).unet
    width = unet.config.cross_attention_dim

    def eager(forward: Any) -> Any:
        return torch.compile(forward, backend="eager", dynamic=True)

    made.append(compiled := Compiled(tmp_path, eager))
    draw = torch.Generator().manual_seed(0)
    for count in (2, 2, 4, 1):
        sample = torch.randn(count, 4, 8, 8, generator=draw)
        context = torch.randn(count, 77, width, generator=draw)

        def run(sample: Tensor = sample, context: Tensor = context) -> Tensor:
            output: Tensor = unet(sample, torch.ones(len(sample)), context, return_dict=False)[0]
            return output

        assert torch.allclose(compiled.call(unet, run), run(), atol=1e-5)
        if not compiled.ready(unet):
            compiled._making[unet].result()
    assert compiled.in_use(unet)
    models.close()
