"""Noise and samplers against A1111's own results."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.request import split_sampler
from core.sampling.noise import initial_noise
from core.sampling.samplers import NoiseSchedule
from tests.analytic import MixtureModel, error, finish, start

GOLDEN = Path(os.environ.get("GOLDEN_DIR", ""))
pytestmark = pytest.mark.skipif(
    not os.environ.get("GOLDEN_DIR"), reason="GOLDEN_DIR names no folder of golden data"
)

# Root mean square over standard deviation: what diffusers' arithmetic in fp32 leaves.
ALLOWED = {"UniPC": 4e-5, "DPM++ SDE": 1e-4, "DPM++ 2M SDE": 1e-4}


def load(name: str) -> dict[str, Any]:
    with np.load(GOLDEN / name) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def sampler_cases() -> list[str]:
    if not os.environ.get("GOLDEN_DIR"):
        return []
    return [name.removesuffix("/result") for name in load("samplers.npz") if "/result" in name]


def rng_cases() -> list[dict[str, Any]]:
    if not os.environ.get("GOLDEN_DIR"):
        return []
    return list(json.loads((GOLDEN / "rng.json").read_text()))


@pytest.mark.parametrize("case", rng_cases(), ids=lambda case: case["name"])
def test_noise_is_bit_equal(case: dict[str, Any]) -> None:
    golden, shape = load("rng.npz"), tuple(case["shape"])
    for i, seed in enumerate(case["seeds"]):
        variation_seed = case.get("subseeds", [0] * (i + 1))[i]
        noise, generator = initial_noise(
            seed, shape, variation_seed, case.get("subseed_strength", 0.0)
        )
        assert torch.equal(noise, golden[f"{case['name']}/first"][i])
        for following in ("next1", "next2"):
            drawn = torch.randn(shape, generator=generator)
            assert torch.equal(drawn, golden[f"{case['name']}/{following}"][i])


def test_the_schedule_is_bit_equal() -> None:
    golden = load("samplers.npz")
    assert torch.equal(NoiseSchedule().alphas_cumprod, golden["alphas_cumprod"])


@pytest.mark.parametrize("case", sampler_cases())
def test_a_walk_ends_where_a1111_does(case: str) -> None:
    golden = load("samplers.npz")
    name, steps = case.rsplit("/", 1)
    sampler, schedule_type = split_sampler(name)
    if schedule_type == "Automatic":
        # The recorded version names its Karras samplers; a bare name is uniform there.
        schedule_type = "Uniform"
    model = MixtureModel(golden["mu"], float(golden["s0"]))
    walk = start(model, sampler, int(steps), schedule_type)
    noise, _ = initial_noise(1234, (4, 8, 8))
    assert torch.equal(noise, golden["start_noise"][0])
    result = finish(walk, model)
    assert model.timesteps == pytest.approx(golden[f"{case}/t_calls"].tolist(), abs=1e-3)
    assert error(result, golden[f"{case}/result"][0]) < ALLOWED.get(sampler, 1e-6)
