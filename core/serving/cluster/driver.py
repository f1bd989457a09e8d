"""The process that is connected to the Ray cluster, for all engines there.

Ray ends a process that loses its cluster, and importing it takes seconds; so it is in none of the
bot's. Between this process and a computer of the cluster go bytes
(:mod:`core.serving.cluster.wire`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from asyncio import FIRST_COMPLETED
from collections.abc import Coroutine, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from core.heartbeat import INTERVAL
from core.models.weights.hashes import Hashes
from core.serving.cluster import wire
from core.serving.cluster.files import Wanted
from core.serving.cluster.protocol import (
    NO_TOKEN,
    Begin,
    ClusterConfig,
    ClusterNode,
    End,
    Ended,
    FromDriver,
    Lost,
    Nodes,
    Said,
    Tell,
)
from core.serving.messages import Add, Alive, Crashed, Downward, Lacks, Stop
from core.work import Work

ROOT: Final = Path(__file__).resolve().parents[3]
# Ray's: a token is asked for, and nothing is sent home.
ENVIRONMENT: Final = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
# What of it an engine needs; sent to the computers of the cluster.
CODE: Final = ("core", "data/configs")
# Seconds until a cluster counts as not there; Ray itself tries for minutes.
CONNECT: Final = 60.0
# Seconds between two looks at the computers there are, and until a cluster counts as lost.
LOOK: Final = 2.0
LOST: Final = 20.0
# Seconds that an engine waits for a card to be free, and the end of one that should stop.
BEGIN: Final = 60.0
STOP: Final = 30.0

T = TypeVar("T")

NO_CARD: Final = "no card is free: another bot or program uses it"


def main(connection: Connection, config: ClusterConfig) -> None:
    """Serve until the pipe ends; the entry point of the spawned process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ |= ENVIRONMENT
    log = config.cache_dir / "ray.log"
    _log_to(log)
    if config.token:
        os.environ["RAY_AUTH_TOKEN"] = config.token
    asyncio.run(_serve(connection, config, log))


async def _serve(connection: Connection, config: ClusterConfig, log: Path) -> NoReturn:
    try:
        with _code() as folder:
            async with asyncio.timeout(CONNECT):
                await asyncio.to_thread(connect, config.address, folder)
        await Driver(connection, config).serve()
    except Exception as error:
        logged = await asyncio.to_thread(log.read_text, "utf-8", "replace")
        with contextlib.suppress(OSError):
            connection.send(Lost(sentence(error, config.address, logged)))
    # Without any cleanup, which may wait for a cluster that is gone. Ray ends the engines.
    os._exit(0)


def _log_to(path: Path) -> None:
    """Write what Ray prints into a file: it repeats itself, and the bot says it in a sentence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def connect(address: str, code: Path) -> None:
    """Connect this process to the cluster. Raises what Ray does."""
    import ray

    # With a client Ray itself runs on the cluster, and logs there.
    here: dict[str, Any] = {} if "://" in address else {"log_to_driver": False}
    code_there = {"working_dir": str(code)}
    ray.init(address=address, namespace="penultimate", runtime_env=code_there, **here)


@contextlib.contextmanager
def _code() -> Iterator[Path]:
    """A folder with what an engine needs of this checkout."""
    with tempfile.TemporaryDirectory(prefix="penultimate-") as folder:
        for part in CODE:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, Path(folder, part), ignore=ignore)
        yield Path(folder)


def sentence(error: Exception, address: str, logged: str = "") -> str:
    """Say in one sentence why the cluster cannot be used; ``logged`` is what Ray printed."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    # With a wrong token Ray tries again and again, and only its log says why.
    if name == "AuthenticationError" or "unauthenticated" in (text + logged).casefold():
        return f"the Ray cluster {address} does not accept the token: set CLUSTER_TOKEN to its own"
    if "ersion mismatch" in text:
        there = (
            text.partition("cluster was started with:")[2].partition("This process")[0].strip(" :")
        )
        return (
            f"the Ray cluster {address} runs other versions ({there or text[:120]}): "
            "install the same Ray and Python here and on its computers"
        )
    if isinstance(error, ConnectionError | TimeoutError):
        return f"the Ray cluster {address} cannot be reached: is it started, and the address right?"
    return f"the Ray cluster {address} cannot be used: {name}: {text[:200]}"


