from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.pictures import infotext
from core.request import GenerationRequest, HiresFix, Inputs
from tests.strategies import any_text, names, requests, texts

CAT = GenerationRequest(
    "a cat",
    "v1-5-pruned-emaonly",
    1234567890,
    sampler="DPM++ 2M",
    schedule_type="Karras",
    width=512,
    height=768,
)


def said(text: str) -> dict[str, object]:
    """What a text says itself, without what A1111 assumes."""
    parsed = infotext.parse(text)
    return {key: value for key, value in parsed.items() if infotext.ASSUMED.get(key) != value}


def test_plain_request_is_written_as_a1111_writes_it() -> None:
    assert infotext.format(CAT, model_hash="cc6cb27103", version="v1.10.1") == (
        "a cat\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1234567890, "
        "Size: 512x768, Model hash: cc6cb27103, Model: v1-5-pruned-emaonly, RNG: CPU, "
        "Version: v1.10.1"
    )


def test_everything_a_request_knows_is_written() -> None:
    request = replace(
        CAT,
        prompt="a (cat)",
        negative_prompt="bad",
        clip_skip=2,
        variation_seed=7,
        variation_strength=0.35,
        hires=HiresFix(
            1.5, 12, 0.55, "Latent", "a dog", "worse", "Euler a", "Automatic", cfg_scale=5.0
        ),
        seed_resize_width=256,
        seed_resize_height=512,
        eta_noise_seed_delta=31337,
        noise_source="NV",
        emphasis="No norm",
        discard_penultimate=True,
        schedule_min_sigma=0.1,
        schedule_max_sigma=10.0,
        schedule_rho=5.0,
        sgm_noise_multiplier=True,
        extra_noise=0.1,
        eta=0.5,
        skip_early_cfg=0.2,
        ngms=2.0,
        ngms_all_steps=True,
    )
    text = infotext.format(
        request, vae="kl-f8, anime: 2", vae_hash="aaaaaaaaaa", extra={"Compile": "regional"}
    )
    assert text.splitlines()[1:] == [
        "Negative prompt: bad",
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1234567890, "
        "Size: 512x768, Model: v1-5-pruned-emaonly, VAE hash: aaaaaaaaaa, "
        'VAE: "kl-f8, anime: 2.safetensors", Variation seed: 7, Variation seed strength: 0.35, '
        "Seed resize from: 256x512, Denoising strength: 0.55, Clip skip: 2, ENSD: 31337, RNG: NV, "
        "Hires sampler: Euler a, Hires schedule type: Automatic, Hires prompt: a dog, "
        "Hires negative prompt: worse, Hires CFG Scale: 5, "
        "Hires upscale: 1.5, Hires steps: 12, Hires upscaler: Latent, Compile: regional, "
        "Emphasis: No norm, Discard penultimate sigma: True, Schedule min sigma: 0.1, "
        "Schedule max sigma: 10, Schedule rho: 5, SGM noise multiplier: True, Extra noise: 0.1, "
        "Eta: 0.5, Skip Early CFG: 0.2, NGMS: 2, NGMS all steps: True, "
        f"Version: {infotext.VERSION}",
    ]


def test_pictures_of_a_batch_have_their_own_seed() -> None:
    last = replace(CAT, seed=2**32 - 1, count=2)
    assert infotext.parse(infotext.format(last, index=1))["Seed"] == "0"
    varied = replace(CAT, variation_seed=5, variation_strength=0.1, count=3)
    parsed = infotext.parse(infotext.format(varied, index=2))
    assert (parsed["Seed"], parsed["Variation seed"]) == ("1234567890", "7")
    last = replace(varied, variation_seed=2**32 - 2)
    seeds = [infotext.parse(infotext.format(last, index=i))["Variation seed"] for i in range(3)]
    assert seeds == ["4294967294", "4294967295", "0"]


def test_img2img_names_its_strength_and_text_to_image_does_not() -> None:
    assert "Denoising" not in infotext.format(CAT)
    assert "Denoising strength: 0.4" in infotext.format(
        replace(CAT, inputs=Inputs(b"x"), denoising_strength=0.4)
    )


def test_ordinary_prompts_need_no_exact_copy() -> None:
    request = replace(CAT, prompt="line one,\nBREAK\n(x:1.2)\n\né 日本", negative_prompt="a\nb")
    assert "Exact" not in infotext.format(request)


@pytest.mark.parametrize(
    "prompt", ["a\nNegative prompt: b", " a", "a \nb", "a\0b", "\n", "a\ud83d"]
)
def test_prompts_the_layout_would_change_travel_exactly(prompt: str) -> None:
    text = infotext.format(replace(CAT, prompt=prompt))
    assert "Exact prompt: " in text
    assert infotext.parse(text)["Prompt"] == prompt
    assert text.encode()
    assert not any(character in text for character in "\0\r")


