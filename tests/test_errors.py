from __future__ import annotations

import ast
import inspect
import json
import logging
import re
import sqlite3
from dataclasses import fields
from unittest.mock import Mock

import discord
import pytest
from discord import app_commands

from bot.errors import foreseen, from_json, sentence, to_json
from bot.settings import ROOT
from bot.translate import catalogues
from bot.trouble import (
    BadPreset,
    CannotExplore,
    Gone,
    NoModels,
    NotAllowed,
    NotYours,
    QuotaUsed,
    TooLarge,
    TooMany,
    Unexpected,
    Unreachable,
    UnreadableSettings,
)
from core.axes import AXES
from core.errors import (
    EngineCrashed,
    EngineStopped,
    InvalidRequest,
    OutOfMemory,
    PenultimateError,
    QueueFull,
    Refused,
    SheetTooLarge,
    UnknownName,
    UnreadablePicture,
    VaeMismatch,
)
from core.request import RANGES

REFUSALS = ("pickle", "truncated", "unreadable", "family", "channels", "missing")

EVERY: list[PenultimateError] = [
    *(InvalidRequest(name, "x", str(allowed)) for name, allowed in RANGES.items()),
    InvalidRequest("prompt", "4001 characters", "at most 4000"),
    InvalidRequest("negative_prompt", "4001 characters", "at most 4000"),
    InvalidRequest("size", "huge", "width x height, like 512x768"),
    InvalidRequest("steps", "x", "a list like 1-12 or 5, 7, 11"),
    InvalidRequest("preset_name", "41 characters", "1 to 40 characters"),
    InvalidRequest("style_name", "41 characters", "1 to 40 characters"),
    InvalidRequest("template", "0 characters", "1 to 2000 characters"),
    InvalidRequest("private", "7", "yes or no"),
    InvalidRequest("model", "7", "a text"),
    *(
        UnknownName(kind, "x", ("y", "z"))
        for kind in ("model", "VAE", "sampler", "schedule type", "upscaler", "preset")
    ),
    *(Refused(kind, "x", reason, "d") for kind in ("model", "VAE") for reason in REFUSALS),
    VaeMismatch("v", "sdxl", "m", "sd1"),
    *(UnreadablePicture(reason, "d") for reason in ("kind", "damaged", "too_large")),
    *(SheetTooLarge(what, 200, 100) for what in ("values", "cells", "characters")),
    QueueFull("owner", 5),
    QueueFull("total", 100),
    OutOfMemory(2048, 2048),
    EngineCrashed(7),
    EngineStopped("why"),
    Gone("job"),
    Gone("picture"),
    Gone("message"),
    Gone("modal"),
    Gone("share"),
    NotYours("delete"),
    NotYours("cancel"),
    NotYours("edit"),
    NotYours("unshare"),
    TooMany("presets", 50),
    TooMany("styles", 50),
    *(
        BadPreset(reason)
        for reason in ("not_json", "no_preset", "too_large", "missing", "nothing", "empty")
    ),
    NoModels(),
    *(
        NotAllowed(rule, "x", ("<#1>", "<#2>"))
        for rule in (
            "banned",
            "channel",
            "role",
            "restricted",
            "model",
            "model_role",
            "word",
            "nsfw",
            "unchecked",
            "draining",
        )
    ),
    QuotaUsed(50, 49.5, 1.25, 1_800_000_000),
    *(UnreadableSettings(reason) for reason in ("not_json", "not_settings", "newer", "too_large")),
    *(
        CannotExplore(reason)
        for reason in ("no_axis", "no_values", "same_axis", "denoising", "clip_skip", "one_vae")
    ),
    TooLarge(4096, 4096, 2048),
    Unreachable(),
    Unexpected("abc123"),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: f"{type(error).__name__}: {error}")
def test_every_error_of_the_tree_has_a_sentence_of_its_own(error: PenultimateError) -> None:
    said = sentence(error, "en-US")
    assert said[0].isupper() or said.startswith("**")
    assert said.endswith((".", "?", "!"))
    assert len(said) <= 400
    assert said != str(error)


