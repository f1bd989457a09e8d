"""Both prompts of a request: how often they are read, and how long they may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

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


def test_the_texts_of_the_second_pass_are_counted_too(conditioner: TextConditioner) -> None:
    """One version in the first pass, one at every call of the second."""
    prompt = "[a|b|c|d|e|f|g] [a|b|c|d|e] [a|b|c]" + " word" * 700
    hires = HiresFix(1.5, 150, 0.5)
    request = replace(REQUEST, prompt=prompt, steps=1, hires=hires)
    Guidance.encode(conditioner, request)
    with pytest.raises(InvalidRequest) as refused:
        Guidance.encode(conditioner, request, second_pass=True)
    assert (refused.value.field, refused.value.allowed) == ("prompt", "versions")
