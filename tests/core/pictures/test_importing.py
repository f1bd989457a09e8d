from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from core.options import RANGES
from core.pictures.importing import to_request_values
from core.pictures.infotext import ASSUMED, format, parse
from core.request import GenerationRequest, HiresFix, Inputs
from tests.strategies import requests, texts

PARAMETERS = "Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 11, Seed: 2, Size: 512x768, RNG: CPU"


def read(extra: str = "", base: str = PARAMETERS) -> tuple[dict[str, object], list[str]]:
    text = f"a cat\nNegative prompt: bad\n{base}{extra}"
    values, notes = to_request_values(parse(text))
    return values, [str(note) for note in notes]


def test_older_a1111_texts_become_values() -> None:
    values, notes = read(", Clip skip: 2, Model: m, VAE: v.safetensors")
    assert values == {
        "prompt": "a cat",
        "negative_prompt": "bad",
        "steps": 30,
        "sampler": "DPM++ 2M",
        "schedule_type": "Karras",
        "cfg_scale": 11.0,
        "seed": 2,
        "width": 512,
        "height": 768,
        "clip_skip": 2,
        "model": "m",
        "vae": "v.safetensors",
    }
    assert notes == []


def test_missing_clip_skip_means_one() -> None:
    assert read()[0]["clip_skip"] == 1


@given(requests())
def test_our_own_pictures_come_back_whole(request: GenerationRequest) -> None:
    # A picture does not tell what did not decide its pixels, nor holds its start image.
    wanted = request
    if request.vae == "Automatic":
        wanted = replace(wanted, vae="None")
    if request.variation_strength == 0:
        wanted = replace(wanted, variation_seed=0)
    if request.init_image is None:
        wanted = replace(wanted, denoising_strength=0.75)
    values, notes = to_request_values(parse(format(request)), models=[request.model])
    assert notes == ()
    assert GenerationRequest(**values) == replace(wanted, inputs=Inputs())


@pytest.mark.parametrize("name", ["Anything-V3", "anything-v3", "sd\\Anything-v3.safetensors"])
def test_names_are_matched_as_files_are_named(name: str) -> None:
    parsed = parse(f"a\n{PARAMETERS}, Model: {name}, VAE: kl-f8.ckpt")
    values, notes = to_request_values(parsed, models=["anything-v3"], vaes=["KL-f8"])
    assert (values["model"], values["vae"]) == ("anything-v3", "KL-f8")
    assert notes == ()


def test_unknown_names_are_named_and_left_out() -> None:
    parsed = parse(f"a\n{PARAMETERS}, Model: x, VAE: y".replace("DPM++ 2M Karras", "Restart"))
    values, notes = to_request_values(parsed, models=["m"], vaes=[])
    assert not {"model", "vae", "sampler"} & values.keys()
    assert [str(note) for note in notes] == [
        "there is no sampler called “Restart” here",
        "there is no model called “x” here",
        "there is no VAE called “y” here",
    ]


def test_automatic_is_no_model() -> None:
    values, notes = to_request_values(
        parse(f"a\n{PARAMETERS}, Model: None, VAE: automatic"), models=["m"], vaes=["v"]
    )
    assert "model" not in values
    assert values["vae"] == "Automatic"
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Clip skip", "13"),
        ("Clip skip", "two"),
        ("Steps", "9" * 5000),
        ("Steps", "-1"),
        ("CFG scale", "nan"),
        ("CFG scale", "1e999"),
        ("Seed", "4294967296"),
        ("Seed", "1.5"),
        ("Variation seed strength", "2"),
        ("Hires upscale", "100"),
    ],
)
def test_absurd_numbers_are_named_and_left_out(key: str, value: str) -> None:
    base = ", ".join(pair for pair in PARAMETERS.split(", ") if not pair.startswith(f"{key}:"))
    values, notes = read(f", {key}: {value}", base)
    assert len(notes) == 1
    assert notes[0].startswith(f"{key} “{value[:40]}”")
    assert GenerationRequest(**{"seed": 1, "model": "m"} | values).width == 512  # type: ignore[arg-type]


def test_half_a_size_is_none() -> None:
    values, notes = read(base=PARAMETERS.replace("512x768", "512x77777"))
    assert not {"width", "height"} & values.keys()
    assert len(notes) == 1


def test_what_is_not_used_is_named() -> None:
    values, notes = read(', ENSD: 31337, ControlNet 0: "a: b", Version: v1.10.1, Lora hashes: x')
    assert notes == ["not used from the parameters: ENSD, ControlNet 0"]
    assert "ENSD" not in values


def test_the_older_rule_of_prompt_editing_is_named_because_it_is_not_followed() -> None:
    _, notes = read(", Old prompt editing timelines: True")
    assert notes == ["not used from the parameters: Old prompt editing timelines"]


def test_noise_of_another_device_is_told() -> None:
    told = read(base=PARAMETERS.replace(", RNG: CPU", ""))[1]
    assert told == ["its noise was drawn elsewhere, so the same seed may give another picture here"]


def test_hires_pass() -> None:
    values, notes = read(
        ", Denoising strength: 0.5, Hires upscale: 1.5, Hires steps: 9"
        ", Hires upscaler: R-ESRGAN 4x+"
    )
    assert values["hires"] == HiresFix(1.5, 9, 0.5, "Lanczos")
    assert "denoising_strength" not in values
    assert notes == ["R-ESRGAN 4x+ is not here; Lanczos enlarges instead"]


def test_hires_resize_is_a_scale() -> None:
    assert read(", Hires resize: 1024x1536")[0]["hires"] == HiresFix(scale=2.0)
    assert read(", Hires resize: 768x0")[0]["hires"] == HiresFix(scale=1.5)
    assert "hires" not in read(", Hires resize: 4096x4096")[0]


def test_a_hires_pass_beyond_the_largest_size_is_left_out() -> None:
    values, notes = read(", Hires upscale: 3", PARAMETERS.replace("512x768", "512x1024"))
    assert "hires" not in values
    assert notes == ["Hires upscale “3” was left out; a side can be 2048 pixels at most"]


def test_img2img_strength() -> None:
    assert read(", Denoising strength: 0.5")[0]["denoising_strength"] == 0.5


@given(texts)
def test_any_text_gives_values_a_request_takes(text: str) -> None:
    values, _ = to_request_values(parse(f"{text}\nSteps: 1, {text}, Size: {text}, VAE: {text}"))
    for name in values.keys() & RANGES.keys():
        RANGES[name].check(name, values[name])
    assert ASSUMED["Clip skip"] == "1"
