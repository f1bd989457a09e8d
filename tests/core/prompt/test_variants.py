"""Choices in a prompt: what is drawn, what is left alone, and that it is drawn once."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidRequest
from core.prompt.parser import parse_weights
from core.prompt.variants import MAX_DEPTH, draw, draw_choices, literal
from core.request import GenerationRequest
from tests.simulation import World, answer, text
from tests.strategies import any_text


def outcomes(prompt: str) -> set[str]:
    """Everything that a thousand seeds draw."""
    return {draw(prompt, Random(seed))[0] for seed in range(1000)}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a {red|blue} car", {"a red car", "a blue car"}),
        ("{a|b}{c|d}", {"ac", "ad", "bc", "bd"}),
        ("{ a | b }", {"a", "b"}),
        ("x{|, night}", {"x", "x, night"}),
        ("{a {b|c}|d}", {"a b", "a c", "d"}),
        ("{2$$a|b}", {"a, b", "b, a"}),
        ("{1-2$$ and $$a|b}", {"a", "b", "a and b", "b and a"}),
        ("{1-2$$ | $$a|b}", {"a", "b", "a | b", "b | a"}),
        ("{2$$$$a|b}", {"ab", "ba"}),
        ("{-1$$a|b}", {"a", "b"}),
        ("{0-1$$a|b}", {"", "a", "b"}),
        ("{2-$$+$$a|b}", {"a+b", "b+a"}),
        ("{9$$+$$a|b}", {"a+b", "b+a"}),
        ("{2$$one}", {"one"}),
        ("{2$$|night}", {"night"}),
        ("{0::a|b}", {"b"}),
        ("{0::a|0::b}", {"a", "b"}),
        ("{2$$0::a|b|0::c}", {"b, a", "b, c"}),
        ("{.5::a|2::b}", {"a", "b"}),
        ("{[day|night]|x}", {"[day|night]", "x"}),
        ("{a|[b|[c|d]|{e|f}]}", {"a", "[b|[c|d]|e]", "[b|[c|d]|f]"}),
        ("[{a|b}:c:0.5]", {"[a:c:0.5]", "[b:c:0.5]"}),
        ("{[a|b}", {"[a", "b"}),
        ("({a|b}:1.2)", {"(a:1.2)", "(b:1.2)"}),
        ("{a|b}}", {"a}", "b}"}),
        ("{x {a|b}", {"{x a", "{x b"}),
        (r"{a\|b|\{c\}}", {r"a\|b", r"\{c\}"}),
        ("C# 100% $5 __x__ // {a|b}", {"C# 100% $5 __x__ // a", "C# 100% $5 __x__ // b"}),
        ("{C# //|100% $5}", {"C# //", "100% $5"}),
        ("{__x__|${y=1}|%{z}|/*|*/}", {"__x__", "${y=1}", "%{z}", "/*", "*/"}),
        ("{!a|@b|~c}", {"!a", "@b", "~c"}),
        ("{0::a|" * MAX_DEPTH + "b" + "}" * MAX_DEPTH, {"b"}),
        ("\U000f0000{\U000f0002|\\|}", {"\U000f0000\U000f0002", "\U000f0000\\|"}),
    ],
)
def test_what_can_be_drawn(prompt: str, expected: set[str]) -> None:
    assert outcomes(prompt) == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat",
        "[a|b] (c:1.2) AND d",
        "{prompt}",
        "{}",
        "}{",
        r"\{a\|b\}",
        r"{a\|b}",
        "a | b",
        "{a}{b} {",
        "{" * 4000,
        "__colours__ ${x=1} %{a}",
    ],
)
def test_what_is_no_choice_is_left_alone(prompt: str) -> None:
    assert draw(prompt, Random(1)) == (prompt, ())


@pytest.mark.parametrize(
    ("prompt", "note"),
    [
        ("{a|b} and {c|d", "choices_unclosed"),
        ("{2$$a", "choices_unclosed"),
        ("{a|" * (MAX_DEPTH + 1) + "b" + "}" * (MAX_DEPTH + 1), "choices_too_deep"),
        ("{" * 21 + "}" * 21, "choices_too_deep"),
    ],
)
def test_what_cannot_be_read_stands_as_written_and_is_said(prompt: str, note: str) -> None:
    said, notes = draw(prompt, Random(1))
    assert said == prompt
    assert [n.key for n in notes] == [note]
    assert str(notes[0])


def test_weights_weigh() -> None:
    found = Counter(draw("{3::a|b}", Random(seed))[0] for seed in range(4000))
    assert 0.7 < found["a"] / 4000 < 0.8


def test_weights_stay_with_their_options_after_one_was_taken() -> None:
    found = Counter(draw("{2$$9::a|1::b|9::c}", Random(seed))[0] for seed in range(1000))
    assert found["c, a"] > 300 > 100 > found["c, b"]


def test_the_same_seed_draws_the_same() -> None:
    prompt = "{red|green|blue} {2$$cat|dog|owl|fox}"
    found = [draw(prompt, Random(seed))[0] for seed in (0, 7, 2**32 - 1)]
    assert found == ["red cat, owl", "red fox, cat", "blue fox, owl"]


def test_both_prompts_are_drawn_from_the_requests_seed() -> None:
    request = GenerationRequest("{a|b|c|d}", "m", 5, negative_prompt="{e|f|g|h}")
    once, notes = draw_choices(request)
    assert (once, notes) == draw_choices(request)
    assert len(once.prompt) == len(once.negative_prompt) == 1
    assert once.seed == 5
    others = {
        draw_choices(GenerationRequest("{a|b|c|d}", "m", seed))[0].prompt for seed in range(50)
    }
    assert others == set("abcd")


def test_what_was_drawn_before_is_not_drawn_again() -> None:
    before = GenerationRequest("{a|b}", "m", 5, negative_prompt="{c|d}")
    after = GenerationRequest("x {a|b}", "m", 5, negative_prompt="{c|d}")
    assert draw_choices(before, before)[0] == before
    once, _ = draw_choices(after, before)
    assert once.prompt in ("x a", "x b")
    assert once.negative_prompt == "{c|d}"


def test_a_literal_text_is_not_drawn() -> None:
    for seed in range(20):
        said, notes = draw("{a|b}, x {c|d} {, {e|f}", Random(seed), "x {c|d} {")
        assert said in ("a, x {c|d} {, e", "a, x {c|d} {, f", "b, x {c|d} {, e", "b, x {c|d} {, f")
        assert notes == ()


def test_what_becomes_too_long_is_refused_not_cut() -> None:
    prompt = "{900$$" + " " * 100 + "$$" + "|".join("a" * 900) + "}"
    with pytest.raises(InvalidRequest, match="at most 4000"):
        draw_choices(GenerationRequest(prompt, "m", 1))


signs = st.lists(
    st.sampled_from(
        [*"{{{}}}[]|||$%#/*_!@~:\\-012a \n\u3000二\U000f0000", "$$", "::", "__", "${", "%{", "2$$"]
    ),
    max_size=60,
).map("".join)


@given(signs, st.integers(0, 2**32 - 1))
def test_any_text_is_drawn_or_left_alone(prompt: str, seed: int) -> None:
    said, notes = draw(prompt, Random(seed))
    assert said == draw(prompt, Random(seed))[0]
    if notes or "{" not in prompt or not ("|" in prompt or "$$" in prompt):
        assert said == prompt


@given(signs.filter(bool), st.integers(0, 2**32 - 1))
def test_any_text_is_drawn_or_left_alone_at_full_length(prompt: str, seed: int) -> None:
    prompt = (prompt * 4000)[:4000]
    said, notes = draw(prompt, Random(seed))
    assert isinstance(said, str)
    assert not notes or said == prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "{a|b}" * 800,
        "{" + "|" * 3998 + "}",
        "[" * 4000,
        "{" * 19 + "[|" * 1990,
        "{4000$$" + "|" * 3990 + "}",
    ],
)
def test_the_longest_prompts_are_read(prompt: str) -> None:
    """What took time to the square of a prompt's length would be felt here."""
    for seed in range(20):
        said, _ = draw(prompt, Random(seed))
        assert len(said) <= len(prompt)


