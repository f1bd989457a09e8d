"""A bot of today on the data and the posts of a 0.1.0 bot: nothing is lost or works otherwise.

``version_0_1_0/`` was written by that version's own code, and so was what each press then did.
"""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.bot.actions.test_every_control import CONTROLS, FORMS, STANDING_CONTROLS
from tests.project.version_0_1_0 import old
from tests.project.version_0_1_0.old import OldWorld, discord_json, old_world, rows
from tests.simulation import answer, components, text

POSTS = tuple(discord_json()["posts"])
WAS = json.loads(old.OUTCOMES.read_text("utf-8"))
EACH = [each for outcomes in WAS.values() for each in outcomes]
# Jobs by what became of them before the stop.
FINISHED, RUNNING, QUEUED = (12, 13, 14), (15,), (16, 17, 18)
PRIVATE = (13, 18)
ENDED = {9: "failed", 19: "cancelled"}
OF_A_START_IMAGE = (3, 15, 16, 17)


@pytest.fixture
def before(tmp_path: Path) -> Any:
    """The old database, for a look at what stood in it."""
    old.write_database(tmp_path / "before.sqlite")
    connection = sqlite3.connect(tmp_path / "before.sqlite")
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


def standing(world: OldWorld) -> dict[int, str]:
    return dict(rows(world, "SELECT id, state FROM jobs"))


@pytest.mark.parametrize("name", POSTS)
async def test_each_control_of_a_post_does_what_it_did(name: str, tmp_path: Path) -> None:
    async with old_world(tmp_path, hold=old.is_live(name)) as world:
        found = await old.outcomes(world, name)
        list(world.env.errors)
    assert found == WAS[name]


def test_every_action_is_in_some_post() -> None:
    named = {each[key] for each in EACH for key in ("press", "form") if key in each}
    found = {name.split(":")[1] for name in named}
    assert {*CONTROLS, *FORMS, *STANDING_CONTROLS} - old.NEW <= found


async def test_what_was_finished_is_delivered_and_what_waited_is_run(tmp_path: Path) -> None:
    async with old_world(tmp_path) as world:
        states = standing(world)
        for job_id in (*FINISHED, *RUNNING, *QUEUED):
            assert states[job_id] == "delivered"
            job = await world.job(job_id)
            assert job.message_id is not None
            message = world.env.backend.get_message(job.channel_id or 0, job.message_id)
            private = world.env.backend.get_channel(message.channel_id).guild_id is None
            assert private == (job_id in PRIVATE)
            assert len(message.attachments) == (1 if job.sheet else job.request.count)
        assert sorted(each.job_id for each in world.engine.seen) == [*RUNNING, *QUEUED]
        assert {id: states[id] for id in ENDED} == ENDED
        # Their own post of the progress is gone, and so are Carl's.
        there = {message.id for message in world.posts()}
        waited = [
            discord_json()["posts"][f"live {name}"]["message_id"] for name in ("running", "queued")
        ]
        assert not there & set(waited)
        assert rows(world, "SELECT * FROM farewells") == []
        assert "not for long" not in "".join(text(message) for message in world.posts())


async def test_a_job_of_then_is_the_same_picture(tmp_path: Path, before: Any) -> None:
    async with old_world(tmp_path) as world:
        jobs = before.execute("SELECT * FROM jobs LEFT JOIN inputs ON sha256 = init_image")
        for row in jobs.fetchall():
            job = await world.job(row["id"])
            kept = old.as_then(job.request.to_dict())
            assert json.loads(row["request"]).items() <= kept.items()
            assert job.request.init_image == row["data"]
            assert (row["data"] is not None) == (job.id in OF_A_START_IMAGE)
            assert (job.sheet and job.sheet.to_json()) == json.loads(row["sheet"] or "null")
            assert (job.user_id, job.parent_id) == (row["user_id"], row["parent_id"])
            assert (job.private, job.locale) == (bool(row["private"]), row["locale"])
        drawn = {work.job_id: work.items for work in world.engine.seen}
        for job_id in (*RUNNING, *QUEUED):
            job = await world.job(job_id)
            starts = {item.request.init_image for item in drawn[job_id]}
            assert starts == {job.request.init_image}


async def test_the_database_is_whole_after_its_migration(tmp_path: Path, before: Any) -> None:
    async with old_world(tmp_path) as world:
        assert rows(world, "PRAGMA integrity_check") == [("ok",)]
        assert rows(world, "PRAGMA foreign_key_check") == []
        was = "SELECT id, 'init_image', init_image FROM jobs WHERE init_image IS NOT NULL"
        assert sorted(rows(world, "SELECT * FROM job_inputs")) == sorted(
            tuple(row) for row in before.execute(was)
        )
        pictures = "SELECT job_id, position, seed, width, height, infotext FROM pictures"
        assert set(rows(world, pictures)) >= {tuple(row) for row in before.execute(pictures)}
        # With the last job go the bytes, and the triggers that give a quota back are still there.
        for job_id in OF_A_START_IMAGE:
            assert await world.bot.store.jobs.delete(job_id)
        assert rows(world, "SELECT * FROM job_inputs") == rows(world, "SELECT * FROM inputs") == []
        triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
        assert rows(world, triggers) == [tuple(row) for row in before.execute(triggers)]


