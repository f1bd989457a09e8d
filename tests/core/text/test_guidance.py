"""Both prompts of a request: how often they are read, and how long they may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPTextModelWithProjection

from core.errors import InvalidRequest
from core.models.weights.clip_tokenizer import clip_tokenizer
from core.prompt import editing, parser
from core.request import GenerationRequest, HiresFix
from core.text.conditioning import TextConditioner
from core.text.guidance import Guidance
from tests.core.text.test_conditioning import text_model
from tests.golden_data import load

REQUEST = GenerationRequest("a [b|c] cat", "m", 1, negative_prompt="[d:e:0.5]", steps=4)


@pytest.fixture(scope="module")
def conditioner() -> TextConditioner:
    return TextConditioner(clip_tokenizer(()), text_model(12, "quick_gelu", 0))


@pytest.mark.parametrize("all_exits", [False, True])
def test_each_prompt_is_parsed_once(
    conditioner: TextConditioner, monkeypatch: pytest.MonkeyPatch, all_exits: bool
) -> None:
    parsed: list[str] = []

    def counted(text: str) -> Any:
        parsed.append(text)
        return editing.parse(text)

    monkeypatch.setattr(parser, "parse", counted)
    Guidance.encode(conditioner, REQUEST, all_exits=all_exits)
    assert parsed == [REQUEST.prompt, REQUEST.negative_prompt]


def test_each_text_s_weights_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for two text encoders, and where AND parts share a text."""
    models = [
        text_model(12, "quick_gelu", 0),
        text_model(14, "gelu", 1, CLIPTextModelWithProjection),
    ]
    conditioner = TextConditioner([clip_tokenizer(())] * 2, models)
    weighed: list[str] = []
    weigh = parser._weigh

    def counted(text: str) -> Any:
        weighed.append(text)
        return weigh(text)

    monkeypatch.setattr(parser, "_weigh", counted)
    request = replace(REQUEST, prompt=" a (cat) AND [a|b] (cat)")
    Guidance.encode(conditioner, request, all_exits=True)
    assert weighed == [" a (cat)", " b (cat)", "d", "e"]


def test_the_texts_of_the_second_pass_are_counted_too(conditioner: TextConditioner) -> None:
    """One version in the first pass, one at every call of the second."""
    prompt = "[a|b|c|d|e|f|g] [a|b|c|d|e] [a|b|c]" + " word" * 700
    hires = HiresFix(1.5, 150, 0.5)
    request = replace(REQUEST, prompt=prompt, steps=1, hires=hires)
    Guidance.encode(conditioner, request)
    with pytest.raises(InvalidRequest) as refused:
        Guidance.encode(conditioner, request, second_pass=True)
    assert (refused.value.field, refused.value.allowed) == ("prompt", "versions")


class Reader:
    """In the place of a conditioner: keeps the prompts that it is given."""

    def __init__(self) -> None:
        self.prompts: list[parser.Prompt] = []

    def encode(self, prompt: parser.Prompt, clip_skip: int) -> Any:
        self.prompts.append(prompt)


def read_for(request: GenerationRequest, *, second_pass: bool) -> list[parser.Prompt]:
    reader: Any = Reader()
    Guidance.encode(reader, request, second_pass=second_pass)
    prompts: list[parser.Prompt] = reader.prompts
    return prompts


def each_call(entries: Sequence[tuple[int, str]], calls: int) -> list[str]:
    return [next(text for until, text in entries if until >= call) for call in range(calls)]


def test_the_text_of_every_call_in_both_passes(golden: Path) -> None:
    for case in load(golden / "wider" / "hires_prompts.json"):
        request = GenerationRequest(
            case["prompt"],
            "m",
            1,
            negative_prompt=case["negative"],
            sampler=case["sampler"],
            steps=case["steps"],
            old_timelines=case["old_timelines"],
            hires=HiresFix(
                steps=case["hires_steps"],
                prompt=case["hires_prompt"],
                negative_prompt=case["hires_negative"],
                sampler=case["hires_sampler"] or "",
            ),
        )
        for name, second_pass in (("first", False), ("second", True)):
            calls = case["hires_calls" if second_pass else "first_calls"]
            positive, negative = read_for(request, second_pass=second_pass)
            ours = [(weight, each_call(entries, calls)) for weight, entries in positive.parts]
            theirs = [(part["weight"], part["texts"]) for part in case[name]["positive"]]
            assert ours == theirs, case["prompt"]
            assert [list(map(tuple, part["schedule"])) for part in case[name]["positive"]] == [
                list(entries) for _, entries in positive.parts
            ]
            assert each_call(negative.parts[0][1], calls) == case[name]["negative"]


def test_the_second_pass_has_its_own_cfg_scale_or_the_first_s(conditioner: TextConditioner) -> None:
    for own, used in ((0.0, 7.0), (4.0, 4.0)):
        request = replace(REQUEST, hires=HiresFix(cfg_scale=own))
        assert Guidance.encode(conditioner, request).cfg_scale == 7.0
        assert Guidance.encode(conditioner, request, second_pass=True).cfg_scale == used


def test_emphasis_is_the_request_s() -> None:
    for emphasis in ("Original", "No norm", "Ignore", "None"):
        prompts = read_for(replace(REQUEST, emphasis=emphasis), second_pass=False)
        assert [prompt.emphasis for prompt in prompts] == [emphasis] * 2


def test_and_parts_share_a_length_and_the_negative_keeps_its_own(
    conditioner: TextConditioner,
) -> None:
    """Only an exact number of repetitions is the same to the UNet; else the lengths differ."""
    request = replace(REQUEST, prompt="a AND " + "b" * 160, negative_prompt="c" * 80)
    rows = Guidance.encode(conditioner, request).at(0, with_negative=True)
    assert [len(context) for context, _ in rows] == [231, 231, 154]
    rows = Guidance.encode(conditioner, replace(request, negative_prompt="c")).at(0, True)
    assert [len(context) for context, _ in rows] == [231, 231, 231]
    negative = rows[2][0]
    assert torch.equal(negative, negative[:77].repeat(3, 1))
