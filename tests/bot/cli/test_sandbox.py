"""The sandbox: what its page shows and does, and that it ends cleanly with its engine process."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.cli import sandbox
from bot.cli.page import FOLDER, Page
from bot.settings import ROOT, Settings
from bot.translate import catalogues
from bot.upkeep import pace
from core.config import EngineConfig
from core.models.cards import read_card
from core.models.catalogue import Card, Catalogue, Model
from core.serving.queue import GpuQueue
from tests.bot.cli.chromium import CHROMIUM, chromium
from tests.simulation import Engine, catalogue, model

PROMPTS = ("a hill", "a cloud")


class Visitor:
    """What the page's script asks the server for, and nothing more."""

    def __init__(self, page: Page, session: aiohttp.ClientSession, **seat: str) -> None:
        self._page = page
        self._api = f"{page.url}api/"
        self._session = session
        self._seat = seat
        self.messages: dict[str, dict[str, Any]] = {}
        self.around: dict[str, Any] = {}

    async def look(self, until: Callable[[Visitor], bool]) -> None:
        """Take what the server streams, until it is what is waited for."""
        self.messages.clear()
        events = self._session.get(self._api + "events", params=self._seat)
        async with asyncio.timeout(60), events as response:
            async for line in response.content:
                if line.startswith(b"data: "):
                    news = json.loads(line[6:])
                    self.around = news["around"]
                    self.messages |= {each["id"]: each for each in news["messages"]}
                    for gone in news["gone"]:
                        del self.messages[gone]
                    if until(self):
                        return
        raise AssertionError("the stream ended")

    async def sees(self, words: str) -> dict[str, Any]:
        """The newest message that has these words, once there is one."""
        await self.look(lambda here: bool(here.having(words)))
        return self.having(words)[-1]

    def having(self, words: str) -> list[dict[str, Any]]:
        found = [each for each in self.messages.values() if words in said(each)]
        return sorted(found, key=lambda each: int(each["id"]))

    async def act(self, act: str, **what: Any) -> dict[str, Any]:
        body = {**self._seat, "act": act, **what}
        async with self._session.post(self._api + "act", json=body) as response:
            assert response.status == 200
            answer: dict[str, Any] = await response.json()
            return answer

    async def command(self, name: str, **options: Any) -> dict[str, Any]:
        return await self.act("command", name=name, options=options)

    async def commands(self) -> dict[str, Any]:
        async with self._session.get(self._api + "commands", params=self._seat) as response:
            found: dict[str, Any] = await response.json()
            return found

    async def at(self, name: str | None, member: str = "you") -> Visitor:
        """A member at a channel; without a name at the direct messages."""
        await self.look(lambda _: True)
        viewer = next(each for each in self.around["members"] if each["name"] == member)["id"]
        other = Visitor(self._page, self._session, viewer=viewer)
        await other.look(lambda _: True)
        channel = next(each for each in other.around["channels"] if each["name"] == name)["id"]
        return Visitor(self._page, self._session, viewer=viewer, channel=channel)


def said(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False)


def control(message: dict[str, Any], label: str) -> str:
    """The id of a button or select."""

    def walk(items: list[dict[str, Any]]) -> Any:
        for item in items:
            if label in (item.get("label"), item.get("placeholder")):
                return item["custom_id"]
            if found := walk(item.get("components", [])):
                return found
        return None

    found = walk(message["components"])
    assert isinstance(found, str), label
    return found


def with_prompts() -> Catalogue:
    found = catalogue()
    first: Model = model("plain", card=Card(prompts=PROMPTS))
    found.models = (first, *found.models[1:])
    return found


@pytest.fixture
async def opened(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Page, Engine, aiohttp.ClientSession]]:
    """A running sandbox with the fake engine."""
    engines: list[Engine] = []

    def make(config: EngineConfig, queue: GpuQueue) -> Engine:
        engines.append(Engine(config, queue))
        return engines[0]

    monkeypatch.setattr(sandbox, "EngineClient", make)
    monkeypatch.setattr(Catalogue, "scan", lambda *_: with_prompts())
    started = asyncio.Event()
    ended = asyncio.Event()
    pages: list[Page] = []

    async def run() -> None:
        # In one task, for simcord's context ends where it began.
        async with sandbox.opened(settings) as page:
            pages.append(page)
            started.set()
            await ended.wait()

    running = asyncio.create_task(run())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    if not started.is_set():
        waiting.cancel()
        await running
    async with aiohttp.ClientSession() as session:
        yield pages[0], engines[0], session
    ended.set()
    await running


Opened = tuple[Page, Engine, aiohttp.ClientSession]


