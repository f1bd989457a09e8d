"""Blocked words: whole words only, in whatever letters and brackets they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.server.words import find_blocked, read_words

WORDS = ("Blood", "red car", "血", "4k")


@pytest.mark.parametrize(
    "prompt",
    [
        "blood",
        "BLOOD, a cat",
        "a\nblood\ncell",
        "blood_splatter",
        "bl\u043e\u043ed",
        "\u0412LOOD",
        "ｂｌｏｏｄ",
        "blöod",
        "bl\u200bo\u00adod",
        "𝓫𝓵𝓸𝓸𝓭",
        "bl00d",
        "8l00d",
        "b1ood",
        "b l o o d",
        "a b.l.o.o.d x",
        "B-L-O-O-D",
        "(bl)ood",
        "(blood:1.3)",
        "[blood]",
        "[blood:10]",
        "[cat:blood:0.5]",
        "[bl:x:10]ood",
        "[dog|blood]",
        "a cat AND blood:0.5",
        "a cat BREAK blood",
        "<lora:blood:1>",
        "((((blood",
        "a | blood",
    ],
)
def test_a_word_is_found_however_it_is_written(prompt: str) -> None:
    assert find_blocked(prompt, WORDS) == "Blood"


@pytest.mark.parametrize(
    "prompt",
    ["", "a cat", "bloodhound", "lifeblood", "red, blue car", "car red", "ak", "a 8 k", "blo od"],
)
def test_other_words_are_not(prompt: str) -> None:
    assert find_blocked(prompt, WORDS) is None


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ("a RED   car", "red car"),
        ("a (red) car", "red car"),
        ("red_car", "red car"),
        ("流血の絵", "血"),
        ("wallpaper, 4K", "4k"),
    ],
)
def test_phrases_digits_and_scripts_without_spaces(prompt: str, word: str) -> None:
    assert find_blocked(prompt, WORDS) == word


def test_marks_make_other_letters_in_other_scripts() -> None:
    assert find_blocked("がく", ("かく",)) is None
    assert find_blocked("がく", ("がく",)) == "がく"
    # Written as a letter and a mark of its own.
    assert find_blocked("\u304b\u3099く", ("がく",)) == "がく"


def test_words_of_another_alphabet_are_themselves() -> None:
    assert find_blocked("красная кровь", ("Кровь",)) == "Кровь"
    assert find_blocked("αίμα παντού", ("αίμα",)) == "αίμα"


def test_reading_what_was_typed() -> None:
    typed = "a, B\n b ,,  red   car、猫\n!!"
    assert read_words(typed) == ("a", "B", "red car", "猫")


def test_without_words_nothing_is_looked_at() -> None:
    assert find_blocked("blood", ()) is None
    assert find_blocked("blood", ("!!",)) is None


@given(st.text(max_size=300))
def test_any_text_is_read(prompt: str) -> None:
    find_blocked(prompt, WORDS)
    assert find_blocked(prompt + " , blood", ("blood",)) == "blood"


def test_a_prompt_that_changes_at_every_step() -> None:
    words = (*(f"word{number}" for number in range(200)), "blood")
    prompt = ("[a|b|c|d|e|f|g] " * 300)[:3990]
    assert find_blocked(prompt, words) is None
    assert find_blocked(f"{prompt}[{'x|' * 100}blood]", words) == "blood"
