from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from bot.exceptions import TooMany, Unexpected
from bot.settings import SHIPPED_DATA, Settings
from bot.store import DatabaseTooNew, Job, Store
from bot.store.database import Database
from bot.store.job_rows import STATES, State
from bot.store.jobs import TOKEN_LIFETIME
from bot.store.pictures import Pictures
from bot.store.presets import MAX_PER_USER
from core.errors import InvalidRequest, UnknownName, VaeMismatch
from core.events import Image
from core.notes import Note
from core.request import GenerationRequest, HiresFix, Inputs

MIGRATIONS = SHIPPED_DATA / "migrations"
REQUEST = GenerationRequest("a red circle", "demo", 7, clip_skip=2)
IMAGES = (Image(b"one", 7, 512, 512, "text 1"), Image(b"two", 8, 512, 512, "text 2"))


async def make(store: Store, request: GenerationRequest = REQUEST, user_id: int = 1) -> Job:
    return await store.jobs.create(request, user_id=user_id, application_id=5)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- jobs -----------------------------------------------------------------------------------


async def test_a_job_comes_back_as_it_was_written(store: Store) -> None:
    request = GenerationRequest(
        "prompt", "demo", 3, hires=HiresFix(1.5), inputs=Inputs(b"\x89PNG"), vae="None"
    )
    job = await store.jobs.create(
        request,
        user_id=2**63 - 1,
        application_id=5,
        guild_id=6,
        channel_id=7,
        message_id=8,
        interaction_token="secret",
        private=True,
        locale="ja",
        notes=[Note.of("clip_skip_sdxl")],
    )
    assert job.request == request
    assert job == await store.jobs.get(job.id)
    assert (job.state, job.private, job.locale, job.guild_id) == ("queued", True, "ja", 6)
    assert job.user_id == 2**63 - 1
    assert job.token_expires_at == pytest.approx(job.created_at + 15 * 60)
    assert "secret" not in repr(job)


async def test_accepted_means_written(store: Store, settings: Settings) -> None:
    job = await make(store)
    with sqlite3.connect(settings.database_path) as other:
        assert other.execute("SELECT id FROM jobs").fetchall() == [(job.id,)]
    other.close()


async def test_a_job_that_is_not_there(store: Store) -> None:
    assert await store.jobs.get(1) is None
    assert not await store.jobs.set_state(1, "running")
    assert not await store.jobs.finish(1, IMAGES)
    assert not await store.jobs.delete(1)


async def test_ids_are_never_used_again(store: Store) -> None:
    first = await make(store)
    await store.jobs.delete(first.id)
    assert (await make(store)).id > first.id


async def reach(store: Store, state: State) -> int:
    """A new job in ``state``."""
    job = await make(store)
    if state == "running":
        assert await store.jobs.set_state(job.id, "running")
    elif state == "failed":
        assert await store.jobs.fail(job.id, Unexpected("x"))
    elif state == "cancelled":
        assert await store.jobs.set_state(job.id, "cancelled")
    elif state != "queued":
        assert await store.jobs.finish(job.id, IMAGES)
        if state == "delivered":
            assert await store.jobs.set_state(job.id, "delivered")
    return job.id


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
async def test_only_these_changes_of_state_happen(
    store: Store, before: State, after: State
) -> None:
    open_ = ("queued", "running")
    allowed = {
        "queued": before == "running",
        "running": before == "queued",
        "finished": before in open_,
        "failed": before in open_,
        "cancelled": before in open_,
        "delivered": before == "finished",
    }[after]
    job_id = await reach(store, before)
    assert await store.jobs.set_state(job_id, after) == allowed
    job = await store.jobs.get(job_id)
    assert job is not None
    assert job.state == (after if allowed else before)
    assert (job.finished_at is not None) == (job.state not in open_)


async def test_finished_pictures_are_on_disk(store: Store, settings: Settings) -> None:
    job = await make(store)
    notes = [Note.of("long_prompt", which="prompt", tokens=90, chunks=2)]
    assert await store.jobs.finish(job.id, IMAGES, notes)
    pictures = await store.pictures.of_job(job.id)
    assert [await picture.read() for picture in pictures] == [b"one", b"two"]
    assert pictures[1].path == settings.images_dir / str(job.id) / "1.png"
    assert (pictures[1].seed, pictures[1].infotext, pictures[1].attachment_id) == (
        8,
        "text 2",
        None,
    )
    finished = await store.jobs.get(job.id)
    assert finished is not None
    assert finished.notes == tuple(notes)
    assert sorted(path.name for path in pictures[0].path.parent.iterdir()) == ["0.png", "1.png"]
    await store.pictures.set_attachments(job.id, [70, 71])
    assert [picture.attachment_id for picture in await store.pictures.of_job(job.id)] == [70, 71]