class ActorLink:
    """The connection to one engine: an actor, and the messages that wait for it."""

    def __init__(self, driver: Driver, begin: Begin) -> None:
        self._driver = driver
        self._begin = begin
        self._inbox: asyncio.Queue[Downward] = asyncio.Queue()
        self._stopping: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        # Where the job's files are on that computer.
        self._moved: dict[Path, Path] = {}

    def tell(self, message: Downward) -> None:
        """Send a message to the engine, after those before it."""
        self._inbox.put_nowait(message)

    def end(self, grace: float) -> None:
        """End the engine within so many seconds."""
        if not self._stopping.done():
            self._stopping.set_result(grace)

    async def run(self) -> None:
        """Start the engine, pass messages on, and see that it is gone at the end."""
        import ray

        actor = None
        try:
            actor = self._driver.actor(self._begin.node_id)
            reason = await self._serve(actor)
        except ValueError as error:
            reason = f"sent what it should not ({error})"
        except Exception as error:
            # Whatever it is: the bot waits for this engine's end.
            reason = _lost(error)
        with contextlib.suppress(Exception):
            ray.kill(actor, no_restart=True)
        self._said(None)
        self._driver.send(Ended(self._begin.key, reason))

    async def _serve(self, actor: Any) -> str:
        """Pass messages on until the engine or the bot ends it; return how it ended."""
        config = wire.encode(self._begin.config)
        started = asyncio.create_task(_result(actor.start.remote(config)))
        waited: list[asyncio.Future[Any]] = [started, self._stopping]
        done, _ = await asyncio.wait(waited, timeout=BEGIN, return_when=FIRST_COMPLETED)
        if started not in done:
            started.cancel()
            return "" if done else NO_CARD
        if refused := (await started).decode():
            self._said(Crashed(refused))
            return refused
        tasks = [asyncio.create_task(self._hear(actor)), asyncio.create_task(self._tell(actor))]
        try:
            waited = [*tasks, self._stopping]
            done, _ = await asyncio.wait(waited, return_when=FIRST_COMPLETED)
            for task in tasks:
                if task in done:
                    await task
            grace = self._stopping.result() if self._stopping in done else 0.0
            async with asyncio.timeout(grace + STOP):
                return (await _result(actor.stop.remote(grace))).decode()
        except TimeoutError:
            return "cannot be ended"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _said(self, message: Any) -> None:
        self._driver.send(Said(self._begin.key, message))

    async def _hear(self, actor: Any) -> None:
        """Pass on what the engine says, until its end."""
        while data := await _result(actor.hear.remote()):
            self._said(wire.decode(data))

    async def _tell(self, actor: Any) -> None:
        """Pass on what is for the engine, its files' places looked up; never ends."""
        while True:
            message = await self._inbox.get()
            if isinstance(message, Add):
                lacking = await self._alive(self._lacking(actor, message.work))
                if lacking:
                    self._said(Lacks(message.work.job_id, lacking))
                    continue
            await _result(actor.tell.remote(wire.encode(message, self._moved)))

    async def _alive(self, long: Coroutine[Any, Any, T]) -> T:
        """Wait for something that may take long, and say meanwhile that nothing hangs."""
        task = asyncio.create_task(long)
        while not (await asyncio.wait([task], timeout=INTERVAL))[0]:
            self._said(Alive())
        return await task

    async def _lacking(self, actor: Any, work: Work) -> tuple[Path, ...]:
        """Find the job's files on the engine's computer; return those that are not there."""
        for path in work.files:
            if path not in self._moved:
                found = await self._find(actor, path)
                if found is None:
                    return (path,)
                self._moved[path] = found
        return ()

    async def _find(self, actor: Any, path: Path) -> Path | None:
        """Ask the engine's computer for a file: by its path first, then by its content."""
        for hashes in (None, self._driver.hashes):
            try:
                # One at a time, for another engine may want the same.
                async with self._driver.hashing:
                    wanted = await asyncio.to_thread(Wanted.of, path, hashes)
            except OSError:
                # It was deleted here after the job was ordered.
                return None
            asked = actor.find.remote(wanted.size, str(wanted.path), wanted.digest)
            if found := (await _result(asked)).decode():
                return Path(found)
            if not wanted.path.is_file():
                break
        return None


