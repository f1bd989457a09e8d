"""No token reaches the log, whoever writes it and at whatever level."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import aiohttp
import pytest

from bot.cli import logs
from bot.settings import Settings
from core.errors import OutOfMemory
from tests.simulation import World, simulate

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


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO", BOT_TOKEN, "json")
    logging.getLogger("bot.a").info('job %d: "quoted"\nand %s', 7, ADDRESS)
    try:
        raise RuntimeError(f"with Bot {BOT_TOKEN}")
    except RuntimeError:
        logging.getLogger("discord").exception("日本語")
    first, second = lines(capsys.readouterr().err)
    assert (first["level"], first["logger"], first["job"]) == ("INFO", "bot.a", 7)
    assert first["message"] == 'job 7: "quoted"\nand ' + ADDRESS.replace(INTERACTION_TOKEN, "…")
    assert str(first["time"]).endswith("+00:00")
    assert "error" not in first
    assert (second["message"], "job" in second) == ("日本語", False)
    assert str(second["error"]).startswith("Traceback")
    assert str(second["error"]).endswith("RuntimeError: with Bot …")


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_line_names_its_job(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO", BOT_TOKEN, log_format)
    log = logging.getLogger("bot.posts.sender")

    async def follow() -> None:
        log.info("the post could not be edited")
        log.info("job 12: it was sent")

    await asyncio.create_task(follow(), name="job 12")
    await asyncio.to_thread(log.info, "nobody's")
    written = capsys.readouterr().err.splitlines()
    if log_format == "json":
        assert [each.get("job") for each in lines("\n".join(written))] == [12, 12, None]
    else:
        texts = ["job 12: the post could not be edited", "job 12: it was sent", "nobody's"]
        for line, text in zip(written, texts, strict=True):
            assert line.endswith(text)
            assert line.count("job 12") == text.count("job 12")


def test_a_flood_is_a_few_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(logs.Bounded.__init__, "__defaults__", (lambda: now[0],))
    logs.set_up("INFO", BOT_TOKEN)
    flood, other = logging.getLogger("bot.answers"), logging.getLogger("bot.jobs")
    for number in range(10_000):
        flood.warning("could not answer %d", number)
    other.warning("something else")
    written = capsys.readouterr().err.splitlines()
    assert len(written) == logs.BURST + 1
    assert written[-2].endswith("could not answer 19 (more like it are only counted for 60 s)")
    assert written[-1].endswith("something else")
    now[0] = 61.0
    flood.warning("could not answer %d", 10_000)
    flood.warning("could not answer %d", 10_001)
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(f"could not answer 10000 (and {10_000 - logs.BURST} more like it since)")
    assert second.endswith("could not answer 10001")


def test_kinds_without_end_take_no_memory(capsys: pytest.CaptureFixture[str]) -> None:
    bounded = logs.Bounded()
    for number in range(3 * logs.KINDS):
        record = logging.LogRecord("library", 20, "", 0, f"value {number}", None, None)
        assert bounded.filter(record)
    assert len(bounded._kinds) <= logs.KINDS


def test_a_line_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("INFO", BOT_TOKEN, "json")
    logging.getLogger("bot").info("x" * 1_000_000)
    written = capsys.readouterr().err
    assert len(written) < logs.MAX_LENGTH + 200
    assert str(lines(written)[0]["message"]).endswith(" …")
    # A token is not cut in two, which would leave its half.
    logging.getLogger("bot").info("x" * (logs.MAX_LENGTH - 5) + BOT_TOKEN)
    assert BOT_TOKEN[:5] not in capsys.readouterr().err


async def busy_run(world: World) -> list[str]:
    """Members do everything while all goes wrong; returns what nobody may read in a log."""
    bot, tokens = world.bot, []
    create = bot.store.jobs.create

    async def noted(*arguments: object, **values: object) -> object:
        tokens.append(str(values.get("interaction_token")))
        return await create(*arguments, **values)  # type: ignore[arg-type]

    bot.store.jobs.create = noted  # type: ignore[method-assign,assignment]
    for number in range(12):
        if number % 3 == 0:
            world.engine.fail_next(OutOfMemory(512, 512))
        await world.ann.slash(world.channel, "imagine", prompt=f"secret wish {number}")
        await world.bob.slash(world.channel, "imagine", prompt="secret wish", model="none such")
    # Discord has lost the post, then its answer; a bug; a file that is gone.
    post = world.last
    await world.ann.click(post, label="New seed")
    for picture in await bot.store.pictures.of_job(2):
        picture.path.unlink()
    await world.bob.slash(world.channel, "show", id=2)

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"a bug at /webhooks/12/{tokens[-1]}/messages")

    bot.jobs.imagine = broken  # type: ignore[method-assign]
    await world.ann.slash(world.channel, "imagine", prompt="secret wish")
    list(world.env.errors)
    return [*tokens, "secret wish"]


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_busy_run_logs_no_secret(
    settings: Settings, log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up("DEBUG", BOT_TOKEN, log_format)
    async with simulate(settings) as world:
        secrets = await busy_run(world)
    written = capsys.readouterr().err
    assert "a bug at /webhooks/12/…/messages" in written
    assert "job 1 failed" in written
    assert len(set(secrets)) > 5
    for secret in secrets:
        assert secret not in written
    if log_format == "json":
        assert {"time", "level", "logger", "message"} <= set(lines(written)[0])
