"""Signs of life: from within each step of the engine, and not too often."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from core import heartbeat
from core.config import EngineConfig
from core.engine.engine import Engine
from core.models.loading import Models
from core.models.networks.loaded import read_network
from core.models.weights.hashes import PART, Hashes
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


def test_reading_and_hashing_give_signs_of_life(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    signs: list[None] = []
    config = EngineConfig(device="cpu", cache_dir=tmp_path / "cache")
    models = Models(config, alive=lambda: signs.append(None))
    models.load(model)
    assert len(signs) > 100, "each tensor"
    models.close()
    large = tmp_path / "large"
    large.write_bytes(bytes(3 * PART))
    signs.clear()
    Hashes(tmp_path / "hashes", lambda: signs.append(None)).of(large)
    assert len(signs) == 3
    network = tmp_path / "some.safetensors"
    pair = {"lora_down.weight": torch.ones(1, 4), "lora_up.weight": torch.ones(4, 1)}
    save_file({f"lora_unet_{i}.{k}": v.clone() for i in range(5) for k, v in pair.items()}, network)
    signs.clear()
    read_network(network, lambda: signs.append(None))
    assert len(signs) == 5


def test_they_are_told_now_and_then() -> None:
    now = 100.0
    told: list[float] = []
    alive = heartbeat.throttled(lambda: told.append(now), clock=lambda: now)
    for _ in range(100):
        now += 0.5
        alive()
    assert told == [105.0 + heartbeat.INTERVAL * index for index in range(10)]
