from __future__ import annotations

import ast
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from unittest.mock import Mock

import discord
import pytest
from discord import app_commands

from bot.errors import expected, sentence
from bot.exceptions import Several, Unexpected
from bot.settings import ROOT
from bot.store.errors_json import from_json, to_json
from bot.translate import catalogues, t
from core.errors import (
    ALLOWED,
    PICTURES,
    REFUSALS,
    InvalidRequest,
    PenultimateError,
    QueueFull,
    Refused,
    UnknownName,
)
from core.notes import NOTES
from core.options import RANGES
from core.sheets.axes import AXES
from tests.every_error import EVERY

SENTENCES = catalogues()["en"]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: f"{type(error).__name__}: {error}")
def test_every_error_of_the_tree_has_a_sentence_of_its_own(error: PenultimateError) -> None:
    said = sentence(error, "en-US")
    assert said[0].isupper() or said[0].isdigit() or said.startswith("**")
    assert said.endswith((".", "?", "!"))
    assert len(said) <= 400
    assert said != str(error)


def test_the_list_above_is_the_whole_tree() -> None:
    def tree(cls: type[PenultimateError]) -> set[type[PenultimateError]]:
        return {cls}.union(*(tree(child) for child in cls.__subclasses__()))

    # Other tests' own errors do not count.
    classes = {cls for cls in tree(PenultimateError) if cls.__module__.startswith(("core", "bot"))}
    assert classes - {PenultimateError} == {type(error) for error in EVERY}


# A form's errors are never a job's.
@pytest.mark.parametrize(
    "error", [each for each in EVERY if not isinstance(each, Several)], ids=str
)
def test_an_error_can_be_kept_as_json(error: PenultimateError) -> None:
    again = from_json(json.loads(json.dumps(to_json(error))))
    assert type(again) is type(error)
    for field in fields(error):
        assert getattr(again, field.name) == getattr(error, field.name)


@pytest.mark.parametrize(
    "kept", [{"class": "FromTheFuture", "fields": {}}, {"class": "QueueFull", "fields": {"a": 1}}]
)
def test_an_error_of_another_version_is_still_an_error(kept: dict[str, object]) -> None:
    assert isinstance(from_json(kept), Unexpected)


def test_a_members_words_are_shown_short_and_plain() -> None:
    said = sentence(UnknownName("model", "**@everyone**\n" + "x" * 6000))
    assert "\\*\\*" in said
    assert "\n" not in said
    assert len(said) < 200


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RANGES["clip_skip"].invalid("clip_skip", "13"),
            "The clip skip must be from 1 to 12, not “13”.",
        ),
        (
            RANGES["width"].invalid("width", "513"),
            "The width must be a multiple of 8 from 64 to 2048, not “513”.",
        ),
        (
            InvalidRequest("prompt", "4001", "at_most", high=4000),
            "The prompt can be up to 4000 characters long; yours has 4001.",
        ),
        (
            InvalidRequest("preset_name", "0", "length", 1, 40),
            "The preset name must be 1 to 40 characters long; yours has 0.",
        ),
        (RANGES["seed"].invalid("seed", "x"), "The seed must be from 0 to 4294967295, not “x”."),
    ],
)
def test_what_is_allowed_reads_well(error: InvalidRequest, said: str) -> None:
    assert sentence(error) == said


def test_an_error_kept_with_its_bounds_in_english_still_has_a_sentence() -> None:
    values = {"field": "clip_skip", "value": "13", "allowed": "1 to 12"}
    kept = from_json({"class": "InvalidRequest", "fields": values})
    assert "This clip skip can’t be used" in sentence(kept)
    assert "1 to 12" not in sentence(kept, "ja")


def test_what_only_the_owner_can_act_on_is_not_said_to_members() -> None:
    error = Refused("model", "x", "missing", "unet conv_in.weight")
    assert "conv_in" in str(error)
    assert "conv_in" not in sentence(error)


# Which arguments of what is raised or noted are the ends of keys, below which key.
CLOSED = {
    "InvalidRequest": {0: "option", 2: "error.invalid"},
    "invalid": {0: "option"},
    "check": {0: "option"},
    "UnknownName": {0: "kind"},
    "unknown": {0: "kind"},
    "Refused": {0: "kind", 2: "error.refused"},
    "_refused": {1: "error.refused", 3: "kind"},
    "UnreadablePicture": {0: "error.unreadable_picture"},
    "SheetTooLarge": {0: "error.sheet_too_large"},
    "QueueFull": {0: "error.queue_full"},
    "Gone": {0: "error.gone"},
    "NotYours": {0: "error.not_yours"},
    "TooMany": {0: "error.too_many"},
    "BadPreset": {0: "error.bad_preset"},
    "NotAllowed": {0: "error.rule"},
    "UnreadableSettings": {0: "error.unreadable_settings"},
    "CannotExplore": {0: "error.cannot_explore"},
    "of": {0: "note"},
}


