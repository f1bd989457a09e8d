"""The door, as somebody at a terminal opens it, and the bot's start against a small Discord."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sqlite3
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import discord
import pytest

import run
from bot.cli import start
from bot.cli.lock import alone_in
from bot.client import Penultimate
from bot.settings import READERS, ROOT, Settings
from bot.store import DatabaseGone, DatabaseTooNew, Store
from core.config import EngineConfig
from core.errors import EngineStopped
from core.request import GenerationRequest
from core.serving.client import EngineClient, EngineStatus
from core.serving.process import EngineProcess
from core.serving.queue import GpuQueue
from tests import stub_engine
from tests.fake_engine import FakeEngine
from tests.simulation import World
from tests.small_discord import (
    TOKEN,
    accepts_the_token,
    ends_the_connection,
    refuses_the_token,
    small_discord,
)


def door(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """``python run.py …`` with none of this machine's settings."""
    unset = {name.upper(): "" for name in READERS}
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        env=os.environ | unset | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


# An owner's own .env would answer in the place of what these tests leave out.
no_dotenv = pytest.mark.skipif((ROOT / ".env").exists(), reason="there is a .env here")


@no_dotenv
@pytest.mark.parametrize("arguments", [(), ("start",)])
def test_start_without_a_token_says_how_to_get_one(arguments: tuple[str, ...]) -> None:
    ended = door(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.strip() == start.NO_TOKEN
    assert "python run.py sandbox" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("command", ["start", "sandbox", "generate", "doctor"])
def test_wrong_settings_are_told_before_anything_else(command: str) -> None:
    prompt = ("a cat",) if command == "generate" else ()
    ended = door(command, *prompt, MAX_STEPS="many", STRICT="perhaps")
    assert ended.returncode == 2
    assert "MAX_STEPS must be a whole number" in ended.stderr
    assert "STRICT must be yes or no" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_package_is_named_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "dotenv.py").write_text("raise ModuleNotFoundError('gone', name='dotenv')\n")
    ended = door("doctor", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 2
    assert "'dotenv' is not installed" in ended.stderr
    assert "python -m pip install -e ." in ended.stderr


def test_the_help_names_every_command() -> None:
    ended = door("--help")
    assert ended.returncode == 0
    for command in ("start", "sandbox", "generate", "parameters", "convert", "fetch", "doctor"):
        assert command in ended.stdout


@pytest.mark.parametrize("port", ["65536", "-3", "80x"])
def test_a_port_that_cannot_be_is_told(port: str) -> None:
    ended = door("sandbox", "--no-browser", "--port", port)
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.endswith(f"argument --port: must be from 0 (any free one) to 65535, not {port!r}")


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = door("sandbox", "--no-browser", "--port", str(port))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"The port {port} cannot be used (Address already in use); give --port another one.\n"
    )


def test_a_device_that_is_not_there_is_told_before_the_page_opens(tmp_path: Path) -> None:
    ended = door("sandbox", "--no-browser", DEVICE="cuda:77", DATA_DIR=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("DEVICE=cuda:77: cuda:77 is not there; ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_wrong_token_stops_only_what_needs_one(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("a cat\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64")
    for command in (("parameters", str(text)), ("convert", str(text)), ("generate", "")):
        ended = door(*command, DISCORD_TOKEN="wrong", DATA_DIR=str(tmp_path))
        assert "DISCORD_TOKEN" not in ended.stderr, command
    assert door("start", DISCORD_TOKEN="wrong").returncode == 2


def test_the_bots_process_imports_no_torch() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("bot", "cogs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        # The sandbox's page is imported when that is opened.
        if path.name not in ("__init__.py", "page.py")
    ]
    code = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'simcord') "
        "if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.stdout.strip() == "[]", ended.stderr


def test_sandbox_gets_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, object]] = []

    def main(settings: Settings, **options: object) -> int:
        calls.append(options)
        return 0

    monkeypatch.setattr("bot.cli.sandbox.main", main)
    monkeypatch.setattr("os.environ", {})
    assert run.main(["sandbox", "--no-browser", "--port", "8123"]) == 0
    assert run.main(["sandbox"]) == 0
    assert calls == [{"port": 8123, "browser": False}, {"port": 0, "browser": True}]


# --- start, against a Discord of a few answers ------------------------------------------------


@pytest.fixture
def with_token(settings: Settings, tmp_path: Path) -> Settings:
    environ = {"DATA_DIR": str(settings.data_dir), "DISCORD_TOKEN": TOKEN}
    return Settings.load(environ, dotenv_path=None)


