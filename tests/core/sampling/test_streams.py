"""An image's noise against A1111's own."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.sampling.generators import NormalGenerator, first_draws
from core.sampling.sources import COMMON_THREADS, CUDA_THREADS, NoiseSource, differs_by_card
from core.sampling.streams import noise_stream, slerp, start_noise
from tests.golden_data import FOLDERS, arrays, load, names

SHAPE = (4, 16, 24)
SOURCES: tuple[NoiseSource, ...] = get_args(NoiseSource)
# Noise from the CPU's generator is equal to the bit.
ALLOWED = {"CPU": 0.0, "NV": 2e-6, "GPU": 2e-6}

sources = st.sampled_from(SOURCES)
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 12)


def golden_cases() -> list[Any]:
    """Every case, and those of NV for GPU as well: cards draw so small a noise alike."""
    return [
        pytest.param(folder, case, source, id=f"{names(folder)} {case['name']} {source}")
        for folder in FOLDERS
        for case in load(folder / "wider" / "rng_all.json")["cases"]
        for source in (["NV", "GPU"] if case["source"] == "NV" else ["CPU"])
    ]


@pytest.mark.parametrize(("folder", "case", "source"), golden_cases())
def test_draws_are_a1111s(folder: Path, case: dict[str, Any], source: NoiseSource) -> None:
    golden = arrays(folder / "wider" / "rng_all.npz")
    for i, seed in enumerate(case["seeds"]):
        stream = noise_stream(
            source,
            seed,
            tuple(case["shape"]),
            variation_seed=case["subseeds"][i] if case["subseeds"] else 0,
            variation_strength=case["subseed_strength"],
            seed_resize=(case["seed_resize_from_w"], case["seed_resize_from_h"]),
            eta_noise_seed_delta=case["ensd"],
        )
        for number, drawn in enumerate(islice(stream, case["draws"])):
            expected = torch.from_numpy(golden[f"{case['name']}/draw{number}"][i])
            # Of large draws only the first rows are there.
            found = drawn[..., : expected.shape[-2], :]
            torch.testing.assert_close(found, expected, atol=ALLOWED[source], rtol=0)


@pytest.mark.parametrize("folder", FOLDERS, ids=names)
def test_draws_are_a1111_1_8s(folder: Path) -> None:
    golden = arrays(folder / "rng.npz")
    for case in load(folder / "rng.json"):
        for i, seed in enumerate(case["seeds"]):
            stream = noise_stream(
                "CPU",
                seed,
                tuple(case["shape"]),
                variation_seed=case.get("subseeds", [0] * (i + 1))[i],
                variation_strength=case.get("subseed_strength", 0.0),
            )
            for name in ("first", "next1", "next2"):
                drawn, key = next(stream), f"{case['name']}/{name}"
                if key in golden:
                    assert torch.equal(drawn, torch.from_numpy(golden[key][i])), key


@pytest.mark.parametrize("folder", FOLDERS, ids=names)
def test_slerp_is_a1111s(folder: Path) -> None:
    golden = arrays(folder / "wider" / "rng_all.npz")
    of = {key: torch.from_numpy(each) for key, each in golden.items() if "slerp" in key}
    low, high, near = (of[f"slerp/{name}"] for name in ("low", "high", "near"))
    for key, expected in of.items():
        _, kind, *weight = key.split("/")
        if weight and kind == "slerp":
            torch.testing.assert_close(slerp(float(weight[0]), low, high), expected)
        elif weight:
            # A1111 swaps the weights where the two are nearly parallel.
            torch.testing.assert_close(slerp(1 - float(weight[0]), low, near), expected)


def test_the_door_gives_the_first_draw() -> None:
    golden = torch.tensor([0.6698279, -0.0028842622, 0.23280562, -0.5085142])
    drawn = start_noise(1234567890, SHAPE)
    assert (drawn.dtype, drawn.device.type, drawn.shape) == (torch.float32, "cpu", SHAPE)
    assert torch.equal(drawn.flatten()[:4], golden)
    varied = start_noise(
        7, SHAPE, source="NV", variation_seed=8, variation_strength=0.3, seed_resize=(64, 64)
    )
    stream = noise_stream(
        "NV", 7, SHAPE, variation_seed=8, variation_strength=0.3, seed_resize=(64, 64)
    )
    assert torch.equal(varied, next(stream))


@given(source=sources, seed=seeds, shape=st.tuples(sides, sides, sides))
def test_a_seed_gives_the_same_noise_whatever_else_is_drawn(
    source: NoiseSource, seed: int, shape: tuple[int, int, int]
) -> None:
    first = list(islice(noise_stream(source, seed, shape), 3))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    interleaved = [noise_stream(source, seed, shape), noise_stream(source, seed + 1, shape)]
    for drawn in first:
        assert torch.equal(next(interleaved[0]), drawn)
        assert not torch.equal(next(interleaved[1]), drawn)
    assert torch.equal(torch.get_rng_state(), state)


@given(
    source=sources,
    seed=seeds,
    shape=st.tuples(st.just(4), sides, sides),
    strength=st.floats(0, 1),
    resize=st.tuples(st.integers(-1, 120), st.integers(-1, 120)),
    delta=st.sampled_from([0, 31337, -31337, 2**40]),
)
def test_all_together_are_finite(
    source: NoiseSource,
    seed: int,
    shape: tuple[int, int, int],
    strength: float,
    resize: tuple[int, int],
    delta: int,
) -> None:
    stream = noise_stream(
        source,
        seed,
        shape,
        variation_seed=seed + 1,
        variation_strength=strength,
        seed_resize=resize,
        eta_noise_seed_delta=delta,
    )
    for drawn in islice(stream, 3):
        assert drawn.shape == shape
        assert drawn.isfinite().all()


@pytest.mark.parametrize("source", SOURCES)
def test_the_ends_of_a_variation(source: NoiseSource) -> None:
    plain, other = start_noise(42, SHAPE, source=source), start_noise(99, SHAPE, source=source)
    for strength, expected in ((0.0, plain), (1.0, other)):
        found = start_noise(
            42, SHAPE, source=source, variation_seed=99, variation_strength=strength
        )
        torch.testing.assert_close(found, expected)
    # What follows is the seed's own, as if there were no variation.
    varied = noise_stream(source, 42, SHAPE, variation_seed=99, variation_strength=0.3)
    unvaried = noise_stream(source, 42, SHAPE)
    assert not torch.equal(next(varied), next(unvaried))
    assert torch.equal(next(varied), next(unvaried))


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_a_variation_keeps_the_noise_as_strong(strength: float) -> None:
    drawn = start_noise(7, (4, 64, 64), variation_seed=8, variation_strength=strength)
    assert drawn.std().item() == pytest.approx(1.0, abs=0.03)


def test_parallel_noises_are_mixed_in_a_straight_line() -> None:
    plain = start_noise(42, SHAPE)
    same = start_noise(42, SHAPE, variation_seed=42, variation_strength=0.4)
    torch.testing.assert_close(same, plain)
    torch.testing.assert_close(slerp(0.25, plain, plain * 3), plain * 1.5)
    # Some columns in one line, the rest not; A1111 gets NaN.
    other = start_noise(43, SHAPE)
    other[..., :2] = plain[..., :2] * torch.tensor([3.0, -3.0])
    mixed = slerp(0.25, plain, other)
    assert mixed.isfinite().all()
    torch.testing.assert_close(mixed[..., :2], plain[..., :2] * torch.tensor([1.5, 0.0]))


def test_seed_resize_off_and_its_own_size_change_nothing() -> None:
    plain = start_noise(7, SHAPE)
    for resize in (None, (0, 0), (-1, -1), (192, 0), (7, 128), (192, 128), (199, 135)):
        assert torch.equal(start_noise(7, SHAPE, seed_resize=resize), plain), resize


def test_seed_resize_puts_the_small_noise_in_the_middle() -> None:
    small, resized = start_noise(7, (4, 8, 10)), start_noise(7, SHAPE, seed_resize=(80, 64))
    assert torch.equal(resized[:, 4:12, 7:17], small)
    assert torch.equal(resized[:, :4], start_noise(7, SHAPE)[:, :4])
    large = start_noise(7, (4, 20, 30))
    assert torch.equal(start_noise(7, SHAPE, seed_resize=(240, 160)), large[:, 2:18, 3:27])


@pytest.mark.parametrize("source", SOURCES)
def test_an_eta_noise_seed_delta_moves_the_later_draws(source: NoiseSource) -> None:
    plain, moved = (
        list(islice(noise_stream(source, 2**32 - 1, SHAPE, eta_noise_seed_delta=delta), 3))
        for delta in (0, 31337)
    )
    assert torch.equal(plain[0], moved[0])
    other = list(islice(noise_stream(source, 2**32 - 1 + 31337, SHAPE), 2))
    assert all(map(torch.equal, moved[1:], other))
    assert not torch.equal(plain[1], moved[1])


@given(source=sources, seed=st.one_of(seeds, st.integers(-(2**70), 2**70)))
def test_any_number_is_a_seed(source: NoiseSource, seed: int) -> None:
    drawn = start_noise(seed, (4, 2, 3), source=source)
    same = 2**32 if source == "CPU" else 2**64
    assert torch.equal(drawn, start_noise(seed % same, (4, 2, 3), source=source))
    assert torch.equal(drawn, first_draws(source, [seed], (4, 2, 3))[0])


def test_a_seed_beyond_32_bits_is_torchs() -> None:
    for seed in (2**32 + 5, 2**63 + 1, -1, -(2**40)):
        expected = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(start_noise(seed, SHAPE), expected)
    beyond, within = (start_noise(seed, SHAPE, source="NV") for seed in (2**32 + 5, 5))
    assert not torch.equal(beyond, within)


def test_gpu_is_nv_up_to_the_threads_of_a_card() -> None:
    rows = CUDA_THREADS // 4
    for shape, equal in (((4, rows, 1), True), ((4, rows + 1, 1), False)):
        gpu, nv = NormalGenerator("GPU", 3), NormalGenerator("NV", 3)
        for _ in range(2):
            drawn, expected = gpu.draw(shape).flatten(), nv.draw(shape).flatten()
            assert torch.equal(drawn[:CUDA_THREADS], expected[:CUDA_THREADS])
            assert torch.equal(drawn, expected) is equal


def test_a_generators_draws_share_no_counter() -> None:
    """Beyond four numbers a thread, a draw takes two counters of each."""
    generator = NormalGenerator("GPU", 3)
    large = generator.draw((4, CUDA_THREADS + 1, 1)).flatten()
    following = generator.draw((16,))
    nv = NormalGenerator("NV", 3)
    counters = [nv.draw((16,)) for _ in range(3)]
    assert torch.equal(large[:16], counters[0])
    assert torch.equal(large[-4:], counters[1][:4])
    assert torch.equal(following, counters[2])


def test_where_cards_differ() -> None:
    assert COMMON_THREADS < CUDA_THREADS
    assert not differs_by_card((4, 64, 64))
    assert not differs_by_card((1, 1, COMMON_THREADS))
    assert differs_by_card((1, 1, COMMON_THREADS + 1))
    assert differs_by_card((4, 256, 256))
