"""Answers that Discord took and did not say so, or would not take: no "thinking…", no traceback."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Any

import aiohttp
import discord
import pytest
from discord import ui

from bot.cli import logs
from bot.client import let_end
from tests.simulation import World, answer, text

CALLBACK = "/interactions/*/*/callback"


def unheard(monkeypatch: pytest.MonkeyPatch, method: str, *, again: bool = False) -> None:
    """Discord takes the first answer of this kind, but its reply to that does not arrive.

    ``again``: discord.py asks once more by itself, and is told that this was answered (40060).
    """
    taken = getattr(discord.InteractionResponse, method)
    lost: list[Any] = []

    async def never_heard(self: Any, *args: Any, **options: Any) -> Any:
        heard = await taken(self, *args, **options)
        if lost:
            return heard
        lost.append(method)
        self._response_type = None
        if again:
            await taken(self, *args, **options)
        raise aiohttp.ServerDisconnectedError

    monkeypatch.setattr(discord.InteractionResponse, method, never_heard)


def one_line_each(caplog: pytest.LogCaptureFixture, count: int = 1) -> None:
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == count, [record.getMessage() for record in said]
    assert all(record.exc_info is None for record in said)


@pytest.mark.parametrize("again", [False, True])
async def test_a_deferral_whose_reply_is_lost_gets_its_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, again: bool
) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    caplog.clear()
    unheard(monkeypatch, "defer", again=again)
    await world.ann.slash(world.channel, "show", id=1)
    (*_, shown) = world.channel.history(viewer=world.ann)
    assert "seed 7" in text(shown)
    one_line_each(caplog)


@pytest.mark.parametrize("again", [False, True])
async def test_an_answer_whose_reply_is_lost_is_given_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, again: bool
) -> None:
    unheard(monkeypatch, "send_message", again=again)
    await world.ann.slash(world.channel, "queue")
    (shown,) = world.channel.history(viewer=world.ann)
    assert "generating" in text(shown)
    one_line_each(caplog)


async def test_a_press_whose_reply_is_lost_changes_the_panel(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    panel = await world.ann.click(answer(made), label="More…")
    asked = await world.ann.click(answer(panel), label="Delete")
    caplog.clear()
    unheard(monkeypatch, "edit_message")
    await world.ann.click(answer(asked), label="Keep it")
    assert any("More" in text(each) or "x" in text(each) for each in world.posts())
    one_line_each(caplog)


@pytest.mark.parametrize(("status", "code"), [(404, 10062), (400, 40060)])
async def test_what_discord_no_longer_takes_is_one_line_of_the_log(
    world: World, caplog: pytest.LogCaptureFixture, status: int, code: int
) -> None:
    world.env.inject_error("POST", CALLBACK, status=status, code=code, times=None)
    world.env.inject_error("*", "/webhooks/*/*/messages/*", status=404, code=10015, times=None)
    for _ in range(3):
        await world.ann.slash(world.channel, "queue")
    list(world.env.errors)
    said = [record for record in caplog.records if "not answered" in record.getMessage()]
    assert len(said) >= 3
    assert not any("incident" in record.getMessage() for record in caplog.records)
    assert [record.exc_info for record in caplog.records if record.name.startswith("bot")] == (
        [None] * sum(record.name.startswith("bot") for record in caplog.records)
    )


def formatted(error: BaseException, name: str) -> str:
    formatter = logs.WithoutTokens(logging.Formatter("%(message)s"), "secret")
    try:
        raise error
    except type(error):
        record = logging.LogRecord(
            name, logging.ERROR, __file__, 1, "it failed", (), sys.exc_info()
        )
    return formatter.format(record)


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ServerDisconnectedError(),
        ConnectionResetError("reset"),
        discord.NotFound(
            type("R", (), {"status": 404, "reason": "x"})(),
            {"code": 10062, "message": "Unknown interaction"},
        ),
    ],
)
def test_what_the_library_says_of_disconnects_has_no_traceback(error: Exception) -> None:
    said = formatted(error, "discord.client")
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    assert type(error).__name__ in said
    assert "Traceback" in formatted(ValueError("a bug"), "discord.client")


async def test_what_was_sent_is_kept_nowhere(world: World) -> None:
    made = await world.ann.slash(world.channel, "imagine", prompt="x", seed=7)
    gc.collect()
    # Those of other tests of this process.
    before = sum(issubclass(type(each), ui.LayoutView) for each in gc.get_objects())
    for _ in range(20):
        await world.ann.click(answer(made), label="More…")
        await world.ann.slash(world.channel, "settings")
    gc.collect()
    store: Any = world.bot._connection._view_store
    assert store._views == {}
    assert store._synced_message_views == {}
    views = [each for each in gc.get_objects() if issubclass(type(each), ui.LayoutView)]
    assert len(views) - before < 5
    # And its controls work.
    again = await world.ann.click(answer(made), label="Clip skip +")
    assert "clip skip 2" in text(answer(again))


async def test_a_use_that_runs_when_the_bot_stops_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.client.SECONDS_TO_END", 0.01)
    names = ("CommandTree-invoker", "discord-ui-dynamic-item-x", "job 1")
    ends = (asyncio.sleep(0), asyncio.Event().wait(), asyncio.Event().wait())
    quick, stuck, other = map(asyncio.create_task, ends)
    for task, name in zip((quick, stuck, other), names, strict=True):
        task.set_name(name)
    await let_end()
    assert not quick.cancelled()
    assert (quick.done(), stuck.cancelled(), other.done()) == (True, True, False)
    other.cancel()


async def test_until_then_it_can_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    async def seen() -> None:
        closed.append(world.bot.is_closed())

    monkeypatch.setattr("bot.client.let_end", seen)
    await world.restart()
    assert closed == [False]
