"""``Fleet``: the engines on a Ray cluster, one a graphics card, beside those of this computer.

Each is served by an :class:`EngineClient` as a local one is; only its transport differs. Computers
come and go while the bot runs. Runs on the bot's event loop and never blocks it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

from core.config import EngineConfig
from core.serving.client import EngineClient, exponential
from core.serving.cluster import driver
from core.serving.cluster.protocol import (
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
    ToDriver,
)
from core.serving.messages import Downward
from core.serving.process import KILL_TIMEOUT, ChildProcess
from core.serving.queue import GpuQueue
from core.serving.transport import OnMessage

log = logging.getLogger(__name__)

# Seconds at most until an engine that could not be started is tried again.
AGAIN: Final = 60.0

NO_CARDS: Final = "the Ray cluster has no computer with a graphics card"

Slot = tuple[str, int]


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The cluster's state; ``reason`` is why it is not there, empty while it is."""

    state: Literal["starting", "ready", "restarting"]
    address: str
    reason: str = ""


class RemoteEngine:
    """A :class:`~core.serving.transport.Transport` to an engine on a computer of the cluster."""

    pid = None

    def __init__(self, fleet: Fleet, node_id: str, config: EngineConfig, heard: OnMessage) -> None:
        self._fleet = fleet
        self._node_id = node_id
        self._config = config
        self.heard = heard
        self._key = next(fleet.keys)
        self._begun = False
        self._gone = threading.Event()
        self._reason = ""

    def start(self) -> None:
        """Ask for the engine."""
        self._begun = True
        self._fleet.begin(self._key, self)
        self._fleet.send(Begin(self._key, self._node_id, self._config))

    def send(self, message: Downward) -> None:
        """Send a message to the engine. Never blocks."""
        self._fleet.send(Tell(self._key, message))

    def stop(self, grace: float) -> str:
        """Ask the engine to end, by force after ``grace`` seconds; wait until it is gone."""
        if self._begun and not self._gone.is_set():
            self._fleet.send(End(self._key, grace))
            if not self._gone.wait(grace + KILL_TIMEOUT + driver.STOP):
                return "cannot be ended"
        return self._reason

    def gone(self, reason: str) -> None:
        """Note that the engine has ended."""
        self._reason = reason
        self._gone.set()


@dataclass(slots=True, eq=False)
class _Connection:
    """The process that is connected to the cluster, from its start to its end."""

    process: ChildProcess[ClusterConfig, ToDriver, FromDriver]
    engines: dict[int, RemoteEngine] = field(default_factory=dict)
    nodes: tuple[ClusterNode, ...] | None = None
    reason: str = ""
    ended: bool = False


