"""Sampler runs: where they end, how many calls they take, and what they do not depend on.

The figures are k-diffusion 0.1.1's on the same model (for DDIM and UniPC, A1111's own rule).
"""

from __future__ import annotations

import math

import pytest
import torch

from core.options import AUTOMATIC, SAMPLERS, SCHEDULE_TYPES
from core.sampling.samplers import SAMPLERS as BUILT
from core.sampling.samplers import conditioning_steps
from core.sampling.schedules import NoiseSchedule, sigma_list, trained_alphas
from core.sampling.settings import SamplerSettings
from core.sampling.table import Answer, Context
from core.sampling.trajectory import Trajectory
from core.sampling.trajectory import advance as advance_batch
from tests.analytic import MixtureModel, advance, advance_all, error, finish, start

MEANS = torch.tensor(
    [[-1.2, 0.4, 0.9, -0.3], [0.8, -0.7, 1.1, 0.6], [0.1, 1.3, -0.9, -1.0]]
).reshape(3, 1, 2, 2)
BROWNIAN = [name for name in SAMPLERS if BUILT[name].draws == "path"]
V_ZERO = NoiseSchedule(trained_alphas(zero_terminal_snr=True), "v_prediction")

ENDS = {
    ("Euler", "Uniform", 7): [0.05413562, 1.227372, -0.9057755, -0.8287894],
    ("Euler", "Karras", 7): [0.02061137, 1.154595, -0.8260018, -0.7463241],
    ("Euler", "Exponential", 7): [0.022851, 1.147451, -0.8238826, -0.7356242],
    ("Euler a", "Uniform", 7): [-0.5361311, 1.034209, -0.1728384, -0.6271894],
    ("Euler a", "Karras", 7): [-0.938157, 0.5999436, 0.553718, -0.4011823],
    ("Euler a", "Exponential", 7): [-0.8605802, 0.7507648, 0.2856233, -0.526327],
    ("Heun", "Uniform", 7): [0.06010693, 1.287593, -1.092012, -0.7695751],
    ("Heun", "Karras", 7): [0.0718082, 1.328863, -1.147871, -0.8022504],
    ("Heun", "Exponential", 7): [0.08741111, 1.362011, -1.194456, -0.8300952],
    ("LMS", "Uniform", 7): [0.07441478, 1.215991, -0.9388464, -0.785352],
    ("LMS", "Karras", 7): [0.04175512, 1.224033, -0.9402063, -0.782553],
    ("LMS", "Exponential", 7): [0.04094701, 1.203858, -0.9181245, -0.7641191],
    ("DPM++ 2M", "Uniform", 7): [0.1727188, 1.412705, -1.285224, -0.8861201],
    ("DPM++ 2M", "Karras", 7): [0.08411143, 1.377201, -1.183776, -0.8682699],
    ("DPM++ 2M", "Exponential", 7): [0.07574195, 1.333257, -1.121007, -0.8388032],
    ("DPM++ SDE", "Uniform", 7): [-1.098001, 0.4537619, 0.7354812, 0.2801566],
    ("DPM++ SDE", "Karras", 7): [-1.17868, 0.4927964, 0.6525752, 0.2699187],
    ("DPM++ SDE", "Exponential", 7): [0.272103, -0.5172963, 1.368981, 1.456142],
    ("DPM++ 2M SDE", "Uniform", 7): [-1.466259, 0.6308545, 0.7999141, 0.1971353],
    ("DPM++ 2M SDE", "Karras", 7): [-1.470425, 0.2454285, 1.059121, 0.6101681],
    ("DPM++ 2M SDE", "Exponential", 7): [0.01993542, -0.4544071, 1.372224, 1.505022],
    ("DDIM", "Automatic", 3): [-0.03862599, 1.101611, -0.6727165, -0.7604545],
    ("DDIM", "Automatic", 7): [0.05411756, 1.228737, -0.9216322, -0.8170068],
    ("DDIM", "Automatic", 30): [0.05819463, 1.252055, -0.9960455, -0.7932576],
    ("UniPC", "Automatic", 3): [0.060804, 1.273152, -0.9473555, -0.8816711],
    ("UniPC", "Automatic", 7): [0.08056065, 1.286356, -1.013192, -0.8542455],
    ("UniPC", "Automatic", 30): [0.0610841, 1.263265, -1.016138, -0.7961605],
}

