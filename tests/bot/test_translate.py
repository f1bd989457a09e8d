"""Every sentence a member can see is in the catalogue, and nothing else is."""

from __future__ import annotations

import ast
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from discord import Locale, app_commands

from bot.settings import ROOT
from bot.translate import CatalogueTranslator, catalogues, language_of, speaks, t, text
from core.notes import NOTES

FILES = [*sorted((ROOT / "bot").rglob("*.py")), *sorted((ROOT / "cogs").rglob("*.py"))]
# A key with fields of an error in it, as bot/errors.py has them in its table.
TEMPLATE = re.compile(r"error\.\w+\.\{\w+\}")
CODE = [path for path in FILES if path.name != "translate.py"]


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def patterns(node: ast.expr) -> Iterator[str]:
    """Regular expressions for the keys an argument of ``t`` or ``text`` can be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.escape(node.value)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[^.]+"
            for part in node.values
        )
    elif isinstance(node, ast.IfExp):
        yield from patterns(node.body)
        yield from patterns(node.orelse)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in ("t", "text") and node.args:
                yield name, node


def used() -> dict[str, str]:
    """Pattern → where it is used. A key held in a name counts by its string constants, and so
    does one with fields in it, which a table may hold."""
    found = {}
    for path in CODE:
        tree = ast.parse(path.read_text("utf-8"))
        for _, call in calls(path):
            for pattern in patterns(call.args[0]):
                found[pattern] = f"{path.name}:{call.lineno}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in catalogues()["en"]:
                found[re.escape(str(node.value))] = f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Constant) and TEMPLATE.fullmatch(str(node.value)):
                key = re.escape(re.sub(r"\{\w+\}", "\0", str(node.value))).replace("\0", "[^.]+")
                found[key] = f"{path.name}:{node.lineno}"
    return found


def test_every_key_in_the_code_is_in_the_catalogue() -> None:
    keys = catalogues()["en"]
    missing = {
        pattern: where
        for pattern, where in used().items()
        if not any(re.fullmatch(pattern, key) for key in keys)
    }
    assert not missing


def test_every_key_of_the_catalogue_is_used() -> None:
    expected = list(used())
    unused = [
        key
        for key in catalogues()["en"]
        if not any(re.fullmatch(pattern, key) for pattern in expected)
    ]
    assert not unused


def test_every_place_gets_a_value() -> None:
    """Where the key is a plain string and the values are named, the two sides agree."""
    for path in CODE:
        for name, call in calls(path):
            given = {keyword.arg for keyword in call.keywords}
            if name == "t" and isinstance(call.args[0], ast.Constant) and None not in given:
                key = str(call.args[0].value)
                assert given == placeholders(catalogues()["en"][key]), f"{path.name}: {key}"


def test_every_note_of_the_core_has_a_sentence_with_the_same_places() -> None:
    notes = {
        key.removeprefix("note."): sentence
        for key, sentence in catalogues()["en"].items()
        if key.startswith("note.")
    }
    assert set(notes) == set(NOTES)
    for key, sentence in notes.items():
        assert placeholders(sentence) <= placeholders(NOTES[key]), key


def test_the_catalogues_are_tidy() -> None:
    for path in sorted((ROOT / "data" / "locales").glob("*.json")):
        content = path.read_text("utf-8")
        assert content == json.dumps(json.loads(content), indent=2, ensure_ascii=False) + "\n"


def test_descriptions_fit_discord() -> None:
    for language, keys in catalogues().items():
        for key, sentence in keys.items():
            if key.startswith(("describe.", "command.")):
                assert 1 <= len(sentence) <= 100, (language, key)
            assert len(sentence) <= 400, (language, key)


def test_a_missing_key_and_a_missing_value_raise() -> None:
    with pytest.raises(KeyError):
        t("no.such.key")
    with pytest.raises(KeyError):
        t("error.cooldown", None, minutes=3)


@pytest.fixture
def two_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = {
        "en": {"hello": "Hello {name}", "only.english": "Only"},
        "ja": {"hello": "{name}さん"},
        "zh-CN": {"hello": "你好"},
    }
    monkeypatch.setattr("bot.translate.catalogues", lambda: fakes)


@pytest.mark.usefixtures("two_languages")
@pytest.mark.parametrize(
    ("locale", "language"),
    [
        (Locale.japanese, "ja"),
        ("ja", "ja"),
        (Locale.chinese, "zh-CN"),
        (Locale.taiwan_chinese, "en"),
        (Locale.british_english, "en"),
        ("en-US", "en"),
        (None, "en"),
        ("", "en"),
    ],
)
def test_which_language_serves_a_locale(locale: Locale | str | None, language: str) -> None:
    assert language_of(locale) == language


@pytest.mark.parametrize("locale", ["zh-HK", "zh-Hant", "zh", "en-AU", "de"])
def test_chinese_in_other_characters_is_not_simplified_chinese(locale: str) -> None:
    """It has words of its own (提示詞, 取樣器, 伺服器): English is nearer than the wrong ones."""
    assert language_of(locale) == "en"
    assert speaks(locale) == locale.startswith("en")


async def test_discord_shows_english_descriptions_where_there_is_no_catalogue() -> None:
    context: app_commands.TranslationContextTypes = app_commands.TranslationContext(
        app_commands.TranslationContextLocation.other, data="command.help"
    )
    said = text("command.help")
    assert await CatalogueTranslator().translate(said, Locale.german, context) is None
    assert await CatalogueTranslator().translate(said, Locale.chinese, context) is not None


@pytest.mark.usefixtures("two_languages")
def test_what_a_language_lacks_is_said_in_english() -> None:
    assert t("hello", "ja", name="A") == "Aさん"
    assert t("only.english", "ja") == "Only"


@pytest.mark.usefixtures("two_languages")
async def test_discord_gets_the_descriptions_of_other_languages() -> None:
    translator = CatalogueTranslator()
    context: app_commands.TranslationContextTypes = app_commands.TranslationContext(
        app_commands.TranslationContextLocation.other, data="hello"
    )
    assert await translator.translate(text("hello"), Locale.japanese, context) == "{name}さん"
    assert await translator.translate(text("only.english"), Locale.japanese, context) is None
    assert await translator.translate(text("hello"), Locale.american_english, context) is None
    plain = app_commands.locale_str("a name")
    assert await translator.translate(plain, Locale.japanese, context) is None
