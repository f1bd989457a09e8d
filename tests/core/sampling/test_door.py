"""The package's door: what it asks of the models it is given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.sampling import sample
from core.sampling.schedules import trained_alphas


class Counted:
    """A model that answers with a share of its input, and counts how often."""

    def __init__(self, share: float) -> None:
        self.share, self.calls = share, 0

    def __call__(self, inputs: Tensor, timesteps: Tensor) -> Tensor:
        self.calls += 1
        return inputs * self.share


def run(model: Counted, uncond: Counted | None = None, **options: object) -> Tensor:
    return sample(
        model,
        sampler="Euler a",
        steps=4,
        seeds=[1, 2],
        shape=(4, 8, 8),
        alphas_cumprod=trained_alphas(),
        cfg_scale=7.0,
        uncond=uncond,
        options=options,
    )


@pytest.mark.parametrize(("ngms", "negatives"), [(0.0, 4), (15.0, 2)])
def test_each_model_is_called_once_a_step_where_it_counts(ngms: float, negatives: int) -> None:
    model, uncond = Counted(0.9), Counted(0.8)
    run(model, uncond, s_min_uncond=ngms)
    assert (model.calls, uncond.calls) == (4, negatives)
    run(alone := Counted(0.9))
    assert alone.calls == 4


def test_a1111s_setting_names_the_noise_source() -> None:
    assert not torch.equal(run(Counted(0.9)), run(Counted(0.9), randn_source="NV"))
