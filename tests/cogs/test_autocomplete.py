"""What is offered while a member types, with the database out of reach.

Discord waits for no list: each must come from memory, whatever the disk is doing.
"""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosqlite
import discord
import pytest
from discord import app_commands
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.exceptions import TooMany
from bot.store import Store
from bot.store.presets import MAX_PER_USER
from core.errors import UnknownName
from tests.simulation import World, answer, text


@asynccontextmanager
async def busy(store: Store) -> AsyncIterator[None]:
    """The database in the middle of a statement: nothing can be read or written meanwhile."""
    begun, done = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(begun.set)
        done.wait()

    async def work(connection: aiosqlite.Connection) -> None:
        await connection.create_function("hold", 0, hold)
        await connection.execute_fetchall("SELECT hold()")

    # In a context of its own: simcord does not wait for it.
    holding = contextvars.Context().run(asyncio.ensure_future, store._database.write(work))
    try:
        await begun.wait()
        yield
    finally:
        done.set()
        await holding


async def offered(world: World, command: str, option: str, typed: str = "") -> list[str]:
    choices = await world.ann.autocomplete(world.channel, command, option, typed)
    return [choice["value"] for choice in choices]


async def test_busy_is_busy(store: Store) -> None:
    async with busy(store):
        reading = asyncio.ensure_future(store.presets.list(1))
        done, _ = await asyncio.wait({reading}, timeout=0)
        assert not done
    assert await reading == ()


async def test_every_search_there_is(world: World) -> None:
    searches = [
        (command.qualified_name, option.name)
        for command in world.bot.tree.walk_commands()
        if isinstance(command, app_commands.Command)
        for option in command.parameters
        if option.autocomplete
    ]
    assert {("imagine", "preset"), ("style show", "style"), ("cancel", "job")} <= set(searches)
    role = world.guild.create_role("All", permissions=discord.Permissions.all())
    owner = world.guild.add_member(world.env.create_user("owner"), roles=[role])
    async with busy(world.bot.store):
        for command, option in searches:
            await owner.autocomplete(world.channel, command, option, "a")


async def test_presets_and_styles(world: World) -> None:
    presets, styles = world.bot.store.presets, world.bot.store.styles
    for name in ("Sharp", "Default", "anime"):
        await presets.save(world.ann.id, name, {"steps": 9})
    await presets.save(world.bob.id, "Bob's", {"steps": 9})
    for name in ("Oil", "film"):
        await styles.save(world.guild.id, name, "x")
    await styles.save(world.guild.id + 1, "elsewhere", "x")
    async with busy(world.bot.store):
        assert await offered(world, "imagine", "preset") == ["Default", "anime", "Sharp"]
        assert await offered(world, "preset delete", "name", "SHA") == ["Sharp"]
        assert await offered(world, "explore", "preset", "sharb") == ["Sharp"]
        assert await offered(world, "imagine", "style") == ["film", "Oil"]
        assert await offered(world, "style show", "style", "oi") == ["Oil"]


async def test_no_more_than_discord_takes(world: World) -> None:
    for number in range(30):
        await world.bot.store.presets.save(world.ann.id, f"p{number:02}", {"steps": 9})
    async with busy(world.bot.store):
        assert await offered(world, "imagine", "preset") == [f"p{n:02}" for n in range(25)]
        assert await offered(world, "imagine", "preset", "p29") == ["p29"]


async def test_what_was_saved_before_a_restart(world: World) -> None:
    await world.bot.store.presets.save(world.ann.id, "Sharp", {"steps": 9})
    await world.bot.store.styles.save(world.guild.id, "film", "x")
    await world.restart()
    async with busy(world.bot.store):
        assert await offered(world, "imagine", "preset") == ["Sharp"]
        assert await offered(world, "imagine", "style") == ["film"]


async def test_jobs_to_cancel_and_the_queue(world: World) -> None:
    world.engine.hold()
    world.engine.rows = 1
    for prompt in ("a cat", "a dog"):
        await world.ann.slash(world.channel, "imagine", prompt=prompt)
    await world.ann.slash(
        world.channel, "explore", prompt="a hat", x_axis="prompt", x_values="hat, coat"
    )
    await world.bob.slash(world.channel, "imagine", prompt="of somebody else")
    async with busy(world.bot.store):
        choices = await world.ann.autocomplete(world.channel, "cancel", "job", "")
        assert [choice["name"] for choice in choices] == [
            "All of them (3)",
            "#1 · a cat",
            "#2 · a dog",
            "#3 · a hat",
        ]
        assert await offered(world, "cancel", "job", "DOG") == ["2"]
        shown = text(answer(await world.ann.slash(world.channel, "queue")))
    assert "1 generating, 3 waiting" in shown
    assert all(prompt in shown for prompt in ("a cat", "a dog", "a hat"))
    assert "somebody else" not in shown


async def test_a_job_is_offered_until_it_is_over(world: World) -> None:
    world.engine.hold()
    await world.ann.slash(world.channel, "imagine", prompt="a cat")
    async with busy(world.bot.store):
        assert await offered(world, "cancel", "job") == ["1"]
    world.engine.release()
    await world.env.settle()
    async with busy(world.bot.store):
        assert await offered(world, "cancel", "job") == []


# The names in memory are those in the tables, whatever happens to either.

