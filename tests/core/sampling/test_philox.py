"""CUDA's generator against Philox written out number by number, A1111's words, and a card's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.sampling.generators import AHEAD, NormalGenerator
from core.sampling.philox import philox_calls, philox_randn
from core.sampling.sources import CUDA_THREADS, NoiseSource
from tests.fake_card import fake_card
from tests.golden_data import FOLDERS, HERE, arrays, load, names

# What A1111 prints of its numbers, rounded to float32, may differ in the last digit.
ALLOWED = 2e-6
# The threads that an H100 runs at once: 132 multiprocessors of 8 blocks.
H100 = 132 * 8 * 256


def words(counter: list[int], seed: int) -> list[int]:
    """Philox 4x32-10 of one counter."""
    key = [seed % 2**32, seed >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (q >> 32) ^ counter[1] ^ key[0],
            q % 2**32,
            (p >> 32) ^ counter[3] ^ key[1],
            p % 2**32,
        ]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


def one(seed: int, offset: int, count: int, threads: int | None, element: int) -> float:
    """One number of a draw of ``count``, as a thread of CUDA's kernel makes it."""
    running = count if threads is None else min(threads, 256 * math.ceil(count / 256))
    number, thread = divmod(element, running)
    call, number = divmod(number, 4)
    drawn = words([offset + call, 0, thread, 0], seed)[2 * (number // 2) :]
    unit, angle = (np.float32(2**-32), np.float32(2**-32 * 6.2831855))
    radius = math.sqrt(-2 * math.log(drawn[0] * float(unit) + float(unit) / 2))
    turn = math.cos if number % 2 else math.sin
    return radius * turn(drawn[1] * float(angle) + float(angle) / 2)


@pytest.mark.parametrize("folder", FOLDERS, ids=names)
def test_numbers_are_a1111s(folder: Path) -> None:
    for seed, expected in load(folder / "wider" / "rng_all.json")["philox"].items():
        of_threads = zip(*expected["words_offset0"], strict=True)
        for thread, drawn in enumerate(of_threads):
            assert words([0, 0, thread, 0], int(seed)) == list(drawn)
        for offset, name in enumerate(("first5", "then3")):
            numbers = torch.tensor(expected[name])
            found = philox_randn([int(seed)], [offset], tuple(numbers.shape), threads=None)[0]
            torch.testing.assert_close(found, numbers, atol=ALLOWED, rtol=0)


def card_cases() -> list[Any]:
    return [pytest.param(*each, id=each[0]) for each in arrays(HERE / "cuda_h100.npz").items()]


@pytest.mark.parametrize(("name", "expected"), card_cases())
def test_a_card_draws_the_same(name: str, expected: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    """What torch.randn drew on an H100, around every multiple of its threads."""
    size, draw, first = name.split("/")
    seed, shape = size.removeprefix("seed").split("_")
    sides = tuple(map(int, shape.split("x")))
    offset = int(draw.removeprefix("draw")) * philox_calls(math.prod(sides), H100)
    start = int(first.removeprefix("from"))
    drawn = philox_randn([int(seed)], [offset], sides, threads=H100).flatten()
    found = drawn[start : start + len(expected)]
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=3e-6, rtol=0)


@pytest.mark.parametrize("threads", [None, 256, 512])
@pytest.mark.parametrize(
    "count", [1, 15, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2048, 2049, 3000, 5000]
)
def test_every_number_is_its_threads(count: int, threads: int | None) -> None:
    """At the first to fourth number of a thread, and beyond, where its counter goes on."""
    drawn = philox_randn([2**40 + 7], [3], (count,), threads=threads)[0]
    elements = sorted({0, count - 1, count // 2, *range(254, 259), *range(510, 514), 1024, 2048})
    for element in (element for element in elements if element < count):
        expected = one(2**40 + 7, 3, count, threads, element)
        assert drawn[element].item() == pytest.approx(expected, abs=ALLOWED), element


@given(
    seed=st.integers(0, 2**64 - 1),
    offset=st.integers(0, 2**31),
    count=st.integers(1, 40),
    threads=st.sampled_from([None, 256]),
)
def test_any_seed_and_offset(seed: int, offset: int, count: int, threads: int | None) -> None:
    drawn = philox_randn([seed], [offset], (count,), threads=threads)[0]
    expected = [one(seed, offset, count, threads, element) for element in range(count)]
    torch.testing.assert_close(drawn, torch.tensor(expected), atol=ALLOWED, rtol=0)


@pytest.mark.parametrize("threads", [None, 256])
@pytest.mark.parametrize("count", [7, 600, 1300])
def test_seeds_at_once_draw_as_one_by_one(count: int, threads: int | None) -> None:
    seeds = [0, 5, 2**32 - 1, 2**63 + 3, 2**64 - 1]
    together = philox_randn(seeds, [2] * len(seeds), (count,), threads=threads)
    alone = [philox_randn([seed], [2], (count,), threads=threads)[0] for seed in seeds]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("threads", [None, 125_952])
def test_large_draws_are_normal(threads: int | None) -> None:
    drawn = philox_randn([11], [0], (4, 256, 256), threads=threads)[0].double().flatten()
    assert drawn.mean().item() == pytest.approx(0, abs=0.01)
    assert drawn.std().item() == pytest.approx(1, abs=0.01)
    assert drawn.pow(3).mean().item() == pytest.approx(0, abs=0.03)
    assert drawn.pow(4).mean().item() == pytest.approx(3, abs=0.06)
    assert (drawn[1:] * drawn[:-1]).mean().item() == pytest.approx(0, abs=0.01)
    following = philox_randn([11], [1], (4, 256, 256), threads=threads)[0].double().flatten()
    assert (drawn * following).mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("source", ["GPU", "NV"])
@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 128, 128)])
def test_draws_made_ahead_are_those_of_one_after_the_other(
    source: NoiseSource, shape: tuple[int, ...]
) -> None:
    """As a card makes them: several offsets at once, of which each is taken in its turn."""
    alone = NormalGenerator(source, 2**40 + 7)
    threads = {"GPU": CUDA_THREADS, "NV": None}[source]
    calls = philox_calls(math.prod(shape), threads)
    offsets = [calls * number for number in range(AHEAD)]
    together = philox_randn([2**40 + 7] * AHEAD, offsets, shape, threads=threads)
    for drawn in together:
        assert torch.equal(drawn, alone.draw(shape))


@pytest.mark.parametrize("source", ["GPU", "NV"])
def test_a_card_launches_few_operations_a_draw(source: NoiseSource) -> None:
    shape = (4, 64, 64)
    with fake_card() as card:
        generator = NormalGenerator(source, 7, torch.device("cuda:0"))
        generator.draw(shape)
        card.clear()
        for _ in range(2 * AHEAD):
            generator.draw(shape)
        assert sum(card.launches.values()) / (2 * AHEAD) <= 24
        assert sum(card.copies.values()) == 2
        assert not card.blocking_uploads
        assert not card.readbacks
