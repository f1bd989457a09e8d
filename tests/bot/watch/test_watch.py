"""What an owner can watch: /healthz, /metrics, the dashboard, and the day as a picture."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from bot.cli import health as health_command
from bot.settings import ROOT, Settings, SettingsError
from bot.store.activity import HOUR, Hour
from bot.watch import chart, health
from bot.watch.health import Condition
from bot.watch.metrics import Metrics, named
from bot.watch.server import NEEDS_EXTRA, WatchServer
from bot.watch.tally import Tally
from cogs.watch import WatchCog
from core.errors import OutOfMemory
from core.serving.client import EngineStatus
from tests.simulation import World, simulate
from tests.small_discord import answer, small_discord

HERE = ("127.0.0.1", 0)


@pytest.fixture
async def watched(settings: Settings) -> AsyncIterator[World]:
    """A bot that says how it is."""
    async with simulate(replace(settings, metrics=HERE)) as world:
        yield world


def cog(world: World) -> WatchCog:
    found = world.bot.get_cog("WatchCog")
    assert isinstance(found, WatchCog)
    return found


async def get(world: World, path: str) -> tuple[int, str]:
    server = cog(world).server
    assert server is not None
    return await fetch(server.port, path)


async def fetch(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


async def figures(world: World) -> dict[str, float]:
    """Every sample by its name and labels' values."""
    status, text = await get(world, "/metrics")
    assert status == 200
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_figures_follow_what_happens(watched: World) -> None:
    before = await figures(watched)
    assert before["penultimate_jobs delivered"] == 0
    await watched.ann.slash(watched.channel, "imagine", prompt="x")
    watched.engine.fail_next(OutOfMemory(512, 512))
    await watched.ann.slash(watched.channel, "imagine", prompt="y")
    watched.engine.hold()
    await watched.bob.slash(watched.channel, "imagine", prompt="z")
    now = await figures(watched)
    assert now["penultimate_jobs delivered"] == 1
    assert now["penultimate_jobs failed"] == 1
    assert now["penultimate_queue running"] == 1
    assert now["penultimate_queue waiting"] == 0
    assert now["penultimate_wait_seconds_count"] == 3
    assert now["penultimate_deliveries_total edit_post"] == 2
    assert now["penultimate_engine_state auto ready"] == 1
    assert now["penultimate_engine_state auto stopped"] == 0
    assert now["penultimate_engine_restarts_total auto"] == 0
    assert 0 < now["penultimate_disk_bytes free"] < now["penultimate_disk_bytes total"]
    # No member, prompt or server is in it.
    _, text = await get(watched, "/metrics")
    for number in (watched.ann.id, watched.guild.id, watched.channel.id):
        assert str(number) not in text


def engine(device: str = "auto", state: str = "ready", **values: Any) -> Any:
    """What the figures and the health know of an engine client."""
    status: Any = EngineStatus(state, 1, "fake", ("plain",), 0, 4, 2.5, "", device=device)  # type: ignore[arg-type]
    return SimpleNamespace(status=replace(status, **values))


async def test_each_engine_has_its_label(world: World) -> None:
    engines = [
        engine("cuda:0", memory=(1, 2), steps=7.0, rows_in_call=4),
        engine("cuda:1", "restarting", restarts=3, speed=None),
    ]
    bot = world.bot
    metrics = Metrics(bot.store.activity, bot.queue, engines, bot.tally, world.settings.data_dir)
    text = (await metrics.text()).decode()
    for line in (
        'penultimate_engine_steps_total{engine="cuda:0"} 7.0',
        'penultimate_engine_rows_in_call{engine="cuda:0"} 4.0',
        'penultimate_engine_memory_bytes{engine="cuda:0",kind="used"} 1.0',
        'penultimate_engine_state{engine="cuda:1",state="restarting"} 1.0',
        'penultimate_engine_restarts_total{engine="cuda:1"} 3.0',
        'penultimate_engine_speed{engine="cuda:1"} 0.0',
    ):
        assert line in text.splitlines()
    # Several may share a processor.
    assert [name for name, _ in named([engine("cpu"), engine("cpu")])] == ["cpu#0", "cpu#1"]


async def test_health_says_what_is_not_well(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "gateway", lambda _: Condition(True, "connected"))
    status, text = await get(watched, "/healthz")
    said = json.loads(text)
    assert (status, said["well"], said["engine"]) == (200, True, {"well": True, "state": "ready"})
    usage = shutil.disk_usage(ROOT)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**29))
    status, text = await get(watched, "/healthz")
    assert status == 503
    assert json.loads(text)["disk"] == {"well": False, "state": "0.5 GiB free"}


def test_each_part_of_the_health() -> None:
    def client(*closed: bool, ready: bool = True) -> Any:
        shards = {
            number: SimpleNamespace(is_closed=lambda shut=shut: shut)
            for number, shut in enumerate(closed)
        }
        return SimpleNamespace(is_ready=lambda: ready, shards=shards)

    assert health.engines([engine(), engine(state="stopped")]) == Condition(True, "ready, stopped")
    assert not health.engines([engine(state="starting")]).well
    assert health.gateway(client(False, False)) == Condition(True, "connected")
    assert health.gateway(client(ready=False)) == Condition(False, "connecting")
    assert health.gateway(client(False, True)) == Condition(False, "shard 1 is disconnected")
    assert not health.disk(ROOT / "not there").well