# From the first mean as the initial picture: img2img of 7 steps at 0.6, a second pass of 5 at 0.4.
IMG2IMG_ENDS = {
    "Euler": [-0.09334575, 1.185479, -0.7626907, -0.7973028],
    "Euler a": [-0.6603652, 0.8712513, 0.04185266, -0.4969512],
    "Heun": [-0.1528529, 1.2325, -0.8854104, -0.7295635],
    "LMS": [0.04887259, 1.278771, -0.9851409, -0.8360911],
    "DPM++ 2M": [-0.08088308, 1.331627, -1.017958, -0.8351823],
    "DPM++ SDE": [-0.2564873, 1.216995, -0.7564716, -0.3087972],
    "DPM++ 2M SDE": [-1.171394, 0.4755303, 0.851492, 0.6652252],
    "DDIM": [-0.228399, 1.080893, -0.6261241, -0.6901215],
    "UniPC": [-0.1452567, 1.164775, -0.7913302, -0.7403008],
}
SECOND_PASS_ENDS = {
    "Euler": [-1.117859, 0.5396143, 0.5618195, -0.2766978],
    "Euler a": [-1.255064, 0.5977388, 0.7400569, -0.1864072],
    "Heun": [-1.132191, 0.5707318, 0.4814116, -0.2472413],
    "LMS": [-1.050613, 0.6162707, 0.3995305, -0.3015861],
    "DPM++ 2M": [-1.185386, 0.5194045, 0.6000854, -0.2364739],
    "DPM++ SDE": [-1.62697, 0.3507872, 0.9198952, 0.2703645],
    "DPM++ 2M SDE": [-1.663342, 0.4562875, 1.017802, 0.08976476],
    "DDIM": [-1.112325, 0.5201225, 0.5291099, -0.2362653],
    "UniPC": [-1.132077, 0.5136107, 0.5340208, -0.2186974],
}


def model(schedule: NoiseSchedule | None = None) -> MixtureModel:
    return MixtureModel(MEANS, 0.35, schedule)


def close_to(result: torch.Tensor, expected: list[float]) -> bool:
    return error(result.flatten(), torch.tensor(expected)) < 5e-6


def test_every_sampler_a_member_can_choose_is_built() -> None:
    assert tuple(BUILT) == SAMPLERS


@pytest.mark.parametrize(("sampler", "schedule_type", "steps"), ENDS)
def test_where_a_walk_ends(sampler: str, schedule_type: str, steps: int) -> None:
    result = finish(start(m := model(), sampler, steps, schedule_type), m)
    assert close_to(result, ENDS[sampler, schedule_type, steps])


@pytest.mark.parametrize(
    ("sampler", "meant"),
    [
        ("Euler", "Uniform"),
        ("DPM++ 2M", "Karras"),
        ("DPM++ SDE", "Karras"),
        ("DPM++ 2M SDE", "Exponential"),
    ],
)
def test_automatic_is_a1111s_choice(sampler: str, meant: str) -> None:
    result = finish(start(m := model(), sampler, 7), m)
    assert close_to(result, ENDS[sampler, meant, 7])


@pytest.mark.parametrize("sampler", IMG2IMG_ENDS)
def test_where_a_walk_from_a_picture_ends(sampler: str) -> None:
    walk = start(m := model(), sampler, 7, init_latents=MEANS[0], denoising_strength=0.6)
    assert close_to(finish(walk, m), IMG2IMG_ENDS[sampler])
    second = start(m, sampler, 5, init_latents=MEANS[0], denoising_strength=0.4, exact_steps=True)
    assert close_to(finish(second, m), SECOND_PASS_ENDS[sampler])


