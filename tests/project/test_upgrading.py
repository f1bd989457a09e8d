"""The data of every released version, brought to this one and back, and the page that says how."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.cli import check
from bot.cli.backup import backup, restore
from bot.settings import ROOT, SHIPPED_DATA, Settings
from bot.store import Store, at_rest

NOW = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
PAGE = (ROOT / "docs" / "upgrading.md").read_text("utf-8")
# Version → database, as the page has it.
KNOWN = {
    version: int(number)
    for version, number in re.findall(r"^\| (\d+\.\d+\.\d+) \| (\d+) \|", PAGE, re.MULTILINE)
}
RELEASED = [
    version
    for version in re.findall(
        r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    if version != NOW
]


def data_of(version: str) -> Path:
    return ROOT / "tests" / "project" / f"version_{version.replace('.', '_')}"


def read(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def counts(path: Path) -> dict[str, int]:
    """The rows of each table."""
    tables = read(path, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
    return {name: read(path, f'SELECT count(*) FROM "{name}"')[0][0] for (name,) in tables}


@pytest.fixture
def old(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The data folder as that version left it."""
    folder = data_of(request.param)
    settings.data_dir.mkdir()
    with closing(sqlite3.connect(settings.database_path)) as connection:
        connection.executescript((folder / "database.sql").read_text("utf-8"))
    shutil.copytree(folder / "images", settings.images_dir)
    return settings


def test_the_page_has_every_version() -> None:
    assert list(KNOWN) == [*reversed(RELEASED), NOW]
    assert KNOWN[NOW] == at_rest.KNOWN


@pytest.mark.parametrize("version", RELEASED)
def test_the_data_of_every_released_version_is_here(version: str) -> None:
    assert (data_of(version) / "database.sql").is_file()
    assert (data_of(version) / "images").is_dir()


@pytest.mark.parametrize("version", RELEASED)
def test_the_migrations_of_a_released_version_are_as_they_were(
    version: str, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    with closing(sqlite3.connect(there)) as connection:
        connection.executescript((data_of(version) / "database.sql").read_text("utf-8"))
    with closing(sqlite3.connect(here)) as connection:
        for path in sorted((SHIPPED_DATA / "migrations").glob("*.sql")):
            if int(path.name[:4]) <= KNOWN[version]:
                connection.executescript(path.read_text("utf-8"))
    schema = (
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
    )

    def plain(path: Path) -> list[tuple[str, str, str]]:
        return [(kind, name, re.sub(r"\W+", " ", sql)) for kind, name, sql in read(path, schema)]

    assert plain(there) == plain(here)
    assert read(there, "PRAGMA user_version") == [(KNOWN[version],)]


@pytest.mark.parametrize("old", RELEASED, indirect=True)
async def test_an_upgrade_keeps_every_row_and_file(old: Settings) -> None:
    before = counts(old.database_path)
    store = await Store.open(old.database_path, old.images_dir)
    for job in [row["id"] for row in await store._database.read("SELECT id FROM jobs")]:
        assert await store.jobs.get(job) is not None
        for picture in await store.pictures.of_job(job):
            assert await picture.read()
    await store.close()
    after = counts(old.database_path)
    # What was spent on days that are over goes at each start.
    assert {name: after.get(name) for name in before if name != "spent"} == {
        name: count for name, count in before.items() if name != "spent"
    }
    assert [found for found in check.data(old) if found.level == "wrong"] == []
    # A second start has nothing to do.
    await (await Store.open(old.database_path, old.images_dir)).close()
    assert counts(old.database_path) == after


@pytest.mark.parametrize("old", RELEASED, indirect=True)
async def test_the_way_back(old: Settings, tmp_path: Path) -> None:
    dump, saved = counts(old.database_path), tmp_path / "before"
    version = read(old.database_path, "PRAGMA user_version")
    # The new version's backup copies old data as it is.
    assert backup(old, saved) == 0
    assert read(saved / old.database_path.name, "PRAGMA user_version") == version
    await (await Store.open(old.database_path, old.images_dir)).close()
    assert read(old.database_path, "PRAGMA user_version") == [(at_rest.KNOWN,)]
    assert restore(old, saved) == 0
    assert read(old.database_path, "PRAGMA user_version") == version
    assert counts(old.database_path) == dump
    images = {path.relative_to(old.images_dir) for path in old.images_dir.rglob("*.png")}
    assert images == {path.relative_to(saved / "images") for path in saved.rglob("*.png")}
    assert images
