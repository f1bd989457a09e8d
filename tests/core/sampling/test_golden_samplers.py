"""Noise and samplers against A1111's own results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.request import split_sampler
from core.sampling.noise import initial_noise
from core.sampling.sigmas import NoiseSchedule
from tests.analytic import MixtureModel, error, finish, start
from tests.golden_data import FOLDERS, arrays, load, names

# Root mean square over standard deviation: what diffusers' arithmetic in fp32 leaves.
ALLOWED = {"UniPC": 4e-5, "DPM++ SDE": 1e-4, "DPM++ 2M SDE": 1e-4}


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(array) for key, array in arrays(path).items()}


def sampler_cases() -> list[Any]:
    return [
        pytest.param(folder, key.removesuffix("/result"), id=f"{names(folder)} {key}")
        for folder in FOLDERS
        for key in arrays(folder / "samplers.npz")
        if "/result" in key
    ]


def rng_cases() -> list[Any]:
    return [
        pytest.param(folder, case, id=f"{names(folder)} {case['name']}")
        for folder in FOLDERS
        for case in load(folder / "rng.json")
    ]


@pytest.mark.parametrize(("folder", "case"), rng_cases())
def test_noise_is_bit_equal(folder: Path, case: dict[str, Any]) -> None:
    golden, shape = tensors(folder / "rng.npz"), tuple(case["shape"])
    for i, seed in enumerate(case["seeds"]):
        variation_seed = case.get("subseeds", [0] * (i + 1))[i]
        noise, generator = initial_noise(
            seed, shape, variation_seed, case.get("subseed_strength", 0.0)
        )
        assert torch.equal(noise, golden[f"{case['name']}/first"][i])
        for following in ("next1", "next2"):
            drawn = torch.randn(shape, generator=generator)
            assert torch.equal(drawn, golden[f"{case['name']}/{following}"][i])


def test_the_schedule_is_bit_equal(golden: Path) -> None:
    expected = tensors(golden / "samplers.npz")["alphas_cumprod"]
    assert torch.equal(NoiseSchedule().alphas_cumprod, expected)


@pytest.mark.parametrize(("folder", "case"), sampler_cases())
def test_a_walk_ends_where_a1111_does(folder: Path, case: str) -> None:
    golden = tensors(folder / "samplers.npz")
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
