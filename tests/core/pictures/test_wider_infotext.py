"""Infotexts of whole runs of A1111 1.10.1, with its samplers' options, against ours."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from core.options import own_schedule
from core.pictures import infotext
from core.pictures.importing import to_request_values
from core.pictures.sampler_names import read_sampler
from core.request import GenerationRequest, HiresFix
from tests.golden_data import load

# A1111's names of the settings and of the API, by ours.
OPTIONS: Final = {
    "randn_source": "noise_source",
    "eta_ancestral": "eta",
    "s_churn": "sigma_churn",
    "s_tmin": "sigma_tmin",
    "s_tmax": "sigma_tmax",
    "s_noise": "sigma_noise",
    "sigma_min": "schedule_min_sigma",
    "sigma_max": "schedule_max_sigma",
    "rho": "schedule_rho",
    "always_discard_next_to_last_sigma": "discard_penultimate",
    "s_min_uncond": "ngms",
    "CLIP_stop_at_last_layers": "clip_skip",
}
REQUEST: Final = {
    "sampler_name": "sampler",
    "scheduler": "schedule_type",
    "subseed": "variation_seed",
    "subseed_strength": "variation_strength",
    "seed_resize_from_w": "seed_resize_width",
    "seed_resize_from_h": "seed_resize_height",
}
HIRES: Final = {
    "hr_scale": "scale",
    "hr_second_pass_steps": "steps",
    "denoising_strength": "denoising_strength",
    "hr_upscaler": "upscaler",
    "hr_prompt": "prompt",
    "hr_negative_prompt": "negative_prompt",
    "hr_sampler_name": "sampler",
    "hr_scheduler": "schedule_type",
}
# Not ours to write: files that the pictures of the second pass need, and masks.
OTHERS: Final = {"ztsnr", "batch", "hires_checkpoint", "hires_esrgan_steps", "hires_resize"}
# Settings of A1111's that it assumes of older versions, and that are not options here.
SETTINGS: Final = {"Pad conds v0", "Downcast alphas_cumprod"}
# A1111 takes its first sampler for these.
SLIPS: Final = {"k_euler_a", "Unknown One"}


@pytest.fixture(scope="module")
def texts(golden: Path) -> dict[str, Any]:
    data: dict[str, Any] = load(golden / "wider" / "infotext_all.json")
    return data


def cases(texts: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        case
        for case in texts["created"]
        if case["kind"] == "txt2img"
        and case["name"] not in OTHERS
        and not case["name"].startswith(("lora", "ti_", "refiner"))
    ]


def request_of(case: dict[str, Any]) -> GenerationRequest:
    """The request that A1111 was given; its upscalers are not all here."""
    asked, hires = case["request"], None
    if asked.get("enable_hr"):
        hires = HiresFix(
            **{ours: asked[theirs] for theirs, ours in HIRES.items() if theirs in asked}
        )
        if "Latent" in hires.upscaler:
            hires = replace(hires, upscaler="Latent")
    named = {REQUEST.get(name, name): value for name, value in asked.items()}
    taken = GenerationRequest.__dataclass_fields__
    values = {name: value for name, value in named.items() if name in taken}
    if hires is not None:
        values.pop("denoising_strength", None)
    options = {OPTIONS.get(name, name): value for name, value in case["options"].items()}
    (model,) = re.findall("Model: ([^,]+)", case["infotexts"][0])
    made = {"noise_source": "GPU", "model": model} | values | options
    return GenerationRequest(**made, hires=hires)


def as_on_its_page(text: str) -> str:
    """A1111's page writes 7 where a call of its API writes 7.0, and has one latent upscaler."""
    return re.sub(r"(: \d+)\.0(?=,|$)", r"\1", text).replace("Latent (nearest-exact)", "Latent")


def test_every_request_is_written_as_a1111_writes_it(texts: dict[str, Any]) -> None:
    assert len(cases(texts)) >= 20
    for case in cases(texts):
        vae, vae_hash = case["vae"] or ("", "")
        text = infotext.format(
            request_of(case),
            model_hash="cc6cb27103",
            vae=vae,
            vae_hash=vae_hash,
            version="v1.10.1",
        )
        assert text == as_on_its_page(case["infotexts"][0]), case["name"]


def test_every_text_gives_its_request_back(texts: dict[str, Any]) -> None:
    for case in cases(texts):
        read = infotext.parse(as_on_its_page(case["infotexts"][0]))
        values, notes = to_request_values(read)
        assert notes == (), case["name"]
        again = infotext.format(GenerationRequest(**values), version="v1.10.1")
        assert again == infotext.format(request_of(case), version="v1.10.1"), case["name"]


def test_every_text_is_read_as_a1111_reads_it(texts: dict[str, Any]) -> None:
    for case in texts["created"]:
        for text, parsed in zip(case["infotexts"], case["parsed"], strict=True):
            read = infotext.parse(text)
            assert {key: read.get(key) for key in parsed} == parsed, case["name"]
    for case in texts["read"]:
        read = infotext.parse(case["infotext"])
        parsed = {key: each for key, each in case["parsed"].items() if key not in SETTINGS}
        assert {key: read.get(key) for key in parsed} == parsed, case["infotext"]


def test_samplers_of_texts_are_those_that_a1111_reads(texts: dict[str, Any]) -> None:
    for case in texts["read"]:
        values, _ = to_request_values(infotext.parse(case["infotext"]))
        sampler, schedule = case["sampler_read_back"]
        if any(name in case["infotext"] for name in SLIPS):
            continue
        found = own_schedule(values["sampler"], values["schedule_type"])
        assert (values["sampler"], found) == (sampler, own_schedule(sampler, schedule))


def test_names_with_a_schedule_type_are_split_as_a1111_splits_them(texts: dict[str, Any]) -> None:
    for name, (sampler, schedule) in texts["sampler_names"].items():
        found, kind, exact = read_sampler(name)
        # A1111 finds no sampler in these and takes its first.
        if name.endswith(" SGM Uniform"):
            sampler, schedule = name.removesuffix(" SGM Uniform"), "SGM Uniform"
        wanted = (sampler, own_schedule(sampler, schedule))
        assert (found, own_schedule(found, kind)) == wanted, name
        assert exact, name


def test_aliases_are_read(texts: dict[str, Any]) -> None:
    for sampler, aliases in texts["sampler_aliases"].items():
        for alias in aliases:
            assert read_sampler(alias) == (sampler, "Automatic", True)


def test_own_schedule_types_are_a1111s(texts: dict[str, Any]) -> None:
    for sampler, schedule in texts["default_schedule"].items():
        wanted = schedule.capitalize() if schedule else "Automatic"
        assert own_schedule(sampler, "Automatic") == wanted