async def test_a_token_discord_refuses(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_discord(refuses_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        with pytest.raises(discord.LoginFailure):
            await start.serve(with_token, TOKEN)
    assert not with_token.database_path.exists()


def offline(errno: int, strerror: str) -> Exception:
    """What aiohttp raises: its own text names the host and says "ssl:default"."""
    key = Mock(host="discord.com", port=443, ssl=True)
    return aiohttp.ClientConnectorError(key, OSError(errno, strerror))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (discord.LoginFailure("Improper token"), start.BAD_TOKEN),
        (aiohttp.ClientConnectionError("no route"), start.OFFLINE.format(why="")),
        (
            offline(111, "Connect call failed ('1.2.3.4', 443)"),
            "reached: Connect call failed. Check",
        ),
        (offline(-3, "Temporary failure in name resolution"), "in name resolution. Check"),
        (
            discord.DiscordServerError(Mock(status=503, reason="no"), "upstream"),
            start.OFFLINE.format(why=""),
        ),
        (aiohttp.ClientPayloadError("cut off"), start.OFFLINE.format(why="")),
        (TimeoutError(), start.OFFLINE.format(why="")),
        (sqlite3.DatabaseError("file is not a database"), "file is not a database"),
        (EngineStopped("no such card"), start.NO_ENGINE.format(why="no such card")),
        (discord.ConnectionClosed(Mock(), shard_id=0, code=4004), start.BAD_TOKEN),
        (discord.ConnectionClosed(Mock(), shard_id=0, code=4013), start.CLOSED.format(code=4013)),
        (discord.PrivilegedIntentsRequired(0), start.CLOSED.format(code=4014)),
    ],
)
def test_what_keeps_the_bot_from_starting_is_a_sentence(
    with_token: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    sentence: str,
) -> None:
    async def serve(settings: Settings, token: str) -> None:
        raise error

    monkeypatch.setattr(start, "serve", serve)
    monkeypatch.setattr("bot.cli.logs.set_up", lambda *_: None)
    assert start.main(with_token) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "ssl" not in said