async def test_settings_presets_and_styles_read_the_same(tmp_path: Path, before: Any) -> None:
    async with old_world(tmp_path) as world:
        store = world.bot.store
        for guild_id, written in before.execute("SELECT * FROM servers"):
            now = json.loads(store.servers.text(guild_id))
            new = {name: now.pop(name) for name in old.NEW_SETTINGS & now.keys()}
            assert now == json.loads(written)
            assert not any(new.values())
        for row in before.execute("SELECT * FROM presets").fetchall():
            preset = await store.presets.get(row["user_id"], row["name"])
            assert (preset.name, preset.values) == (row["name"], json.loads(row["options"]))
        assert await store.presets.yours(world.ann.id) == {
            "steps": 12,
            "sampler": "Euler a",
            "seed": 7,
        }
        (style,) = await store.styles.list(world.guild.id)
        assert style.applied("a cat", "") == ("oil painting of a cat", "photo")
        spent = "SELECT job_id, user_id, pictures FROM spent"
        assert set(rows(world, spent)) >= {tuple(row) for row in before.execute(spent)}


async def test_history_and_show(tmp_path: Path) -> None:
    async with old_world(tmp_path) as world:
        page = answer(await world.ann.slash(world.channel, "history"))
        shown = [item["custom_id"] for item in components(page) if "custom_id" in item]
        assert shown == [
            *(f"s:show:{id}" for id in (18, 16, 15, 14, 13)),
            "s:history:0",
            "s:history:1",
        ]
        for job_id in (1, 2, 3, 4, 5, 6, 7, 12):
            again = answer(await world.ann.slash(world.channel, "show", id=job_id))
            assert again.attachments
            assert again.ephemeral == (job_id == 7)
        for job_id in ENDED:
            said = answer(await world.ann.slash(world.channel, "show", id=job_id))
            assert f"p:again:{job_id}" in {item.get("custom_id") for item in components(said)}


@pytest.mark.parametrize(
    ("emoji", "change"), [("🎲", None), ("⬆️", {"clip_skip": 2}), ("✉️", None), ("❌", None)]
)
async def test_reactions_on_an_old_post(
    tmp_path: Path, emoji: str, change: dict[str, int] | None
) -> None:
    async with old_world(tmp_path) as world:
        post = next(message for message in world.posts() if message.id == _post("result"))
        await (world.ann if emoji == "❌" else world.bob).react(post, emoji)
        await world.env.settle()
        made = await world.bot.store.jobs.get(20)
        assert (made is not None) == (emoji in ("🎲", "⬆️"))
        if made is not None:
            request = (await world.job(1)).request
            assert made.parent_id == 1
            assert made.request.clip_skip == (change or {}).get("clip_skip", 1)
            assert (made.request.seed == request.seed) == (change is not None)
        elif emoji == "✉️":
            assert world.bob.user.dm_channel.last_message is not None
        else:
            assert await world.bot.store.jobs.get(1) is None
            assert _post("result") not in {message.id for message in world.posts()}


async def test_the_export_holds_everything(tmp_path: Path, before: Any) -> None:
    async with old_world(tmp_path) as world:
        await world.ann.slash(world.channel, "privacy export")
        await world.env.settle()
        sent = world.ann.user.dm_channel.last_message
        assert sent is not None
        with zipfile.ZipFile(io.BytesIO(await sent.attachments[0].read())) as file:
            names = set(file.namelist())
            jobs = json.loads(file.read("jobs.json"))
            mine = before.execute(
                "SELECT * FROM jobs WHERE user_id = ?", (world.ann.id,)
            ).fetchall()
            assert [job["id"] for job in jobs] == [row["id"] for row in mine]
            for row in before.execute("SELECT sha256, data FROM inputs"):
                assert file.read(f"start-images/{row['sha256']}.png") == row["data"]
            used = {(row["id"], row["init_image"]) for row in mine if row["init_image"]}
            inputs = json.loads(file.read("job_inputs.json"))
            assert {(each["job_id"], each["sha256"]) for each in inputs} == used
            assert {each["kind"] for each in inputs} == {"init_image"}
        assert {f"pictures/{number}-1.png" for number in (1, 2, 3, 4, 5, 6, 7, 12)} <= names


def _post(name: str) -> int:
    message_id: int = discord_json()["posts"][name]["message_id"]
    return message_id