async def test_a_job_keeps_what_was_drawn(world: World) -> None:
    prompt = "a {red|blue|green|grey} {cat|dog|owl}"
    post = answer(await world.ann.slash(world.channel, "imagine", prompt=prompt, seed=7))
    first = (await world.job(1)).request.prompt
    assert first == draw(prompt, Random(7))[0]
    assert first in text(post)
    await world.bob.click(post, label="Clip skip +")
    await world.bob.click(post, label="New seed")
    await world.ann.slash(world.channel, "imagine", prompt=prompt, seed=7)
    assert {work.request.prompt for work in world.engine.seen} == {first}


async def test_choices_typed_into_edit_are_drawn_too(world: World) -> None:
    post = answer(await world.ann.slash(world.channel, "imagine", prompt="a cat", seed=7))
    form = await world.ann.click(post, label="Edit")
    typed = {
        "prompt": "{one|two} {",
        "negative_prompt": "{a|b",
        "clip_skip": "1",
        "seed": "7",
        "settings": "20, 7, 512x512",
    }
    result = await world.ann.submit_modal(form, typed)
    request = (await world.job(2)).request
    assert request.prompt in ("one {", "two {")
    assert request.negative_prompt == "{a|b"
    assert "A choice in braces isn’t closed" in text(answer(result))


async def test_a_style_may_hold_choices(world: World) -> None:
    await world.bot.store.styles.save(world.guild.id, "film", "{prompt}, {ink|oil}")
    await world.ann.slash(world.channel, "imagine", prompt="a {cat|dog}", style="film", seed=3)
    words = (await world.job(1)).request.prompt.split(", ")
    assert words[0] in ("a cat", "a dog")
    assert words[1] in ("ink", "oil")


@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        ("a {red|blue} car", r"a \{red|blue\} car"),
        (r"{a|\{b\}} {c}", r"\{a|\{b\}\} \{c\}"),
        ("{{best quality}}, cat", "{{best quality}}, cat"),
        ("{a|b", r"\{a|b"),
    ],
)
def test_nothing_is_drawn_from_a_literal_text(pasted: str, expected: str) -> None:
    assert literal(pasted) == expected
    assert outcomes(expected) == {expected}
    assert draw(expected, Random(0))[1] == ()
    assert parse_weights(expected) == parse_weights(pasted)


@given(any_text)
def test_any_text_can_be_made_literal(pasted: str) -> None:
    assert draw(literal(pasted), Random(1)) == (literal(pasted), ())
    assert parse_weights(literal(pasted)) == parse_weights(pasted)