@given(requests(), names, st.integers(0, 7))
def test_ours_round_trips(request: GenerationRequest, vae: str, index: int) -> None:
    parsed = infotext.parse(infotext.format(request, index=index, vae=vae))
    assert parsed["Prompt"] == request.prompt
    assert parsed["Negative prompt"] == request.negative_prompt
    assert parsed["Model"] == request.model
    assert parsed["VAE"].removesuffix(".safetensors") == vae.removesuffix(".safetensors")
    assert parsed["Clip skip"] == str(request.clip_skip)
    assert float(parsed["CFG scale"]) == request.cfg_scale
    assert (parsed["Size-1"], parsed["Size-2"]) == (str(request.width), str(request.height))


PARAMETERS = "Steps: 30, Sampler: DPM++ 2M, CFG scale: 11, Seed: 2, Size: 512x768, Clip skip: 2"


@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        ("a cat", "bad hands, lowres"),
        ("a cat", ""),
        ("", "bad"),
        ("", ""),
        ("a cat, Steps: 3, Sampler: x, Seed: 1", "bad"),
        ("a cat", "low quality, Steps: 3, Sampler: x, Seed: 1,"),
        ("a cat, Steps: 3, width: 5, height: 6", "bad"),
        ("a: b, c: d, ef: g", "bad"),
    ],
)
@pytest.mark.parametrize("newline", [" ", "  ", ""])
def test_flattened_text_is_read(prompt: str, negative: str, newline: str) -> None:
    negative_line = f"{newline}Negative prompt: {negative}" if negative else ""
    text = f"{prompt}{negative_line}{newline}{PARAMETERS}"
    parsed = said(text)
    assert parsed["Prompt"] == prompt
    assert parsed["Negative prompt"] == negative
    assert parsed["Steps"] == "30"
    assert parsed["Clip skip"] == "2"
    assert parsed["Size-2"] == "768"


@given(requests())
def test_ours_is_read_flattened(request: GenerationRequest) -> None:
    whole = infotext.parse(infotext.format(replace(request, prompt="a cat", negative_prompt="b")))
    text = infotext.format(replace(request, prompt="a cat", negative_prompt="b"))
    assert infotext.parse(text.replace("\n", " ")) == whole


def test_unflawed_parameters_win_over_a_quoted_copy() -> None:
    text = f'a cat {PARAMETERS}, Hires prompt: "dog, Steps: 4, Sampler: y, Seed: 5"'
    assert said(text)["Steps"] == "30"
    assert said(text)["Hires prompt"] == "dog, Steps: 4, Sampler: y, Seed: 5"


def test_flawed_flattened_parameters_are_read_from_the_last_steps() -> None:
    text = f'a cat {PARAMETERS}, Civitai resources: [{{"type":"checkpoint"}}]'
    assert said(text)["Prompt"] == "a cat"
    assert said(text)["Steps"] == "30"
    # Words behind the last pair are a flaw too.
    text = "a cat, Steps: 3, width: 5, many Steps: 20, Sampler: Euler, Seed: 7, a note"
    assert said(text)["Prompt"] == "a cat, Steps: 3, width: 5, many"
    assert said(text)["Steps"] == "20"


def test_last_line_needs_three_pairs() -> None:
    assert said("a cat\nSteps: 20, Sampler: Euler a") == {
        "Prompt": "a cat\nSteps: 20, Sampler: Euler a",
        "Negative prompt": "",
    }


@pytest.mark.parametrize("newline", ["\n", " "])
def test_three_pairs_are_enough(newline: str) -> None:
    assert said(f"a cat{newline}Steps: 20, Sampler: Euler a, Seed: 7") == {
        "Prompt": "a cat",
        "Negative prompt": "",
        "Steps": "20",
        "Sampler": "Euler a",
        "Seed": "7",
    }
    # Flattened, the three are found although one of them speaks of steps itself.
    hires = "x, Steps: 4, Sampler: y, Seed: 5"
    parsed = said(f'a cat{newline}Steps: 20, Sampler: Euler a, Hires prompt: "{hires}"')
    assert (parsed["Prompt"], parsed["Steps"], parsed["Hires prompt"]) == ("a cat", "20", hires)


def test_two_pairs_in_one_line_are_words() -> None:
    text = "a cat Steps: 20, Sampler: Euler a"
    assert said(text) == {"Prompt": text, "Negative prompt": ""}


def test_one_letter_is_no_key() -> None:
    assert said("a cat\na: 1, b: 2, c: 3")["Prompt"] == "a cat\na: 1, b: 2, c: 3"
    assert "x" not in said(f"a cat\n{PARAMETERS}, x: 1")


