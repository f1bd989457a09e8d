from __future__ import annotations

import pytest

from core.errors import InvalidRequest
from core.options import RANGES
from core.request import parse_size
from core.typed import half_width, separated


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("２０，７、５１２ｘ７６８", "20,7,512x768"),
        ("−1", "-1"),
        ("－1", "-1"),
        ("ー１", "-1"),
        ("1〜12", "1-12"),
        ("1～12 （＋2）", "1-12 (+2)"),
        ("1‐2 1‑2 1–2 1—2", "1-2 1-2 1-2 1-2"),
        ("７．５", "7.5"),
        ("7\u3000２０", "7 20"),
        ("5²", "5²"),
        ("512×768", "512×768"),
    ],
)
def test_numbers_of_any_keyboard(typed: str, plain: str) -> None:
    assert half_width(typed) == plain


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("猫、犬，鳥", "猫,犬,鳥"),
        ("猫、白, 犬", "猫、白, 犬"),
        ('"猫、白"、犬', '"猫、白",犬'),
        ('猫，"犬', '猫,"犬'),
        ("ー〜", "ー〜"),
    ],
)
def test_commas_between_names(typed: str, plain: str) -> None:
    assert separated(typed) == plain


@pytest.mark.parametrize("typed", ["−1", "－1", "–1", "ー１", " -1 "])
def test_a_seed_of_minus_one_can_be_copied_from_anywhere(typed: str) -> None:
    assert RANGES["seed"].read("seed", typed) == -1


def test_what_is_no_number_is_named_as_it_was_typed() -> None:
    assert RANGES["cfg_scale"].read("cfg_scale", "７．５") == 7.5
    for name, typed in (("steps", "7.5"), ("cfg_scale", "七"), ("seed", "−"), ("seed", "")):
        with pytest.raises(InvalidRequest) as raised:
            RANGES[name].read(name, typed)
        assert (raised.value.field, raised.value.value) == (name, typed)


@pytest.mark.parametrize("typed", ["512x768", "５１２ｘ７６８", "５１２×７６８", "512＊768"])
def test_a_size_of_any_keyboard(typed: str) -> None:
    assert parse_size(typed) == (512, 768)
