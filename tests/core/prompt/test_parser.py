"""The prompt language: what each sign means, what is noted, and that no text is too much."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.prompt import Use, editing
from core.prompt.parser import (
    BREAK,
    MAX_DEPTH,
    MAX_NOTES,
    MAX_WEIGHT,
    chunk,
    parse_weights,
    read,
    split_and,
)
from core.request import MAX_AND_PARTS
from tests.strategies import any_text

# Texts that speak the language, in every broken way.
SIGNS = ["(", ")", "[", "]", ":", "|", "\\", ",", "<", ">", " ", "\n", "AND", "BREAK", "cat"]
SIGNS += ["1.3", "-1", "1e999", ":1.2)", ":0.5]", ":5]", "[a|b]", "<lora:x:1>"]
prompt_text = st.lists(st.one_of(st.sampled_from(SIGNS), any_text), max_size=30).map("".join)

HOSTILE = {
    "round": "(" * 100_000,
    "square": "[" * 100_000,
    "closers": ")]" * 50_000,
    "pairs": "()" * 50_000,
    "nested": "(" * 50_000 + "a" + ")" * 50_000,
    "words in brackets": "(a" * 50_000,
    "both brackets": "([a" * 33_000,
    "weights": "(a:1.2)" * 14_000,
    "schedules": "[a:b:5]" * 14_000,
    "nested schedules": "[a:" * 20_000 + "b" + ":5]" * 20_000,
    "alternations": "[a|b]" * 20_000,
    "open networks": "<a:" * 33_000,
    "one network": "<a:" * 33_000 + ">",
    "space": " " * 100_000,
    "colons": ": " * 50_000,
    "backslashes": "\\" * 100_001,
    "nul": "\0" * 100_000,
    "parts": "a AND " * 16_000,
    "breaks": "BREAK " * 16_000,
    "digits": "(a:" + "9" * 99_000 + ")",
    "emoji": "🦊" * 25_000,
    "right to left": "שלום " * 20_000,
    "half characters": "\ud800" * 1000,
}


def schedule(text: str, steps: int, hires_steps: int | None = None) -> list[tuple[int, str]]:
    return editing.texts(editing.parse(text), steps, hires_steps)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", [("", 1.0)]),
        ("a (cat) b", [("a ", 1.0), ("cat", 1.1), (" b", 1.0)]),
        ("[cat]", [("cat", 1 / 1.1)]),
        ("(cat:1.3)", [("cat", 1.3)]),
        ("(cat: .5 )", [("cat", 0.5)]),
        ("(cat:-1)", [("cat", -1.0)]),
        ("((a:1.3) b)", [("a", 1.3 * 1.1), (" b", 1.1)]),
        ("(unclosed", [("unclosed", 1.1)]),
        ("([a", [("a", 1.1 * (1 / 1.1))]),
        ("no opener)", [("no opener)", 1.0)]),
        ("no opener:1.3)", [("no opener:1.3)", 1.0)]),
        (r"\(a\) \[b\] \\ c\d", [("(a) [b] \\ cd", 1.0)]),
        # The two kinds of bracket close independently.
        ("(a [b) c]", [("a ", 1.1), ("b", 1.1 * (1 / 1.1)), (" c", 1 / 1.1)]),
        ("a BREAK b", [("a", 1.0), BREAK, ("b", 1.0)]),
        ("a\nBREAK, b", [("a", 1.0), BREAK, (", b", 1.0)]),
        ("BREAK a BREAK", [("", 1.0), BREAK, ("a", 1.0), BREAK, ("", 1.0)]),
        ("BREAKS break aBREAK", [("BREAKS break aBREAK", 1.0)]),
    ],
)
def test_weights(text: str, segments: list[tuple[str, float]]) -> None:
    assert parse_weights(text) == segments


@pytest.mark.parametrize(("opener", "closer", "factor"), [("(", ")", 1.1), ("[", "]", 1 / 1.1)])
@pytest.mark.parametrize("closed", [True, False])
def test_brackets_count_up_to_a_depth(
    opener: str, closer: str, factor: float, closed: bool
) -> None:
    for depth in (MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 3 * MAX_DEPTH):
        text = opener * depth + "a" + closer * depth * closed
        ((words, weight),) = parse_weights(text)
        assert words == "a"
        assert weight == pytest.approx(factor ** min(depth, MAX_DEPTH), rel=1e-9)
    # The outermost count: what is deeper closes without a weight of its own.
    ((_, weight),) = parse_weights("(" * (MAX_DEPTH + 1) + "a:9)" + ")" * MAX_DEPTH)
    assert weight == pytest.approx(1.1**MAX_DEPTH, rel=1e-9)
    # Closed brackets make room again, and each kind has its own.
    text = "(a)" * (2 * MAX_DEPTH) + "[" * MAX_DEPTH + "(b:3)"
    assert parse_weights(text)[-1][1] == pytest.approx(3 / 1.1**MAX_DEPTH, rel=1e-9)


def test_where_a1111_stumbles_the_sensible_thing_happens() -> None:
    assert parse_weights("(cat:1.2.3)") == [("cat:1.2.3", 1.1)]
    assert parse_weights("(cat:..)") == [("cat:..", 1.1)]
    assert parse_weights("(a BREAK b:1.3)") == [("a", 1.3), BREAK, ("b", 1.3)]
    # A1111 joins these three into one text, "aBREAKb".
    assert parse_weights("(a:-1)BREAK(b:-1)")[1:4:2] == [("", 1.0), ("", 1.0)]
    assert BREAK in parse_weights("(a BREAK b:-1)")
    assert split_and("a banner, 16:9") == [("a banner, 16:9", 1.0)]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("plain", [(20, "plain")]),
        ("a [cat:dog:0.5]", [(10, "a cat"), (20, "a dog")]),
        ("[cat:dog:5]", [(5, "cat"), (20, "dog")]),
        ("[dog:5]", [(5, ""), (20, "dog")]),
        ("[cat::5]", [(5, "cat"), (20, "")]),
        ("[::5]", [(5, ""), (20, "")]),
        ("[a:b:.25]", [(5, "a"), (20, "b")]),
        ("[a:b:1.]", [(20, "a")]),
        ("[a:b:1]", [(1, "a"), (20, "b")]),
        ("[a:b:0]", [(20, "b")]),
        ("[a:b:-3]", [(20, "b")]),
        ("[a:b:25]", [(20, "a")]),
        ("[a:b: +5\n]", [(5, "a"), (20, "b")]),
        ("[a:b:1e1]", [(10, "a"), (20, "b")]),
        ("[a:b:1e999]", [(20, "a")]),
        ("[a:b:-1e999]", [(20, "b")]),
        ("[a:a:5]", [(5, "a"), (20, "a")]),
        ("[a:[b:c:10]:5]", [(5, "a"), (10, "b"), (20, "c")]),
        ("(a [b:c:5]:1.3)", [(5, "(a b:1.3)"), (20, "(a c:1.3)")]),
        # No schedules: a field too many, no number, a bracket that is never closed.
        ("[a:b:c:5]", [(20, "[a:b:c:5]")]),
        ("[a:b]", [(20, "[a:b]")]),
        ("[a:b:5", [(20, "[a:b:5")]),
        ("[(a:b:c):d:5]", [(20, "[(a:b:c):d:5]")]),
        (r"\[a:b:5]", [(20, r"\[a:b:5]")]),
        # What is broken around a schedule does not break the schedule.
        ("([a:b:5]", [(5, "(a"), (20, "(b")]),
        ("[[a:b:5]", [(5, "[a"), (20, "[b")]),
        ("[a:b:5]]", [(5, "a]"), (20, "b]")]),
        # A1111's grammar has no place for these signs and then takes the prompt as it stands.
        ("a|b [c:d:5]", [(20, "a|b [c:d:5]")]),
        ("[c:d:5] \\", [(20, "[c:d:5] \\")]),
        ("[a:b|c]", [(20, "[a:b|c]")]),
    ],
)
def test_schedule(text: str, entries: list[tuple[int, str]]) -> None:
    assert schedule(text, 20) == entries


def test_alternation_takes_turns_at_every_call() -> None:
    assert schedule("[a|b|c]", 4) == [(1, "a"), (2, "b"), (3, "c"), (4, "a")]
    assert schedule("[a|]", 3) == [(1, "a"), (2, ""), (3, "a")]
    assert schedule("[|b]x", 2) == [(1, "x"), (2, "bx")]
    assert schedule("[[a|b]:c:2]", 4) == [(1, "a"), (2, "b"), (3, "c"), (4, "c")]
    assert schedule("[a [x:y:2]|b]", 4) == [(1, "a x"), (2, "b"), (3, "a y"), (4, "b")]


def test_the_hires_pass_counts_on_from_the_first() -> None:
    assert schedule("[a:b:0.5]", 20, 10) == [(10, "b")]
    assert schedule("[a:b:1.5]", 20, 10) == [(5, "a"), (10, "b")]
    assert schedule("[a:b:25]", 20, 10) == [(5, "a"), (10, "b")]
    assert schedule("[a:b:1.5]", 20) == [(20, "a")]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a cat ", [("a cat", 1.0)]),
        ("a AND b", [("a", 1.0), (" b", 1.0)]),
        ("a :1.2 AND b: -.5 ", [("a", 1.2), (" b", -0.5)]),
        ("a:1:2 AND (b:1.3)", [("a:1", 2.0), (" (b:1.3)", 1.0)]),
        ("a AND b 16:9", [("a", 1.0), (" b 16", 9.0)]),
        ("sAND and ANDs", [("sAND and ANDs", 1.0)]),
        ("AND", [("", 1.0), ("", 1.0)]),
        ("a AND b:" + "9" * 400, [("a", 1.0), (" b:" + "9" * 400, 1.0)]),
    ],
)
def test_and(text: str, parts: list[tuple[str, float]]) -> None:
    assert split_and(text) == parts


def test_networks_are_taken_out_of_a_positive_prompt_only() -> None:
    text = "a <lora:ink:0.8>cat AND dog"
    positive, negative = read(text, 20), read(text, 20, negative=True)
    assert positive.networks == (Use("lora", "ink", 0.8, 0.8),)
    assert [entries for _, entries in positive.parts] == [((20, "a cat"),), ((20, " dog"),)]
    assert (positive.notes, negative.networks) == ((), ())
    assert negative.parts == ((1.0, ((20, text),)),)
    assert [note.key for note in negative.notes] == ["lora_negative"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a <hypernet:ink:0.8>", "lora_left_out"),
        ("a <lora:ink:strong>", "lora_argument"),
        ("[cat:1.3]", "schedule_not_weight"),
        ("(cat", "unclosed_bracket"),
        ("[cat:dog:0.5", "unclosed_bracket"),
        ("(cat:1.2.3)", "bad_weight"),
        ("(cat:1,3)", "bad_weight"),
        ("cat :1.2) dog", "bad_weight"),
        ("a banner, 16:9", "end_weight"),
        ("a|b [cat:dog:0.5]", "schedule_off"),
        ("a AND " * 20 + "b", "too_many_parts"),
    ],
)
def test_notes(text: str, key: str) -> None:
    (note,) = read(text, 20).notes
    assert note.key == key
    assert str(note)


@pytest.mark.parametrize(
    "text", ["", "a (cat:1.3), [dim], [a:b:0.5], [a:0.5], [a|b], :)", "1:1 x", ":3) x"]
)
def test_nothing_is_noted_about_a_good_prompt(text: str) -> None:
    assert read(text, 20).notes == ()


def test_only_a_positive_prompt_knows_and() -> None:
    text = "a cat AND a [dog:fox:0.5]"
    positive, negative = read(text, 20), read(text, 20, negative=True)
    assert [weight for weight, _ in positive.parts] == [1.0, 1.0]
    assert positive.parts[1][1] == ((10, " a dog"), (20, " a fox"))
    assert negative.parts == ((1.0, ((10, "a cat AND a dog"), (20, "a cat AND a fox"))),)
    assert len(read("a AND " * 20, 20).parts) == MAX_AND_PARTS


def tokens_of(
    *segments: tuple[list[int | tuple[int, ...]], float] | None, **options: int
) -> list[list[int]]:
    """Chunks of 5 with start 1, end 2, comma 9, the frame and the filling left out."""
    chunks, _ = chunk(segments, start=1, end=2, comma=9, length=5, **options)
    assert all(len(each.tokens) == len(each.weights) == 7 for each in chunks)
    assert all(each.tokens[0] == 1 and each.tokens[-1] in (0, 2) for each in chunks)
    return [[token for token in each.tokens if token > 2] for each in chunks]


def test_a_full_chunk_starts_the_next() -> None:
    assert tokens_of(([], 1.0)) == [[]]
    assert tokens_of(([3, 4, 5, 6, 7], 1.0)) == [[3, 4, 5, 6, 7]]
    assert tokens_of(([3, 4, 5, 6, 7, 8], 1.0)) == [[3, 4, 5, 6, 7], [8]]


def test_break_fills_the_chunk() -> None:
    assert tokens_of(([3], 1.0), None, ([4], 1.0)) == [[3], [4]]
    assert tokens_of(None, ([4], 1.0)) == [[], [4]]
    assert tokens_of(([4], 1.0), None) == [[4]]
    assert chunk([([3], 1.0), None, ([4, 5], 1.0)], start=1, end=2, comma=9)[1] == 77


def test_what_follows_a_near_comma_moves_along() -> None:
    assert tokens_of(([3, 4, 9, 5, 6, 7], 1.0)) == [[3, 4, 9], [5, 6, 7]]
    # A comma that meets a full chunk opens the next one itself.
    assert tokens_of(([9, 4, 5, 6, 7, 9], 1.0)) == [[9, 4, 5, 6, 7], [9]]
    # 20 tokens back is near, 21 is far.
    for place, first in ((55, 56), (54, 75)):
        words = [3] * 75
        words[place] = 9
        chunks, count = chunk([([*words, 4], 1.0)], start=1, end=2, comma=9)
        assert chunks[0].tokens.index(2) == first + 1
        assert len(chunks) == 2
        assert count == 75 + 76 - first


def test_weights_follow_their_tokens() -> None:
    chunks, _ = chunk(
        [([3, 9], 1.0), ([4, 5], 1.5), ([6, 7], 0.5)], start=1, end=2, comma=9, length=5
    )
    assert [each.weights for each in chunks] == [
        (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        (1.0, 1.5, 1.5, 0.5, 0.5, 1.0, 1.0),
    ]


def test_padding_starts_after_the_first_end_token() -> None:
    chunks, _ = chunk([([3, 4], 1.0)], start=1, end=2, comma=9, length=5, pad=0)
    assert chunks[0].tokens == (1, 3, 4, 2, 0, 0, 0)


@given(prompt_text, st.integers(1, 40), st.one_of(st.none(), st.integers(1, 40)), st.booleans())
def test_no_text_raises(text: str, steps: int, hires_steps: int | None, negative: bool) -> None:
    prompt = read(text, steps, hires_steps=hires_steps, negative=negative)
    assert 1 <= len(prompt.parts) <= MAX_AND_PARTS
    assert len(prompt.notes) <= MAX_NOTES
    assert all(str(note) for note in prompt.notes)
    for _, entries in prompt.parts:
        ends = [end for end, _ in entries]
        assert ends == sorted(set(ends))
        assert ends[0] >= 1
        assert ends[-1] == (hires_steps or steps)


@given(prompt_text)
def test_weights_are_numbers_and_lose_no_word(text: str) -> None:
    segments = parse_weights(text)
    assert all(abs(weight) <= MAX_WEIGHT for _, weight in segments)
    neighbours = itertools.pairwise(weight for _, weight in segments)
    assert all(left != right for left, right in neighbours) or BREAK in segments
    if not set(text) & set("()[]\\:") and "BREAK" not in text:
        assert segments == [(text, 1.0)]


@given(st.text("ab ,.", max_size=20), st.text("cd ,.", max_size=20), st.integers(1, 19))
def test_a_schedule_says_the_one_and_then_the_other(before: str, after: str, when: int) -> None:
    assert schedule(f"x[{before}:{after}:{when}]y", 20) == [
        (when, f"x{before}y"),
        (20, f"x{after}y"),
    ]


@given(
    st.lists(
        st.one_of(st.none(), st.tuples(st.lists(st.integers(3, 9), max_size=40), st.floats(0, 2))),
        max_size=8,
    )
)
def test_chunks_hold_every_token_in_order(segments: list[tuple[list[int], float] | None]) -> None:
    chunks, count = chunk(segments, start=1, end=2, comma=9)
    assert [token for each in chunks for token in each.tokens if token > 2] == [
        token for segment in segments if segment for token in segment[0]
    ]
    assert all(len(each.tokens) == len(each.weights) == 77 for each in chunks)
    assert (len(chunks) - 1) * 75 <= count <= len(chunks) * 75


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_100_kilobytes_are_read(name: str) -> None:
    """A quadratic step would take minutes here; nothing is asserted on time."""
    text = HOSTILE[name]
    assert read(text, 20).parts
    assert parse_weights(text)


def test_nests_deeper_than_the_stack_are_evaluated() -> None:
    depth = 20_000
    assert schedule("[a:" * depth + "b" + ":1]" * depth, 20) == [(1, "a"), (20, "b")]


def test_the_vectors_of_an_embedding_stay_together() -> None:
    """Where they do not fit the chunk ends, but for what a comma before them takes along."""
    vectors = (10, 11, 12)
    chunks, count = chunk([([3, vectors], 1.5)], start=1, end=2, comma=9, length=5)
    assert chunks[0].tokens == (1, 3, 10, 11, 12, 2, 2)
    assert chunks[0].weights == (1.0, 1.5, 1.5, 1.5, 1.5, 1.0, 1.0)
    assert count == 4
    assert tokens_of(([3, 4, 5, vectors, 6, 7], 1.0)) == [[3, 4, 5], [10, 11, 12, 6, 7]]
    assert tokens_of(([3, 9, vectors, 6], 1.0)) == [[3, 9], [10, 11, 12, 6]]
    # A1111 leaves these vectors behind.
    assert tokens_of(([3, 9, (10, 11, 12), 6, 7, 8], 1.0)) == [[3, 9], [10, 11, 12, 6, 7], [8]]
