"""The noise of the SDE samplers against k-diffusion's path, which torchsde draws."""

from __future__ import annotations

import gc
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.sampling.brownian import _Span, brownian_noise
from core.sampling.sources import NoiseSource
from tests.golden_data import FOLDERS, HERE, arrays, load, names

SOURCES: tuple[NoiseSource, ...] = get_args(NoiseSource)
BOUNDS = (0.0291675, 14.614643)
SHAPE = (4, 3, 5)
sigmas = st.floats(2**-10, 20, width=32)


@pytest.mark.parametrize("seed", [5, 2**40 + 3])
def test_the_path_is_torchsdes_to_the_bit(seed: int) -> None:
    """Steps down with one between, then back up, over several and nearly everything."""
    recorded = arrays(HERE / "torchsde.npz")
    drawn = brownian_noise("CPU", seed, SHAPE, recorded["bounds"], recorded["pairs"].tolist())
    assert np.array_equal(torch.stack(list(drawn)), recorded[f"seed{seed}"])


@pytest.mark.parametrize("folder", FOLDERS, ids=names)
@pytest.mark.parametrize("source", SOURCES)
def test_the_noise_is_a1111s(folder: Path, source: NoiseSource) -> None:
    golden = arrays(folder / "wider" / "rng_all.npz")
    for name, case in load(folder / "wider" / "rng_all.json")["brownian"].items():
        expected = golden.get(f"brownian/{'CPU' if source == 'CPU' else 'NV'}/{name}")
        for i, seed in enumerate(case["seeds"] if expected is not None else ()):
            assert expected is not None
            bounds = case["sigma_min"], case["sigma_max"]
            shape = tuple(case["shape"][1:])
            drawn = torch.stack(list(brownian_noise(source, seed, shape, bounds, case["pairs"])))
            atol = 0 if source == "CPU" else 2e-6
            torch.testing.assert_close(drawn, torch.from_numpy(expected[:, i]), atol=atol, rtol=0)


@settings(max_examples=30)
@given(
    source=st.sampled_from(SOURCES),
    seed=st.integers(-(2**66), 2**66),
    pairs=st.lists(st.tuples(sigmas, sigmas), min_size=1, max_size=4),
)
def test_a_pair_has_the_same_noise_in_any_walk(
    source: NoiseSource, seed: int, pairs: list[tuple[float, float]]
) -> None:
    walk = list(brownian_noise(source, seed, SHAPE, BOUNDS, pairs))
    assert len(walk) == len(pairs)
    assert all((each.shape, each.dtype) == (SHAPE, torch.float32) for each in walk)
    assert all(each.isfinite().all() for each in walk)
    alone, back = brownian_noise(source, seed, SHAPE, BOUNDS, [pairs[-1], pairs[-1][::-1]])
    assert torch.equal(alone, walk[-1])
    assert torch.equal(back, -walk[-1])


@pytest.mark.parametrize("source", SOURCES)
def test_the_noise_has_unit_variance_and_adds_up(source: NoiseSource) -> None:
    levels = torch.linspace(14.6, 0.03, 30).tolist()
    shape = (4, 64, 64)
    steps = list(brownian_noise(source, 3, shape, BOUNDS, list(pairwise(levels))))
    for drawn in steps:
        assert drawn.mean().item() == pytest.approx(0, abs=0.04)
        assert drawn.std().item() == pytest.approx(1, abs=0.03)
    assert (steps[3] * steps[4]).mean().item() == pytest.approx(0, abs=0.04)
    (whole,) = brownian_noise(source, 3, shape, BOUNDS, [(levels[0], levels[-1])])
    lengths = [(a - b) ** 0.5 for a, b in pairwise(levels)]
    total = sum(drawn * length for drawn, length in zip(steps, lengths, strict=True))
    torch.testing.assert_close(whole * (levels[0] - levels[-1]) ** 0.5, total, atol=1e-3, rtol=1e-3)


def test_pairs_that_lead_nowhere_have_no_noise() -> None:
    outside = [(3.0, 3.0), (20.0, 16.0), (0.01, 0.001), (3.0, 3.0000001)]
    assert not any(noise.any() for noise in brownian_noise("CPU", 3, SHAPE, BOUNDS, outside))
    (partly,) = brownian_noise("CPU", 3, SHAPE, BOUNDS, [(20.0, 5.0)])
    (within,) = brownian_noise("CPU", 3, SHAPE, BOUNDS, [(BOUNDS[1], 5.0)])
    assert torch.allclose(partly * 15**0.5, within * (BOUNDS[1] - 5) ** 0.5, atol=1e-4)
    # One step has one sigma: there is no path.
    assert list(brownian_noise("CPU", 3, SHAPE, (14.6, 14.6), [])) == []


def test_a_long_walk_keeps_only_what_is_ahead() -> None:
    """What is kept, at any time, is a few numbers for each of the tree's 24 halvings."""
    levels = torch.linspace(14.6, 0.03, 300).tolist()
    walk = brownian_noise("CPU", 3, (1, 1, 1), BOUNDS, list(pairwise(levels)))
    kept = [
        sum(type(each) is _Span for each in gc.get_objects())
        for number, _ in enumerate(walk)
        if number % 50 == 0
    ]
    assert all(24 < count < 120 for count in kept), kept
