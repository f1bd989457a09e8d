"""A backup beside a running bot, and the way back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bot.cli import backup as backup_file
from bot.cli import check, logs, start
from bot.cli.backup import JUMP, backup, restore
from bot.cli.lock import alone_in
from bot.settings import Settings
from bot.store import Store, at_rest
from core.events import Image
from core.request import GenerationRequest, Inputs
from tests.simulation import World, answer, buttons, simulate, text

IMAGE = Image(b"\x89PNG", 7, 512, 512, "its parameters")
TOKEN = "an interaction's token"


async def fill(settings: Settings, jobs: int = 3) -> None:
    """Delivered jobs with an image each, then one that waits."""
    store = await Store.open(settings.database_path, settings.images_dir)
    for _ in range(jobs + 1):
        job = await store.jobs.create(
            GenerationRequest("x", "demo", 7), user_id=1, application_id=2, interaction_token=TOKEN
        )
        if job.id <= jobs:
            await store.jobs.finish(job.id, [IMAGE])
            await store.jobs.set_state(job.id, "delivered")
    await store.close()


def read(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def images(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same(one: Path, other: Path) -> bool:
    return one.samefile(other)


def findings(settings: Settings) -> list[tuple[str, str]]:
    return [(each.level, each.text) for each in check.data(settings)]


async def test_a_backup_beside_a_running_bot_comes_back_whole(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "backups" / "monday"
    async with simulate(settings) as world:
        await world.ann.slash(world.channel, "imagine", prompt="before")
        world.engine.hold()
        await world.ann.slash(world.channel, "imagine", prompt="waits")
        assert backup(settings, target) == 0
        assert f"{target} has 2 jobs and 1 images." in capsys.readouterr().out
        # What the bot does afterwards is not in it.
        await world.bob.slash(world.channel, "imagine", prompt="after")
    assert images(target) == ["images/1/0.png"]
    assert names(target) == ["images", "penultimate.sqlite3"]
    assert restore(settings, target) == 0
    async with simulate(settings) as world:
        await world.env.settle()
        assert (await world.job(2)).request.prompt == "waits"
        assert await world.bot.store.jobs.get(3) is None
        # No button of a job that is lost becomes another's.
        await world.bob.slash(world.channel, "imagine", prompt="new")
        assert buttons(world.last)
        assert await world.bot.store.jobs.get(3) is None
        assert (await world.job(4)).request.prompt == "new"


async def test_what_is_in_a_backup(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(settings)
    (settings.images_dir / "99").mkdir()
    (settings.images_dir / "99" / "0.png").touch()
    (settings.images_dir / "2" / "0.png").unlink()
    target = tmp_path / "copy"
    target.mkdir()
    assert backup(settings, target) == 0
    said = capsys.readouterr().out
    assert "4 jobs and 2 images" in said
    assert "The files of 1 images are not there" in said
    assert images(target) == ["images/1/0.png", "images/3/0.png"]
    assert TOKEN.encode() not in (target / "penultimate.sqlite3").read_bytes()
    assert read(target / "penultimate.sqlite3", "PRAGMA journal_mode") == [("delete",)]
    # Nothing of it is left by halves, and the bot's own data is as it was.
    assert names(tmp_path) == ["copy", "data"]
    assert read(settings.database_path, "SELECT DISTINCT interaction_token FROM jobs") == [
        (None,),
        (TOKEN,),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="rights are others there")
async def test_a_backup_is_for_the_owner_alone(settings: Settings, tmp_path: Path) -> None:
    await fill(settings)
    assert backup(settings, tmp_path / "copy") == 0
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0
    assert (tmp_path / "copy" / "penultimate.sqlite3").stat().st_mode & 0o077 == 0
    assert restore(settings, tmp_path / "copy") == 0
    restored = (settings.database_path, settings.images_dir, *settings.images_dir.rglob("*"))
    assert [path for path in restored if path.stat().st_mode & 0o077] == []


async def test_images_are_linked_and_copied_where_they_cannot_be(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(settings)
    image = settings.images_dir / "1" / "0.png"
    assert backup(settings, tmp_path / "linked") == 0
    assert same(image, tmp_path / "linked" / "images" / "1" / "0.png")

    def link(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    assert backup(settings, tmp_path / "copied") == 0
    assert not same(image, tmp_path / "copied" / "images" / "1" / "0.png")
    assert images(tmp_path / "copied") == images(tmp_path / "linked")


async def test_nothing_is_overwritten(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy"
    assert backup(settings, target) == 2
    assert "has no database yet" in capsys.readouterr().err
    await fill(settings)
    target.mkdir()
    (target / "mine").touch()
    assert backup(settings, target) == 2
    assert "is not empty" in capsys.readouterr().err
    assert names(target) == ["mine"]


async def test_a_backup_that_fails_leaves_nothing(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await fill(settings)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_file, "_copy_images", full)
    assert backup(settings, tmp_path / "copy") == 2
    assert "No space left" in capsys.readouterr().err
    assert names(tmp_path) == ["data"]


async def test_a_restore_moves_aside_what_was_there(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(settings)
    assert backup(settings, tmp_path / "copy") == 0
    await fill(settings, 0)
    assert restore(settings, tmp_path / "copy") == 0
    said = capsys.readouterr().out
    assert "1 jobs had not ended then" in said
    (aside,) = settings.data_dir.glob("before-restore-*")
    assert str(aside) in said
    assert read(aside / "penultimate.sqlite3", "SELECT count(*) FROM jobs") == [(5,)]
    for path in aside.glob("penultimate.sqlite3*"):
        assert TOKEN.encode() not in path.read_bytes()
    assert read(settings.database_path, "SELECT count(*) FROM jobs") == [(4,)]
    assert images(aside / "images") == images(settings.images_dir)
    assert not list(settings.data_dir.glob("restoring-*"))
    # And it can be restored in its turn.
    assert restore(settings, aside) == 0
    assert read(settings.database_path, "SELECT count(*) FROM jobs") == [(5,)]


@pytest.mark.parametrize("lost", ["all", "damaged", "begun anew"])
async def test_after_a_loss_numbers_go_on_far_above(
    settings: Settings, tmp_path: Path, lost: str
) -> None:
    await fill(settings)
    assert backup(settings, tmp_path / "copy") == 0
    shutil.rmtree(settings.data_dir)
    if lost == "damaged":
        settings.data_dir.mkdir()
        settings.database_path.write_bytes(b"no database" * 1000)
    if lost == "begun anew":
        await fill(settings, 1)
    assert restore(settings, tmp_path / "copy") == 0
    store = await Store.open(settings.database_path, settings.images_dir)
    job = await store.jobs.create(GenerationRequest("x", "demo", 7), user_id=1, application_id=2)
    await store.close()
    assert job.id == 4 + JUMP + 1


async def test_what_cannot_be_restored_changes_nothing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(settings)
    assert backup(settings, tmp_path / "copy") == 0
    before = images(settings.data_dir)

    def refused(source: Path) -> str:
        assert restore(settings, source) == 2
        assert images(settings.data_dir) == before
        assert read(settings.database_path, "SELECT count(*) FROM jobs") == [(4,)]
        assert not list(settings.data_dir.glob("*restor*"))
        return capsys.readouterr().err

    assert "is no backup" in refused(tmp_path)
    newer = tmp_path / "newer"
    shutil.copytree(tmp_path / "copy", newer)
    read(newer / "penultimate.sqlite3", f"PRAGMA user_version = {at_rest.KNOWN + 1}")
    assert "Update the bot" in refused(newer)
    with (tmp_path / "copy" / "penultimate.sqlite3").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    assert refused(tmp_path / "copy")
    with alone_in(settings.data_dir):
        assert "Another bot is running" in refused(newer)


async def test_a_check_of_what_is_whole(settings: Settings) -> None:
    assert "there is no penultimate.sqlite3 yet" in findings(settings)[-1][1]
    await fill(settings)
    found = findings(settings)
    assert {level for level, _ in found} == {"ok"}
    assert any("is whole" in line and "3 delivered, 1 queued" in line for _, line in found)
    assert any(line == "3 images, each with its file" for _, line in found)


async def test_a_check_names_orphans_both_ways(settings: Settings) -> None:
    await fill(settings, 9)
    for job in range(1, 8):
        (settings.images_dir / str(job) / "0.png").unlink()
    for job, name in ((9, "1"), (10, "0"), (500, "0")):
        (settings.images_dir / str(job)).mkdir(exist_ok=True)
        (settings.images_dir / str(job) / f"{name}.png").touch()
    found = findings(settings)
    assert ("wrong", "image 1/0.png is in the database, but has no file") in found
    assert ("wrong", "… and 2 more") in found
    assert ("note", "image 9/1.png is not in the database: the next start removes it") in found
    assert ("note", "image 500/0.png is not in the database, but of a later one") in found
    # The tenth job waits: its file may just be written.
    assert not any("10/0.png" in line for _, line in found)


async def test_files_that_retention_removed_are_not_missed(settings: Settings) -> None:
    await fill(settings)
    store = await Store.open(settings.database_path, settings.images_dir)
    assert await store.retention.shrink(0) == (3, 0)
    await store.close()
    assert ("ok", "0 images, each with its file") in findings(settings)


async def test_a_check_of_a_damaged_database(settings: Settings) -> None:
    await fill(settings)
    with settings.database_path.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * 4096 * 6)
    assert any(level == "wrong" for level, _ in findings(settings))
    settings.database_path.write_bytes(b"no database" * 1000)
    assert "restore a backup" in findings(settings)[-1][1]


async def test_a_check_of_a_database_that_is_held_or_out_of_reach(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(settings)
    read(settings.database_path, "PRAGMA journal_mode=DELETE")
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0.0))
    with closing(sqlite3.connect(settings.database_path)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        level, line = findings(settings)[-1]
    assert (level, "database is locked" in line, "backup" in line) == ("wrong", True, False)
    monkeypatch.setattr(
        at_rest, "connect", Mock(side_effect=sqlite3.OperationalError("unable to open"))
    )
    level, line = findings(settings)[-1]
    assert (level, "unable to open" in line, "backup" in line) == ("wrong", True, False)


async def test_what_a_restore_that_was_killed_left_is_named_and_goes_with_the_next(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(settings)
    assert backup(settings, tmp_path / "copy") == 0
    # A kill runs no cleanup.
    monkeypatch.setattr(tempfile.TemporaryDirectory, "__exit__", lambda *_: None)
    monkeypatch.setattr(tempfile.TemporaryDirectory, "_cleanup", lambda *_, **__: None)
    with monkeypatch.context() as killed:
        killed.setattr(backup_file, "_move_aside", Mock(side_effect=OSError("killed")))
        assert restore(settings, tmp_path / "copy") == 2
    monkeypatch.undo()
    (left,) = settings.data_dir.glob("restoring-*")
    assert any(level == "wrong" and str(left) in line for level, line in findings(settings))
    assert restore(settings, tmp_path / "copy") == 0
    assert not list(settings.data_dir.glob("restoring-*"))


class Killed(BaseException):
    """As by the system: nothing is tidied up."""


@pytest.mark.parametrize("moved", [0, 1])
async def test_a_restore_that_was_killed_as_it_moved_files_stops_the_next_start(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    moved: int,
) -> None:
    await fill(settings)
    assert backup(settings, tmp_path / "copy") == 0
    left = iter(range(moved))
    rename = Path.rename

    def until(path: Path, target: Path) -> Path:
        if path.parent.name.startswith("restoring-") and next(left, None) is None:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as killed:
        killed.setattr(Path, "rename", until)
        killed.setattr(tempfile.TemporaryDirectory, "__exit__", lambda *_: None)
        killed.setattr(tempfile.TemporaryDirectory, "_cleanup", lambda *_, **__: None)
        with pytest.raises(Killed):
            restore(settings, tmp_path / "copy")
    monkeypatch.setattr(logs, "set_up", Mock())  # It is the whole process's.
    assert start.main(replace(settings, discord_token="a.b.c")) == 2
    assert "A restore was stopped before its end" in capsys.readouterr().err
    assert restore(settings, tmp_path / "copy") == 0
    assert backup_file.half_restored(settings) is None
    assert len(images(settings.images_dir)) == 3


async def test_what_a_backup_that_was_killed_left_goes_with_a_later_one(
    settings: Settings, tmp_path: Path
) -> None:
    await fill(settings)
    folder = tmp_path / "backups"
    old = ("monday-unfinished-abc_1234", "my-unfinished-symphony", "x-unfinished-business-plan")
    for name in (*old, "tuesday-unfinished-abcd1234"):
        (folder / name / "images").mkdir(parents=True)
        if name != "my-unfinished-symphony":
            (folder / name / "penultimate.sqlite3").touch()
    for name in old:
        os.utime(folder / name, (0, 0))
    assert backup(settings, folder / "wednesday") == 0
    # One that may still be written, and what is somebody's own, stay.
    assert names(folder) == [
        "my-unfinished-symphony",
        "tuesday-unfinished-abcd1234",
        "wednesday",
        "x-unfinished-business-plan",
    ]


async def test_a_disk_that_will_be_full_soon(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(settings)
    usage = shutil.disk_usage(settings.data_dir)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * 2**30))
    assert not [line for level, line in findings(settings) if level == "wrong"]
    with (settings.images_dir / "1" / "0.png").open("r+b") as file:
        file.truncate(20 * 2**30)
    (line,) = [line for level, line in findings(settings) if level == "wrong"]
    assert "the disk is full in 3 days" in line


async def test_start_images_count_for_a_full_disk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await Store.open(settings.database_path, settings.images_dir)
    for days in (0, 40):
        monkeypatch.setattr(store.jobs, "_clock", lambda days=days: time.time() - days * check.DAY)
        inputs = Inputs(bytes([days]) * 3 * 2**20)
        request = GenerationRequest("x", "demo", 7, inputs=inputs)
        await store.jobs.create(request, user_id=1, application_id=2)
    await store.close()
    usage = shutil.disk_usage(settings.data_dir)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    (line,) = [line for _, line in findings(settings) if "disk is full" in line]
    assert "the disk is full in 10 days" in line


async def test_the_check_beside_a_running_bot(world: World) -> None:
    await world.ann.slash(world.channel, "imagine", prompt="x")
    found = findings(replace(world.settings))
    assert ("ok", "1 images, each with its file") in found
    # Nothing was changed by looking.
    await world.ann.slash(world.channel, "imagine", prompt="y")
    assert text(answer(await world.ann.click(world.last, label="More…")))
