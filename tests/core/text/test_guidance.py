"""Both prompts of a request: how often they are read, and how long they may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from transformers import CLIPTextModelWithProjection

from core.errors import InvalidRequest
from core.models.weights.clip_tokenizer import clip_tokenizer
from core.prompt import editing, parser
from core.request import GenerationRequest, HiresFix
from core.text.conditioning import TextConditioner
from core.text.guidance import Guidance
from tests.core.text.test_conditioning import text_model

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
