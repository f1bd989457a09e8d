"""Texts as people paste them."""

from __future__ import annotations

import pytest
from hypothesis import given

from core.pictures.infotext import compose, format, looks_like_infotext, parse
from core.pictures.pasted import tidy
from core.request import GenerationRequest
from tests.strategies import requests, texts

LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
TEXT = f"a red fox\nNegative prompt: bad\n{LINE}"
PASTED = {
    "as it is": TEXT,
    "a code block": f"```\n{TEXT}\n```",
    "a code block with a language": f"```yaml\n{TEXT}\n```",
    "a code block on one line": "```" + TEXT.replace("\n", " ") + "```",
    "a code block that was cut": f"```\n{TEXT}",
    "the end of a code block": f"{TEXT}\n```",
    "code on one line": "`" + TEXT.replace("\n", " ") + "`",
    "a quotation": "\n".join(f"> {line}" for line in TEXT.split("\n")),
    "a quotation of all": f">>> {TEXT}",
    "Windows": TEXT.replace("\n", "\r\n"),
    "an old Mac": TEXT.replace("\n", "\r"),
    "a byte order mark": "\ufeff" + TEXT,
    "one line": TEXT.replace("\n", " "),
    "a pair a line": TEXT.replace(", ", "\n"),
    "a pair a line, commas kept": TEXT.replace(", ", ",\n"),
    "broken in two": TEXT.replace(", CFG", "\nCFG"),
    "only the last newline lost": TEXT.replace("\nSteps", " Steps"),
}


@pytest.mark.parametrize("text", PASTED.values(), ids=PASTED)
def test_every_way_of_pasting_reads_the_same(text: str) -> None:
    assert looks_like_infotext(text)
    assert parse(text) == parse(TEXT)


@pytest.mark.parametrize(
    ("below", "read"),
    [
        ("\nTemplate: a {red|blue}, fox", {"Template": "a {red|blue}, fox"}),
        (
            "\nTemplate: a {red|blue}\nfox\nNegative Template: {bad|worse}, text\n",
            {"Template": "a {red|blue}\nfox", "Negative Template": "{bad|worse}, text"},
        ),
        (
            "\nPostprocess upscale by: 2, Postprocess upscaler: ScuNET",
            {"Postprocess upscale by": "2", "Postprocess upscaler": "ScuNET"},
        ),
        ("\n\nmade with love", {"Further text": "made with love"}),
        (', Wildcard prompt: "a __b__\nc", Version: v1', {"Wildcard prompt": "a __b__\nc"}),
        (', Hires prompt: "a ""b"", c", Version: v1', {"Hires prompt": 'a "b", c'}),
        (', Hires prompt: "a \\"b\\", c", Version: v1', {"Hires prompt": 'a "b", c'}),
        (', Hashes: {"model": "12", "lora:a": "34"}, Version: v1', {"Version": "v1"}),
        (', Civitai resources: [{"a": 1}, {"b": 2}], Version: v1', {"Version": "v1"}),
    ],
)
def test_what_stands_below_or_inside_the_line_stays_out_of_the_prompts(
    below: str, read: dict[str, str]
) -> None:
    parsed = parse(TEXT + below)
    assert (parsed["Prompt"], parsed["Negative prompt"]) == ("a red fox", "bad")
    assert {key: parsed.get(key) for key in read} == read
    assert not {key for key in parsed if '"' in key or "{" in key}


def test_bare_json_is_one_value() -> None:
    parsed = parse(f'{TEXT}, Hashes: {{"model": "12", "lora:a": "34"}}, Version: v1')
    assert parsed["Hashes"] == '{"model": "12", "lora:a": "34"}'


def test_words_around_a_code_block_are_kept_apart() -> None:
    parsed = parse(f"look at this:\n```\n{TEXT}\n```\nnice?")
    assert parsed["Prompt"] == "a red fox"
    assert parsed["Further text"] == "look at this: nice?"


def test_a_prompt_that_speaks_of_steps_is_no_parameters() -> None:
    for text in (
        "a cat",
        "a cat\nSteps: 20, Sampler: Euler a",
        "Steps: 3 of stone, Sampler",
        "```x```",
    ):
        assert not looks_like_infotext(text)
    text = f"Steps: 3, of: stone, and: wood\nfox\n{LINE}"
    assert parse(text)["Prompt"] == "Steps: 3, of: stone, and: wood\nfox"


@given(requests())
def test_our_own_texts_stay_as_they_are(request: GenerationRequest) -> None:
    text = format(request)
    parsed = parse(text)
    assert parsed["Prompt"] == request.prompt
    assert parsed["Negative prompt"] == request.negative_prompt
    assert parsed["Seed"] == str(request.seed)


@given(texts)
def test_any_text_is_tidied_once(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)


@given(texts, texts)
def test_prompts_come_back_beside_any_pair(prompt: str, value: str) -> None:
    parsed = parse(compose(prompt, "bad", {"Steps": 1, "Sampler": value or "x", "Seed": 2}))
    assert parsed["Prompt"] == prompt


@pytest.mark.parametrize(
    "text",
    [
        "a cat\nby Steps:\n28, Sampler: Euler, Seed: 1, CFG scale: 7",
        "Steps: 1, " * 5000,
        "\n".join(["Steps: 1,"] * 5000),
        'Steps: 1, a: "' * 5000,
        'Steps: 1, a: ""' * 5000 + '"',
        "Steps: 1, Hashes: {" * 3000,
        "Steps: 1, Hashes: " + "[" * 30_000,
        "```Steps: 1," * 5000,
        "> Steps: 1,\n" * 5000,
        " Steps: 1," * 5000 + "\n",
        "Template: x\n" * 5000 + "Steps: 1,",
    ],
)
def test_hostile_texts_end(text: str) -> None:
    parse(text)
