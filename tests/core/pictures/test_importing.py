from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from core.effects import has_effect, passes
from core.hires import UPSCALERS
from core.options import OPTIONS, RANGES, SELDOM
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
        "vae": "v",
        "noise_source": "CPU",
        "schedule_min_sigma": 0.0,
        "schedule_max_sigma": 0.0,
        "schedule_rho": 0.0,
    }
    assert notes == []


def test_missing_clip_skip_means_one() -> None:
    assert read()[0]["clip_skip"] == 1


def told(request: GenerationRequest) -> GenerationRequest:
    """What a picture tells of its request: not what did not decide its pixels, nor its start
    image; Automatic is the schedule type that it became."""
    changes = {name: OPTIONS[name].unsaid for name in SELDOM if not has_effect(name, request)}
    if request.variation_strength == 0:
        changes["variation_seed"] = 0
    if request.init_image is None:
        changes["denoising_strength"] = 0.75
    if not (request.seed_resize_width and request.seed_resize_height):
        changes |= {"seed_resize_width": 0, "seed_resize_height": 0}
    (_, first), *second = passes(request)
    if (hires := request.hires) is not None:
        (sampler, kind) = second[0]
        changes["hires"] = replace(
            hires,
            sampler="" if sampler == request.sampler else sampler,
            schedule_type="" if kind == first else kind,
            cfg_scale=0.0 if hires.cfg_scale == request.cfg_scale else hires.cfg_scale,
            prompt="" if hires.prompt == request.prompt else hires.prompt,
            negative_prompt=""
            if hires.negative_prompt == request.negative_prompt
            else hires.negative_prompt,
        )
    vae = "None" if request.vae == "Automatic" else request.vae
    return replace(request, vae=vae, schedule_type=first, inputs=Inputs(), **changes)


@given(requests())
@settings(max_examples=300)
def test_our_own_pictures_come_back_whole(request: GenerationRequest) -> None:
    values, notes = to_request_values(parse(format(request)), models=[request.model])
    assert notes == ()
    assert GenerationRequest(**values) == told(request)


@pytest.mark.parametrize("hires_sampler", ["", "Euler a"])
def test_eta_is_of_the_sampler_that_has_it(hires_sampler: str) -> None:
    """DDIM's was called Eta as well before Hires fix could have a sampler of its own."""
    text = "a\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 1, Size: 64x64, Eta: 0.5"
    if hires_sampler:
        text += f", Hires upscale: 2, Denoising strength: 0.5, Hires sampler: {hires_sampler}"
    values, notes = to_request_values(parse(text))
    assert {key: values[key] for key in values if key.startswith("eta")} == {
        "eta" if hires_sampler else "eta_ddim": 0.5
    }
    assert notes == ()


@pytest.mark.parametrize("name", ["Anything-V3", "anything-v3", "sd\\Anything-v3.safetensors"])
def test_names_are_matched_as_files_are_named(name: str) -> None:
    parsed = parse(f"a\n{PARAMETERS}, Model: {name}, VAE: kl-f8.ckpt")
    values, notes = to_request_values(parsed, models=["anything-v3"], vaes=["KL-f8"])
    assert (values["model"], values["vae"]) == ("anything-v3", "KL-f8")
    assert notes == ()


