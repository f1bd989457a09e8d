"""No token reaches the log, whoever writes it and at whatever level."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import aiohttp
import pytest

from bot.cli import logs

BOT_TOKEN = "MTIz.secret.part"
INTERACTION_TOKEN = "aW50ZXJhY3Rpb246MTIz_-=="
ADDRESS = f"https://discord.com/api/v10/webhooks/12/{INTERACTION_TOKEN}/messages/@original"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for room in logs.ROOMS:
        logging.getLogger(room).setLevel(logging.NOTSET)


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_addresses_with_tokens_are_cut(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(level, BOT_TOKEN)
    trouble = aiohttp.ConnectionTimeoutError(f"Connection timeout to host {ADDRESS}?wait=true")
    logging.getLogger("bot.jobs.jobs").warning("job %d could not be delivered: %s", 3, trouble)
    try:
        raise RuntimeError(f"/interactions/5/{INTERACTION_TOKEN}/callback with Bot {BOT_TOKEN}")
    except RuntimeError:
        logging.getLogger("discord.client").exception("Ignoring exception")
    said = capsys.readouterr().err
    assert "job 3 could not be delivered: Connection timeout to host https://discord.com" in said
    assert "/webhooks/12/…/messages/@original" in said
    assert "/interactions/5/…/callback" in said
    assert INTERACTION_TOKEN not in said
    assert BOT_TOKEN not in said


@pytest.mark.parametrize("library", ["discord.gateway", "discord.http", "aiosqlite", "asyncio"])
def test_what_libraries_debug_is_not_for_a_log(
    library: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up("DEBUG", BOT_TOKEN)
    logging.getLogger(library).debug("{'token': '%s'}", INTERACTION_TOKEN)
    logging.getLogger("core.serving.client").debug("ours is")
    said = capsys.readouterr().err
    assert INTERACTION_TOKEN not in said
    assert "ours is" in said


def test_a_quiet_level_is_for_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("ERROR", BOT_TOKEN)
    logging.getLogger("discord").warning("only a warning")
    logging.getLogger("bot").warning("only a warning")
    assert capsys.readouterr().err == ""
