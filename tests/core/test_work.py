"""What a job costs: one count for the line, the ETA, the quota and the engine's progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.engine.running_job import RunningJob
from core.models.catalogue import Model
from core.request import GenerationRequest, HiresFix, Inputs
from core.work import Item, Work

MODEL = Model("demo", Path("demo"), "folder", "sd1", "epsilon", "sd1", (512, 512))


def item(**values: Any) -> Item:
    """Of a megapixel, so that each step costs 1."""
    size = {"width": 1000, "height": 1000}
    return Item(GenerationRequest("p", "demo", 1, **({"steps": 20} | size | values)), MODEL)


@pytest.mark.parametrize(("strength", "steps"), [(0.0, 1), (0.3, 7), (0.75, 16), (1.0, 20)])
def test_img2img_costs_the_steps_that_it_runs(strength: float, steps: int) -> None:
    one = item(inputs=Inputs(b""), denoising_strength=strength)
    assert one.steps == steps
    assert one.cost == pytest.approx(steps)


def test_the_strength_counts_with_a_start_image_only() -> None:
    assert item(denoising_strength=0.3).cost == pytest.approx(20)


@pytest.mark.parametrize(("given", "run"), [(5, 5), (0, 20)])
def test_hires_fix_costs_its_own_steps_at_its_own_size(given: int, run: int) -> None:
    one = item(hires=HiresFix(2.0, given, 0.3))
    assert one.steps == 20 + run
    assert one.cost == pytest.approx(20 + 4 * run)


def test_a_start_image_does_not_shorten_the_second_pass() -> None:
    one = item(inputs=Inputs(b""), denoising_strength=0.3, hires=HiresFix(2.0))
    assert one.cost == pytest.approx(7 + 4 * 20)


def test_a_job_costs_what_its_pictures_cost() -> None:
    work = Work(1, "ada", (item(count=3), item(steps=5)))
    assert work.cost == pytest.approx(65)


def test_the_engines_progress_counts_the_same_steps() -> None:
    first, second = item(inputs=Inputs(b""), denoising_strength=0.3), item(hires=HiresFix(steps=5))
    assert RunningJob(Work(1, "ada", (first, second))).steps == second.steps == 25