def named(call: ast.Call) -> str:
    """The last name of what is called: ``of`` for ``Note.of``."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def words(node: ast.expr) -> Iterator[str]:
    """The texts that an argument can be, as far as they stand in the call."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from words(body)
            yield from words(orelse)


def test_every_word_in_what_is_raised_or_noted_has_a_sentence() -> None:
    found = 0
    for path in (
        path for house in ("core", "bot", "cogs") for path in (ROOT / house).rglob("*.py")
    ):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            for place, below in CLOSED.get(named(call), {}).items():
                for word in words(call.args[place]) if place < len(call.args) else ():
                    found += 1
                    assert f"{below}.{word.replace(' ', '_')}" in SENTENCES, (path, call.lineno)
    assert found > 150
    for kind in AXES:
        assert f"option.{kind.field}" in SENTENCES


@pytest.mark.parametrize(
    ("below", "table"),
    [
        ("error.invalid.", {*ALLOWED, "other"}),
        ("error.refused.", REFUSALS),
        ("error.unreadable_picture.", PICTURES),
        ("note.", NOTES),
    ],
)
def test_the_cores_tables_are_the_catalogues(below: str, table: set[str]) -> None:
    assert {key.removeprefix(below) for key in SENTENCES if key.startswith(below)} == set(table)


def test_an_unexpected_error_is_logged_under_the_number_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        said = sentence(KeyError("inner detail"))
    (record,) = caplog.records
    (incident,) = re.findall(r"`(\w{6})`", said)
    assert incident in record.getMessage()
    assert record.exc_info is not None
    assert "inner detail" not in said


def test_an_expected_error_is_kept() -> None:
    error = QueueFull("owner", 5)
    assert expected(error) is error
    assert expected(app_commands.CommandInvokeError(Mock(), error)) is error
    assert isinstance(expected(ValueError("x")), Unexpected)


def wrapped(error: Exception) -> app_commands.CommandInvokeError:
    command = Mock()
    command.name = "imagine"
    return app_commands.CommandInvokeError(command, error)


def http(cls: type[discord.HTTPException], status: int) -> discord.HTTPException:
    return cls(Mock(status=status, reason="no"), {"code": 0, "message": "inner detail"})


TRANSFORMER = app_commands.TransformerError(
    "*x*", discord.AppCommandOptionType.string, Mock(spec=app_commands.Transformer)
)


DISCORDS: list[tuple[Exception, str]] = [
    (app_commands.CommandOnCooldown(app_commands.Cooldown(1, 9), 3.2), "4 s"),
    (app_commands.MissingPermissions(["manage_guild"]), "Manage Server"),
    (app_commands.BotMissingPermissions(["attach_files"]), "Attach Files"),
    (app_commands.NoPrivateMessage(), "server"),
    (app_commands.CheckFailure("inner detail"), "Only the bot owner"),
    (TRANSFORMER, "\\*x\\*"),
    (app_commands.CommandNotFound("imagine", []), "Reload"),
    (http(discord.Forbidden, 403), "can’t post here"),
    (http(discord.DiscordServerError, 503), "Discord is having problems"),
    (sqlite3.OperationalError("inner detail"), "nothing was started"),
    (discord.InteractionResponded(Mock()), "took too long"),
    (QueueFull("total", 100), "100"),
]


@pytest.mark.parametrize(("error", "said_of_it"), DISCORDS)
@pytest.mark.parametrize("wrap", [False, True])
def test_discords_and_the_stores_errors(error: Exception, said_of_it: str, wrap: bool) -> None:
    said = sentence(wrapped(error) if wrap else error)
    assert said_of_it in said
    assert "inner detail" not in said


def test_every_sentence_is_reached_by_some_error(monkeypatch: pytest.MonkeyPatch) -> None:
    said: set[str] = set()

    def recorded(key: str, *args: object, **values: object) -> str:
        said.add(key)
        return t(key, *args, **values)  # type: ignore[arg-type]

    monkeypatch.setattr("bot.errors.t", recorded)
    for error in (
        *EVERY,
        *(error for error, _ in DISCORDS),
        InvalidRequest("steps", "0", "1 to 150"),
    ):
        sentence(error)
    assert said >= {key for key in SENTENCES if key.startswith("error.")}


@pytest.mark.parametrize(
    ("name", "traced"), [("SQLITE_FULL", False), ("SQLITE_IOERR_WRITE", False), ("ERROR", True)]
)
def test_what_the_disk_does_is_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture, name: str, traced: bool
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = getattr(sqlite3, name, 1)
    expected(error)
    (record,) = caplog.records
    assert (record.exc_info is not None) == traced
