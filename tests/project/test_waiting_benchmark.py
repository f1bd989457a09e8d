"""The policy's goals on an RTX 3060, in virtual time: the real queue and engine, no card."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import waiting
from benchmarks.waiting import CARDS, Simulation

CARD = CARDS["3060"]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    folder = tmp_path_factory.mktemp("waiting")
    waiting.write_models(folder)
    simulation = Simulation(CARD, folder)
    yield simulation
    simulation.close()


def test_a_lone_short_job_does_not_wait_for_another_s_long_ones(simulation: Simulation) -> None:
    waits = simulation.run(waiting.lone)
    assert waits.took[100] <= 8
    assert len(waits.took) == 21


def test_singles_do_not_wait_for_a_sheet_which_is_hardly_later(simulation: Simulation) -> None:
    waits = simulation.run(waiting.sheet)
    assert waits.of(range(1, 11)) <= 6
    work = (144 + 10) * (20 * CARD.call(2) + CARD.decode)
    assert waits.took[0] <= 1.05 * work


def test_a_busy_card_keeps_waits_short(simulation: Simulation) -> None:
    waits = simulation.run(waiting.busy)
    assert waits.mean <= 9
    assert len(waits.took) == 120


def test_two_checkpoints_with_room_for_one_take_turns(simulation: Simulation) -> None:
    waits = simulation.run(waiting.two_models)
    assert waits.mean <= 6
    assert waits.failed == []
    assert len(waits.took) == 60
