"""What is kept for a set time and size, oldest first, and never what was not delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from bot.settings import Settings
from bot.store import Job, Store
from bot.store import retention as retention_file
from bot.store.inputs import REMOVE, is_removed
from bot.store.retention import DAY, GB
from core.errors import OutOfMemory
from core.events import Image
from core.pictures.files import write_png
from core.request import Enlarge, GenerationRequest, Inputs

START = b"\x89PNG start"


def image(size: int = 1000) -> Image:
    return Image(b"x" * size, 7, 512, 512, "its parameters")


class Kept:
    """A store whose clock a test moves, and jobs that ended in every way."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def job(self, state: str, *, told: bool = True, **values: Any) -> Job:
        jobs, request = self.store.jobs, GenerationRequest("x", "demo", 7, **values)
        job = await jobs.create(request, user_id=1, application_id=2)
        if state in ("finished", "delivered"):
            await jobs.finish(job.id, [image()])
        if state == "running":
            await jobs.set_state(job.id, "running")
        if state == "delivered":
            await jobs.set_state(job.id, "delivered")
        if state == "cancelled":
            await jobs.set_state(job.id, "cancelled")
        if state == "failed":
            await jobs.fail(job.id, OutOfMemory(512, 512))
        if told:
            await jobs.told(job.id)
        return job


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
async def kept(settings: Settings, now: list[float]) -> Any:
    store = await Store.open(settings.database_path, settings.images_dir, lambda: now[0])
    yield Kept(store)
    await store.close()


def folders(settings: Settings) -> set[int]:
    return {int(path.name) for path in settings.images_dir.iterdir()}


async def test_what_ended_long_ago_is_deleted_and_nothing_else(
    kept: Kept, now: list[float], settings: Settings
) -> None:
    states = ("delivered", "failed", "cancelled", "finished", "queued", "running")
    old = {state: (await kept.job(state)).id for state in states}
    # A member who does not know yet that there is no image.
    untold = [(await kept.job(state, told=False)).id for state in ("failed", "cancelled")]
    now[0] += 30 * DAY
    new = await kept.job("delivered")
    now[0] += 1 * DAY
    assert await kept.store.retention.delete_old(31) == 0
    now[0] += 1
    assert await kept.store.retention.delete_old(31) == 3
    left = [state for state, number in old.items() if await kept.store.jobs.get(number)]
    assert left == ["finished", "queued", "running"]
    assert folders(settings) == {old["finished"], new.id}
    assert [number for number in untold if await kept.store.jobs.get(number)] == untold
    # A second time there is nothing to do.
    assert await kept.store.retention.delete_old(31) == 0


async def test_start_images_go_with_the_last_job_that_uses_them(
    kept: Kept, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_file, "BATCH", 2)
    for _ in range(5):
        await kept.job("delivered", inputs=Inputs(START))
    now[0] += 10 * DAY
    await kept.job("delivered", inputs=Inputs(START))

    async def stored() -> int:
        return len(await kept.store._database.read("SELECT 1 FROM inputs"))

    assert await kept.store.retention.delete_old(9) == 5
    assert await stored() == 1
    now[0] += 10 * DAY
    assert await kept.store.retention.delete_old(9) == 1
    assert await stored() == 0


async def test_the_oldest_delivered_files_go_when_there_are_too_many(
    kept: Kept, now: list[float], settings: Settings
) -> None:
    waiting = await kept.job("finished")
    made = []
    for _ in range(4):
        now[0] += 1
        made.append((await kept.job("delivered")).id)
    assert await kept.store.retention.shrink(5000 / GB) == (0, 0)
    assert await kept.store.retention.shrink(2500 / GB) == (3, 0)
    assert folders(settings) == {waiting.id, made[-1]}
    # The rows stay, with the parameters.
    (picture,) = await kept.store.pictures.of_job(made[0])
    assert (picture.kept, picture.infotext) == (False, "its parameters")
    with pytest.raises(FileNotFoundError):
        await picture.read()
    (picture,) = await kept.store.pictures.of_job(made[-1])
    assert picture.kept
    # What has not reached Discord stays, however little may be kept.
    assert await kept.store.retention.shrink(0) == (1, 0)
    assert folders(settings) == {waiting.id}