@pytest.mark.parametrize("schedule_type", ["Uniform", "Karras", "Exponential"])
@pytest.mark.parametrize("steps", [1, 2, 25])
def test_sigmas_fall_from_the_highest_to_zero(schedule_type: str, steps: int) -> None:
    sigmas = torch.tensor(sigma_list(NoiseSchedule().levels, schedule_type, steps))
    assert len(sigmas) == steps + 1
    assert sigmas[0].item() == pytest.approx(14.614643, rel=1e-6)
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    if steps > 1:
        assert sigmas[-2].item() == pytest.approx(0.02916754, rel=1e-5)


def test_timesteps_and_sigmas_are_inverse() -> None:
    schedule = NoiseSchedule().levels
    timesteps = torch.tensor([0.0, 0.25, 17.0, 500.5, 998.75, 999.0])
    back = schedule.timestep_at(schedule.sigma_at(timesteps))
    torch.testing.assert_close(back, timesteps, atol=2e-3, rtol=0)
    beyond = schedule.timestep_at(torch.tensor([0.001, 100.0]))
    assert beyond.tolist() == [0.0, 999.0]


def test_zero_terminal_snr() -> None:
    plain, zero = trained_alphas(), NoiseSchedule(trained_alphas(zero_terminal_snr=True))
    assert zero.alphas_cumprod[0].item() == pytest.approx(plain[0].item(), rel=1e-6)
    assert zero.levels.sigmas[-1].item() == pytest.approx(4518.76, rel=1e-5)
    assert (zero.alphas_cumprod.diff() < 0).all()