def test_unknown_names_are_named_and_left_out() -> None:
    parsed = parse(f"a\n{PARAMETERS}, Model: x, VAE: y".replace("DPM++ 2M Karras", "Solver"))
    values, notes = to_request_values(parsed, models=["m"], vaes=[])
    assert not {"model", "vae", "sampler"} & values.keys()
    assert [str(note) for note in notes] == [
        "there is no sampler called “Solver” here",
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
        ("Seed", "18446744073709551616"),
        ("ENSD", "4294967296"),
        ("Eta", "-1"),
        ("Eta", "1e9"),
        ("Sigma churn", "inf"),
        ("NGMS all steps", "perhaps"),
        ("Schedule rho", "nan"),
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
    values, notes = read(', Tiling: True, ControlNet 0: "a: b", Version: v1.10.1, Lora hashes: x')
    assert notes == ["not used from the parameters: Tiling, ControlNet 0"]
    assert "Tiling" not in values


@pytest.mark.parametrize(
    ("prompt", "extra", "old"),
    [
        ("a cat", ", Old prompt editing timelines: True", True),
        ("a [cat:dog:5]", ", Version: v1.5.1", True),
        ("a [cat:dog:5]", ", Version: 1.2.0-RC-6-g1", True),
        ("a cat", ", Version: v1.5.1", False),
        ("a [cat:dog:5]", ", Version: v1.6.0", False),
        ("a [cat:dog:5]", ", Version: v1.10.1", False),
        ("a [cat:dog:5]", ", Version: f2.0.1v1.10.1-previous-1", False),
        ("a [cat:dog:5]", "", False),
    ],
)
def test_older_versions_edited_prompts_by_another_rule(prompt: str, extra: str, old: bool) -> None:
    values, notes = to_request_values(parse(f"{prompt}\n{PARAMETERS}{extra}"))
    assert values.get("old_timelines", False) is old
    assert notes == ()


@pytest.mark.parametrize(
    ("extra", "source"),
    [
        ("", "GPU"),
        (", RNG: GPU", "GPU"),
        (", RNG: NV", "NV"),
        (", RNG: CPU", "CPU"),
        (", Version: v1.10.1", "GPU"),
        (", Version: Penultimate 0.1.0", "CPU"),
        (", Version: Penultimate 0.2.0", "GPU"),
    ],
)
def test_a_text_that_does_not_say_it_has_the_noise_of_a_graphics_card(
    extra: str, source: str
) -> None:
    values, notes = read(extra, PARAMETERS.replace(", RNG: CPU", ""))
    assert values["noise_source"] == source
    assert notes == []


@pytest.mark.parametrize(
    ("sampler", "rng", "told"),
    [("Euler a", "CPU", 0), ("DPM++ SDE", "CPU", 1), ("Euler a", "GPU", 1), ("Euler a", "NV", 1)],
)
def test_of_a_larger_seed_the_last_32_bits_count(sampler: str, rng: str, told: int) -> None:
    base = f"Steps: 30, Sampler: {sampler}, Seed: {2**32 * 5 + 7}, Size: 512x768, RNG: {rng}"
    values, notes = read(base=base)
    assert values["seed"] == 7
    assert notes == ["seed 21474836487 was cut to 7, so the picture may be another one"] * told


def test_sizes_are_cut_to_whole_latents() -> None:
    values, notes = read(", Seed resize from: 131x100", PARAMETERS.replace("512x768", "515x775"))
    assert (values["width"], values["height"]) == (512, 768)
    assert (values["seed_resize_width"], values["seed_resize_height"]) == (128, 96)
    assert notes == ["size 515x775 was cut to 512x768, as a latent is 8 pixels"]
    assert read(", Seed resize from: -1x-1")[1] == []
    for side, told in (("99999999", "99999999"), ("63", "63"), ("2055", "2048")):
        values, notes = read(base=PARAMETERS.replace("512x768", f"512x{side}"))
        assert (told in notes[0], values.get("height", 0) == 2048) == (True, told == "2048")


def test_sigmas_that_cross_are_left_out() -> None:
    values, notes = read(", Schedule min sigma: 1.5, Schedule max sigma: 1")
    assert not {"schedule_min_sigma", "schedule_max_sigma"} & values.keys()
    assert notes == ["the schedule’s sigmas from 1.5 to 1 cross, so both were left out"]


@pytest.mark.parametrize(
    ("name", "sampler", "schedule", "used"),
    [
        ("k_euler_a", "Euler a", "Automatic", ""),
        ("k_euler_ancestral", "Euler a", "Automatic", ""),
        ("Euler Ancestral", "Euler a", "Automatic", ""),
        ("Euler a SGM Uniform", "Euler a", "SGM Uniform", ""),
        ("Euler a SGMUniform", "Euler a", "SGM Uniform", ""),
        ("k_dpmpp_2m", "DPM++ 2M", "Automatic", ""),
        ("k_dpmpp_2m_ka", "DPM++ 2M", "Karras", ""),
        ("dpmpp_2m_sde_karras", "DPM++ 2M SDE", "Karras", ""),
        ("DPM++ 2M SDE Heun Exponential", "DPM++ 2M SDE Heun", "Exponential", ""),
        ("dpm_2_ancestral", "DPM2 a", "Automatic", ""),
        ("uni_pc", "UniPC", "Automatic", ""),
        ("DDIM DDIM", "DDIM", "DDIM", ""),
        ("DPM++ 2M Karras v2", "DPM++ 2M", "Karras", "DPM++ 2M Karras"),
        ("DPM++ 2M alt Karras", "DPM++ 2M", "Karras", "DPM++ 2M Karras"),
        ("dpmpp_2m_sde_gpu", "DPM++ 2M SDE", "Automatic", "DPM++ 2M SDE"),
        ("EulerAncestralDiscreteScheduler", "Euler a", "Automatic", "Euler a"),
        ("DPMSolverMultistepScheduler", "DPM++ 2M", "Automatic", "DPM++ 2M"),
        ("UniPCMultistepScheduler", "UniPC", "Automatic", "UniPC"),
    ],
)
def test_samplers_are_read_as_others_write_them(
    name: str, sampler: str, schedule: str, used: str
) -> None:
    values, notes = read(base=PARAMETERS.replace("DPM++ 2M Karras", name))
    assert (values["sampler"], values["schedule_type"]) == (sampler, schedule)
    told = f"the sampler “{name}” is not here; {used} is the nearest"
    assert notes == ([told] if used else [])


def test_schedule_types_are_read_as_others_write_them() -> None:
    base = PARAMETERS.replace("DPM++ 2M Karras", "DPM++ 2M")
    values, notes = read(", Schedule type: sgm_uniform", base)
    assert (values["schedule_type"], notes) == ("SGM Uniform", [])
    values, notes = read(", Schedule type: AYS GITS", base)
    assert values["schedule_type"] == "Align Your Steps"
    assert notes == ["the schedule type “AYS GITS” is not here; Align Your Steps is the nearest"]
    values, notes = read(", Schedule type: Nope", base)
    assert values["schedule_type"] == "Automatic"
    assert notes == ["there is no schedule type called “Nope” here"]


@pytest.mark.parametrize(
    ("sampler", "version", "schedule"),
    [
        ("DPM++ 2M", "v1.8.0", "Uniform"),
        ("DPM2 a", "v1.5.1", "Uniform"),
        ("DPM++ 2M Karras", "v1.8.0", "Karras"),
        ("Restart", "v1.8.0", "Automatic"),
        ("Euler", "v1.8.0", "Automatic"),
        ("DPM++ 2M", "v1.9.0", "Automatic"),
        ("DPM++ 2M", "v1.10.1", "Automatic"),
    ],
)
def test_before_1_9_a_name_alone_stepped_evenly(sampler: str, version: str, schedule: str) -> None:
    base = PARAMETERS.replace("DPM++ 2M Karras", sampler)
    assert read(f", Version: {version}", base)[0]["schedule_type"] == schedule


def test_a_schedule_type_without_its_sampler_is_not_dropped_in_silence() -> None:
    base = PARAMETERS.replace("DPM++ 2M Karras", "Solver")
    values, notes = read(", Schedule type: Karras", base)
    assert values["schedule_type"] == "Karras"
    assert notes == ["there is no sampler called “Solver” here"]


def test_the_eta_of_older_texts_is_ddims() -> None:
    base = PARAMETERS.replace("DPM++ 2M Karras", "DDIM")
    assert read(", Eta: 0.5", base)[0]["eta_ddim"] == 0.5
    values, _ = read(", Eta: 0.5, Eta DDIM: 0.2", base)
    assert (values["eta"], values["eta_ddim"]) == (0.5, 0.2)


def test_the_second_pass_has_its_own_prompts_and_sampler() -> None:
    values, notes = read(
        ", Denoising strength: 0.5, Hires upscale: 1.5, Hires upscaler: Latent"
        ', Hires sampler: Euler a, Hires schedule type: Automatic, Hires prompt: " a cat, sharp"'
        ", Hires negative prompt: dull, Hires CFG Scale: 5"
    )
    assert notes == []
    assert values["hires"] == HiresFix(
        scale=1.5,
        denoising_strength=0.5,
        prompt=" a cat, sharp",
        negative_prompt="dull",
        sampler="Euler a",
        schedule_type="Automatic",
        cfg_scale=5.0,
    )


def test_hires_pass() -> None:
    values, notes = read(
        ", Denoising strength: 0.5, Hires upscale: 1.5, Hires steps: 9"
        ", Hires upscaler: R-ESRGAN 4x+"
    )
    assert values["hires"] == HiresFix(1.5, 9, 0.5, "Lanczos")
    assert "denoising_strength" not in values
    assert notes == ["R-ESRGAN 4x+ is not here; Lanczos enlarges instead"]


@pytest.mark.parametrize("name", UPSCALERS)
def test_every_upscaler_without_a_file_is_read_by_its_name(name: str) -> None:
    values, notes = read(f", Denoising strength: 0.5, Hires upscale: 1.5, Hires upscaler: {name}")
    assert values["hires"] == HiresFix(1.5, denoising_strength=0.5, upscaler=name)
    assert notes == []


def test_hires_resize_is_a_scale() -> None:
    assert read(", Hires resize: 1024x1536")[0]["hires"] == HiresFix(
        scale=2.0, resize_width=1024, resize_height=1536
    )
    assert read(", Hires resize: 768x0")[0]["hires"] == HiresFix(scale=1.5, resize_width=768)
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


def test_a_schedule_type_counts_beside_a_sampler_that_is_not_here() -> None:
    base = "Steps: 20, Sampler: Foo, Schedule type: Karras, Seed: 5, Size: 512x512, RNG: CPU"
    values, notes = read(", Hires upscale: 2, Hires sampler: Bar, Hires schedule type: Beta", base)
    assert values["schedule_type"] == "Karras"
    assert "sampler" not in values
    hires = values["hires"]
    assert isinstance(hires, HiresFix)
    assert (hires.sampler, hires.schedule_type) == ("", "Beta")
    assert [note for note in notes if "Foo" in note]
    assert [note for note in notes if "Bar" in note]
