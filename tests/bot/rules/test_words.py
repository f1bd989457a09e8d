"""Blocked words: whole words only, in whatever letters and brackets they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.rules import words
from bot.rules.words import find_blocked, read_words
from core.prompt.cleaning import clean

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
        "a b l o o d x",
        "cat,dog,b1ood,x",
        "bl00d!!",
        "B-L-O-O-D",
        "(bl)ood",
        "(blood:1.3)",
        "[blood]",
        "[blood:10]",
        "[blood:x:5]",
        "[cat:blood:400]",
        "bl[x:oo:1.5]d",
        "bl[o|x]od",
        "[x|blood]",
        "[cat:blood:0.5]",
        "[bl:x:10]ood",
        "[dog|blood]",
        "a cat AND blood:0.5",
        "blood AND x",
        "blood, a BREAK b",
        "a cat BREAK blood",
        "<lora:blood:1>",
        # As the engine reads it: entities undone, networks and control characters taken out.
        "bl&#111;od",
        "&#98;lood",
        "&#x62;lood",
        "&amp;#98;lood",
        "&amp;#38;amp;amp;amp;amp;#98;lood <lora:x:1>",
        "&#98;lood <",
        "bl&zwnj;ood <",
        "&" + 9 * "amp;" + "#98;lood <",
        "[&amp;#98;|x]lood",
        # An entity that is whole at some step only.
        "bl&#11[1|2];od",
        "&#x6[2:3:0.5];lood",
        "bl&[#111|#112];od",
        "bl&#[111|112]od",
        "bloo&#100",
        "blo<lora:x:1>od",
        "bl\x07ood",
        "blo\x1b[31mod",
        "blo\x1b\\[31mod",
        "ï½‚ï½Œï½\x8fï½\x8fï½„",
        "bl\\ood",
        # And as a reader does.
        "ʙʟᴏᴏᴅ",
        "🅱🅻🅾🅾🅳",
        "🅑🅛🅞🅞🅓",
        "🇧🇱🇴🇴🇩",
        "ɓlood",
        "ƀlood",
        "bl\u0585\u0585d",
        "bl\u04e7od",
        "ᏴᏞOOᎠ",
        "ᗷᒪOOᗪ",
        "bl\u3164ood",
        "b\u115fl\u2800oo\u034fd",
        "b\u0489l\u0489ood",
        "bl🔥ood",
        "bl-ood",
        "bl_oo.d",
        "b[l:x:5]ood",
        "[b|x][l|x]ood",
        "(bl:1.3)ood",
        "[x:bl:0.3][ood:y:9]",
        "11ood bl00d",
        "猫blood犬",
        "((((blood",
        "a | blood",
    ],
)
def test_a_word_is_found_however_it_is_written(prompt: str) -> None:
    assert find_blocked(prompt, WORDS) == "Blood"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a cat",
        "bloodhound",
        "lifeblood",
        "red, blue car",
        "life\u00adblood",
        "car red",
        "ak",
        "a 8 k",
        "blo od",
        "[red|blue] cars",
        "bl [x|y] ood",
        "8100",
        "R&B, AT&T; 100% &",
        "bl&d; bl# od, bl&#",
        "C&# [x|y]",
        "&#97;lood <",
        "(b:1.3) lood",
    ],
)
def test_other_words_are_not(prompt: str) -> None:
    assert find_blocked(prompt, WORDS) is None


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ("a RED   car", "red car"),
        ("a (red) car", "red car"),
        ("red_car", "red car"),
        ("r3d c-a-r", "red car"),
        ("a Яed cаr", "red car"),
        ("(red:1.2)&nbsp;car", "red car"),
        ("流血の絵", "血"),
        ("wallpaper, 4K", "4k"),
    ],
)
def test_phrases_digits_and_scripts_without_spaces(prompt: str, word: str) -> None:
    assert find_blocked(prompt, WORDS) == word


def test_marks_make_other_letters_in_other_scripts() -> None:
    assert find_blocked("がく", ("かく",)) is None
    assert find_blocked("がく", ("がく",)) == "がく"
    assert find_blocked("กน", ("กัน",)) is None
    assert find_blocked("กัน", ("กน",)) is None
    assert find_blocked("ดีกันนะ", ("กัน",)) == "กัน"
    # Written as a letter and a mark of its own.
    assert find_blocked("\u304b\u3099く", ("がく",)) == "がく"


def test_words_of_another_alphabet_are_themselves() -> None:
    assert find_blocked("красная кровь", ("Кровь",)) == "Кровь"
    assert find_blocked("КРОВЬ", ("кровь",)) == "кровь"
    assert find_blocked("αίμα παντού", ("αίμα",)) == "αίμα"
    # With a digit or Latin letters among its own.
    assert find_blocked("кр0вь", ("кровь",)) == "кровь"
    assert find_blocked("kpoвь", ("кровь",)) == "кровь"


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        # A mouth, a cat, a wound, a row: only roughly like Latin letters.
        ("рот", "pot"),
        ("кот", "kot"),
        ("рана", "paha"),
        ("вор", "bop"),
        ("και", "kai"),
        ("р0т", "pot"),
        ("50 100 8008", "so"),
        ("n u", "nu"),
    ],
)
def test_a_word_of_another_alphabet_is_no_latin_one_by_accident(prompt: str, word: str) -> None:
    assert find_blocked(prompt, (word,)) is None


def test_a_word_that_cannot_be_told_from_a_latin_one_is_one() -> None:
    assert find_blocked("сосо", ("coco",)) == "coco"
    assert find_blocked("РОТ", ("pot",)) == "pot"
    # Beside a Latin letter the rest is read generously.
    assert find_blocked("кiтten", ("kitten",)) == "kitten"


def test_glass_is_no_other_word() -> None:
    words = ("ass", "cum", "tit")
    for prompt in ("glass", "grass, class", "document", "title", "stained glass-work", "cumulus"):
        assert find_blocked(prompt, words) is None
    assert find_blocked("as-s", words) == "ass"


def test_a_letter_stands_for_itself_and_a_digit_for_whatever_it_resembles() -> None:
    assert find_blocked("fail", ("fall",)) is None
    assert find_blocked("fall", ("fail",)) is None
    for prompt in ("fa1l", "f@!l", "FAI1", "f411"):
        assert find_blocked(prompt, ("fail",)) == "fail"
        assert find_blocked(prompt, ("fall",)) == "fall"
    assert find_blocked("k1l1", ("kill",)) == "kill"
    assert find_blocked("r3d", ("r3d", "red car")) == "r3d"


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


# Ways to write one letter, ``{}``, that a reader or the engine takes for that letter.
WRAPPED = (
    "{}",
    "({})",
    "({}:1.3)",
    "[{}]",
    "[{}|x]",
    "[x|{}|yy]",
    "[{}:x:0.4]",
    "[x:{}:4]",
    "{}\u0301",
    "{}\u0489",
    "{}\u200b",
    "{}\u3164",
    "\u00ad{}",
    "\x07{}",
    "{}<lora:x:1>",
    "{}-",
    "_{}",
    "{}.",
    "{}🔥",
    "\\\\{}",
)
LETTERS = {
    "k": ["k", "K", "ｋ", "ᴋ", "🅺", "ƙ", "ķ", "𝓴", "&#107;", "&amp;#x6b;", "Κ", "ⓚ"],
    "i": ["i", "I", "ｉ", "ɪ", "🅸", "ɨ", "î", "𝒾", "&#105;", "&amp;#x69;", "і", "ι", "1", "!"],
    "l": ["l", "L", "ｌ", "ʟ", "🅻", "ł", "ļ", "𝓁", "&#108;", "&amp;#x6c;", "Ꮮ", "ⓛ"],
    "n": ["n", "N", "ｎ", "ɴ", "🅽", "ɲ", "ñ", "𝓷", "&#110;", "&amp;#x6e;", "Ν", "ո"],
    "o": ["o", "O", "ｏ", "ᴏ", "🅾", "ø", "ö", "𝓸", "&#111;", "&amp;#x6f;", "о", "ο", "օ", "0"],
}


@given(st.data())
def test_a_word_is_found_whatever_disguises_are_mixed(data: st.DataObject) -> None:
    letters = [data.draw(st.sampled_from(LETTERS[letter])) for letter in "kilno"]
    wraps = [data.draw(st.sampled_from(WRAPPED)) for _ in letters]
    word = "".join(wrap.format(letter) for wrap, letter in zip(wraps, letters, strict=True))
    assert find_blocked(word, ("kilno",)) == "kilno"
    assert find_blocked(f"a cat, {word} on a mat", ("zebra", "kilno")) == "kilno"


BLOCKED = (
    *("ass", "blood", "boob", "cock", "cop", "cum", "gore", "hoe", "kill", "naked", "nude", "nsfw"),
    *("paha", "penis", "poop", "porn", "pot", "rape", "sex", "tit", "tot", "whore", "red car"),
)
ORDINARY = {
    "English": "a glass of cocktail on the copper table, classic Essex title, document 8k, 50mm "
    "f/1.8, (masterpiece:1.2), [dim|bright] light, accumulate, therapist, skillful, hoedown, "
    "pots, 1girl, look_at_viewer, 16:9, R&B, semi-nudge, sextant, grape, bl00m, a <3",
    "Russian": "кот и рот, нос, сон, рана, вор поёт тихо, красная корова несёт сено, "
    "мороз и солнце, тот хор, вера, море, тень, рассвет над рекой, КРАСНЫЙ ТРАКТОР, сосна, "
    "потом роса, рак, сок, кекс, секс-шоп закрыт, 3Д-рендер, 8К, тёмный лес, нет, он, она, как",
    "Greek": "γάτα στο παράθυρο, φως του ήλιου, θάλασσα και ουρανός, για να ζει, κόκκινο όρος",
    "Japanese": "窓辺に座る猫、桜、夕焼けの空、8K、高画質、アニメ調、がく、ソフトライト、1人の少女",
    "Chinese": "窗台上的猫，樱花，夕阳，4k高清，杰作，最佳质量，一个女孩，口中含花，工厂，上下",
}


@pytest.mark.parametrize("language", ORDINARY)
@given(st.data())
def test_ordinary_prompts_are_drawn(language: str, data: st.DataObject) -> None:
    words = st.lists(st.sampled_from(ORDINARY[language].split()), min_size=1, max_size=20)
    assert find_blocked(" ".join(data.draw(words)), BLOCKED) is None


def test_a_prompt_that_changes_at_every_step() -> None:
    words = (*(f"word{number}" for number in range(199)), "blood")
    prompt = ("[a|b|c|d|e|f|g] " * 300)[:3990]
    assert find_blocked(prompt, words) is None
    assert find_blocked(f"{prompt}[{'x|' * 100}blood]", words) == "blood"


def test_a_change_late_among_many() -> None:
    prompt = "[a|b] [x:bl:100][y|ood] " + "very detailed " * 250
    assert find_blocked(prompt, ("blood",)) == "blood"


@pytest.mark.parametrize("number", [1, 200])
def test_each_word_is_read_once_however_often_the_prompt_changes(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tuple(f"word{place}" for place in range(number))
    alternation = f"[{'|'.join(f'x{option}' for option in range(150))}]"
    prompt = f"{alternation} " + "a cat on a mat, very detailed, " * 100
    assert find_blocked("a", blocked) is None
    read: list[str] = []

    def counted(text: str, *, open_clip: bool) -> str:
        read.append(text)
        return clean(text, open_clip=open_clip)

    monkeypatch.setattr(words, "clean", counted)
    assert find_blocked(prompt, blocked) is None
    assert len(read) == len(set(read)) <= 160
    assert "x20" in read


def test_no_more_is_read_than_the_core_would_draw() -> None:
    alternation = f"[{'|'.join(f'x{option}' for option in range(150))}] "
    versions = list(words._versions(alternation + "very detailed " * 200))
    assert 100_000 < sum(map(len, versions)) < 300_000


def test_entities_of_entities_take_no_time() -> None:
    assert next(words._versions("&amp;#38;AMP;" + "amp;" * 900 + "#98;")) == "&#98;"