async def test_the_bot_is_yours_and_its_time_is_the_days(opened: Opened) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    assert await you.command("admin status") == {"choices": []}
    await you.sees("Queue: 0 generating")
    await you.command("imagine", prompt="x")
    await you.sees("Clip skip +")
    await you.command("history")
    history = await you.sees("Your results")
    (drawn_at,) = re.findall(r"<t:(\d+):R>", said(history))
    assert -60 < int(drawn_at) - time.time() <= 0
    assert abs(datetime.fromisoformat(history["timestamp"]).timestamp() - time.time()) < 60


async def test_the_page_shows_progress_and_result_by_itself(opened: Opened) -> None:
    page, engine, session = opened
    engine.hold()
    you = Visitor(page, session)
    looking = asyncio.create_task(you.sees("Clip skip +"))
    await you.command("imagine", prompt="a red circle", steps=20, seed=7)
    await engine.started(1)
    engine.progress(1, 5, preview=True)
    await Visitor(page, session).sees("5 / 20")
    engine.release()
    result = await looking
    picture = result["components"][0]["items"][0]["media"]["url"]
    async with session.get(page.url + "cdn/" + picture.split("/", 3)[3]) as response:
        assert response.content_type == "image/png"
        assert (await response.read()).startswith(b"\x89PNG")


async def test_no_press_is_lost_while_something_is_drawn(opened: Opened) -> None:
    page, engine, session = opened
    you = Visitor(page, session)
    await you.command("imagine", prompt="a red circle", steps=50)
    result = await you.sees("Clip skip +")
    engine.hold()
    await you.act("press", message=result["id"], control=control(result, "New seed"))
    await engine.started(2)
    for step in range(50):
        # The message of the running job changes while the press is on its way.
        engine.progress(2, step, preview=True)
        press = you.act("press", message=result["id"], control=control(result, "More…"))
        assert await press == {"choices": []}, step
    await you.look(lambda here: len(here.having('"Parameters"')) == 50)


async def test_a_refusal_is_an_answer_also_the_twelfth(opened: Opened) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    for _ in range(12):
        assert await you.command("imagine", prompt="x", model="nothing") == {"choices": []}
    await you.look(lambda here: len(here.having("no model called **nothing**")) == 12)


async def test_a_control_that_is_gone_fails_as_in_discord(opened: Opened) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    await you.command("imagine", prompt="x")
    result = await you.sees("Clip skip +")
    assert "failed" in await you.act("press", message=result["id"], control="p:gone:1")
    assert "failed" in await you.act("press", message="1", control="p:gone:1")


async def test_imagine_is_first_and_options_are_described(opened: Opened) -> None:
    page, _, session = opened
    found = await Visitor(page, session).commands()
    names = [each["name"] for each in found["slash"]]
    assert names == ["imagine", *sorted(set(names) - {"imagine"})]
    for option in found["slash"][0]["options"]:
        assert option["description"]
        assert set(option["description_localizations"]) == set(catalogues()) - {"en"}
    assert {each["name"] for each in found["menus"]} == {
        "Parameters",
        "Use as start image",
        "Upscale without redrawing",
        "Vary",
    }


async def test_an_option_is_completed(opened: Opened) -> None:
    page, _, session = opened
    asked = {"name": "imagine", "option": "sampler", "value": "eul", "options": {"prompt": "x"}}
    found = (await Visitor(page, session).act("complete", **asked))["choices"]
    assert found[0]["name"] == "Euler"


async def test_a_form_is_shown_and_submitted(opened: Opened) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    await you.command("imagine", prompt="a red circle")
    result = await you.sees("Clip skip +")
    shown = await you.act("press", message=result["id"], control=control(result, "Edit"))
    form = shown["form"]
    values = {
        each["component"]["custom_id"]: each["component"].get("value", "")
        for each in form["components"]
    }
    assert values["prompt"] == "a red circle"
    sent = await you.act("submit", form=form["key"], values=values | {"prompt": "a blue one"})
    assert "failed" not in sent
    await you.sees("a blue one")


async def test_menus_reactions_and_direct_messages(opened: Opened) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    await you.command("imagine", prompt="a red circle")
    result = await you.sees("Clip skip +")
    assert await you.act("menu", message=result["id"], name="Parameters") == {"choices": []}
    await you.sees("Steps: ")
    await you.act("react", message=result["id"], emoji="✉️", on=True)
    await you.look(lambda here: '"me": true' in said(here.messages[result["id"]]))
    alone = await you.at(None)
    await alone.sees("a red circle")
    assert await alone.command("imagine", prompt="a blue star") == {"choices": []}
    await alone.sees("a blue star")


