"""The engine process: passes messages between the pipe and ``Engine``.

torch is imported only after the environment is set.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, NoReturn

from core import heartbeat
from core.config import EngineConfig
from core.errors import EngineStopped
from core.events import Event
from core.serving.messages import Abort, Add, Alive, Crashed, Credit, Measured, Ready, Stop, Upward

if TYPE_CHECKING:
    from core.engine.engine import Engine

# Read by the libraries at import. Nothing is downloaded: models are local files.
ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Required for deterministic cuBLAS (strict); no cost otherwise.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # Threads that wait for each other sleep: on a busy machine they would take turns to spin.
    "OMP_WAIT_POLICY": "PASSIVE",
}


class Shared:
    """A connection through which any thread may send: a message is never within another.

    Models run in several of the engine's threads, and give their signs of life from there.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.poll, self.recv = connection.poll, connection.recv

    def send(self, message: Upward) -> None:
        """Send a message; blocks while the pipe is full."""
        with self._lock:
            self._connection.send(message)


def main(connection: Connection, config: EngineConfig) -> None:
    """Run the engine; the entry point of the spawned process."""
    shared = Shared(connection)

    def make_engine() -> Engine:
        from core.engine.engine import Engine

        return Engine(config, heartbeat.throttled(lambda: shared.send(Alive())))

    run(shared, make_engine)


def run(connection: Connection | Shared, make_engine: Callable[[], Engine]) -> None:
    """Serve until the pipe ends, then end the process. An unexpected error is sent and printed."""
    # Ctrl-C signals all processes of the terminal; this one is ended by the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(ENVIRONMENT)
    if sys.platform != "win32":
        # Without a GPU the bot's own process must stay responsive.
        os.nice(5)
    try:
        engine = make_engine()
        connection.send(Ready(engine.device_name))
        serve(connection, engine)
        engine.close()
        _exit_now(0)
    except Exception as error:
        parent = multiprocessing.parent_process()
        if parent is not None and parent.is_alive():
            if isinstance(error, EngineStopped):
                # A device that cannot be used.
                connection.send(Crashed(error.detail, final=True))
            else:
                traceback.print_exc()
                connection.send(Crashed(f"{type(error).__name__}: {error}"))
        _exit_now(1)


def _exit_now(code: int) -> NoReturn:
    """End the process without the interpreter's cleanup, which takes seconds with torch.

    The bot's shutdown waits for this process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(connection: Connection | Shared, engine: Engine) -> None:
    """Step the engine until ``Stop`` or the pipe's end, polling the pipe between steps."""
    sent: Credit | None = None
    told: Measured | None = None
    events: list[Event] = []
    while True:
        credit = Credit(engine.rows_free, engine.warm, engine.memory, engine.rows_in_call)
        if credit != sent:
            connection.send(credit)
            sent = credit
        # What is measured changes with steps that say something.
        if events and (measured := Measured(engine.calls)) != told:
            connection.send(measured)
            told = measured
        for event in events:
            connection.send(event)
        events = []
        # Block only when the engine is idle.
        if not connection.poll(0 if engine.busy else None):
            events = engine.step()
            continue
        try:
            message = connection.recv()
        except EOFError:
            return
        match message:
            case Add(work):
                engine.add(work)
            case Abort(job_id):
                engine.abort(job_id)
            case Stop():
                return
