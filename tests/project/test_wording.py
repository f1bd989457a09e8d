"""One word for one thing: what docs/languages.md says of the words is true of every sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bot.translate import catalogues
from cogs.help import PAGES

ENGLISH = catalogues()["en"]
OTHERS = ("ja", "zh-CN", "zh-TW")
ALL = sorted(catalogues())

# What is not said, and what is said instead. A prompt's own example is in backticks.
ENGLISH_WORDS = {
    r"pictures?": "image",
    r"draw|draws|drawn|drawing|drew": "generate",
    r"sheets?|strips?": "grid",
    r"in line|the line": "queue",
    r"posts|(?:a|the|this|that|old) post": "message",
    r"I|I’m|me|mine": "the bot",
    r"bot’s owner|owner’s": "bot owner",
    r"take back|taken back": "cancel",
    r"cancelled|colours?|grey|favour": "US spelling",
    r"let go|letting go": "reset, unpin",
    r"left out|not used": "ignored",
    r"select under|the selects?|knobs?": "menu, button",
    r"at most|(?:the )?most (?:steps|images|jobs|cells)": "up to, max, limit",
    r"every ?body|any ?body|some ?body|whoever": "everyone, anyone, someone",
    r"cannot|can not|could not|do not|does not|is not|are not|was not|will not|there is": "can’t …",
    r"latents?": "image",
    r"once more|anew": "again",
    r"such a|by itself|by themselves": "plain words",
    r"advice": "recommended",
    r"graphics memory": "VRAM",
}
OTHER_WORDS = {
    "ja": (
        "CLIPスキップ",
        "潜在表現",
        "コンマ",
        "除外",
        "所有者",
        "最大",
        "作れません",
        "私",
        "：",
        "頼んで",
    ),
    "zh-CN": (
        "高清修复",
        "CFG 系数",
        "潜空间",
        "分类",
        "回应",
        "的管理者",
        "禁用",
        "遮罩",
        "我",
        "旋钮",
    ),
    # What is said in Taiwan otherwise than on the mainland.
    "zh-TW": (
        *("默認", "文件夾", "信息", "服務器", "採樣", "引數", "噪聲", "高清", "高分辨率"),
        *("身份組", "用戶", "鏈接", "菜單", "私信", "軟件", "網絡", "質量", "我"),
    ),
}
# 我的 is the member's, on a button.
ALLOWED = {"zh-CN": ("我的",), "zh-TW": ("我的",)}
# What the description of an option that is no value of an image begins with is free.
HAN = "[\u4e00-\u9fff]"


def plain(sentence: str) -> str:
    """A sentence without code, places, marks of Discord's and markdown."""
    return re.sub(r"`[^`]*`|\{\w+\}|<[^>]*>|[*]", "", sentence)


@pytest.mark.parametrize("words", ENGLISH_WORDS)
def test_the_english_uses_the_words_of_the_trade(words: str) -> None:
    found = re.compile(rf"(?<![\w’])(?:{words})(?![\w’])", re.IGNORECASE if words[0] != "I" else 0)
    for key, said in ENGLISH.items():
        assert not found.search(plain(said)), f"{key}: {ENGLISH_WORDS[words]}"


@pytest.mark.parametrize("language", OTHERS)
def test_so_do_the_other_languages(language: str) -> None:
    for key, said in catalogues()[language].items():
        for allowed in ALLOWED.get(language, ()):
            said = said.replace(allowed, "")
        assert not [word for word in OTHER_WORDS[language] if word in said], key


@pytest.mark.parametrize("language", ALL)
def test_a_minus_that_is_copied_can_be_read(language: str) -> None:
    """Only the button's own name has the typographic one."""
    button = catalogues()[language]["control.clip_skip_down"]
    for key, said in catalogues()[language].items():
        assert "−" not in said.replace(button, ""), key


def test_japanese_colons_are_half_width_with_a_space() -> None:
    for key, said in catalogues()["ja"].items():
        assert re.search(r"(?<!「):(?![ \n]|$)", plain(said).replace("style:", "")) is None, key


@pytest.mark.parametrize("language", ["zh-CN", "zh-TW"])
def test_chinese_punctuation_is_full_width(language: str) -> None:
    for key, said in catalogues()[language].items():
        text = re.sub(r"`[^`]*`|<[^>]*>|\*", "", said)
        assert re.search(rf"{HAN}\s?[,;:?!()]|[,;:?!()]\s?{HAN}", text) is None, key


@pytest.mark.parametrize("language", ["zh-CN", "zh-TW"])
def test_chinese_has_a_space_around_latin_letters_and_digits(language: str) -> None:
    for key, said in catalogues()[language].items():
        text = plain(said).replace("宽x高", "").replace("寬x高", "")
        assert re.search(rf"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}", text) is None, key


@pytest.mark.parametrize(("language", "colon"), [("ja", ": "), ("zh-CN", "："), ("zh-TW", "：")])
def test_a_description_opens_with_the_local_term(language: str, colon: str) -> None:
    """Names of commands and options stay English, so their descriptions say what they are."""
    said = catalogues()[language]
    for key, text in said.items():
        group, _, name = key.partition(".")
        if group in ("describe", "command"):
            term, found, _ = text.partition(colon)
            assert found, key
            assert not re.search("[、。，；,.]", term), key
            if group == "describe" and (option := said.get(f"option.{name}")):
                assert term.startswith(option), key


# Buttons and menus in a text.


def bold(sentence: str) -> list[str]:
    return re.findall(r"\*\*([^*]+)\*\*", sentence)


def named() -> Iterator[tuple[str, int, str]]:
    """Each label that a text has in bold: the text's key, which bold it is, the label's key."""
    labels = {label: key for key, label in ENGLISH.items() if key.startswith(("control.", "menu."))}
    for key, said in ENGLISH.items():
        for place, label in enumerate(bold(said)):
            if label in labels and not key.startswith("result."):
                yield key, place, labels[label]


@pytest.mark.parametrize("language", ALL)
def test_a_button_is_named_as_it_is_called(language: str) -> None:
    said = catalogues()[language]
    found = list(named())
    assert len(found) > 12
    for key, place, label in found:
        assert bold(said[key])[place] == said[label], key


def test_help_names_buttons_menus_and_reactions() -> None:
    lines = [ENGLISH[f"help.controls.{number}"] for number in range(1, PAGES["controls"] + 1)]
    assert f"help.controls.{len(lines) + 1}" not in ENGLISH
    text = "\n".join(lines)
    labels = [label for key, label in ENGLISH.items() if key.startswith("menu.")]
    labels += [
        ENGLISH[f"control.{name}"] for name in ("clip_skip_down", "new_seed", "edit", "more")
    ]
    assert not set(labels) - set(bold(text))
    assert all(emoji in text for emoji in "🎲⬆⬇✉❌")