OWNERS = (1, 2)
NAMES = ("default", "DEFAULT", "b", "Ｂ", "Å", "Straße", "STRASSE")
KINDS = (
    *("save", "add", "delete", "cancelled", "set_yours", "empty_yours"),
    *("style", "delete_style", "forget", "restart"),
)
# In which every kind of move changes something.
A_LIFE = (
    *(("save", 1, "DEFAULT"), ("set_yours", 1, ""), ("save", 1, "b"), ("save", 1, "Ｂ")),
    *(("add", 1, "B"), ("add", 1, "default"), ("style", 1, "b"), ("style", 1, "Å")),
    *(("style", 1, "B"), ("delete_style", 1, "b"), ("restart", 1, ""), ("save", 2, "b")),
    *(("delete", 1, "b"), ("cancelled", 1, "Å"), ("forget", 1, ""), ("set_yours", 2, "")),
    ("empty_yours", 2, ""),
)
moves = st.tuples(st.sampled_from(KINDS), st.sampled_from(OWNERS), st.sampled_from(NAMES))


async def agree(store: Store) -> None:
    for owner in OWNERS:
        presets, styles = await store.presets.list(owner), await store.styles.list(owner)
        assert store.presets.names(owner) == tuple(preset.name for preset in presets)
        assert store.styles.names(owner) == tuple(style.name for style in styles)


async def move(store: Store, kind: str, owner: int, name: str) -> None:
    match kind:
        case "save":
            await store.presets.save(owner, name, {"steps": 9})
        case "add":
            await store.presets.add(owner, name, {"steps": 8})
        case "delete":
            await store.presets.delete(owner, name)
        case "set_yours":
            await store.presets.change_yours(owner, {"seed": 1})
        case "empty_yours":
            await store.presets.change_yours(owner, {"seed": None, "steps": None})
        case "forget":
            await store.members.forget(owner)
        case "style":
            await store.styles.save(owner, name, "x")
        case "delete_style":
            await store.styles.delete(owner, name)
        case "cancelled":
            caller = asyncio.ensure_future(store.presets.save(owner, name, {"steps": 9}))
            await asyncio.sleep(0)
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)


@given(st.lists(moves, max_size=20))
@example(A_LIFE)
@settings(max_examples=40, deadline=None)
def test_names_are_never_stale(done: Sequence[tuple[str, int, str]]) -> None:
    async def live(folder: Path) -> None:
        store = await Store.open(folder / "db.sqlite3", folder)
        try:
            for kind, owner, name in done:
                if kind == "restart":
                    await store.close()
                    store = await Store.open(folder / "db.sqlite3", folder)
                with suppress(UnknownName):
                    await move(store, kind, owner, name)
                await agree(store)
        finally:
            await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))


async def test_a_name_counts_from_its_commit_on(store: Store) -> None:
    async with busy(store):
        saving = asyncio.ensure_future(store.presets.save(1, "Sharp", {"steps": 9}))
        await asyncio.sleep(0)
        assert store.presets.names(1) == ()
    await saving
    assert store.presets.names(1) == ("Sharp",)


async def test_it_counts_though_its_caller_went_away(store: Store) -> None:
    async with busy(store):
        saving = asyncio.ensure_future(store.presets.save(1, "Sharp", {"steps": 9}))
        await asyncio.sleep(0)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
    assert [preset.name for preset in await store.presets.list(1)] == ["Sharp"]
    assert store.presets.names(1) == ("Sharp",)


@pytest.mark.parametrize("event", ["INSERT", "DELETE", "UPDATE"])
async def test_what_the_disk_refused_changes_no_name(store: Store, event: str) -> None:
    async def refuse(connection: aiosqlite.Connection) -> None:
        for table in ("presets", "styles"):
            await connection.execute(
                f"CREATE TEMP TRIGGER no_{table} AFTER {event} ON {table}"
                " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )

    await store.presets.change_yours(1, {"steps": 9})
    await store.styles.save(1, "film", "x")
    await store._database.write(refuse)
    writes = {
        "INSERT": (store.presets.save(1, "x", {"steps": 9}), store.styles.save(1, "x", "x")),
        "UPDATE": (store.presets.save(1, "DEFAULT", {}), store.styles.save(1, "FILM", "x")),
        "DELETE": (
            store.presets.delete(1, "default"),
            store.presets.change_yours(1, {"steps": None}),
            store.members.forget(1),
            store.styles.delete(1, "film"),
        ),
    }
    for each, attempts in writes.items():
        for attempt in attempts:
            if each != event:
                attempt.close()
                continue
            with pytest.raises(sqlite3.IntegrityError, match="disk full"):
                await attempt
    assert store.presets.names(1) == ("default",)
    assert store.styles.names(1) == ("film",)


async def test_one_too_many_is_not_there(store: Store) -> None:
    for number in range(MAX_PER_USER):
        await store.presets.save(1, f"p{number}", {})
    for attempt in (store.presets.save(1, "x", {}), store.presets.change_yours(1, {"seed": 1})):
        with pytest.raises(TooMany):
            await attempt
    assert len(store.presets.names(1)) == MAX_PER_USER
    await agree(store)


async def test_nothing_is_left_of_who_has_no_names(store: Store) -> None:
    await store.presets.save(1, "x", {})
    await store.presets.delete(1, "x")
    await store.presets.save(2, "x", {})
    await store.members.forget(2)
    assert store.presets._names == {}
    assert store.styles.names(None) == ()