@pytest.mark.parametrize("code", [4004, 4014])
async def test_a_connection_that_discord_ends_for_good_ends_the_bot(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(start, "Penultimate", partial(Penultimate, engine=FakeEngine))
    async with small_discord(ends_the_connection(code)) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        with pytest.raises((discord.ConnectionClosed, discord.PrivilegedIntentsRequired)):
            await asyncio.wait_for(start.serve(with_token, TOKEN), 60)


async def test_the_invite_is_printed_and_everything_closed(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with small_discord(accepts_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        with pytest.raises(discord.GatewayNotFound):
            await start.serve(with_token, TOKEN)
    said = capsys.readouterr().out
    assert "client_id=12" in said
    assert "scope=bot+applications.commands" in said
    assert TOKEN not in said
    # Closed, the database has no files beside it.
    assert [path.name for path in with_token.data_dir.glob("*.sqlite3*")] == [
        with_token.database_path.name
    ]


async def test_where_no_engine_can_be_started_the_bot_ends(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Penultimate] = []

    async def connect(bot: Penultimate) -> None:
        connected.append(bot)
        await asyncio.Event().wait()

    def broken(config: EngineConfig, queue: GpuQueue) -> EngineClient:
        transport = partial(EngineProcess, stub_engine.broken)
        return EngineClient(config, queue, transport=transport, backoff=lambda _: 0.0)

    monkeypatch.setattr(Penultimate, "connect", connect)
    monkeypatch.setattr(start, "Penultimate", partial(Penultimate, engine=broken))
    settings = replace(with_token, device=("cpu", "cpu"))
    store = await Store.open(settings.database_path, settings.images_dir)
    request = GenerationRequest("x", "demo", 1)
    job = await store.jobs.create(request, user_id=1, application_id=2)
    await store.close()
    async with small_discord(accepts_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        with pytest.raises(EngineStopped, match=r"ImportError: no torch here$"):
            await start.serve(settings, TOKEN)
    # Of the connections that a bot has a day, such a start takes none.
    assert connected == []
    store = await Store.open(settings.database_path, settings.images_dir)
    assert [each.id for each in await store.jobs.unfinished()] == [job.id], "it waits for a start"
    await store.close()


class Starting(FakeEngine):
    """One that takes for ever to start."""

    async def ready(self) -> EngineStatus:
        await asyncio.Event().wait()
        return self.status


@pytest.mark.parametrize("first", ["ready", "late"])
async def test_the_bot_connects_once_an_engine_is_ready_or_takes_long(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    connected = asyncio.Event()

    async def connect(bot: Penultimate) -> None:
        connected.set()
        await asyncio.Event().wait()

    made = iter((FakeEngine if first == "ready" else Starting, Starting))

    def engine(config: EngineConfig, queue: GpuQueue) -> FakeEngine:
        return next(made)(config, queue)

    if first == "late":
        monkeypatch.setattr(start, "SECONDS_FOR_ENGINES", 0.0)
    monkeypatch.setattr(Penultimate, "connect", connect)
    monkeypatch.setattr(start, "Penultimate", partial(Penultimate, engine=engine))
    async with small_discord(accepts_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        serving = asyncio.create_task(
            start.serve(replace(with_token, device=("cpu", "cpu")), TOKEN)
        )
        await asyncio.wait_for(connected.wait(), 60)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


async def test_a_stop_while_the_gateway_reconnects(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting = asyncio.Event()

    async def connect(bot: Penultimate) -> None:
        connecting.set()
        # As discord.py's does then.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        while not bot.is_closed():  # noqa: ASYNC110
            await asyncio.sleep(0)

    monkeypatch.setattr(Penultimate, "connect", connect)
    async with small_discord(accepts_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        monkeypatch.setattr(start, "Penultimate", partial(Penultimate, engine=FakeEngine))
        serving = asyncio.create_task(start.serve(with_token, TOKEN))
        await connecting.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, 60)


async def test_a_newer_database_is_told_at_the_start(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_token.data_dir.mkdir()
    connection = sqlite3.connect(with_token.database_path)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    async with small_discord(accepts_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        with pytest.raises(DatabaseTooNew):
            await start.serve(with_token, TOKEN)


def test_a_second_bot_in_the_same_folder_is_refused(with_token: Settings) -> None:
    with alone_in(with_token.data_dir):
        second = door("start", DISCORD_TOKEN=TOKEN, DATA_DIR=str(with_token.data_dir))
    assert second.returncode == 2
    assert "Another bot is running in" in second.stderr
    assert str(with_token.data_dir) in second.stderr
    assert "Traceback" not in second.stderr
    with alone_in(with_token.data_dir):
        pass  # Free again when its bot is gone.


@pytest.mark.parametrize("command", ["start"])
def test_a_data_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "data"
    ended = door(command, DISCORD_TOKEN=TOKEN, DATA_DIR=str(folder))
    assert ended.returncode == 2
    assert f"The bot cannot write to {folder}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_full_disk_at_the_start_is_a_sentence(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(settings: Settings, token: str) -> None:
        raise OSError(28, "No space left on device", "penultimate.numbers")

    monkeypatch.setattr(start, "serve", serve)
    monkeypatch.setattr("bot.cli.logs.set_up", lambda *_: None)
    assert start.main(with_token) == 2
    assert "No space left on device" in capsys.readouterr().err


async def test_a_database_that_goes_stops_the_bot(
    with_token: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(_: Penultimate) -> None:
        with_token.database_path.unlink()
        await asyncio.Event().wait()

    monkeypatch.setattr("bot.upkeep.upkeep.SECONDS", 0.05)
    monkeypatch.setattr(Penultimate, "connect", connect)
    async with small_discord(accepts_the_token) as address:
        monkeypatch.setattr(discord.http.Route, "BASE", address)
        with pytest.raises(DatabaseGone, match="was deleted or replaced"):
            await start.serve(with_token, TOKEN)


@pytest.mark.skipif(sys.platform == "win32", reason="no such rights")
def test_the_file_with_the_token_is_closed_to_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / ".env"
    start.close_secrets(path)
    path.write_text("DISCORD_TOKEN=x")
    path.chmod(0o644)
    start.close_secrets(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "could be read by others" in caplog.text
    caplog.clear()
    start.close_secrets(path)
    assert caplog.text == ""


@pytest.mark.parametrize("why", [errno.EPERM, errno.EROFS])
async def test_what_cannot_be_closed_to_others_is_told_and_the_bot_starts(
    with_token: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: int,
) -> None:
    # They are root's, or on a disk that is mounted read only or has no such rights.
    def chmod(path: Path, mode: int) -> None:
        raise OSError(why, os.strerror(why), str(path))

    with_token.images_dir.mkdir(parents=True)
    dotenv = with_token.data_dir / ".env"
    for path in (dotenv, with_token.database_path):
        path.touch()
    for path in (dotenv, with_token.database_path, with_token.images_dir):
        path.chmod(0o750)
    monkeypatch.setattr(Path, "chmod", chmod)
    start.close_secrets(dotenv)
    await (await Store.open(with_token.database_path, with_token.images_dir)).close()
    for path in (dotenv, with_token.database_path, with_token.images_dir):
        assert f"{path} is not closed to others: {os.strerror(why)}" in caplog.text


# --- The commands -----------------------------------------------------------------------------


async def test_commands_that_discord_did_not_take_are_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.bot.registration.error == ""
    await world.bot.close()
    world.env.settle_timeout = 1.0
    bot = world.make_bot()
    world.env.inject_error("PUT", "/applications/*/commands", status=503, times=None)
    await world.env.restart_bot(bot)
    await world.later(700)
    assert "503" in bot.registration.error
    monkeypatch.setattr(bot, "owner_id", world.ann.id)
    status = world.bot.get_cog("AdminCog")
    assert any("commands" in line for line in status._status(discord.Locale.american_english))  # type: ignore[union-attr]
    world.env.backend.faults.clear()
    await world.later(600)
    assert bot.registration.error == ""
    assert not any("503" in line for line in status._status(discord.Locale.american_english))  # type: ignore[union-attr]
