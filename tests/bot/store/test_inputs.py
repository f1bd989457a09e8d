"""The images that requests are made from: kept once, with their jobs, whatever their kind."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.settings import ROOT, Settings
from bot.store import Job, Store
from bot.store.inputs import KINDS
from core.request import GenerationRequest, Inputs

Count = Callable[[str], int]


async def make(store: Store, data: bytes | None, user_id: int = 1) -> Job:
    request = GenerationRequest("p", "demo", 1, inputs=Inputs(data))
    return await store.jobs.create(request, user_id=user_id, application_id=5)


@pytest.fixture
def count(settings: Settings) -> Count:
    """Rows of a table."""

    def count(table: str) -> int:
        with closing(sqlite3.connect(settings.database_path)) as connection:
            (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(found)

    return count


def test_a_kind_in_a_database_is_never_called_otherwise() -> None:
    assert KINDS[0] == "init_image"


async def test_each_job_has_its_own(store: Store) -> None:
    made = [await make(store, data) for data in (b"one", None, b"two", b"one")]
    for jobs in (await store.jobs.unfinished(), (await store.jobs.of_user(1))[::-1]):
        assert [job.request.init_image for job in jobs] == [b"one", None, b"two", b"one"]
    newest = await store.jobs.of_user(1, limit=2)
    assert [(job.id, job.request.init_image) for job in newest] == [
        (made[3].id, b"one"),
        (made[2].id, b"two"),
    ]


async def test_a_job_that_is_not_written_leaves_none(
    store: Store, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bot.store import inputs

    async def fail(*_: object) -> None:
        await write(*_)  # type: ignore[arg-type]
        raise sqlite3.OperationalError("database or disk is full")

    write = inputs.write
    monkeypatch.setattr(inputs, "write", fail)
    with pytest.raises(sqlite3.OperationalError):
        await make(store, b"one")
    assert count("jobs") == count("job_inputs") == count("inputs") == 0


async def test_one_that_another_member_uses_too_outlives_who_is_forgotten(
    store: Store, count: Count
) -> None:
    for data, user_id in ((b"shared", 1), (b"mine", 1), (b"shared", 2)):
        await make(store, data, user_id)
    ours = await store.members.input_rows(1)
    assert [(row["job_id"], row["kind"]) for row in ours] == [(1, "init_image"), (2, "init_image")]
    assert [await store.members.input(row["sha256"]) for row in ours] == [b"shared", b"mine"]
    await store.members.forget(1)
    assert await store.members.input_rows(1) == []
    assert await store.members.input(ours[1]["sha256"]) is None
    assert (count("inputs"), count("job_inputs")) == (1, 1)
    (theirs,) = await store.jobs.of_user(2)
    assert theirs.request.init_image == b"shared"


async def test_they_are_kept_once_and_go_with_their_last_job(store: Store, count: Count) -> None:
    jobs = [await make(store, b"picture") for _ in range(2)]
    assert count("inputs") == 1
    await store.jobs.delete(jobs[0].id)
    assert count("inputs") == 1
    await store.jobs.delete(jobs[1].id)
    assert count("inputs") == 0


async def test_the_same_bytes_of_two_at_once(store: Store, count: Count) -> None:
    jobs = await asyncio.gather(*(make(store, b"one") for _ in range(5)))
    assert count("inputs") == 1
    await asyncio.gather(*(store.jobs.delete(job.id) for job in jobs))
    assert count("inputs") == 0


# What a new kind takes: a field. In a process of its own, for nothing may have read the table.
MADE_UP = """
import asyncio, dataclasses, sys
from pathlib import Path
import core.request

@dataclasses.dataclass(frozen=True, slots=True)
class Inputs(core.request.Inputs):
    mask: bytes | None = None

core.request.Inputs = Inputs
from bot.store import Store

async def main(folder):
    store = await Store.open(folder / "data.sqlite", folder / "images")
    try:
        await check(store)
    finally:
        await store.close()

async def check(store):
    made = Inputs(b"image", mask=b"mask"), Inputs(mask=b"image"), Inputs()
    for inputs in made:
        request = core.request.GenerationRequest("p", "demo", 1, inputs=inputs)
        await store.jobs.create(request, user_id=1, application_id=5)
    read = [job.request.inputs for job in await store.jobs.unfinished()]
    rows = await store.members.input_rows(1)
    await store.jobs.delete(1)
    left = [await store.members.input(row["sha256"]) for row in rows]
    assert read == list(made), read
    assert [(row["job_id"], row["kind"]) for row in rows] == [
        (1, "init_image"), (1, "mask"), (2, "mask")
    ], rows
    assert left == [b"image", None, b"image"], left

asyncio.run(main(Path(sys.argv[1])))
"""


def test_another_kind_is_a_field(tmp_path: Path) -> None:
    run = [sys.executable, "-c", MADE_UP, str(tmp_path)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