def test_silence_means_what_a1111_assumes() -> None:
    parsed = infotext.parse(f"a cat\n{PARAMETERS}".replace(", Clip skip: 2", ""))
    assert parsed["Clip skip"] == "1"
    assert parsed["Schedule type"] == "Automatic"
    assert "Emphasis" not in parsed
    assert infotext.parse(f"(a cat:1.1)\n{PARAMETERS}")["Emphasis"] == "Original"


def test_second_negative_line_continues_the_first() -> None:
    parsed = infotext.parse(f"a\nNegative prompt: b\nNegative prompt: c\n{PARAMETERS}")
    assert parsed["Negative prompt"] == "b\nc"


def test_old_first_pass_becomes_a_hires_pass() -> None:
    text = "a\nSteps: 20, Sampler: Euler, Seed: 1, Size: 1024x512, First pass size: {}"
    parsed = infotext.parse(text.format("512x256"))
    assert [parsed[key] for key in ("Size-1", "Size-2")] == [512, 256]
    assert [parsed[key] for key in ("Hires resize-1", "Hires resize-2")] == [1024, 512]
    parsed = infotext.parse(text.format("0x0"))
    assert [parsed[key] for key in ("Size-1", "Size-2")] == [768, 384]


def test_broken_quotes_are_left_as_they_stand() -> None:
    parsed = said(f'a\n{PARAMETERS}, VAE: "kl-f8, anime: 2.ckpt, Model: m')
    assert parsed["VAE"] == '"kl-f8'
    assert parsed["anime"] == "2.ckpt"
    assert parsed["Model"] == "m"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        # Quoted whole: up to a comma, or to the end of the line.
        ('"a, b", Model: m', "a, b"),
        ('"a, b"', "a, b"),
        ('"a, \\"b\\"", Model: m', 'a, "b"'),
        # Quoted in part, or never closed: A1111 reads up to the comma.
        ('"a" b, Model: m', '"a" b'),
        ('"a, b" c, Model: m', '"a'),
        ('"a, b, Model: m', '"a'),
        ('"", Model: m', ""),
    ],
)
def test_where_a_quoted_value_ends(written: str, value: str) -> None:
    parsed = said(f"a cat\n{PARAMETERS}, VAE: {written}")
    assert parsed["VAE"] == value
    assert parsed.get("Model") == ("m" if "Model" in written else None)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("abc", "abc"),
        ("a,b", '"a,b"'),
        ("a\nb", '"a\\nb"'),
        ('say "hi"', 'say "hi"'),
        ('a, "b"', '"a, \\"b\\""'),
        ("日本, 語", '"日本, 語"'),
        ("", ""),
        ('"hi"', '"\\"hi\\""'),
        (" a", '" a"'),
        ("640x512", '"640x512"'),
    ],
)
def test_values_are_quoted_where_they_would_be_misread(value: str, quoted: str) -> None:
    assert infotext.quote(value) == quoted
    assert infotext.unquote(quoted) == value


@given(any_text)
def test_unquote_undoes_quote(value: str) -> None:
    assert infotext.unquote(infotext.quote(value)) == value


@given(texts)
@example("Steps: 1, ab: " + "9" * 9)
def test_any_text_is_read(text: str) -> None:
    parsed = infotext.parse(text)
    assert isinstance(parsed["Prompt"], str)
    infotext.looks_like_infotext(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 400_000,
        "Steps: 1, " * 40_000,
        'ab:"\\' * 80_000,
        'Steps: 1, ab: "' * 20_000,
        ":" * 400_000,
        "(" * 400_000,
        "Negative prompt:" * 20_000,
        "Steps: 1, Sampler: x, Seed: 1" * 10_000,
        "a b-/" * 80_000 + ":",
        "x\nSteps: " + "9" * 100_000 + ", Size: " + "9" * 9999 + "x1, First pass size: 0x0",
    ],
    ids=lambda text: text[:12],
)
def test_absurd_texts_take_linear_time(text: str) -> None:
    # A quadratic reader would not end within the hour.
    parsed = infotext.parse(text)
    assert parsed["Clip skip"] == "1"
    infotext.looks_like_infotext(text)


def test_infotext_is_told_from_a_prompt() -> None:
    assert infotext.looks_like_infotext(infotext.format(CAT))
    assert infotext.looks_like_infotext(infotext.format(CAT).replace("\n", " "))
    assert not infotext.looks_like_infotext("a cat, dog: 3, style: oil, mood: dark")
    assert not infotext.looks_like_infotext("a cat in 20 Steps: slowly")
    # Two of a sampler's five names in it, one is not enough.
    assert infotext.looks_like_infotext("a cat\nSteps: 20, Seed: 7, mood: dark")
    assert not infotext.looks_like_infotext("a cat\nSteps: 20, style: oil, mood: dark")
