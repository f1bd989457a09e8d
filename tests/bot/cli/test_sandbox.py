"""The sandbox: its page keeps itself fresh, and it ends cleanly with its engine process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest
from simcord.actors import MemberActor
from simcord.preview import Preview

from bot.cli import sandbox
from bot.settings import ROOT, Settings
from core.config import EngineConfig
from core.models.catalogue import Catalogue
from core.serving.queue import GpuQueue
from tests.simulation import Engine, answer, catalogue, text


@asynccontextmanager
async def opened(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Preview, MemberActor, Engine]]:
    """A running sandbox with the fake engine, which holds its jobs."""
    engines: list[Engine] = []

    def make(config: EngineConfig, queue: GpuQueue) -> Engine:
        engines.append(Engine(config, queue))
        engines[0].hold()
        return engines[0]

    monkeypatch.setattr(sandbox, "OutsideEngine", make)
    monkeypatch.setattr(Catalogue, "scan", lambda *_: catalogue())
    async with sandbox.opened(settings) as preview:
        you = preview.viewers[0]
        assert isinstance(you, MemberActor)
        yield preview, you, engines[0]


class Browser:
    """What the page's script asks the server for, and nothing more."""

    def __init__(self, session: aiohttp.ClientSession, preview: Preview) -> None:
        address, _, capability = preview.url.partition("#")
        self._address = address.rstrip("/")
        self._headers = {"X-Simcord-Capability": capability}
        self._session = session

    async def open(self) -> str:
        url = f"{self._address}/api/pages"
        async with self._session.post(url, json={}, headers=self._headers) as response:
            state: dict[str, Any] = await response.json()
        self._headers["X-Simcord-Context"] = state["context"]["id"]
        return json.dumps(state, ensure_ascii=False)

    async def shows(self, words: str) -> bool:
        """Whether the page comes to show ``words`` without anybody touching it."""
        for _ in range(200):
            url = f"{self._address}/api/state"
            async with self._session.get(url, headers=self._headers) as response:
                if words in json.dumps(await response.json(), ensure_ascii=False):
                    return True
            await asyncio.sleep(0.02)
        return False


async def test_the_bot_is_yours_and_its_time_is_the_pages(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(settings, monkeypatch) as (preview, you, engine):
        engine.release()
        status = answer(await you.slash(preview.channel, "admin status"))
        assert "Queue: 0 generating" in text(status)
        await you.slash(preview.channel, "imagine", prompt="x")
        history = answer(await you.slash(preview.channel, "history"))
        (drawn_at,) = re.findall(r"<t:(\d+):R>", text(history))
        assert abs(int(drawn_at) - discord.utils.snowflake_time(history.id).timestamp()) < 3600


async def test_the_page_shows_progress_and_result_by_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        opened(settings, monkeypatch) as (preview, you, engine),
        aiohttp.ClientSession() as session,
    ):
        browser = Browser(session, preview)
        assert "/imagine" in await browser.open()
        await you.slash(preview.channel, "imagine", prompt="a red circle", steps=20, seed=7)
        await engine.started(1)
        engine.progress(1, 5, preview=True)
        assert await browser.shows("5 / 20")
        engine.release()
        assert await browser.shows("Clip skip +")


async def test_the_owners_data_is_left_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(settings, monkeypatch) as (preview, you, engine):
        engine.release()
        assert answer(await you.slash(preview.channel, "imagine", prompt="x"))
        assert not settings.database_path.exists()
        assert not settings.images_dir.exists()


def test_only_the_sandbox_knows_simcord() -> None:
    for folder in ("bot", "cogs", "core"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "sandbox.py":
                assert "simcord" not in path.read_text("utf-8"), path


@pytest.mark.parametrize("display", [True, False])
def test_a_browser_is_opened_only_where_there_is_a_display(
    monkeypatch: pytest.MonkeyPatch, display: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", ":0")
    else:
        monkeypatch.delenv("DISPLAY", raising=False)
    assert sandbox._has_display() is display


def _alive(session: int) -> list[str]:
    """Processes of a terminal session that are no zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        fields = rest.split()
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for orphans in /proc")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_and_its_engine(tmp_path: Path, end: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "run.py", "sandbox", "--no-browser"],
        cwd=ROOT,
        env=os.environ | {"DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert "The sandbox is open: http://127.0.0.1:" in process.stdout.readline()
    # As a terminal does: to everybody in it.
    os.killpg(process.pid, end)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in said
    # multiprocessing's own helper process leaves when it notices that its pipe is closed.
    deadline = time.monotonic() + 20
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _alive(process.pid) == []


def test_without_its_package_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "simcord", None)
    assert sandbox.main(settings, browser=False) == 2
    assert ".[sandbox]" in capsys.readouterr().out
