"""Every language says everything the English catalogue says, in words that Discord takes."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from discord import Locale, app_commands

from bot.errors import sentence
from bot.exceptions import NotAllowed
from bot.posts.result import note_text
from bot.translate import CatalogueTranslator, catalogues
from cogs.config.wording import LANGUAGES
from core.errors import UnknownName
from core.notes import Note
from tests.simulation import World, answer, buttons, text

ENGLISH = catalogues()["en"]
OTHERS = ("ja", "zh-CN", "zh-TW")

# The longest that Discord takes, by what the key's beginning says of the sentence.
LIMITS = {
    "describe.": 100,
    "command.": 100,
    "menu.": 32,
    "control.": 80,
    "config.open.": 80,
    "config.nsfw.": 100,
    "result.clip_skip_": 100,
    "edit.": 45,
    "start.": 45,
    "form.": 45,
}


def places(sentence: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None)


def code(sentence: str) -> set[str]:
    """What is written in code's letters is typed as it stands, in any language."""
    return set(re.findall(r"`[^`]*`", sentence))


def test_the_languages_of_the_panel_are_the_catalogues() -> None:
    assert set(LANGUAGES) == set(catalogues()) == {"en", *OTHERS}


@pytest.mark.parametrize("language", OTHERS)
def test_every_key_exists(language: str) -> None:
    assert set(catalogues()[language]) == set(ENGLISH)


@pytest.mark.parametrize("language", OTHERS)
def test_places_code_and_markdown_are_the_same(language: str) -> None:
    for key, said in catalogues()[language].items():
        english = ENGLISH.get(key, said)
        assert places(said) == places(english), key
        assert code(said) == code(english), key
        assert said.count("**") == english.count("**"), key
        for mark in ("-# ", "- ", "⚠️ "):
            assert said.startswith(mark) == english.startswith(mark), key


@pytest.mark.parametrize("language", sorted(catalogues()))
def test_every_sentence_fits_where_discord_shows_it(language: str) -> None:
    for key, said in catalogues()[language].items():
        assert said.strip(), key
        for start, limit in LIMITS.items():
            if key.startswith(start) and not key.startswith(("edit.your", "form.preset_")):
                assert len(said) <= limit, (key, len(said))


# What Discord is told.


async def payloads(world: World) -> list[dict[str, Any]]:
    """Every command as it is sent to Discord, in all languages."""
    tree, translator = world.bot.tree, CatalogueTranslator()
    return [await each.get_translated_payload(tree, translator) for each in tree.get_commands()]


def below(sent: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield sent
    for option in sent.get("options") or []:
        yield from below(option)


async def test_discord_is_told_every_description_in_every_language(world: World) -> None:
    commands = await payloads(world)
    assert {"imagine", "settings", "config"} <= {command["name"] for command in commands}
    for option in (option for command in commands for option in below(command)):
        if option.get("description"):
            assert set(option["description_localizations"]) == set(OTHERS), option["name"]
        if option.get("type") == 3 and "description" not in option:
            assert set(option["name_localizations"]) == set(OTHERS), option["name"]


# What members read.


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("ja", ("シード", "新しいシード")),
        ("zh-CN", ("种子", "新种子")),
        ("zh-TW", ("種子", "新種子")),
    ],
)
async def test_a_result_is_in_the_members_language(
    world: World, speak: Callable[[str], None], locale: str, words: tuple[str, str]
) -> None:
    speak(locale)
    await world.ann.slash(world.channel, "imagine", prompt="cat")
    assert words[0] in text(world.last)
    assert words[1] in buttons(world.last)


@pytest.mark.parametrize(
    ("server", "locale", "language"),
    [
        (None, "de", "en"),
        (None, "zh-TW", "zh-TW"),
        ("ja", "de", "ja"),
        ("zh-CN", "zh-TW", "zh-TW"),
        ("ja", "zh-CN", "zh-CN"),
        ("ja", "en-GB", "en"),
        ("en", "de", "en"),
        ("en", "ja", "ja"),
        ("ja", "xx", "ja"),
    ],
)
async def test_a_member_is_answered_in_their_language_else_in_the_servers(
    world: World, speak: Callable[[str], None], server: str | None, locale: str, language: str
) -> None:
    servers = world.bot.store.servers
    await servers.update(world.guild.id, lambda one: replace(one, language=server))
    sentences = catalogues()[language]
    speak(locale)
    queue = text(answer(await world.ann.slash(world.channel, "queue")))
    assert sentences["queue.line"].format(running=0, waiting=0) in queue
    refused = await world.ann.slash(world.channel, "imagine", prompt="x", model="nowhere")
    # Reading the errors accepts those with a sentence.
    list(world.env.errors)
    none = sentences["error.unknown_name.none"]
    assert none.format(kind=sentences["kind.model"], name="nowhere") in text(answer(refused))


@pytest.mark.parametrize(
    ("locale", "note", "words"),
    [
        ("ja", Note.of("long_prompt", which="prompt", tokens=90, chunks=2), "プロンプトは90"),
        ("zh-CN", Note.of("unknown_name", kind="schedule type", name="x"), "调度类型"),
        ("ja", Note.of("unreadable_range", name="Steps", value="0", low=1, high=150), "1〜150"),
        ("ja", Note.of("not_used", names=("Eta", "RNG")), "Eta、RNG"),
        ("en-US", Note.of("not_used", names=["Eta", "RNG"]), "Eta, RNG"),
        ("en-US", Note.of("unknown_name", kind="VAE", name="x"), "VAE called “x”"),
        ("ja", Note.of("lora_left_out", kind="lora", name="prompt"), "`<lora:prompt>`"),
    ],
)
def test_a_note_names_things_in_the_members_language(locale: str, note: Note, words: str) -> None:
    assert words in note_text(note, locale)


@pytest.mark.parametrize("locale", OTHERS)
def test_permissions_and_lists_are_in_the_members_language(locale: str) -> None:
    denied = app_commands.MissingPermissions(["manage_guild", "manage_messages"])
    assert "Manage" not in sentence(denied, Locale(locale))
    assert "、" in sentence(denied, Locale(locale))
    assert "**7**、**8**" in sentence(UnknownName("model", "6", ("7", "8")), locale)
    assert "<#1>、<#2>" in sentence(NotAllowed("channel", "", ("<#1>", "<#2>")), locale)


def test_no_english_sentence_counts_one_of_many() -> None:
    """A number before a plural reads oddly when it is one: “1 jobs”. A bound may stand there."""
    numbers = r"\{(?:count|jobs|models|vaes|presets|pictures|left)\} (?!of\b|more\b)\w+s\b"
    found = {key: text for key, text in ENGLISH.items() if re.search(numbers, text)}
    assert not found
