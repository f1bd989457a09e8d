"""The files of the store: who may read them, copies, locks, and a database that is gone."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

import bot.answers
import bot.store.database
from bot.settings import SHIPPED_DATA, Settings
from bot.store import DatabaseGone, Store
from bot.store.database import Database
from bot.store.former import ASIDE, COPIES, DAYS, copy_path
from bot.store.numbers import Numbers
from bot.store.retention import DAY
from core.events import Image
from core.request import GenerationRequest
from tests.simulation import World, answer, text

TOKEN = "an interaction's token"
REQUEST = GenerationRequest("x", "plain", 7)
LATEST = max(int(path.name[:4]) for path in (SHIPPED_DATA / "migrations").glob("*.sql"))
posix = pytest.mark.skipif(sys.platform == "win32", reason="no such rights")


async def opened(settings: Settings) -> Store:
    return await Store.open(settings.database_path, settings.images_dir)


async def a_job(store: Store) -> int:
    return (await store.jobs.create(REQUEST, user_id=1, application_id=2)).id


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
async def test_only_the_bots_user_may_read_what_it_writes(settings: Settings) -> None:
    store = await opened(settings)
    job_id = await a_job(store)
    await store.jobs.finish(job_id, [Image(b"png", 7, 8, 8, "x")])
    (picture,) = await store.pictures.of_job(job_id)
    for path in settings.data_dir.glob("penultimate.sqlite3*"):
        assert mode(path) == 0o600, path
    assert mode(picture.path) == 0o600
    assert mode(picture.path.parent) == mode(settings.images_dir) == 0o700
    await store.close()


@posix
async def test_what_an_older_version_left_open_is_closed(settings: Settings) -> None:
    await (await opened(settings)).close()
    settings.database_path.chmod(0o644)
    settings.images_dir.chmod(0o755)
    store = await opened(settings)
    assert (mode(settings.database_path), mode(settings.images_dir)) == (0o600, 0o700)
    await store.close()


async def test_migrations_keep_a_copy_of_the_database_before(tmp_path: Path) -> None:
    folder, path = tmp_path / "migrations", tmp_path / "penultimate.sqlite3"
    folder.mkdir()
    for number in range(1, 7):
        table = f"t{number} (a)" if number > 1 else "jobs (interaction_token, token_expires_at)"
        (folder / f"{number:04}_x.sql").write_text(f"CREATE TABLE {table};")
        await (await Database.open(path, folder)).close()
    assert not copy_path(path, 0).exists()
    versions = [number for number in range(9) if copy_path(path, number).exists()]
    assert versions == [3, 4, 5]
    assert len(versions) == COPIES
    for number in versions:
        with sqlite3.connect(copy_path(path, number)) as connection:
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            assert tables == (number,)
        if sys.platform != "win32":
            assert mode(copy_path(path, number)) == 0o600
    # Nothing to migrate, nothing to keep.
    await (await Database.open(path, folder)).close()
    assert not copy_path(path, 6).exists()


async def test_no_copy_has_a_token(tmp_path: Path) -> None:
    migrations, path = tmp_path / "migrations", tmp_path / "penultimate.sqlite3"
    shutil.copytree(SHIPPED_DATA / "migrations", migrations)
    numbers = Numbers(path.with_suffix(".numbers"))
    store = Store(await Database.open(path, migrations), path, tmp_path, numbers, lambda: 0.0)
    await store.jobs.create(REQUEST, user_id=1, application_id=2, interaction_token=TOKEN)
    await store.close()
    assert TOKEN.encode() in path.read_bytes()
    (migrations / f"{LATEST + 1:04}_x.sql").write_text("CREATE TABLE another (a);")
    await (await Database.open(path, migrations)).close()
    assert TOKEN.encode() not in copy_path(path, LATEST).read_bytes()
    # The bot still answers with it.
    assert TOKEN.encode() in path.read_bytes()


async def test_copies_are_deleted_after_a_while(settings: Settings) -> None:
    now = 2_000_000_000.0
    store = await Store.open(settings.database_path, settings.images_dir, lambda: now)
    made = []
    for days, number in ((DAYS - 1, 8), (DAYS + 1, 9)):
        copy = copy_path(settings.database_path, number)
        aside = settings.data_dir / f"{ASIDE}20330101-000000-{number}"
        (aside / "images" / "1").mkdir(parents=True)
        for path in (copy, aside / "images" / "1" / "0.png"):
            path.write_bytes(b"x")
        for path in (copy, aside):
            os.utime(path, (now - days * DAY,) * 2)
        made.append((copy, aside))
    other = settings.data_dir / "penultimate-mine.sqlite3"
    other.write_bytes(b"x")
    os.utime(other, (0, 0))
    assert await store.retention.delete_copies() == 2
    assert [path.exists() for pair in made for path in pair] == [True, True, False, False]
    assert other.exists()
    assert await store.retention.delete_copies() == 0
    await store.close()


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_database_that_goes_while_the_bot_runs_is_noticed(
    settings: Settings, how: str
) -> None:
    store = await opened(settings)
    await a_job(store)
    settings.database_path.unlink()
    if how == "replaced":
        settings.database_path.write_bytes(b"")
    with pytest.raises(DatabaseGone):
        await a_job(store)
    with pytest.raises(DatabaseGone):
        store.check()
    await store.close()


async def test_no_job_gets_the_number_of_another(settings: Settings) -> None:
    store = await opened(settings)
    assert [await a_job(store) for _ in range(3)] == [1, 2, 3]
    await store.jobs.delete(3)
    await store.close()
    for path in settings.data_dir.glob("penultimate.sqlite3*"):
        path.unlink()
    store = await opened(settings)
    assert await a_job(store) == 4
    await store.close()
    # Numbers of a folder from before there was the file.
    settings.database_path.with_suffix(".numbers").unlink()
    await (await opened(settings)).close()
    settings.database_path.unlink()
    store = await opened(settings)
    assert await a_job(store) == 5
    await store.close()


async def test_a_locked_database_is_waited_for_and_can_be_read_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(settings)
    first = await a_job(store)
    other = sqlite3.connect(settings.database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(a_job(store))
    for _ in range(3):
        assert await store.jobs.get(first)
    assert not waiting.done()
    other.execute("COMMIT")
    assert await waiting == 2
    # Not for ever.
    monkeypatch.setattr(bot.store.database, "PATIENCE", 0.0)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await a_job(store)
    other.execute("ROLLBACK")
    other.close()
    await store.close()


async def test_a_command_that_waits_for_the_database_is_acknowledged_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(world.settings.database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    acknowledge = bot.answers.acknowledge

    async def then(interaction: Any) -> None:
        await acknowledge(interaction)
        other.execute("COMMIT")

    monkeypatch.setattr("bot.answers.acknowledge", then)
    monkeypatch.setattr("bot.answers.SECONDS_TO_ACKNOWLEDGE", 0.3)
    result = await world.ann.slash(world.channel, "preset save", name="mine", steps=7)
    other.close()
    callbacks = [each.json for each in world.env.http_requests if "/callback" in each.path]
    assert [each and each["type"] for each in callbacks] == [5]
    assert "mine" in text(answer(result))
    assert (await world.bot.store.presets.get(world.ann.id, "mine")).values == {"steps": 7}