def test_a_linear_beta_schedule() -> None:
    alphas_cumprod = trained_alphas(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    assert alphas_cumprod[0].item() == pytest.approx(0.9999)
    assert alphas_cumprod[-1].item() == pytest.approx(4.0358e-5, rel=1e-3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_epsilon_and_v_are_two_ways_to_say_the_same(sampler: str) -> None:
    if sampler == "LCM":
        pytest.skip("A1111's LCM takes v for epsilon")
    epsilon = finish(start(m := model(), sampler, 12), m)
    schedule = NoiseSchedule(prediction_type="v_prediction")
    v = finish(start(m := model(schedule), sampler, 12), m)
    assert error(v, epsilon) < 2e-5


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", [NoiseSchedule(), V_ZERO], ids=["epsilon", "zero SNR"])
def test_no_step_count_breaks_a_walk(sampler: str, schedule: NoiseSchedule) -> None:
    for schedule_type in SCHEDULE_TYPES:
        # Restart walks a stretch again from 20 steps on, and twice from 36.
        for count in [1, 2, 3, 4, 14, 20, 37] if schedule_type == AUTOMATIC else [1, 2, 5]:
            m = model(schedule)
            walk = start(m, sampler, count, schedule_type)
            assert finish(walk, m).isfinite().all(), (count, schedule_type)
            assert walk.step == walk.plan.steps == count
            assert max(m.timesteps) <= 999
            assert min(m.timesteps) >= 0


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("exact_steps", [False, True])
def test_no_strength_breaks_a_walk(sampler: str, exact_steps: bool) -> None:
    for strength in (0.0, 1e-9, 0.05, 0.5, 0.999, 1.0):
        for count in (1, 2, 8):
            walk = start(
                m := model(),
                sampler,
                count,
                init_latents=MEANS[0],
                denoising_strength=strength,
                exact_steps=exact_steps,
            )
            assert not walk.done
            assert finish(walk, m).isfinite().all(), (strength, count)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_hardly_any_strength_hardly_changes_the_picture(sampler: str) -> None:
    for exact_steps in (False, True):
        walk = start(
            m := model(),
            sampler,
            20,
            init_latents=MEANS[0],
            denoising_strength=0.0,
            exact_steps=exact_steps,
        )
        # One trained step of noise, about 0.03, over data that is 0.35 wide; LCM's last is 0.24.
        allowed = 0.4 if sampler == "LCM" else 0.1
        torch.testing.assert_close(finish(walk, m), MEANS[0], atol=allowed, rtol=0)


@pytest.mark.parametrize("sampler", ["DDIM", "UniPC"])
def test_a_weak_second_pass_on_whole_timesteps(sampler: str) -> None:
    """150 steps at 0.05 would be 3,000 timesteps; the noise is that of 0.05, in fewer calls."""
    walk = start(
        m := model(),
        sampler,
        150,
        init_latents=MEANS[0],
        denoising_strength=0.05,
        exact_steps=True,
    )
    assert walk.timestep.item() == pytest.approx(49, abs=2)
    finish(walk, m)
    assert walk.step == walk.plan.steps == 150


def calls(walk: Trajectory) -> int:
    return len(walk.plan.timesteps)


def scalar_walk(sampler: str, sigmas: list[float]) -> float:
    """Where a sampler ends without noise, its latent a number and the clean one its sine."""
    context = Context(SamplerSettings(), (sigmas[-2], sigmas[0]), len(sigmas) - 1, lambda *_: 0.0)
    walk = BUILT[sampler].walk(5.0, sigmas, context)
    call = next(walk)
    while True:
        clean = math.sin(call.x)
        try:
            call = walk.send(Answer(call.x, clean, clean))
        except StopIteration as stop:
            return float(stop.value)


@pytest.mark.parametrize(
    "sampler", ["Euler", "Heun", "LMS", "DPM2", "DPM++ 2S a", "DPM++ 2M", *BROWNIAN]
)
def test_a_level_that_stays_moves_nothing(sampler: str) -> None:
    once = scalar_walk(sampler, [8.0, 5.0, 3.0, 2.0, 1.0, 0.5, 0.0])
    again = scalar_walk(sampler, [8.0, 8.0, 5.0, 3.0, 3.0, 3.0, 2.0, 1.0, 0.5, 0.5, 0.0])
    assert again == pytest.approx(once)


@pytest.mark.parametrize("rho", [1e-5, 0.1, 0.35])
@pytest.mark.parametrize("schedule", [NoiseSchedule(), V_ZERO])
def test_a_small_rho_leaves_the_lowest_sigma(schedule: NoiseSchedule, rho: float) -> None:
    sigmas = sigma_list(schedule.levels, "Karras", 9, SamplerSettings(schedule_rho=rho))
    assert sigmas == sorted(set(sigmas), reverse=True)
    assert sigmas[-2:] == [pytest.approx(schedule.levels.ends[0]), 0]


@pytest.mark.parametrize("schedule_type", SCHEDULE_TYPES)
def test_a_second_pass_at_hardly_any_strength(schedule_type: str) -> None:
    model = MixtureModel(MEANS, 0.2)
    trajectory = start(
        model,
        "Euler",
        7,
        schedule_type,
        init_latents=MEANS[0],
        denoising_strength=0.001,
        exact_steps=True,
    )
    assert error(finish(trajectory, model), MEANS[0]) < 0.2


def test_how_many_calls_a_walk_makes() -> None:
    counted = {sampler: calls(start(model(), sampler, 20)) for sampler in SAMPLERS}
    twice = dict.fromkeys(name for name in SAMPLERS if BUILT[name].second_order)
    expected = dict.fromkeys(SAMPLERS, 20) | dict.fromkeys(twice, 39)
    assert counted == expected | {"DDIM": 19, "DDIM CFG++": 19, "DPM adaptive": 0}
    # A1111 spaces DDIM's and UniPC's timesteps by whole numbers: 33 for 30 steps.
    assert calls(start(model(), "DDIM", 30)) == 30
    assert calls(start(model(), "UniPC", 30)) == 31


@pytest.mark.parametrize(("strength", "expected"), [(0, 1), (0.3, 7), (0.75, 16), (1, 20)])
def test_img2img_runs_its_share_of_the_steps(strength: float, expected: int) -> None:
    for sampler in ("Euler", "DPM++ 2M", "LCM"):
        walk = start(model(), sampler, 20, init_latents=MEANS[0], denoising_strength=strength)
        assert (calls(walk), walk.plan.steps) == (expected, expected)


@pytest.mark.parametrize("strength", [0, 0.01, 0.3, 0.7, 1])
def test_a_second_pass_runs_all_its_steps(strength: float) -> None:
    def second_pass(sampler: str) -> tuple[int, int]:
        walk = start(
            model(),
            sampler,
            15,
            init_latents=MEANS[0],
            denoising_strength=strength,
            exact_steps=True,
        )
        return calls(walk), walk.plan.steps

    assert second_pass("Euler") == (15, 15)
    assert second_pass("Heun") == (29, 15)


def test_where_img2img_starts() -> None:
    """11 of 20 steps are left at 0.5: the tenth sigma's worth of noise over the picture."""
    walk = start(model(), "Euler", 20, init_latents=MEANS[0], denoising_strength=0.5)
    sigma = sigma_list(NoiseSchedule().levels, "Uniform", 20)[9]
    noise = start(model(), "Euler", 20).latents / 14.614643
    torch.testing.assert_close(walk.latents, MEANS[0] + noise * sigma)


def test_progress_of_a_second_order_walk() -> None:
    walk = start(m := model(), "Heun", 3)
    seen = []
    while not walk.done:
        advance(walk, m)
        seen.append((walk.call, walk.step))
    assert seen == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 3)]
    assert (calls(walk), walk.plan.steps) == (5, 3)


