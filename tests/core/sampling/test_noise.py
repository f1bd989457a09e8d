from __future__ import annotations

import pytest
import torch

from core.sampling.noise import initial_noise, slerp

SHAPE = (4, 16, 24)


def test_a_seed_gives_a1111s_noise() -> None:
    noise, generator = initial_noise(1234567890, SHAPE)
    assert (noise.dtype, noise.device.type, noise.shape) == (torch.float32, "cpu", SHAPE)
    expected = torch.tensor([0.6698279, -0.0028842622, 0.23280562, -0.5085142])
    assert torch.equal(noise.flatten()[:4], expected)
    following = torch.randn(SHAPE, generator=generator).flatten()[:4]
    assert torch.equal(following, torch.tensor([-1.0107052, -0.12249595, 1.1404754, -1.0198787]))


def test_a_variation_gives_a1111s_noise() -> None:
    noise, generator = initial_noise(42, SHAPE, variation_seed=99, variation_strength=0.3)
    expected = torch.tensor([1.83533, 0.118961215, 1.0835947, -1.4440012])
    assert torch.equal(noise.flatten()[:4], expected)
    # What follows is the seed's own, as if there were no variation.
    plain, plain_generator = initial_noise(42, SHAPE)
    assert not torch.equal(noise, plain)
    assert torch.equal(
        torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=plain_generator)
    )


def test_the_ends_of_a_variation() -> None:
    plain, _ = initial_noise(42, SHAPE)
    other, _ = initial_noise(99, SHAPE)
    none, _ = initial_noise(42, SHAPE, variation_seed=99, variation_strength=0.0)
    full, _ = initial_noise(42, SHAPE, variation_seed=99, variation_strength=1.0)
    assert torch.equal(none, plain)
    torch.testing.assert_close(full, other)


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_a_variation_keeps_the_noise_as_strong(strength: float) -> None:
    noise, _ = initial_noise(7, (4, 64, 64), variation_seed=8, variation_strength=strength)
    assert noise.std().item() == pytest.approx(1.0, abs=0.03)


def test_a_variation_of_itself_changes_nothing() -> None:
    """Parallel noises, where the angle between them is 0, are mixed in a straight line."""
    plain, _ = initial_noise(42, SHAPE)
    same, _ = initial_noise(42, SHAPE, variation_seed=42, variation_strength=0.4)
    torch.testing.assert_close(same, plain)
    nearly = slerp(0.5, plain, plain * 3)
    torch.testing.assert_close(nearly, plain * 2)


def test_other_draws_do_not_matter() -> None:
    first, _ = initial_noise(5, SHAPE, variation_seed=6, variation_strength=0.2)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    second, _ = initial_noise(5, SHAPE, variation_seed=6, variation_strength=0.2)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_highest_seed() -> None:
    noise, _ = initial_noise(2**32 - 1, SHAPE, 2**32 - 1, 0.5)
    assert noise.isfinite().all()
