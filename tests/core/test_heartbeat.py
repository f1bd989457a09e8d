"""Signs of life: from within each step of the engine, and not too often."""

from __future__ import annotations

from pathlib import Path

from core import heartbeat
from core.config import EngineConfig
from core.engine.engine import Engine
from core.request import GenerationRequest
from core.work import Work
from tests.tiny_models import SIZE, tiny_model


def test_every_step_gives_signs_of_life(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    signs: list[None] = []
    engine = Engine(
        EngineConfig(device="cpu", threads=1, cache_dir=tmp_path / "cache"),
        lambda: signs.append(None),
    )
    try:
        request = GenerationRequest("x", model.name, 1, steps=3, width=SIZE, height=SIZE)
        engine.add(Work.of(1, "ada", request, model))
        # Three calls of the UNet, then the decode.
        for _ in range(4):
            before = len(signs)
            engine.step()
            assert len(signs) >= before + 3
    finally:
        engine.close()


def test_they_are_told_now_and_then() -> None:
    now = 100.0
    told: list[float] = []
    alive = heartbeat.throttled(lambda: told.append(now), clock=lambda: now)
    for _ in range(100):
        now += 0.5
        alive()
    assert told == [105.0 + heartbeat.INTERVAL * index for index in range(10)]