def test_conditioning_steps() -> None:
    counted = {name for name in SAMPLERS if conditioning_steps(name, 20) == 40}
    assert counted == {"Heun", "DPM++ SDE", "DPM2", "DPM2 a", "DPM++ 2S a", "Restart"}


def test_pictures_of_all_samplers_step_together() -> None:
    """Joins and leaves included: each ends where it does alone."""
    m = model()
    alone = {name: finish(start(m, name, 6), m) for name in SAMPLERS}
    together = {name: start(m, name, 6) for name in SAMPLERS}
    waiting = list(together.values())
    going: list[Trajectory] = []
    while waiting or going:
        going = [*[each for each in going if not each.done], *waiting[:2]]
        del waiting[:2]
        if going:
            advance_all(going, m)
    for name, walk in together.items():
        assert error(walk.latents, alone[name]) < 1e-6, name


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_walk_alone_does_not_depend_on_its_neighbours(sampler: str) -> None:
    alone = finish(start(m := model(), sampler, 6), m)
    torch.manual_seed(0)
    walk, other = start(m, sampler, 6), start(m, sampler, 9, seed=77)
    advance(other, m)
    while not walk.done:
        torch.randn(3)
        advance(walk, m)
        if not other.done:
            advance(other, m)
    assert torch.equal(walk.latents, alone)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_models_output_may_be_overwritten_after_a_call(sampler: str) -> None:
    """A captured CUDA graph gives every output in the same memory."""
    expected = finish(start(m := model(), sampler, 6), m)
    walk, output = start(m, sampler, 6), torch.empty(2, 1, 2, 2)
    while not walk.done:
        output[:] = m(walk.model_input, walk.timestep.item())
        advance_batch([walk], output[: walk.rows])
        output.fill_(torch.nan)
    assert torch.equal(walk.latents, expected)
    assert walk.denoised.isfinite().all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_the_model_gets_is_of_unit_variance(sampler: str) -> None:
    means = torch.randn(3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    walk = start(m := MixtureModel(means, 0.35), sampler, 8)
    while not walk.done:
        sample = walk.model_input
        assert (sample.shape, sample.dtype) == ((4, 32, 32), torch.float32)
        assert sample.std().item() == pytest.approx(1.0, abs=0.12)
        advance(walk, m)
    # The last estimate is (nearly) where most walks end.
    if sampler in ("DPM fast", "PLMS"):
        return
    torch.testing.assert_close(walk.denoised, walk.latents, atol=0.15, rtol=0)


def test_another_seed_ends_elsewhere() -> None:
    for sampler in ("Euler a", "DPM++ 2M SDE"):
        ends = [finish(start(m := model(), sampler, 5, seed=seed), m) for seed in (1, 2)]
        assert not torch.equal(*ends)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_gpu_gives_the_same_picture(sampler: str) -> None:
    expected = finish(start(m := model(), sampler, 8), m)
    walk = start(m, sampler, 8, device="cuda")
    assert walk.latents.device.type == "cuda"
    assert error(finish(walk, m), expected) < 1e-5
