"""What the process that is connected to a cluster asks and tells an engine, Ray left out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.config import EngineConfig
from core.models.weights.hashes import Hashes
from core.serving.cluster import wire
from core.serving.cluster.driver import ActorLink, sentence
from core.serving.cluster.files import Wanted, find
from core.serving.cluster.protocol import Begin, Ended, FromDriver, Said
from core.serving.messages import Abort, Add, Lacks
from core.work import Work
from tests.core.serving.test_client import MODEL, work


class Method:
    """An actor's method."""

    def __init__(self, call: Callable[..., bytes]) -> None:
        self._call = call

    async def remote(self, *given: Any) -> bytes:
        return self._call(*given)


class Actor:
    """An engine on a computer with these folders, where the bot's own are not."""

    def __init__(self, folders: list[Path], cache: Path) -> None:
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.asked: list[str] = []
        self._folders, self._cache = folders, cache
        self.find, self.tell = Method(self._find), Method(self._tell)

    def _find(self, size: int, path: str, digest: str) -> bytes:
        self.asked.append(digest)
        gone = Wanted(Path("/not/here") / Path(path).name, size, digest)
        return str(find(gone, self._folders, Hashes(self._cache)) or "").encode()

    def _tell(self, message: bytes) -> bytes:
        self.told.put_nowait(wire.decode(message))
        return b""


class Bot:
    """The driver, which collects what goes to the bot."""

    def __init__(self, cache: Path) -> None:
        self.said: asyncio.Queue[FromDriver] = asyncio.Queue()
        self.send = self.said.put_nowait
        self.hashes = Hashes(cache)
        self.hashing = asyncio.Lock()


def of(path: Path, job_id: int) -> Work:
    [item] = work(job_id, "a cat").items
    return Work(job_id, "ada", (replace(item, model=replace(MODEL, path=path)),))


async def test_a_jobs_files_are_looked_for_once_and_named_as_they_are_there(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    (ours / "m.safetensors").write_bytes(b"weights")
    (ours / "other.safetensors").write_bytes(b"others!")
    (theirs / "renamed.safetensors").write_bytes(b"weights")
    bot, actor = Bot(tmp_path / "cache"), Actor([theirs], tmp_path / "their cache")
    driver: Any = bot
    link = ActorLink(driver, Begin(5, "node", EngineConfig()))
    telling = asyncio.create_task(link._tell(actor))
    async with asyncio.timeout(30):
        link.tell(Add(of(ours / "other.safetensors", 1)))
        link.tell(Add(of(ours / "m.safetensors", 2)))
        link.tell(Add(of(ours / "m.safetensors", 3)))
        link.tell(Abort(2))
        assert await bot.said.get() == Said(5, Lacks(1, (ours / "other.safetensors",)))
        for job_id in (2, 3):
            added = await actor.told.get()
            assert added == Add(of(theirs / "renamed.safetensors", job_id))
        assert await actor.told.get() == Abort(2)
    # Each once by its path and once by its content.
    assert [bool(digest) for digest in actor.asked] == [False, True, False, True]
    telling.cancel()


async def test_a_file_that_the_bot_has_lost_is_lacking(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "m.safetensors").write_bytes(b"weights")
    bot, actor = Bot(tmp_path / "cache"), Actor([theirs], tmp_path / "their cache")
    driver: Any = bot
    link = ActorLink(driver, Begin(5, "node", EngineConfig()))
    telling = asyncio.create_task(link._tell(actor))
    async with asyncio.timeout(30):
        link.tell(Add(of(ours / "m.safetensors", 1)))
        link.tell(Abort(2))
        assert await bot.said.get() == Said(5, Lacks(1, (ours / "m.safetensors",)))
        # The engine goes on.
        assert await actor.told.get() == Abort(2)
    telling.cancel()


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (TypeError("Inputs is in no message"), "TypeError: Inputs is in no message"),
        (RuntimeError("two\nlines"), "RuntimeError: two"),
        (AssertionError(), "AssertionError"),
    ],
)
async def test_an_engine_that_ends_in_any_way_is_told_of(
    error: Exception, ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[Any] = []
    ray = SimpleNamespace(kill=lambda actor, **_: killed.append(actor))
    monkeypatch.setitem(sys.modules, "ray", ray)

    def start(_: bytes) -> bytes:
        raise error

    actor = SimpleNamespace(start=Method(start))
    bot = Bot(tmp_path)
    driver: Any = bot
    monkeypatch.setattr(Bot, "actor", lambda *_: actor, raising=False)
    await ActorLink(driver, Begin(5, "node", EngineConfig())).run()
    assert [bot.said.get_nowait() for _ in range(2)] == [Said(5, None), Ended(5, ended)]
    assert killed == [actor]


@pytest.mark.parametrize(
    ("error", "logged", "said"),
    [
        (TimeoutError(), "", "cannot be reached: is it started, and the address right?"),
        (ConnectionError("Could not find any running Ray"), "", "cannot be reached: is it"),
        (TimeoutError(), "Unauthenticated: RPC error: InvalidAuthToken", "not accept the token"),
        (
            RuntimeError(
                "Version mismatch: The cluster was started with:\n    Ray: 2.59.1\n"
                "    Python: 3.12.4\nThis process was started with:\n    Ray: 2.60.0"
            ),
            "",
            "runs other versions (Ray: 2.59.1 Python: 3.12.4): install the same Ray and Python",
        ),
        (OSError("no room"), "", "cannot be used: OSError: no room"),
    ],
)
def test_what_ray_says_becomes_a_sentence(error: Exception, logged: str, said: str) -> None:
    assert said in sentence(error, "ray://head:10001", logged)
    assert "\n" not in sentence(error, "ray://head:10001", logged)
