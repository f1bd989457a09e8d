"""/privacy: the export holds everything, the deletion leaves nothing; others stay as they are."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from discord import ui
from PIL import Image

from bot.actions.retry import Typed
from bot.settings import ROOT
from bot.store.members import TABLES
from cogs import privacy
from cogs.privacy import ROOM, Export
from core.errors import PenultimateError
from core.request import GenerationRequest, Inputs
from tests.simulation import World, answer, buttons, spent, text


@pytest.fixture(autouse=True)
def only_what_has_a_sentence(world: World) -> Iterator[None]:
    yield
    for error in world.env.errors:
        assert isinstance(getattr(error, "original", error), PenultimateError)


def start_image() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()


async def live(world: World, who: Any, **options: Any) -> None:
    """Some of everything: pictures, a preset, a shared one, a start image, a copy elsewhere."""
    await who.slash(world.channel, "imagine", prompt="a cat", count=2, **options)
    await world.env.settle()
    store = world.bot.store
    await store.presets.save(who.id, "mine", {"steps": 5})
    await store.shares.create(who.id, "mine", {"steps": 5})
    await store.jobs.create(
        GenerationRequest("a dog", "plain", 1, inputs=Inputs(start_image())),
        user_id=who.id,
        application_id=1,
        interaction_token="a secret",
    )
    await store.jobs.set_state((await store.jobs.of_user(who.id, 1))[0].id, "cancelled")


async def rows_of(world: World, user_id: int) -> dict[str, int]:
    found = await world.bot.store.members.rows(user_id)
    return {table: len(rows) for table, rows in found.items() if rows}


def archives(who: Any) -> list[zipfile.ZipFile]:
    sent = who.user.dm_channel.history()
    files = [file for message in sent for file in message.attachments]
    return [zipfile.ZipFile(io.BytesIO(file_bytes(who, file))) for file in files]


def file_bytes(who: Any, file: Any) -> bytes:
    data: bytes = who._env.backend.cdn.get(file.url)
    return data


async def test_every_table_that_knows_a_member_is_known(world: World) -> None:
    database = world.bot.store._database
    tables = await database.read("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    assert {name for name, sql in tables if re.search(r"\buser_id\b", sql)} == set(TABLES)


async def test_the_export_holds_everything_and_no_key(world: World) -> None:
    await live(world, world.ann)
    await live(world, world.bob)
    told = answer(await world.ann.slash(world.channel, "privacy export"))
    assert told.ephemeral
    assert "sent to your direct messages" in text(told)
    (archive,) = archives(world.ann)
    names = set(archive.namelist())
    assert {"jobs.json", "presets.json", "shared_presets.json"} <= names
    assert {"pictures/1-1.png", "pictures/1-2.png"} <= names
    assert sum(name.startswith("start-images/") for name in names) == 1
    jobs = json.loads(archive.read("jobs.json"))
    assert [job["request"]["prompt"] for job in jobs] == ["a cat", "a dog"]
    (picture, _) = await world.bot.store.pictures.of_job(1)
    assert archive.read("pictures/1-1.png") == await picture.read()
    everything = b"".join(archive.read(name) for name in names)
    assert b"a secret" not in everything
    assert "pictures/3-1.png" not in names


async def test_somebody_without_anything_gets_an_empty_one(world: World) -> None:
    await world.ann.slash(world.channel, "privacy export")
    (archive,) = archives(world.ann)
    assert archive.namelist() == []


async def test_closed_direct_messages_get_a_sentence(world: World) -> None:
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    told = answer(await world.ann.slash(world.channel, "privacy export"))
    assert "can’t send you direct messages" in text(told)


async def test_it_is_not_asked_for_all_the_time(world: World) -> None:
    for _ in range(2):
        await world.ann.slash(world.channel, "privacy export")
    told = answer(await world.ann.slash(world.channel, "privacy export"))
    assert "A little too fast" in text(told)
    # The cooldown is an error of discord.py's own, with a sentence.
    world.env._errors.clear()


async def parts_of(world: World, limit: int) -> tuple[list[zipfile.ZipFile], int]:
    made = Export(world.bot.store, world.ann.id, limit)
    parts = [part async for part in made.parts()]
    assert all(len(part) <= limit for part in parts)
    return [zipfile.ZipFile(io.BytesIO(part)) for part in parts], made.left_out


async def test_no_part_is_larger_than_can_be_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await world.ann.slash(world.channel, "imagine", prompt="a cat")
    await world.env.settle()
    for job_id in range(1, 6):
        (picture,) = await world.bot.store.pictures.of_job(job_id)
        picture.path.write_bytes(picture.path.read_bytes() + bytes(1900))
    parts, left_out = await parts_of(world, ROOM + 5000)
    names = [name for part in parts for name in part.namelist()]
    assert [name for name in names if name.startswith("pictures/")] == [
        f"pictures/{job_id}-1.png" for job_id in range(5, 0, -1)
    ]
    assert len(parts) > 2
    assert left_out == 0
    monkeypatch.setattr(privacy, "MAX_PARTS", 2)
    parts, left_out = await parts_of(world, ROOM + 5000)
    assert len(parts) == 2
    shown = sum(name.startswith("pictures/") for part in parts for name in part.namelist())
    assert shown + left_out == 5
    assert left_out > 0


async def test_a_lost_file_is_passed_over(world: World) -> None:
    await live(world, world.ann)
    first, _ = await world.bot.store.pictures.of_job(1)
    first.path.unlink()
    ((archive,), _) = await parts_of(world, 10**7)
    assert "pictures/1-2.png" in archive.namelist()
    assert "pictures/1-1.png" not in archive.namelist()


# Deletion


async def ask(world: World, who: Any) -> Any:
    result = await who.slash(world.channel, "privacy delete")
    assert answer(result).ephemeral
    return result


async def test_it_is_asked_first_and_can_be_left(world: World) -> None:
    await live(world, world.ann)
    before = await rows_of(world, world.ann.id)
    asked = await ask(world, world.ann)
    assert "jobs with their images (2)" in text(answer(asked))
    assert "presets (1)" in text(answer(asked))
    assert await rows_of(world, world.ann.id) == before
    await world.ann.click(answer(asked), label="Keep my data")
    assert "Nothing was deleted" in text(answer(asked))
    assert await rows_of(world, world.ann.id) == before


async def test_everything_goes_and_nothing_of_others(world: World) -> None:
    await live(world, world.ann)
    await live(world, world.bob)
    await world.bob.react(world.posts()[0], "✉️")
    await world.env.settle()
    (mine, _) = await world.bot.store.pictures.of_job(1)
    (others, _) = await world.bot.store.pictures.of_job(3)
    before = await rows_of(world, world.bob.id)
    asked = await ask(world, world.ann)
    await world.ann.click(answer(asked), label="Delete everything")
    await world.env.settle()
    assert "All your data has been deleted" in text(answer(asked))
    assert set(await rows_of(world, world.ann.id)) <= {"spent"}
    assert not mine.path.parent.exists()
    assert await rows_of(world, world.bob.id) == before
    assert others.path.exists()
    assert [job for job in world.posts() if "a cat" in text(job)] == [world.posts()[-1]]
    assert len(world.posts()) == 1
    assert not world.bob.user.dm_channel.history()
    assert await world.bot.store.posts.to_delete() == []
    # A start image of the same bytes is another's too.
    (job, *_) = await world.bot.store.jobs.of_user(world.bob.id, 1)
    assert job.request.init_image is not None


async def knowing(world: World, user_id: int) -> set[str]:
    """Every ``table.column`` of the whole database in which the id stands."""
    database = world.bot.store._database
    found = set()
    for (table,) in await database.read("SELECT name FROM sqlite_master WHERE type = 'table'"):
        for row in await database.read(f"SELECT * FROM {table}"):
            values = dict(row).items()
            found |= {f"{table}.{name}" for name, value in values if str(user_id) in str(value)}
    return found


async def test_no_row_knows_who_was_deleted_but_todays_quota_and_a_ban(world: World) -> None:
    ann, store = world.ann, world.bot.store
    await live(world, ann)
    log_channel = world.guild.create_text_channel("log")
    await store.servers.update(
        world.guild.id, lambda server: replace(server, log_channel=log_channel.id, quota=50)
    )
    await ann.slash(world.channel, "imagine", prompt="noted")
    await world.env.settle()
    await store.servers.update(world.guild.id, lambda server: replace(server, banned=(ann.id,)))
    used = await spent(store, world.guild.id, ann.id)
    assert used > 0
    assert {"jobs.user_id", "presets.user_id", "spent.user_id"} <= await knowing(world, ann.id)
    # Who is banned can still go.
    asked = await ask(world, ann)
    assert all(word in text(answer(asked)) for word in ("quota", "ban", "log channel"))
    await ann.click(answer(asked), label="Delete everything")
    await world.env.settle()
    assert await knowing(world, ann.id) == {"spent.user_id", "servers.settings"}
    # Deleting neither gives a quota back, nor lifts a ban, nor takes a log's line away.
    assert await spent(store, world.guild.id, ann.id) == used
    refused = answer(await ann.slash(world.channel, "imagine", prompt="again"))
    assert "banned from generating images on this server" in text(refused)
    assert [f"<@{ann.id}>" in text(line) for line in log_channel.history()] == [True]
    # What was spent goes with its day.
    world.now += 86_400
    await world.restart()
    assert await knowing(world, ann.id) == {"servers.settings"}


async def test_what_was_spent_on_days_before_goes_at_once(world: World) -> None:
    await live(world, world.ann)
    world.now += 86_400
    asked = await ask(world, world.ann)
    await world.ann.click(answer(asked), label="Delete everything")
    assert await knowing(world, world.ann.id) == set()


async def test_posts_of_shared_presets_are_taken_away(world: World) -> None:
    for who in (world.ann, world.bob):
        await world.bot.store.presets.save(who.id, "mine", {"steps": 5})
        await who.slash(world.channel, "preset share", name="mine")
    asked = await ask(world, world.ann)
    await world.ann.click(answer(asked), label="Delete everything")
    await world.env.settle()
    (left,) = world.posts()
    assert f"<@{world.bob.id}>" in text(left)


async def test_nothing_is_left_on_the_disk_or_in_memory(world: World) -> None:
    for who in (world.ann, world.bob):
        world.bot.retry._kept.keep(Typed(who.id, ui.Modal(title="x")))
    await world.ann.slash(world.channel, "imagine", prompt="unspeakable")
    await world.env.settle()
    folder = world.settings.data_dir

    def on_disk() -> bool:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return any(b"unspeakable" in path.read_bytes() for path in files)

    assert on_disk()
    asked = await ask(world, world.ann)
    await world.ann.click(answer(asked), label="Delete everything")
    await world.env.settle()
    assert not on_disk()
    assert [typed.user_id for typed in world.bot.retry._kept._values.values()] == [world.bob.id]


async def test_what_is_accepted_meanwhile_is_taken_back_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="just now")
    asked = await ask(world, world.ann)

    async def not_yet_there(_: int) -> list[int]:
        return []

    monkeypatch.setattr(world.bot.store.members, "job_ids", not_yet_there)
    await world.ann.click(answer(asked), label="Delete everything")
    await world.env.settle()
    assert not world.bot.queue.snapshot()
    assert not world.posts()
    assert await knowing(world, world.ann.id) <= {"spent.user_id"}


async def test_what_runs_is_taken_back_and_never_comes(world: World) -> None:
    world.engine.hold()
    world.engine.rows = 1
    for prompt in ("one", "two"):
        await world.ann.slash(world.channel, "imagine", prompt=prompt)
    asked = await ask(world, world.ann)
    await world.ann.click(answer(asked), label="Delete everything")
    await world.env.settle()
    assert not world.bot.queue.snapshot()
    world.engine.release()
    await world.env.settle()
    assert not world.posts()
    assert await rows_of(world, world.ann.id) in ({}, {"spent": 2}, {"spent": 1})
    assert not list(world.settings.images_dir.glob("*/*"))
    await world.ann.slash(world.channel, "imagine", prompt="anew")
    await world.env.settle()
    assert "anew" in text(world.last)


async def test_posts_are_taken_away_after_a_restart_too(world: World) -> None:
    await live(world, world.ann)
    world.env.inject_error("DELETE", "/channels/*/messages/*", status=503)
    await world.bot.store.members.forget(world.ann.id)
    assert len(world.posts()) == 1
    await world.restart()
    await world.env.settle()
    assert len(world.posts()) == 1
    await world.restart()
    await world.env.settle()
    assert not world.posts()


async def test_a_post_out_of_reach_stops_nothing(world: World) -> None:
    await live(world, world.ann)
    await world.ann.slash(world.channel, "imagine", prompt="another")
    await world.env.settle()
    world.env.inject_error("DELETE", "/channels/*/messages/*", status=404, code=10008)
    asked = await ask(world, world.ann)
    assert set(buttons(answer(asked))) == {"Delete everything", "Keep my data"}
    await world.ann.click(answer(asked), label="Delete everything")
    await world.env.settle()
    assert len(world.posts()) == 1
    assert await world.bot.store.posts.to_delete() == []


def test_the_page_names_what_is_stored() -> None:
    page = (ROOT / "PRIVACY.md").read_text("utf-8")
    assert "/privacy export" in page
    assert "/privacy delete" in page
    assert "PRIVACY.md" in (ROOT / "README.md").read_text("utf-8")
