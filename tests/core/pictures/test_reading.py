"""What a text says, what of it is used, and what is left out and why."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from core.notes import NOTES
from core.options import OPTIONS
from core.pictures.at_hand import AtHand, Files, NamedFile, upscaler_names
from core.pictures.infotext import ASSUMED, format, parse
from core.pictures.known_keys import ELSEWHERE, INFORMATION, KNOWN, NEUTRAL
from core.pictures.reading import Reading, grouped, read
from core.request import Enlarge, GenerationRequest, HiresFix
from tests.strategies import requests, texts

LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, RNG: CPU"
MADE_UP = Path(__file__).parent / "made_up_texts.json"
NOTHING_HERE = AtHand.named(models=[], vaes=[], loras=[], embeddings=[], upscalers=[])


def reading(extra: str = "", at_hand: AtHand | None = None, prompt: str = "a cat") -> Reading:
    return read(f"{prompt}\nNegative prompt: bad\n{LINE}{extra}", at_hand)


def left(extra: str = "", at_hand: AtHand | None = None, prompt: str = "a cat") -> dict[str, str]:
    return {each.key: str(each.why) for each in reading(extra, at_hand, prompt).left_out}


# Values and their reasons


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ("Face restoration: CodeFormer", "face restoration is not supported"),
        ("Mask blur: 4", "the mask and the start image are not in the file"),
        ("Denoising strength: 0.4", "the start image is not in the file"),
        ('ControlNet 0: "Module: canny, Weight: 1"', "the extension ControlNet is not supported"),
        ("ControlNet-0 Model: canny", "the extension ControlNet is not supported"),
        ("ADetailer model 2nd: hand.pt", "the extension ADetailer is not supported"),
        ("Mimic scale: 7", "the extension Dynamic Thresholding is not supported"),
        ("CFG Rescale phi: 0.7", "the extension CFG Rescale is not supported"),
        ("AntiBurn: Count=3;", "the extension AntiBurn is not supported"),
        ("RP Active: True", "prompts for regions are not supported"),
        ("Hypernet: ink", "hypernetworks are not supported"),
        ("Refiner: xl [7440042bbd]", "refiner models are not supported"),
        ("Script: X/Y/Z plot", "this script is not supported"),
        ("Ultimate SD upscale padding: 32", "this script is not supported"),
        ("Postprocess GFPGAN visibility: 1", "changes to the finished image are not supported"),
        ("Tiling: True", "this option is not supported"),
        ("Token merging ratio: 0.3", "this option is not supported"),
        ("Hires upscaler: Latent", "the text has no size for the second pass"),
        ("Foo: 1", "unknown to this bot"),
        ("Clip skip: 13", "Clip skip “13” was left out; it can be 1 to 12"),
    ],
)
def test_what_is_not_used_has_its_reason(pair: str, why: str) -> None:
    key, _, value = pair.partition(": ")
    assert left(f", {pair}") == {key: why}
    found = reading(f", {pair}").left_out[0]
    assert found.value == value.strip('"')


@pytest.mark.parametrize(
    "pair",
    [
        "Face restoration: None",
        "Tiling: False",
        "CFG Rescale phi: 0",
        "Seed resize from: -1x-1",
        "ENSD: 0",
        "Script: None",
        "Token merging ratio: 0",
        "ControlNet Enabled: False, ControlNet Module: canny, ControlNet Weight: 1",
        "Dynamic thresholding enabled: False",
        "Refiner: None, Refiner switch at: 0.8",
        "AddNet Enabled: False, AddNet Module 1: LoRA, AddNet Model 1: None",
        "Parser: Full parser",
    ],
)
def test_what_is_off_is_not_left_out(pair: str) -> None:
    assert left(f", {pair}") == {}


def test_information_is_said_and_not_left_out() -> None:
    found = reading(", Score: 7, Batch size: 4, Batch pos: 1, Version: v1.6.0, User: ann")
    assert found.left_out == ()
    assert [str(each) for each in found.remarks if each.key == "only_information"] == [
        "only information, not part of the image: Score, Batch size, Batch pos, Version, User"
    ]


def test_what_changes_nothing_is_said_and_not_left_out() -> None:
    found = reading(
        ", Parser: Full parser, Token merging ratio: 0, Refiner: None, Hypertile: False"
    )
    assert found.left_out == ()
    assert [str(each) for each in found.remarks if each.key == "no_effect"] == [
        "changes nothing with its value: Parser, Token merging ratio, Refiner, Hypertile"
    ]


def test_every_reason_is_a_note() -> None:
    for known in KNOWN:
        assert known.why in NOTES
        assert bool(known.name) == ("{name}" in NOTES[known.why])
    assert not INFORMATION & NEUTRAL.keys()


def test_an_options_row_is_never_left_out_for_its_key() -> None:
    for name, option in OPTIONS.items():
        if option.infotext and option.default is not None and name not in ("seed", "vae"):
            value = option.choices[0] if option.choices else option.default
            assert not left(f", {option.infotext}: {value}").keys() - {"Denoising strength"}, name


# Files at hand


HERE = AtHand(
    models=Files([NamedFile("anime", ("sd_anime",), ("1234567890ab",)), NamedFile("Ünder")]),
    vaes=Files([NamedFile("kl-f8", hashes=("aaaaaaaaaa",))]),
    loras=Files([NamedFile("ink", hashes=("bbbbbbbbbbbb",)), NamedFile("gold")]),
    embeddings=Files([NamedFile("style"), NamedFile("easynegative", hashes=("c74b4e810b03",))]),
    upscalers=Files([NamedFile("4x-UltraSharp")]),
)


@pytest.mark.parametrize(
    ("extra", "values"),
    [
        (", Model: anime", {"model": "anime"}),
        (", Model: ANIME.safetensors", {"model": "anime"}),
        (", Model: sub/anime.ckpt", {"model": "anime"}),
        (", Model: sd_anime", {"model": "anime"}),
        (", Model: U\u0308nder", {"model": "Ünder"}),
        (", Model hash: 1234567890", {"model": "anime"}),
        (", Model hash: 1234567890, Model: renamed", {"model": "anime"}),
        (', Hashes: {"model": "1234567890"}, Model: renamed', {"model": "anime"}),
        (", VAE: KL-F8.pt", {"vae": "kl-f8"}),
        (", VAE hash: aaaaaaaaaa, VAE: x.safetensors", {"vae": "kl-f8"}),
        (", VAE: Automatic", {"vae": "Automatic"}),
        (", VAE: None", {"vae": "None"}),
    ],
)
def test_files_are_found_by_name_or_hash(extra: str, values: dict[str, Any]) -> None:
    found = reading(extra, HERE)
    assert found.left_out == ()
    assert values.items() <= found.values.items()


@pytest.mark.parametrize(
    ("extra", "key", "why"),
    [
        (", Model: other", "Model", "file not here"),
        (", Model hash: ffffffffff", "Model hash", "file not here"),
        (", Model hash: 7460a6fa, Model: other", "Model", "file not here"),
        (
            ", Model hash: ffffffffff, Model: anime",
            "Model hash",
            "the file of this name here is another one",
        ),
        (", VAE: other.pt", "VAE", "file not here"),
        (
            ", Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+, Denoising strength: 0.5",
            "Hires upscaler",
            "file not here",
        ),
    ],
)
def test_a_missing_file_is_left_out(extra: str, key: str, why: str) -> None:
    assert left(extra, HERE) == {key: why}


def test_a_hash_that_nobody_knows_says_nothing() -> None:
    assert left(", Model hash: ffffffffff, Model: Ünder", HERE) == {}
    assert left(", Model hash: 7460a6fa, Model: anime", HERE) == {}


def test_an_upscaler_at_hand_is_used() -> None:
    pairs = ", Hires upscale: 2, Hires upscaler: 4x-ultrasharp, Denoising strength: 0.5"
    hires = reading(pairs, HERE).values["hires"]
    assert hires.upscaler == "4x-UltraSharp"
    assert left(pairs, HERE) == {}
    assert left(pairs, NOTHING_HERE) == {"Hires upscaler": "file not here"}


def test_what_enlarges_instead_is_said() -> None:
    pairs = ", Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+, Denoising strength: 0.5"
    found = reading(pairs, NOTHING_HERE)
    assert found.values["hires"].upscaler == "Lanczos"
    assert [str(note) for note in found.notes] == [
        "R-ESRGAN 4x+ is not here; Lanczos enlarges instead",
        *(str(note) for note in found.remarks if note.key == "other_noise"),
    ]


def test_a1111s_own_upscalers_have_other_names_as_files() -> None:
    assert upscaler_names("RealESRGAN_x4plus_anime_6B") == ("R-ESRGAN 4x+ Anime6B",)
    assert upscaler_names("scunet_color_real_gan") == ("ScuNET", "ScuNET GAN")
    assert upscaler_names("4x-UltraSharp") == ()
    here = AtHand(upscalers=Files([NamedFile("esr", upscaler_names("RealESRGAN_x4plus"))]))
    pairs = ", Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+, Denoising strength: 0.5"
    assert reading(pairs, here).values["hires"].upscaler == "esr"


def test_loras_are_found_by_name_or_hash() -> None:
    prompt = "a <lora:INK:0.5> <lyco:gold:1:0.5> cat <lora:other:1>"
    found = reading("", HERE, prompt)
    assert found.values["prompt"] == "a <lora:ink:0.5> <lyco:gold:1:0.5> cat <lora:other:1>"
    assert [(each.key, each.value) for each in found.left_out] == [("LoRA", "other")]
    found = reading(', Lora hashes: "renamed: bbbbbbbbbbbb"', HERE, "<lora:renamed:0.5>")
    assert found.values["prompt"] == "<lora:ink:0.5>"
    assert found.left_out == ()
    found = reading(', Lora hashes: "ink: ffffffffffff"', HERE, "<lora:ink:0.5>")
    assert [str(each.why) for each in found.left_out] == [
        "the file of this name here is another one"
    ]


def test_other_networks_are_left_out() -> None:
    assert left("", HERE, "<hypernet:ink:1>") == {"Hypernet": "hypernetworks are not supported"}
    assert left("", HERE, "<foo:ink:1>") == {"<foo>": "unknown to this bot"}


def test_what_discord_writes_is_no_network() -> None:
    assert left("", HERE, "a <a:fox:123456789012345678> at <t:1700000000:R>, <t:1>") == {}


def test_additional_networks_become_tags() -> None:
    pairs = (
        ", AddNet Enabled: True, AddNet Module 1: LoRA, AddNet Model 1: ink(bbbbbbbbbbbb)"
        ", AddNet Weight A 1: 0.6, AddNet Weight B 1: 0.4, AddNet Module 2: LoRA"
        ", AddNet Model 2: gold(0123456789ab), AddNet Weight A 2: 1, AddNet Weight B 2: 1"
    )
    found = reading(pairs, HERE)
    assert found.values["prompt"] == "a cat <lora:ink:0.4:0.6> <lora:gold:1>"
    assert found.left_out == ()
    assert left(pairs, NOTHING_HERE) == {"LoRA": "file not here"}


@pytest.mark.parametrize(
    ("prompt", "extra", "missing"),
    [
        ("a cat, style", "", []),
        ("easynegative", "", []),
        ("badhandv4, (ng_deepnegative_v1_75t:1.2)", "", ["badhandv4", "ng_deepnegative_v1_75t"]),
        ("a", ', TI hashes: "style: 123456789012, foo: 123456789012"', ["foo"]),
        ("a", ', TI hashes: "easynegative: ffffffffffff"', ["easynegative"]),
        ("a", ", Used embeddings: bar [12ab]", ["bar"]),
        ("bad hands, deep negative thoughts", "", []),
    ],
)
def test_embeddings_that_are_missing_are_named(prompt: str, extra: str, missing: list[str]) -> None:
    found = reading(extra, HERE, prompt)
    assert [each.value for each in found.left_out if each.key == "Embedding"] == missing


def test_names_are_passed_on_where_nothing_is_known_of_files() -> None:
    found = reading(", Model: any, VAE: thing", None, "<lora:what:1> badhandv4")
    assert found.left_out == ()
    assert (found.values["model"], found.values["vae"]) == ("any", "thing")


# The second pass


def test_a_second_pass_that_is_too_large_is_left_out() -> None:
    pairs = ", Hires upscale: 3.5, Hires upscaler: Latent, Denoising strength: 0.5"
    text = f"a cat\n{LINE}{pairs}"
    assert read(text, max_side=2048).values["hires"].scale == 3.5
    found = read(text, max_side=1536)
    assert "hires" not in found.values
    assert [(each.key, each.value) for each in found.left_out] == [("Hires upscale", "3.5")]


def test_another_shape_of_the_second_pass_is_said() -> None:
    assert left(", Hires resize: 1024x1024, Denoising strength: 0.5") == {}
    assert left(", Hires resize: 1024x0, Denoising strength: 0.5") == {}
    assert left(", Hires resize: 1024x768, Denoising strength: 0.5") == {}


# The whole


def test_groups_are_of_one_reason() -> None:
    found = reading(", ADetailer model: a, ADetailer prompt: b, Tiling: True", HERE, "<lora:x:1>")
    assert [(pairs, str(why)) for pairs, why in grouped(found)] == [
        ("LoRA: x", "file not here"),
        ("ADetailer model, ADetailer prompt", "the extension ADetailer is not supported"),
        ("Tiling: True", "this option is not supported"),
    ]


def test_notes_are_the_reading_in_short() -> None:
    found = reading(", Model: other, Tiling: True, ENSD: 1.5, Version: ComfyUI", HERE)
    assert [note.key for note in found.notes] == [
        *("unreadable_range", "unknown_name", "not_used", "from_comfyui")
    ]


@given(requests())
def test_our_own_pictures_leave_nothing_out(request: GenerationRequest) -> None:
    here = AtHand.named(models=[request.model], vaes=[request.vae])
    found = read(format(request, version="Penultimate 9"), here)
    kept = {each.key for each in found.left_out} - {"Denoising strength", "LoRA"}
    assert kept <= {key for key in kept if key.startswith("<")}


@given(texts)
def test_nothing_of_any_text_is_dropped(text: str) -> None:
    whole = f"{text}\nSteps: 1, {text}, Sampler: {text}, Size: {text}, Foo: {text}"
    parsed, found = parse(whole), read(whole, NOTHING_HERE)
    check_nothing_is_dropped(parsed, found)


# What each key of a text becomes, other than an option's row.
PASSED_ON = {
    *(
        "Prompt",
        "Negative prompt",
        "Model",
        "VAE",
        "Hires upscaler",
        "Hires steps",
        "Denoising strength",
    ),
    *("Hires upscale", "Hires resize-1", "Hires resize-2", "Size-1", "Size-2", "Hires sampler"),
    *("Hires prompt", "Hires negative prompt", "Hires schedule type", "Hires CFG Scale"),
    *("Postprocess upscale by", "Postprocess upscaler"),
    "Init denoising strength",
}
ROWS = {option.infotext for option in OPTIONS.values() if option.infotext}


def check_nothing_is_dropped(parsed: dict[str, Any], found: Reading) -> None:
    said = {each.key for each in found.left_out}
    for remark in found.remarks:
        if remark.key in ("no_effect", "only_information"):
            said.update(dict(remark.values)["names"])
    for key, value in parsed.items():
        silent = key in ELSEWHERE or ASSUMED.get(key) == value
        added = key.startswith("AddNet") and "<lora:" in found.values["prompt"]
        assert key in said | ROWS | PASSED_ON or silent or added, key


def names_of(data: dict[str, Any]) -> AtHand:
    upscalers = {str(parse(each["text"]).get("Hires upscaler", "Latent")) for each in data["texts"]}
    names = {kind: data["names"][kind] for kind in ("models", "vaes", "loras", "embeddings")}
    return AtHand.named(**names, upscalers=[name for name in upscalers if "Latent" not in name])


def counted(data: dict[str, Any]) -> tuple[int, Counter[str]]:
    """How many texts leave nothing out, with the files they name at hand, and the keys of those
    that do."""
    at_hand, whole, keys = names_of(data), 0, Counter[str]()
    for each in data["texts"]:
        found = read(each["text"], at_hand)
        check_nothing_is_dropped(parse(each["text"]), found)
        keys.update({left.key for left in found.left_out})
        whole += not found.left_out
    return whole, keys


def test_made_up_texts_are_read_to_the_last_pair() -> None:
    data = json.loads(MADE_UP.read_text("utf-8"))
    for each in data["texts"]:
        found = read(each["text"], names_of(data))
        check_nothing_is_dropped(parse(each["text"]), found)
        assert sorted({left.key for left in found.left_out}) == each["left_out"], each["text"]


@pytest.mark.skipif("CASES_DIR" not in os.environ, reason="CASES_DIR is not set")
def test_of_public_texts_most_leave_nothing_out() -> None:
    data = json.loads((Path(os.environ["CASES_DIR"]) / "public-texts.json").read_text("utf-8"))
    whole, keys = counted(data)
    print(f"{whole} of {len(data['texts'])} texts leave nothing out; else", keys.most_common(20))
    assert whole >= 0.65 * len(data["texts"])


@pytest.mark.skipif("CASES_DIR" not in os.environ, reason="CASES_DIR is not set")
def test_every_case_is_read() -> None:
    from bot.cli.parameters import text_in

    none = ("mac_screenshot", "phone_", "png_gray16", "png_ztxt_big", "png_iccp_big")
    for path in sorted(Path(os.environ["CASES_DIR"]).iterdir()):
        if path.suffix in (".png", ".jpg", ".txt"):
            text = text_in(path.read_bytes())
            assert (text is None) == path.name.startswith(none), path.name
            if text is not None:
                found = read(text)
                check_nothing_is_dropped(parse(text), found)
                assert {"prompt", "seed", "steps", "sampler", "width"} <= found.values.keys()
                assert "fox" in found.values["prompt"] or path.name == "invoke5.png"
                assert "\ufeff" not in found.values["prompt"]


def test_hires_is_nested() -> None:
    found = reading(", Hires upscale: 2, Hires upscaler: Latent, Denoising strength: 0.5")
    assert isinstance(found.values["hires"], HiresFix)


def test_an_enlarged_image_is_repeated_enlarged() -> None:
    said = ", Postprocess upscale by: 4, Postprocess upscaler: "
    for name, used in (("UltraSharp", "UltraSharp"), ("Lanczos", "Lanczos"), ("None", "None")):
        found = reading(f"{said}{name}", AtHand.named(upscalers=["ultrasharp", "UltraSharp"]))
        assert found.left_out == ()
        assert found.values["enlarge"] == Enlarge(4.0, "ultrasharp" if name[0] == "U" else used)
    found = reading(f"{said}Gone", AtHand.named(upscalers=[]))
    assert [(each.key, each.value) for each in found.left_out] == [("Postprocess upscaler", "Gone")]
    assert found.values["enlarge"] == Enlarge(4.0, "Lanczos")
    for scale in ("16", "0.5", "nan", "x"):
        found = reading(f", Postprocess upscale by: {scale}, Postprocess upscaler: None")
        assert [each.key for each in found.left_out] == ["Postprocess upscale by"]
        assert "enlarge" not in found.values


def test_what_a_tag_says_beyond_its_weights_is_not_dropped_in_silence() -> None:
    """The block weights' extension has steps at which a LoRA begins, and weights of elements."""
    at_hand = AtHand.named(loras=["ink"])
    for argument in ("start=5", "stop=10", "step=3-9", "lbwe=OUTD"):
        found = reading("", at_hand, f"x <lora:ink:0.7:lbw=OUTD:{argument}>")
        assert [each.key for each in found.left_out] == ["LoRA"], argument
        assert argument in str(found.left_out[0].why)
    assert reading("", at_hand, "x <lora:ink:0.7:lbw=OUTD>").left_out == ()