def test_the_list_above_is_the_whole_tree() -> None:
    def tree(cls: type[PenultimateError]) -> set[type[PenultimateError]]:
        return {cls}.union(*(tree(child) for child in cls.__subclasses__()))

    # Other tests' own errors do not count.
    classes = {cls for cls in tree(PenultimateError) if cls.__module__.startswith(("core", "bot"))}
    assert classes - {PenultimateError} == {type(error) for error in EVERY}


@pytest.mark.parametrize("error", EVERY, ids=lambda error: f"{type(error).__name__}: {error}")
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


def test_what_is_allowed_is_said_by_the_catalogue() -> None:
    said = sentence(InvalidRequest("clip_skip", "13", str(RANGES["clip_skip"])))
    assert said == "The clip skip can be 1 to 12; 13 is not."


def test_every_kind_and_field_the_core_names_has_a_word() -> None:
    keys = catalogues()["en"]
    for path in (ROOT / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            first = node.args[0]
            if node.func.id in ("UnknownName", "Refused") and isinstance(first, ast.Constant):
                assert f"kind.{str(first.value).replace(' ', '_')}" in keys, path
            if node.func.id == "InvalidRequest" and isinstance(first, ast.Constant):
                assert f"option.{first.value!s}" in keys, path
    for kind in AXES:
        assert f"option.{kind.field}" in keys


def test_an_unforeseen_error_is_logged_under_the_number_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        said = sentence(KeyError("inner detail"))
    (record,) = caplog.records
    (incident,) = re.findall(r"`(\w{6})`", said)
    assert incident in record.getMessage()
    assert record.exc_info is not None
    assert "inner detail" not in said


def test_foreseen_keeps_what_is_of_the_tree() -> None:
    error = QueueFull("owner", 5)
    assert foreseen(error) is error
    assert foreseen(app_commands.CommandInvokeError(Mock(), error)) is error
    assert isinstance(foreseen(ValueError("x")), Unexpected)


def wrapped(error: Exception) -> app_commands.CommandInvokeError:
    command = Mock()
    command.name = "imagine"
    return app_commands.CommandInvokeError(command, error)


def http(cls: type[discord.HTTPException], status: int) -> discord.HTTPException:
    return cls(Mock(status=status, reason="no"), {"code": 0, "message": "inner detail"})


TRANSFORMER = app_commands.TransformerError(
    "*x*", discord.AppCommandOptionType.string, Mock(spec=app_commands.Transformer)
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (app_commands.CommandOnCooldown(app_commands.Cooldown(1, 9), 3.2), "4 s"),
        (app_commands.MissingPermissions(["manage_guild"]), "Manage Server"),
        (app_commands.BotMissingPermissions(["attach_files"]), "Attach Files"),
        (app_commands.NoPrivateMessage(), "server"),
        (app_commands.CheckFailure("inner detail"), "cannot use that"),
        (TRANSFORMER, "\\*x\\*"),
        (app_commands.CommandNotFound("imagine", []), "Reload"),
        (http(discord.Forbidden, 403), "not allowed"),
        (http(discord.DiscordServerError, 503), "Discord itself"),
        (sqlite3.OperationalError("inner detail"), "not started"),
        (QueueFull("total", 100), "100"),
    ],
)
@pytest.mark.parametrize("wrap", [False, True])
def test_discords_and_the_stores_errors(error: Exception, words: str, wrap: bool) -> None:
    said = sentence(wrapped(error) if wrap else error)
    assert words in said
    assert "inner detail" not in said


def test_every_sentence_is_reached_by_some_error() -> None:
    """No error sentence of the catalogue is dead: each is named in the one map."""
    source = inspect.getsource(__import__("bot.errors", fromlist=["errors"]))
    for key in catalogues()["en"]:
        if key.startswith("error."):
            family = ".".join(key.split(".")[:2])
            assert family in source, key