async def test_notes_are_added_once(store: Store) -> None:
    first, second = Note.of("clip_skip_sdxl"), Note.of("too_many_parts", limit=8)
    job = await store.jobs.create(REQUEST, user_id=1, application_id=5, notes=[first])
    await store.jobs.finish(job.id, IMAGES, [first, second])
    finished = await store.jobs.get(job.id)
    assert finished is not None
    assert finished.notes == (first, second)


async def test_a_full_disk_leaves_the_job_running(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make(store)
    await store.jobs.set_state(job.id, "running")
    # A file where the folder should be: any OSError will do.
    settings.images_dir.rmdir()
    settings.images_dir.write_text("in the way")
    with pytest.raises(OSError, match="images"):
        await store.jobs.finish(job.id, IMAGES)
    assert [job.id for job in await store.jobs.unfinished()] == [job.id]


async def test_a_cancelled_job_keeps_no_pictures(store: Store, settings: Settings) -> None:
    job_id = await reach(store, "cancelled")
    assert not await store.jobs.finish(job_id, IMAGES)
    assert list(settings.images_dir.iterdir()) == []
    assert await store.pictures.of_job(job_id) == ()


async def test_finishing_twice_keeps_the_pictures(store: Store) -> None:
    job_id = await reach(store, "finished")
    assert not await store.jobs.finish(job_id, IMAGES)
    assert [await picture.read() for picture in await store.pictures.of_job(job_id)] == [
        b"one",
        b"two",
    ]


async def test_why_a_job_failed_is_remembered(store: Store) -> None:
    job = await make(store)
    await store.jobs.fail(job.id, VaeMismatch("v", "sdxl", "m", "sd1"))
    failed = await store.jobs.get(job.id)
    assert failed is not None
    assert isinstance(failed.error, VaeMismatch)
    assert (failed.error.vae, failed.error.needs) == ("v", "sd1")


async def test_what_is_being_written_while_it_is_deleted_goes_too(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop, to_thread, write = asyncio.get_running_loop(), asyncio.to_thread, Pictures._write_files

    def slow(pictures: Pictures, *arguments: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(30)
        write(pictures, *arguments)

    async def at_once(work: Any, *arguments: Any, **options: Any) -> Any:
        """A deletion that is begun is done before anybody else's turn."""
        if work is shutil.rmtree:
            return work(*arguments, **options)
        return await to_thread(work, *arguments, **options)

    monkeypatch.setattr(Pictures, "_write_files", slow)
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    job = await make(store)
    finishing = asyncio.create_task(store.jobs.finish(job.id, IMAGES))
    await begun.wait()
    # As bot.jobs.following stops it.
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)
    assert await store.members.forget(1) == [job.id]
    deleting = asyncio.create_task(store.pictures.delete_files(job.id))
    for _ in range(10):
        await asyncio.sleep(0)
    go.set()
    await deleting
    while store.pictures._writing:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not list(settings.images_dir.rglob("*"))


async def test_a_start_removes_pictures_that_no_job_names(store: Store, settings: Settings) -> None:
    kept = await make(store)
    await store.jobs.finish(kept.id, IMAGES)
    halfway, lost, visited = [await make(store, user_id=2) for _ in range(3)]
    for job in (halfway, lost, visited):
        await store.pictures.write_files(job.id, IMAGES)
    images = settings.images_dir
    (images / f"{lost.id}" / "2.part").touch()
    (images / f"{visited.id}" / "notes.txt").touch()
    # As after a crash between the rows and the files.
    await store.jobs.set_state(halfway.id, "running")
    for job in (lost, visited):
        await store.jobs.set_state(job.id, "cancelled")
    # Of another database, and none of ours.
    for name in ("99", "my own"):
        (images / name).mkdir()
        (images / name / "0.png").touch()
    await store.close()
    again = await Store.open(settings.database_path, images)
    read = [await picture.read() for picture in await again.pictures.of_job(kept.id)]
    await again.close()
    left = sorted(str(path.relative_to(images)) for path in images.rglob("*") if path.is_file())
    assert left == [
        *(f"{job.id}/{position}.png" for job in (kept, halfway) for position in (0, 1)),
        f"{visited.id}/notes.txt",
        "99/0.png",
        "my own/0.png",
    ]
    assert not (images / f"{lost.id}").exists()
    assert read == [b"one", b"two"]


async def test_what_is_left_to_do_after_a_restart(store: Store, settings: Settings) -> None:
    ids = {state: await reach(store, state) for state in STATES}
    await store.close()
    again = await Store.open(settings.database_path, settings.images_dir)
    assert [job.id for job in await again.jobs.unfinished()] == [ids["queued"], ids["running"]]
    assert [job.id for job in await again.jobs.undelivered()] == [ids["finished"]]
    await again.close()


async def test_tokens_are_erased_in_time_and_at_delivery(settings: Settings) -> None:
    clock = Clock()
    store = await Store.open(settings.database_path, settings.images_dir, clock)
    old, delivered, young = [
        await store.jobs.create(REQUEST, user_id=1, application_id=5, interaction_token="secret")
        for _ in range(3)
    ]
    await store.jobs.finish(delivered.id, IMAGES)
    await store.jobs.set_state(delivered.id, "delivered")
    clock.now += TOKEN_LIFETIME - 1
    newest = await store.jobs.create(REQUEST, user_id=1, application_id=5, interaction_token="new")
    assert await store.jobs.erase_expired_tokens() == 0
    clock.now += 1
    assert await store.jobs.erase_expired_tokens() == 2
    tokens = {job.id: job.interaction_token for job in await store.jobs.of_user(1)}
    assert tokens == {old.id: None, delivered.id: None, young.id: None, newest.id: "new"}
    await store.close()
    assert b"secret" not in settings.database_path.read_bytes()


async def test_a_members_jobs_newest_first(store: Store) -> None:
    mine = [(await make(store)).id for _ in range(5)]
    await make(store, user_id=2)
    assert [job.id for job in await store.jobs.of_user(1)] == mine[::-1]
    assert [job.id for job in await store.jobs.of_user(1, limit=3)] == mine[:1:-1]


async def test_deleting_a_job_deletes_its_files_and_frees_its_variations(
    store: Store, settings: Settings
) -> None:
    parent = await reach(store, "delivered")
    child = await store.jobs.create(REQUEST, user_id=1, application_id=5, parent_id=parent)
    assert child.parent_id == parent
    assert await store.jobs.delete(parent)
    assert not (settings.images_dir / str(parent)).exists()
    assert await store.pictures.of_job(parent) == ()
    orphan = await store.jobs.get(child.id)
    assert orphan is not None
    assert orphan.parent_id is None
    late = await store.jobs.create(REQUEST, user_id=1, application_id=5, parent_id=parent)
    assert late.parent_id is None


async def test_the_post_of_a_job(store: Store) -> None:
    job = await make(store)
    await store.jobs.set_message(job.id, 10, 11)
    moved = await store.jobs.get(job.id)
    assert moved is not None
    assert (moved.channel_id, moved.message_id) == (10, 11)


# --- presets --------------------------------------------------------------------------------


async def test_presets_are_one_per_name_whatever_its_spelling(store: Store) -> None:
    await store.presets.save(1, "Anime", {"clip_skip": 2})
    await store.presets.save(1, "  ＡＮＩＭＥ ", {"clip_skip": 3})
    await store.presets.save(2, "anime", {"clip_skip": 4})
    (preset,) = await store.presets.list(1)
    assert (preset.name, preset.values) == ("ANIME", {"clip_skip": 3})
    assert (await store.presets.get(1, "anime")).values == {"clip_skip": 3}


async def test_a_missing_preset_names_close_ones(store: Store) -> None:
    await store.presets.save(1, "Portraits", {})
    for lost in (store.presets.get(1, "portrait"), store.presets.delete(1, "portrait")):
        with pytest.raises(UnknownName) as caught:
            await lost
        assert caught.value.close == ("Portraits",)


async def test_default_is_yours_and_first(store: Store) -> None:
    assert await store.presets.yours(1) == {}
    for name in ("alpha", "Default", "beta"):
        await store.presets.save(1, name, {"steps": 9})
    assert [preset.name for preset in await store.presets.list(1)] == ["Default", "alpha", "beta"]
    assert await store.presets.yours(1) == {"steps": 9}


@pytest.mark.parametrize("name", ["", "   ", "\u200b", "x" * 41, "ﷺ" * 3])
async def test_names_out_of_bounds(store: Store, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await store.presets.save(1, name, {})


async def test_presets_are_bounded_but_can_be_replaced_when_full(store: Store) -> None:
    for number in range(MAX_PER_USER):
        await store.presets.save(1, f"p{number}", {})
    with pytest.raises(TooMany):
        await store.presets.save(1, "one more", {})
    await store.presets.save(1, "P0", {"steps": 1})
    await store.presets.save(2, "another member's", {})
    await store.presets.delete(1, "p1")
    await store.presets.save(1, "one more", {})


# --- the database ---------------------------------------------------------------------------


async def test_opening_again_migrates_nothing(store: Store, settings: Settings) -> None:
    job = await make(store)
    again = await Store.open(settings.database_path, settings.images_dir)
    assert await again.jobs.get(job.id) == job
    await again.close()


async def test_a_newer_database_is_refused_and_untouched(settings: Settings) -> None:
    settings.data_dir.mkdir()
    connection = sqlite3.connect(settings.database_path)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    with pytest.raises(DatabaseTooNew, match="newer version"):
        await Store.open(settings.database_path, settings.images_dir)


async def test_a_file_that_is_no_database(settings: Settings) -> None:
    settings.data_dir.mkdir()
    settings.database_path.write_bytes(b"not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        await Store.open(settings.database_path, settings.images_dir)


async def test_a_broken_migration_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    jobs = "CREATE TABLE jobs (interaction_token, token_expires_at);"
    (folder / "0001_good.sql").write_text(jobs)
    (folder / "0002_bad.sql").write_text(f"CREATE TABLE b (x); {jobs}")
    path = tmp_path / "db.sqlite3"
    with pytest.raises(sqlite3.OperationalError):
        await Database.open(path, folder)
    (folder / "0002_bad.sql").write_text("CREATE TABLE b (x);")
    database = await Database.open(path, folder)
    assert [row[0] for row in await database.read("PRAGMA user_version")] == [2]
    await database.close()


async def test_pragmas(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "db.sqlite3", MIGRATIONS)
    for pragma, value in (("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 1)):
        assert [row[0] for row in await database.read(f"PRAGMA {pragma}")] == [value]
    await database.close()


@pytest.fixture
async def database(tmp_path: Path) -> Database:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001.sql").write_text("CREATE TABLE numbers (n INTEGER);")
    return await Database.open(tmp_path / "db.sqlite3", folder)


async def numbers(database: Database) -> list[int]:
    return [row[0] for row in await database.read("SELECT n FROM numbers ORDER BY n")]


async def test_a_failed_transaction_undoes_only_itself(database: Database) -> None:
    async def insert(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO numbers VALUES (1)")

    async def insert_and_fail(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO numbers VALUES (2)")
        raise ValueError("no")

    results = await asyncio.gather(
        *(database.write(work) for work in (insert, insert_and_fail) * 5), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), ValueError] * 5
    assert await numbers(database) == [1] * 5
    await database.close()


async def test_a_cancelled_caller_neither_undoes_nor_mixes_transactions(
    database: Database,
) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO numbers VALUES (1)")
        inside.set()
        await go_on.wait()
        await connection.execute("INSERT INTO numbers VALUES (2)")

    async def fails(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO numbers VALUES (3)")
        raise ValueError("no")

    caller = asyncio.ensure_future(database.write(slow))
    await inside.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    # The transaction is still open: the next one, and a reader, wait for its end.
    other = asyncio.ensure_future(database.write(fails))
    reader = asyncio.ensure_future(numbers(database))
    go_on.set()
    with pytest.raises(ValueError, match="no"):
        await other
    assert await reader == [1, 2]
    await database.close()


async def test_closing_waits_for_what_was_begun(database: Database, tmp_path: Path) -> None:
    async def insert(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO numbers VALUES (1)")

    caller = asyncio.ensure_future(database.write(insert))
    await asyncio.sleep(0)
    caller.cancel()
    await database.close()
    connection = sqlite3.connect(tmp_path / "db.sqlite3")
    assert connection.execute("SELECT n FROM numbers").fetchall() == [(1,)]
    connection.close()