async def test_nothing_listens_unless_it_is_asked_for(world: World) -> None:
    assert cog(world).server is None


async def test_a_port_in_use_is_an_error_and_the_bot_works(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulate(replace(settings, metrics=HERE)) as one:
        server = cog(one).server
        assert server is not None
        taken = WatchServer(("127.0.0.1", server.port), cog(one).health, None)
        with pytest.raises(OSError, match=r"in use|10048"):
            await taken.start()
        cog(one).server = taken
        await cog(one).cog_load()
        assert "METRICS: nothing can listen there" in caplog.text
        cog(one).server = server


async def test_without_the_extra_there_is_health_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "bot.watch.metrics")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with simulate(replace(settings, metrics=HERE)) as world:
        assert await get(world, "/metrics") == (501, NEEDS_EXTRA)
        assert (await get(world, "/healthz"))[0] in (200, 503)
    assert "one more package" in caplog.text


async def test_discords_answers_are_counted() -> None:
    tally = Tally()

    async def refuses(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return answer({}, 429 if request.path == "/slow" else 200)

    async with aiohttp.ClientSession(trace_configs=[tally.trace()]) as session:
        async with small_discord(refuses) as address:
            for path in ("", "", "/slow"):
                async with session.get(address + path):
                    pass
        with pytest.raises(aiohttp.ClientError):
            await session.get(address)
    assert tally.answers == {"200": 2, "429": 1, "none": 1}


def test_the_bot_has_its_answers_counted(settings: Settings) -> None:
    world = World(settings)
    bot = world.make_bot()
    assert bot.http.http_trace is not None


async def test_the_container_can_ask(
    watched: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = cog(watched).server
    assert server is not None
    settings = replace(watched.settings, metrics=("0.0.0.0", server.port))
    monkeypatch.setattr(health, "gateway", lambda _: Condition(True, "connected"))
    assert await asyncio.to_thread(health_command.main, settings) == 0
    assert "gateway: connected\nengine: ready\n" in capsys.readouterr().out
    monkeypatch.setattr(health, "gateway", lambda _: Condition(False, "connecting"))
    assert await asyncio.to_thread(health_command.main, settings) == 1
    assert "gateway: connecting" in capsys.readouterr().out
    await server.close()
    assert await asyncio.to_thread(health_command.main, settings) == 1
    assert "does not answer" in capsys.readouterr().err
    assert health_command.main(replace(settings, metrics=None)) == 2


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:9464", ("::1", 9464)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert Settings.load({"METRICS": text}, None).metrics == address


@pytest.mark.parametrize("text", ["yes", "localhost:", "99999", "::1:9464", "host:port", "²"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SettingsError, match="METRICS must be a port"):
        Settings.load({"METRICS": text}, None)


# The dashboard.


async def test_the_dashboard_shows_what_there_is(watched: World) -> None:
    await watched.ann.slash(watched.channel, "imagine", prompt="x")
    watched.bot.tally.answers["200"] += 1
    _, text = await get(watched, "/metrics")
    there = set(re.findall(r"^(penultimate_\w+)", text, re.MULTILINE))
    board = json.loads((ROOT / "deploy" / "grafana.json").read_text("utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"penultimate_\w+", query)}
    # A processor has no memory of its own.
    assert named - there == {"penultimate_engine_memory_bytes"}
    plain = {name for name in there if not name.endswith("_created")}
    assert plain - named <= {"penultimate_engine_warm_models", "penultimate_engine_rows_free"}


# The day.


async def test_a_day_of_jobs(world: World) -> None:
    activity = world.bot.store.activity
    start = world.now
    await world.ann.slash(world.channel, "imagine", prompt="old")
    world.now = start + 2 * HOUR
    world.engine.fail_next(OutOfMemory(512, 512))
    await world.ann.slash(world.channel, "imagine", prompt="fails")
    world.now = start + 25 * HOUR
    await world.ann.slash(world.channel, "imagine", prompt="new")
    hours = await activity.day()
    assert len(hours) == 24
    assert [(i, each.delivered, each.failed) for i, each in enumerate(hours) if each.jobs] == [
        (1, 0, 1),
        (23, 1, 0),
    ]
    assert await activity.states() == {
        "queued": 0,
        "running": 0,
        "finished": 0,
        "delivered": 2,
        "failed": 1,
        "cancelled": 0,
    }


def colours(png: bytes) -> set[str]:
    data = Image.open(io.BytesIO(png)).convert("RGB").tobytes()
    return {f"#{data[place : place + 3].hex()}" for place in range(0, len(data), 3)}


def test_the_chart_shows_each_kind_that_there_was() -> None:
    nothing = [Hour() for _ in range(24)]
    kinds = {chart.DELIVERED, chart.FAILED, chart.CANCELLED, chart.WAIT}
    assert not colours(chart.draw(nothing)) & kinds
    hours = [*nothing[:23], Hour(1000, 1, 1, 5.0, 1)]
    # One of a thousand can be seen.
    assert kinds <= colours(chart.draw(hours))
    assert len(chart.draw(hours)) < 10_000


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (8.4, "8 s"), (180, "3 min"), (7200, "2 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert chart.duration(seconds) == words