async def test_start_images_count_and_go_as_files_do(kept: Kept, now: list[float]) -> None:
    async def left() -> list[bool]:
        jobs = [await kept.store.jobs.get(number) for number in made]
        return [is_removed(job.request.init_image) for job in jobs if job is not None]

    made = []
    # The oldest has the start image of the newest, which still runs, and one was never told.
    for state, told, start in (
        ("delivered", True, 9),
        ("delivered", True, 1),
        ("failed", False, 2),
        ("cancelled", True, 3),
        ("delivered", True, 1),
        ("delivered", True, 4),
        ("running", True, 9),
    ):
        now[0] += 1
        job = await kept.job(state, told=told, inputs=Inputs(START + bytes([start]) * 990))
        made.append(job.id)
    # Four files and five start images of 1000 bytes each.
    assert await kept.store.retention.shrink(9000 / GB) == (0, 0)
    assert await kept.store.retention.shrink(6000 / GB) == (2, 1)
    assert await left() == [False, False, False, True, False, False, False]
    assert await kept.store.retention.shrink(0) == (2, 2)
    assert await left() == [False, True, False, True, True, True, False]
    # A member who gives the same image again gives all of those jobs theirs back.
    await kept.job("queued", inputs=Inputs(START + bytes([1]) * 990))
    assert await left() == [False, False, False, True, False, True, False]


async def test_a_job_without_its_finished_image_can_be_read(kept: Kept) -> None:
    finished = Inputs(finished=write_png(PillowImage.new("RGB", (300, 200)), ""))
    job = await kept.job("delivered", inputs=finished, enlarge=Enlarge(2.0))
    assert await kept.store.retention.shrink(0) == (1, 1)
    left = await kept.store.jobs.get(job.id)
    assert left is not None
    assert is_removed(left.request.inputs.finished)
    assert left.request.delivered_size == (600, 400)
    # Nothing is left for an export.
    assert [
        await kept.store.members.input(row["sha256"])
        for row in await kept.store.members.input_rows(1)
    ] == [None]


async def test_a_start_image_that_is_used_meanwhile_stays(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Inputs(START + bytes(1000))
    await kept.job("delivered", inputs=start)
    execute = type(kept.store._database).execute

    async def late(database: Any, sql: str, *values: Any) -> int:
        if sql == REMOVE:
            await kept.job("queued", inputs=start)
        return await execute(database, sql, *values)

    monkeypatch.setattr(type(kept.store._database), "execute", late)
    await kept.store.retention.shrink(0)
    job = await kept.store.jobs.get(2)
    assert job is not None
    assert job.request.inputs == start


async def test_files_that_a_crash_left_go_at_the_next_start(
    kept: Kept, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await kept.job("delivered")

    async def killed(job_id: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kept.store.pictures, "delete_files", killed)
    with pytest.raises(KeyboardInterrupt):
        await kept.store.retention.shrink(0)
    assert folders(settings) == {job.id}
    await kept.store.pictures.sweep()
    assert folders(settings) == set()


async def test_the_search_for_old_jobs_uses_an_index(kept: Kept) -> None:
    for sql, values in ((retention_file._OLD, (0.0, 1)), (retention_file._WITH_FILES, ())):
        plan = await kept.store._database.read(f"EXPLAIN QUERY PLAN {sql}", *values)
        assert "jobs_by_end" in plan[0]["detail"]
        assert not [row for row in plan if "FOR ORDER BY" in row["detail"]]


async def test_a_folder_that_is_not_there_takes_no_room(kept: Kept, tmp_path: Path) -> None:
    assert await kept.store.retention.shrink(0) == (0, 0)
