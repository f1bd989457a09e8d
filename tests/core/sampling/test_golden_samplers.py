"""Samplers and schedules against A1111's own results, through the package's door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from core.request import split_sampler
from core.sampling import sample, sigmas
from core.sampling.schedules import NoiseSchedule
from tests.analytic import MixtureModel, error, finish, start
from tests.golden_data import FOLDERS, arrays, load, names

# The part is of the whole, where that is at hand.
WHOLE: Final = FOLDERS[-1:]
# Root mean square over standard deviation.
ALLOWED: Final = 1e-4
ALLOWED_ADAPTIVE: Final = 1e-3
# Where A1111 stumbles, and what of its result is its own rounding in fp32: a sigma of 4,500.
DIFFERENT: Final = {
    "c0446": "one step of DDIM returns the noise",
    "c0858": "its own rounding",
    "c0888": "its own rounding",
    "c0940": "DPM adaptive in a batch depends on the other pictures",
}


def tensors(path: Path) -> dict[str, Tensor]:
    return {key: torch.from_numpy(array) for key, array in arrays(path).items()}


def first_cases() -> list[Any]:
    return [
        pytest.param(folder, key.removesuffix("/result"), id=f"{names(folder)} {key}")
        for folder in FOLDERS
        for key in arrays(folder / "samplers.npz")
        if "/result" in key
    ]


def wider_cases() -> list[Any]:
    return [
        pytest.param(folder / "wider", case, id=f"{names(folder)} {case['id']} {case['sampler']}")
        for folder in WHOLE
        for case in load(folder / "wider" / "samplers_all.json")["cases"]
        if not case["masked"] and not case.get("error") and case["id"] not in DIFFERENT
    ]


def sigma_lists() -> list[Any]:
    return [
        pytest.param(folder / "wider" / "sigmas.npz", key, id=f"{names(folder)} {key}")
        for folder in WHOLE
        for key in arrays(folder / "wider" / "sigmas.npz")
    ]


def mixture(
    golden: dict[str, Tensor], alphas_cumprod: Tensor, *, v: bool, contrast: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """The model that the reference was run on; ``contrast`` tells prompt and negative apart."""
    means, width = golden["mu"].double(), float(golden["s0"])
    levels = NoiseSchedule(alphas_cumprod).levels

    def predict(inputs: Tensor, timesteps: Tensor) -> Tensor:
        sigma = levels.sigma_at(timesteps).double().view(-1, 1, 1, 1)
        x = inputs.double() * (1 + sigma**2).sqrt()
        variance = width**2 + sigma**2
        distances = (x[:, None] - means).square().flatten(2).sum(2)
        logits = contrast * golden["component_logits"] - distances / (2 * variance.view(-1, 1))
        shares = torch.softmax(logits, 1)[..., None, None, None]
        towards = (width**2 / variance)[:, None] * (x[:, None] - means)
        denoised = (shares * (means + towards)).sum(1)
        noise = (x - denoised) / sigma
        if v:
            return ((noise - sigma * denoised) / (1 + sigma**2).sqrt()).float()
        return noise.float()

    return predict


@pytest.mark.parametrize(("folder", "case"), wider_cases())
def test_a_run_ends_where_a1111s_does(folder: Path, case: dict[str, Any]) -> None:
    golden = tensors(folder / "samplers_all.npz")
    alphas = golden["alphas_cumprod_ztsnr" if "ztsnr" in case["model"] else "alphas_cumprod"]
    v, options = case["model"].endswith("v"), dict(case["options"])
    if case.get("s_min_uncond") is not None:
        options["s_min_uncond"] = case["s_min_uncond"]
    result = sample(
        mixture(golden, alphas, v=v, contrast=float(case["guided"])),
        sampler=case["sampler"],
        schedule_type=case["schedule_type"],
        steps=case["steps"],
        seeds=case["seeds"],
        shape=(4, 8, 8),
        alphas_cumprod=alphas,
        prediction_type="v_prediction" if v else "epsilon",
        cfg_scale=case["cfg_scale"],
        uncond=mixture(golden, alphas, v=v, contrast=0.0),
        init_latents=golden["init_latent"] if case["img2img"] else None,
        denoising_strength=case["denoising_strength"],
        exact_steps=case["exact_steps"],
        noise_source=options.get("randn_source", "CPU"),
        options=options,
        sdxl=case["model"] == "sdxl",
    )
    allowed = ALLOWED_ADAPTIVE if case["sampler"] == "DPM adaptive" else ALLOWED
    assert error(result, golden[f"{case['id']}/result"]) < allowed


@pytest.mark.parametrize(("path", "key"), sigma_lists())
def test_sigmas_are_a1111s(path: Path, key: str) -> None:
    model, schedule_type, steps, *discard = key.split("/")
    golden = tensors(path.with_name("samplers_all.npz"))
    result = sigmas(
        schedule_type,
        int(steps),
        golden["alphas_cumprod_ztsnr" if "ztsnr" in model else "alphas_cumprod"],
        options={"always_discard_next_to_last_sigma": bool(discard)},
        sdxl=model == "sdxl",
    )
    torch.testing.assert_close(result, tensors(path)[key], rtol=2e-6, atol=1e-7)


def test_the_schedule_is_bit_equal(golden: Path) -> None:
    expected = tensors(golden / "samplers.npz")["alphas_cumprod"]
    assert torch.equal(NoiseSchedule().alphas_cumprod, expected)


@pytest.mark.parametrize(("folder", "case"), first_cases())
def test_a_walk_ends_where_a1111_does(folder: Path, case: str) -> None:
    golden = tensors(folder / "samplers.npz")
    name, steps = case.rsplit("/", 1)
    sampler, schedule_type = split_sampler(name)
    if schedule_type == "Automatic":
        # The recorded version names its Karras samplers; a bare name is uniform there.
        schedule_type = "Uniform"
    model = MixtureModel(golden["mu"], float(golden["s0"]))
    result = finish(start(model, sampler, int(steps), schedule_type), model)
    assert model.timesteps == pytest.approx(golden[f"{case}/t_calls"].tolist(), abs=1e-3)
    assert error(result, golden[f"{case}/result"][0]) < 2e-5