class Fleet:
    """The engines of the cluster ``config``, each with the settings ``engine``, on ``queue``.

    ``clients`` is the list of the bot's engines; those of the cluster are added and taken away.
    While there is a fleet the queue stays open, for a cluster that is lost may come back.
    ``backoff`` gives the seconds before the next connection, by failures in a row.
    """

    def __init__(
        self,
        config: ClusterConfig,
        engine: EngineConfig,
        queue: GpuQueue,
        clients: list[EngineClient],
        *,
        backoff: Callable[[int], float] = exponential,
    ) -> None:
        self._config = config
        self._engine = engine
        self._queue = queue
        self._clients = clients
        self._backoff = backoff
        self._places: dict[Slot, EngineClient] = {}
        self._connection: _Connection | None = None
        self._changed = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._state: Literal["starting", "ready", "restarting"] = "starting"
        self._reason = ""
        self.keys = itertools.count()

    @property
    def status(self) -> FleetStatus:
        """The cluster's current state."""
        return FleetStatus(self._state, self._config.address, self._reason)

    def start(self) -> None:
        """Connect to the cluster and serve the queue. Returns before it is connected."""
        self._queue.hold()
        self._supervisor = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """End the engines and the connection."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._close_engines(list(self._places))
        if self._connection is not None:
            await asyncio.to_thread(self._connection.process.stop, 2.0)
        self._queue.release()

    # Called by the engines' transports, from threads too.

    def begin(self, key: int, engine: RemoteEngine) -> None:
        """Note an engine that is asked for."""
        connection = self._connection
        if connection is not None:
            connection.engines[key] = engine
        # In this order: the loop's thread may be telling all that they are gone.
        if connection is None or connection.ended:
            engine.gone(self._reason)

    def send(self, message: ToDriver) -> None:
        """Send a message to the cluster, if there is one. Never blocks."""
        if self._connection is not None:
            self._connection.process.send(message)

    # Its own

    async def _keep_connected(self) -> None:
        """Connect again and again, for as long as the bot runs, whatever happens."""
        failures = 0
        while True:
            failures += 1
            try:
                connection = self._connection = self._connect()
                await self._serve(connection)
                how = await asyncio.to_thread(connection.process.stop, 0.0)
                reason = connection.reason or f"the connection to the Ray cluster ended ({how})"
                if reason != self._reason:
                    log.error("%s; it is tried again, and other engines go on", reason)
                if connection.nodes is not None:
                    failures = 1
            except Exception as error:
                log.exception("the connection to the Ray cluster cannot be kept; it is tried again")
                reason = f"{type(error).__name__}: {error}"
            await self._lose(reason)
            await asyncio.sleep(self._backoff(failures))

    async def _serve(self, connection: _Connection) -> None:
        """Start a connection, and have its engines until it ends."""
        await asyncio.to_thread(connection.process.start)
        while not connection.ended:
            self._changed.clear()
            await self._follow(connection)
            await self._changed.wait()

    async def _lose(self, reason: str) -> None:
        """Take away the connection, which has ended or failed, and its engines."""
        self._state, self._reason = "restarting", reason
        if (connection := self._connection) is not None:
            connection.ended = True
            await asyncio.to_thread(connection.process.stop, 0.0)
            for engine in list(connection.engines.values()):
                engine.gone(reason)
        await self._close_engines(list(self._places))

    def _connect(self) -> _Connection:
        def heard(message: FromDriver | None) -> None:
            self._receive(connection, message)

        connection = _Connection(ChildProcess(driver.main, self._config, heard))
        return connection

    async def _follow(self, connection: _Connection) -> None:
        """Have a client for each card that there is, and for no other."""
        if connection.nodes is None:
            return
        wanted = {
            (node.node_id, number): node
            for node in connection.nodes
            for number in range(node.cards)
        }
        await self._close_engines([place for place in self._places if place not in wanted])
        for place, node in wanted.items():
            if place not in self._places:
                client = self._places[place] = self._new_client(node, place[1])
                self._clients.append(client)
                await client.start()

    def _new_client(self, node: ClusterNode, number: int) -> EngineClient:
        name = node.host if node.cards == 1 else f"{node.host} #{number + 1}"
        # The computer's main memory is for all of its engines.
        config = replace(self._engine, parking_gb=self._engine.parking_gb // node.cards)
        transport = partial(RemoteEngine, self, node.node_id)
        return EngineClient(
            config,
            self._queue,
            name=name,
            transport=transport,
            # Not as slowly as here: another bot may end, and a computer be mended, at any time.
            backoff=lambda deaths: min(exponential(deaths), AGAIN),
        )

    async def _close_engines(self, places: list[Slot]) -> None:
        clients = [self._places.pop(place) for place in places]
        for client in clients:
            self._clients.remove(client)
        await asyncio.gather(*(client.close() for client in clients))

    def _receive(self, connection: _Connection, message: FromDriver | None) -> None:
        """Handle a message from the process, on the event loop; None is its end."""
        if connection.ended:
            return  # It was given up.
        match message:
            case None:
                connection.ended = True
            case Lost(reason):
                connection.reason = reason
            case Nodes(nodes):
                connection.nodes = nodes
                self._state = "ready"
                self._reason = "" if nodes else NO_CARDS
            case Said(key, inner):
                if key in connection.engines:
                    connection.engines[key].heard(inner)
                return
            case Ended(key, reason):
                if key in connection.engines:
                    connection.engines.pop(key).gone(reason)
                return
        self._changed.set()