async def test_others_see_what_discord_would_show_them(opened: Opened) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    friend = await you.at("pictures", "friend")
    await you.command("help")
    await you.sees("Getting started")
    await you.command("imagine", prompt="a red circle")
    result = await friend.sees("Clip skip +")
    assert not friend.having("Getting started")
    assert "config" not in {each["name"] for each in (await friend.commands())["slash"]}
    await friend.act("press", message=result["id"], control=control(result, "Clip skip +"))
    await friend.sees("clip skip 2")
    elsewhere = await you.at("lounge")
    await elsewhere.look(lambda _: True)
    assert not elsewhere.messages


async def test_a_member_has_a_language(opened: Opened) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    await you.act("speak", locale="ja")
    await you.command("help")
    await you.sees(catalogues()["ja"]["help.start.title"])
    assert you.around["locale"] == "ja"
    assert you.around["locales"] == ["en-US", *sorted(set(catalogues()) - {"en"})]


async def test_files_are_sent_and_chat_is_only_chat(opened: Opened) -> None:
    page, engine, session = opened
    you = Visitor(page, session)
    data = base64.b64encode((ROOT / "docs/img/sandbox-sheet.png").read_bytes()).decode()
    file = {"file": "a.png", "data": data}
    assert await you.act("send", content="look", files=[file]) == {}
    sent = await you.sees("look")
    assert sent["attachments"][0]["filename"] == "a.png"
    assert await you.command("imagine", prompt="x", start_image=file) == {"choices": []}
    await you.sees("Clip skip +")
    assert engine.seen[-1].items[0].request.denoising_strength is not None


async def test_the_welcome_has_the_prompts_of_the_models_card(opened: Opened) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    await you.look(lambda _: True)
    assert you.around["prompts"] == list(PROMPTS)
    await you.command("help")
    first = said(await you.sees("Getting started"))
    assert all(f"`{prompt}`" in first for prompt in PROMPTS)


def test_the_readme_has_the_prompts_of_the_demo_models_card() -> None:
    card, warnings = read_card(ROOT / "data" / "demo-model")
    assert card.prompts
    assert not warnings
    paragraphs = (ROOT / "README.md").read_text("utf-8").split("\n\n")
    (listed,) = [each for each in paragraphs if each.startswith("Prompts that work")]
    assert re.findall(r"`([^`]+)`", listed) == list(card.prompts)


async def test_only_the_page_itself_is_served(opened: Opened) -> None:
    page, _, session = opened
    root = page.url.rsplit("/", 2)[0]
    for wrong in (root + "/", root + "/other/page.html", page.url + "%2e%2e%2fcard.toml"):
        async with session.get(wrong) as response:
            assert response.status == 404, wrong
    text = (FOLDER / "page.html").read_text("utf-8")
    for name in ["", *re.findall(r'(?:src|href)="([\w.]+)"', text)]:
        async with session.get(page.url + name) as response:
            assert response.status == 200, name
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]


async def test_the_owners_data_is_left_alone(opened: Opened, settings: Settings) -> None:
    page, _, session = opened
    you = Visitor(page, session)
    await you.command("imagine", prompt="x")
    await you.sees("Clip skip +")
    assert not settings.database_path.exists()
    assert not settings.images_dir.exists()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
async def test_in_a_browser_every_press_arrives_and_a_phone_scrolls_one_way(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BURST", 100.0)  # No hand presses as fast as this.
    page, engine, session = opened
    you = Visitor(page, session)
    async with chromium(page.url, tmp_path, session, width=390, height=800) as tab:
        await tab.until("page.around && page.commands.slash.length")
        await tab.type("/imagine a red circle steps:50\r")
        result = await you.sees("Clip skip +")
        engine.hold()
        await tab.until("document.querySelector('.message .row .button')")
        await you.act("press", message=result["id"], control=control(result, "New seed"))
        await engine.started(2)
        await tab.until(
            "[...document.querySelectorAll('.button')].some(b => b.textContent === 'Cancel')"
        )
        more = control(result, "More…")
        for step in range(50):
            place = await tab.press(f"[data-key='{result['id']} {more}']")
            engine.progress(2, step, preview=True)
            await tab.up(*place)
        await you.look(lambda here: len(here.having('"Parameters"')) == 50)
        assert await tab.run("document.querySelectorAll('.failure').length") == 0
        assert await tab.run("document.documentElement.scrollWidth") == 390
        assert await tab.run("page.log.scrollWidth") <= 390
        assert await tab.run("document.title") == "#pictures | Penultimate sandbox"
        assert tab.errors == []


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_the_scripts_are_well_formed(path: Path) -> None:
    subprocess.run(["node", "--check", path], check=True, capture_output=True)


def test_only_the_sandbox_knows_simcord() -> None:
    for folder in ("bot", "cogs", "core"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.relative_to(ROOT).as_posix() not in ("bot/cli/sandbox.py", "bot/cli/page.py"):
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