class Driver:
    """All engines on the cluster, by their keys; its loop is this process's."""

    def __init__(self, connection: Connection, config: ClusterConfig) -> None:
        self._connection = connection
        self._engines: dict[int, ActorLink] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.hashes = Hashes(config.cache_dir)
        self.hashing = asyncio.Lock()

    def send(self, message: FromDriver) -> None:
        """Send a message to the bot."""
        # A broken pipe: the bot has ended, which the reading tells.
        with contextlib.suppress(OSError):
            self._connection.send(message)

    def actor(self, node_id: str) -> Any:
        """Make the actor of an engine on a computer, with a card for itself."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from core.serving.cluster.actor import EngineActor

        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        options = {"num_gpus": 1, "num_cpus": 0, "max_restarts": 0, "scheduling_strategy": there}
        return ray.remote(EngineActor).options(**options).remote()

    async def serve(self) -> None:
        """Pass messages between the bot and the engines, until the bot ends or the cluster."""
        looking = asyncio.create_task(self._look())
        reading = asyncio.create_task(self._read())
        done, _ = await asyncio.wait([looking, reading], return_when=FIRST_COMPLETED)
        for task in done:
            await task

    async def _read(self) -> None:
        """Act on the bot's messages until the pipe ends or it says so."""
        while True:
            try:
                message = await asyncio.to_thread(self._connection.recv)
            except (EOFError, OSError):
                return
            match message:
                case Begin(key):
                    engine = self._engines[key] = ActorLink(self, message)
                    task = asyncio.create_task(self._run(key, engine))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                case Tell(key, inner):
                    if key in self._engines:
                        self._engines[key].tell(inner)
                case End(key, grace):
                    if key in self._engines:
                        self._engines[key].end(grace)
                case Stop():
                    return

    async def _run(self, key: int, engine: ActorLink) -> None:
        await engine.run()
        del self._engines[key]

    async def _look(self) -> None:
        """Tell the bot of the computers, whenever they change. Raises :class:`TimeoutError`."""
        import ray

        known: tuple[ClusterNode, ...] | None = None
        while True:
            async with asyncio.timeout(LOST):
                there = await asyncio.to_thread(ray.nodes)
            nodes = tuple(
                ClusterNode(each["NodeID"], each["NodeManagerHostname"], cards)
                for each in sorted(there, key=lambda each: str(each["NodeID"]))
                if each["Alive"] and (cards := int(each["Resources"].get("GPU", 0)))
            )
            if nodes != known:
                known = nodes
                self.send(Nodes(nodes))
            await asyncio.sleep(LOOK)


async def _result(asked: Any) -> bytes:
    """The bytes that an actor answers with."""
    answer = await asked
    return answer if isinstance(answer, bytes) else b""


def _lost(error: Exception) -> str:
    """Say in a few words how an engine was lost; the rest goes into Ray's log."""
    print(error, file=sys.stderr, flush=True)
    name, text = type(error).__name__, str(error)
    # A cluster that asks for no token cannot call back here, and takes the actor for forgotten.
    if "never ran" in text and "references to the actor were removed" in text:
        return NO_TOKEN
    if "Died" in name or "Unavailable" in name or "Unschedulable" in name:
        return "the computer or Ray's process on it is gone"
    first = text.partition("\n")[0][:200]
    return f"{name}: {first}" if first else name
