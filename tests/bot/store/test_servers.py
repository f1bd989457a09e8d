"""Settings in memory and on disk, the day's account, and settings as JSON."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any

import pytest

from bot.exceptions import NotAllowed, QuotaUsed, TooMany, UnreadableSettings
from bot.rules.policy import Asker, check_member
from bot.rules.policy_json import VERSION, from_json, read, to_json
from bot.rules.server import CLOSED, MOST, SETTINGS, Server
from bot.settings import Settings
from bot.store import Store
from bot.store.database import Database
from core.errors import PenultimateError, QueueFull
from core.request import GenerationRequest
from tests.simulation import spent

REQUEST = GenerationRequest("x", "plain", 7)


@pytest.fixture
def now() -> list[float]:
    return [1_800_000_000.0]


@pytest.fixture
async def store(settings: Settings, now: list[float]) -> Any:
    store = await Store.open(settings.database_path, settings.images_dir, lambda: now[0])
    yield store
    await store.close()


async def a_job(store: Store, user_id: int = 1, guild_id: int = 9) -> int:
    job = await store.jobs.create(REQUEST, user_id=user_id, application_id=5, guild_id=guild_id)
    return job.id


async def test_settings_are_kept_and_read_from_memory(store: Store, settings: Settings) -> None:
    assert store.servers.get(9) == store.servers.get(None) == Server()
    saved = await store.servers.update(9, lambda s: replace(s, max_steps=30, words=("a",)))
    assert store.servers.get(9) is saved
    assert store.servers.get(8) == Server()
    again = await Store.open(settings.database_path, settings.images_dir)
    assert again.servers.get(9) == saved
    await again.close()


async def test_changes_at_one_time_lose_nothing(store: Store) -> None:
    def add(number: int) -> Any:
        return lambda s: replace(s, banned=(*s.banned, number))

    await asyncio.gather(*(store.servers.update(9, add(number)) for number in range(1, 21)))
    assert sorted(store.servers.get(9).banned) == list(range(1, 21))


async def test_a_change_is_kept_though_its_caller_went_away(
    store: Store, settings: Settings
) -> None:
    changing = asyncio.create_task(store.servers.update(9, lambda s: replace(s, max_steps=30)))
    await asyncio.sleep(0)
    changing.cancel()
    await store.servers.update(9, lambda s: replace(s, words=("a",)))
    assert changing.cancelled()
    assert store.servers.get(9) == replace(Server(), max_steps=30, words=("a",))
    again = await Store.open(settings.database_path, settings.images_dir)
    assert again.servers.get(9) == store.servers.get(9)
    await again.close()


async def test_a_store_that_cannot_be_read_is_closed(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An open connection's thread would keep the process from ending.
    closed: list[Database] = []
    close = Database.close

    async def noted(database: Database) -> None:
        closed.append(database)
        await close(database)

    monkeypatch.setattr(Database, "close", noted)
    with sqlite3.connect(settings.database_path) as connection:
        connection.execute("DROP TABLE styles")
    with pytest.raises(sqlite3.OperationalError):
        await Store.open(settings.database_path, settings.images_dir)
    assert len(closed) == 1


async def test_a_change_that_raises_changes_nothing(store: Store) -> None:
    def wrong(server: Server) -> Server:
        raise QuotaUsed(1, 1, 1, 1)

    with pytest.raises(QuotaUsed):
        await store.servers.update(9, wrong)
    assert store.servers.get(9) == Server()


async def test_the_account_of_a_day(store: Store, now: list[float]) -> None:
    servers = store.servers
    await servers.charge(await a_job(store), 9, 1, 1.5, 2)
    with pytest.raises(QuotaUsed) as caught:
        await servers.charge(await a_job(store), 9, 1, 0.6, 2)
    assert (caught.value.used, caught.value.cost) == (1.5, 0.6)
    assert caught.value.resets_at % 86_400 == 0
    assert 0 < caught.value.resets_at - now[0] <= 86_400
    await servers.charge(await a_job(store), 9, 1, 0.5, 2)
    assert await spent(store, 9, 1) == 2
    assert await spent(store, 8, 1) == await spent(store, 9, 2) == 0
    await servers.charge(await a_job(store), 9, 1, 50, None)
    now[0] = caught.value.resets_at
    await servers.charge(await a_job(store), 9, 1, 2, 2)
    assert await spent(store, 9, 1) == 2


async def test_two_at_once_do_not_share_the_last_picture(store: Store) -> None:
    ids = [await a_job(store) for _ in range(5)]
    results = await asyncio.gather(
        *(store.servers.charge(id, 9, 1, 1, 2) for id in ids), return_exceptions=True
    )
    assert sum(isinstance(result, QuotaUsed) for result in results) == 3


@pytest.mark.parametrize(
    ("end", "left"), [("cancelled", 0), ("failed", 0), ("nsfw", 1), ("refused", 0), ("done", 1)]
)
async def test_what_is_given_back(store: Store, end: str, left: float) -> None:
    from bot.exceptions import Gone, NotAllowed

    job_id = await a_job(store)
    await store.servers.charge(job_id, 9, 1, 1, None)
    if end == "refused":
        await store.jobs.delete(job_id)
    elif end == "cancelled":
        await store.jobs.set_state(job_id, "cancelled")
    elif end == "done":
        await store.jobs.finish(job_id, [])
        await store.jobs.delete(job_id)
    else:
        error: PenultimateError = NotAllowed("nsfw") if end == "nsfw" else Gone("picture")
        await store.jobs.fail(job_id, error)
    assert await spent(store, 9, 1) == left


async def test_room_in_the_queue(store: Store) -> None:
    await store.servers.update(9, lambda s: replace(s, queue_per_member=1, queue_total=2))
    await store.servers.charge(await a_job(store), 9, 1, 1, None)
    second = await a_job(store)
    with pytest.raises(QueueFull) as caught:
        await store.servers.charge(second, 9, 1, 1, None)
    assert (caught.value.scope, caught.value.limit) == ("server_member", 1)
    await store.jobs.delete(second)
    await store.servers.charge(await a_job(store, 2), 9, 2, 1, None)
    third = await a_job(store, 3)
    with pytest.raises(QueueFull) as caught:
        await store.servers.charge(third, 9, 3, 1, None)
    assert (caught.value.scope, caught.value.limit) == ("server", 2)
    await store.servers.charge(await a_job(store, 3, 8), 8, 3, 1, None)


async def test_a_spoiler_is_remembered(store: Store) -> None:
    job = await store.jobs.create(REQUEST, user_id=1, application_id=5, spoiler=True)
    assert job.spoiler
    await store.jobs.finish(job.id, [], spoiler=False)
    finished = await store.jobs.get(job.id)
    assert finished is not None
    assert not finished.spoiler


# JSON.


def test_every_setting_is_a_row() -> None:
    assert list(SETTINGS) == [field.name for field in fields(Server)]


def test_the_defaults_are_read_back() -> None:
    assert from_json(to_json(Server())) == Server()


def test_ids_are_text() -> None:
    assert json.loads(to_json(Server(channels=(10**18,))))["channels"] == [str(10**18)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", "1"),
        ("channels", ["x"]),
        ("channels", [True]),
        ("channels", [0]),
        ("channels", ["9" * 5000]),
        ("models", [1]),
        ("models", [""]),
        ("models", ["x" * 101]),
        ("model_roles", {"a": "b"}),
        ("max_steps", 0),
        ("max_steps", 151),
        ("max_steps", True),
        ("max_steps", 1.5),
        ("max_steps", "30"),
        ("max_size", 10**400),
        ("quota", -1),
        ("role_quotas", {"1": None}),
        ("defaults", {"seed": 1}),
        ("defaults", {"steps": [1]}),
        ("defaults", {"negative_prompt": "x" * 5000}),
        ("defaults", []),
        ("channel_defaults", {"1": 5}),
        ("words", ["x" * 51]),
        ("words", [5]),
        ("words", [f"{number:050}" for number in range(100)]),
        ("nsfw", "everything"),
        ("nsfw", None),
        ("nsfw", []),
        ("spoiler", 1),
        ("reactions", None),
        ("language", "tlh"),
        ("language", {}),
        ("log_channel", {}),
        ("banned", {}),
    ],
)
def test_values_that_cannot_be_used_cost_only_themselves(name: str, value: Any) -> None:
    text = json.dumps({"version": VERSION, name: value, "max_count": 3})
    changes, remarks = read(text)
    assert remarks == [("unusable", {"name": name})]
    assert changes == {"max_count": 3}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("defaults", []),
        ("defaults", {"seed": 1, "steps": [1], "clip_skip": 2.5, "model": 5}),
        ("channel_defaults", {"x": {"steps": 3}}),
        ("channel_defaults", {"1": 5}),
        ("reactions", None),
        ("language", "tlh"),
        ("log_channel", {}),
        ("from_the_future", 1),
    ],
)
def test_a_kept_convenience_that_cannot_be_used_has_its_default(name: str, value: Any) -> None:
    text = json.dumps({"version": VERSION, name: value, "max_count": 3})
    assert from_json(text) == Server(max_count=3)


def test_of_kept_defaults_only_the_unusable_are_left_out() -> None:
    values = {"steps": 12, "clip_skip": 2.5}
    kept = {"version": VERSION, "defaults": values, "channel_defaults": {"1": values}}
    sound = {"steps": 12}
    assert from_json(json.dumps(kept)) == Server(defaults=sound, channel_defaults={1: sound})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", ["x"]),
        ("roles", 5),
        ("models", [1]),
        ("model_roles", {"a": "b"}),
        ("max_steps", 0),
        ("quota", "5"),
        ("role_quotas", {"1": None}),
        ("words", [5]),
        ("nsfw", "everything"),
        ("spoiler", 1),
        ("banned", {}),
    ],
)
def test_what_forbids_and_cannot_be_read_is_never_left_out(name: str, value: Any) -> None:
    with pytest.raises(UnreadableSettings):
        from_json(json.dumps({"version": VERSION, name: value, "max_count": 3}))


@asynccontextmanager
async def reopened(settings: Settings) -> AsyncIterator[Store]:
    """The store as a start would read it."""
    store = await Store.open(settings.database_path, settings.images_dir)
    try:
        yield store
    finally:
        await store.close()


def many(most: int) -> dict[str, Any]:
    """Each list with more than it may be given."""
    ids = tuple(range(1, most + 2))
    return {
        "channels": ids,
        "roles": ids,
        "models": tuple(f"m{id}" for id in ids),
        "model_roles": {f"m{id}": (1,) for id in ids},
        "loras": tuple(f"l{id}" for id in ids),
        "lora_roles": {f"l{id}": (1,) for id in ids},
        "embeddings": tuple(f"e{id}" for id in ids),
        "embedding_roles": {f"e{id}": (1,) for id in ids},
        "role_quotas": dict.fromkeys(ids, 5),
        "channel_defaults": {id: {"steps": 5} for id in ids},
        "words": tuple(f"w{id}" for id in ids),
        "banned": ids,
    }


@pytest.mark.parametrize(("name", "most"), MOST.items())
async def test_no_list_is_given_more_than_it_may_have(
    store: Store, settings: Settings, name: str, most: int
) -> None:
    with pytest.raises(TooMany) as caught:
        await store.servers.update(9, lambda s: replace(s, **{name: many(most)[name]}))
    assert (caught.value.what, caught.value.limit) == (name, most)
    assert store.servers.get(9) == Server()
    full = replace(Server(), **{name: many(most - 1)[name]})
    await store.servers.update(9, lambda _: full)
    async with reopened(settings) as again:
        assert again.servers.get(9) == full


@pytest.mark.parametrize(("name", "most"), MOST.items())
async def test_a_list_that_is_too_long_already_stays_whole(
    store: Store, settings: Settings, name: str, most: int
) -> None:
    full = replace(Server(), **{name: many(most)[name]})
    write(settings, 9, to_json(full))
    async with reopened(settings) as again:
        assert again.servers.get(9) == full
        await again.servers.update(9, lambda s: replace(s, spoiler=True))
        assert again.servers.get(9) == replace(full, spoiler=True)


def write(settings: Settings, guild_id: int, text: str) -> None:
    with sqlite3.connect(settings.database_path) as connection:
        connection.execute("INSERT OR REPLACE INTO servers VALUES (?, ?)", (guild_id, text))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"version": VERSION + 1, "max_steps": 3}),
        json.dumps({"version": VERSION, "models": 5}),
        '{"version": 1, "models": ["a"',
        "[]",
        "",
    ],
)
async def test_a_row_that_cannot_be_read_closes_its_server_alone(
    store: Store, settings: Settings, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    await store.servers.update(8, lambda s: replace(s, max_steps=30))
    write(settings, 9, text)
    async with reopened(settings) as again:
        assert "server 9 is closed" in caplog.text
        assert again.servers.get(8) == Server(max_steps=30)
        closed = again.servers.get(9)
        assert closed is CLOSED
        with pytest.raises(NotAllowed, match="unreadable"):
            check_member(closed, Asker(1))
        with pytest.raises(UnreadableSettings, match="closed"):
            await again.servers.update(9, lambda s: replace(s, max_steps=30))
        with sqlite3.connect(settings.database_path) as connection:
            kept = connection.execute("SELECT settings FROM servers WHERE guild_id = 9").fetchall()
        assert kept == [(text,)]
        await again.servers.update(9, lambda s: replace(s, max_steps=30), anew=True)
        assert again.servers.get(9) == Server(max_steps=30)
        assert json.loads(again.servers.text(9))["max_steps"] == 30
